"""Reading a stream of events as HTML (section 9.2.6) has it, of an aiohttp response."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from tests.support.waiting import PATIENCE


@dataclass
class Event:
    """One event; its data is JSON."""

    name: str
    data: dict[str, Any]
    id: str | None = None


@dataclass
class Events:
    """A stream that is open."""

    response: aiohttp.ClientResponse
    comments: list[str] = field(default_factory=list)

    async def next(self) -> Event | None:
        """The next event; None at the end of the stream."""
        fields: dict[str, str] = {}
        async with asyncio.timeout(PATIENCE):
            while line := (await self.response.content.readline()).decode():
                name, _, value = line.rstrip("\n").partition(": ")
                if name:
                    fields[name] = value
                elif line.startswith(":"):
                    self.comments.append(value)
                elif fields:
                    assert set(fields) <= {"id", "event", "data"}
                    return Event(fields["event"], json.loads(fields["data"]), fields.get("id"))
        return None

    async def of(self, name: str) -> Event:
        """The next event of this name."""
        while (event := await self.next()) is not None:
            if event.name == name:
                return event
        raise AssertionError(f"the stream has ended without {name}")

    async def rest(self) -> list[Event]:
        """All that comes, to the end of the stream."""
        found = []
        while (event := await self.next()) is not None:
            found.append(event)
        return found


@asynccontextmanager
async def watching(
    client: aiohttp.ClientSession, target: str, **fields: str
) -> AsyncIterator[Events]:
    """A stream whose first event, `start`, has come."""
    async with client.get(target, headers=fields) as response:
        assert response.status == 200, await response.text()
        assert response.headers["Content-Type"] == "text/event-stream"
        assert response.headers["Cache-Control"] == "no-store"
        events = Events(response)
        await events.of("start")
        yield events
