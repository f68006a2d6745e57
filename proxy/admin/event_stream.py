"""Streams of events (server-sent events, HTML section 9.2): how they are written, and how they end.

One stream is one response without an end of its own. It is kept alive by comments, which proxies
take for traffic, and ends when its reader has gone, may read no more, or takes nothing for as long
as the listener allows (`connections.TAKEN`). Nothing waits for its reader but this response.
"""

from __future__ import annotations

import asyncio
import json
import re
from typing import Final

from aiohttp import web

from proxy.admin.access import is_still_allowed
from proxy.types import Role

QUIET: Final = 15.0
"""Seconds without an event after which a comment is sent."""

_FIELDS: Final = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",  # nginx passes events on as they come.
    "X-Content-Type-Options": "nosniff",
}
_NOT_PLAIN: Final = re.compile(r"[^\x20-\x7e]")


class EventStream:
    """One stream, from its head on.

    Attributes:
        response: which it is.
    """

    def __init__(self, request: web.Request, needed: Role) -> None:
        """Construct; nothing is sent yet.

        Args:
            request: what it answers.
            needed: the role that its reader needs, to its end.
        """
        self.response = web.StreamResponse(headers=_FIELDS)
        self._request = request
        self._needed = needed
        self._loop = asyncio.get_running_loop()
        self._written_at = 0.0

    async def open(self) -> None:
        """Send the head.

        Raises:
            ConnectionError: the reader has gone.
        """
        await self.response.prepare(self._request)
        self._written_at = self._loop.time()

    async def send(self, event: str, data: str, event_id: str | None = None) -> None:
        """Send an event.

        Args:
            event: its name; a constant.
            data: JSON, whatever is in it.
            event_id: of an event that a reader can go on from.

        Raises:
            ConnectionError: the reader has gone.
        """
        await self.write(written(event, data, event_id))

    async def write(self, events: bytes) -> None:
        """Send what `written` has returned, one or several.

        Raises:
            ConnectionError: the reader has gone.
        """
        await self.response.write(events)
        self._written_at = self._loop.time()

    async def keep(self) -> str | None:
        """Say something if it was quiet for long; to be called about once a second.

        Returns:
            Why the stream is to end; None while it goes on.

        Raises:
            ConnectionError: the reader has gone.
        """
        transport = self._request.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the reader has gone")
        if not is_still_allowed(self._request, self._needed):
            return "access revoked"
        if self._loop.time() - self._written_at >= QUIET:
            await self.write(b": still here\n\n")
        return None


def written(event: str, data: str, event_id: str | None = None) -> bytes:
    """Write an event: one line of data, in ASCII, so that nothing in it ends a line or acts.

    Beyond ASCII there are only the texts of JSON, which can have it escaped; line breaks are space
    between its tokens.
    """
    plain = _NOT_PLAIN.sub(_escaped, data)
    line = "" if event_id is None else f"id: {event_id}\n"
    return f"{line}event: {event}\ndata: {plain}\n\n".encode("ascii")


def _escaped(found: re.Match[str]) -> str:
    character = found[0]
    if character in "\n\r\t":
        return " "
    return "\\u007f" if character == "\x7f" else json.dumps(character)[1:-1]
