"""Turning the switches of a running process, as an operator does it: by its admin socket."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp

from proxy.admin.unix_socket import short_name


class Told(NamedTuple):
    """An answer of the admin API."""

    status: int
    body: Any

    @property
    def detail(self) -> str:
        return str(self.body["detail"])


class Operator:
    """Asks one process; each change builds on what its switch is at, as one sees it before."""

    def __init__(self, client: aiohttp.ClientSession) -> None:
        self._client = client

    async def ask(
        self, method: str, target: str, *, expected: int | None = None, **body: Any
    ) -> Told:
        """Ask for something, whatever comes of it."""
        headers = {} if expected is None else {"If-Match": f'"{expected}"'}
        asked = body if method in ("PUT", "POST") else None
        async with self._client.request(
            method, f"/api/v1{target}", json=asked, headers=headers
        ) as answer:
            return Told(answer.status, await answer.json(content_type=None))

    async def done(self, method: str, target: str, **asked: Any) -> Any:
        """Have something done; what came of it."""
        told = await self.ask(method, target, **asked)
        assert told.status == 200, told
        return told.body

    async def switches(self) -> Any:
        """All switches."""
        return await self.done("GET", "/switches")

    async def at(self, switch: str) -> int:
        """The revision that set a switch last."""
        return int((await self.done("GET", f"/switches/{switch}"))["revision"])

    async def turn(self, switch: str, state: str, **more: Any) -> Any:
        """Turn a switch; the answer."""
        expected = await self.at(switch)
        asked = {"state": state, "reason": "a test turns it", **more}
        return await self.done("PUT", f"/switches/{switch}", expected=expected, **asked)

    async def order(self, target: str, **more: Any) -> Any:
        """`/undo`, `/switches/restore` or `/switches/all-off`; the answer."""
        expected = int((await self.switches())["revision"])
        asked = {"reason": "a test asks for it", **more}
        return await self.done("POST", target, expected=expected, **asked)

    async def reload(self) -> bool:
        """Have the files read again; whether they serve now."""
        return bool((await self.done("POST", "/reload"))["succeeded"])


@asynccontextmanager
async def operator(state_directory: Path) -> AsyncIterator[Operator]:
    """An operator on the machine of the process with this state directory."""
    with short_name(state_directory / "admin.sock") as name:
        connector = aiohttp.UnixConnector(path=name)
        async with aiohttp.ClientSession("http://localhost", connector=connector) as client:
            yield Operator(client)


def state_of(directory: Path, name: str = "state") -> Path:
    """A state directory in that of a test."""
    path = directory / name
    path.mkdir(mode=0o700, exist_ok=True)
    return path
