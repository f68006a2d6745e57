"""The four WebSockets of one job: three clients of the proxy, one of the server itself.

The one beside the proxy says what the server sent. A client that has seen the end of the script
says something that the server does not know: the `error` that answers it is the last frame, so
that everybody knows when nothing more comes, and shows how a frame goes through that no rule names.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import aiohttp

from demo.faults import ShowFailed
from demo.verdict import Dialect, Frame, read

MAX_MESSAGE: Final = 32 * 1024 * 1024
"""Bytes of the largest frame that is read; the backend's largest PRD is half of it."""

_MOST_FRAMES: Final = 1_000
_FINAL: Final = frozenset({"done", "failed"})


class Client:
    """One WebSocket and what came over it.

    Attributes:
        name: what it is called.
        told: how it tells its version.
        dialect: what it expects.
        frames: what it has received, oldest first, at most 1,000.
        sent: how many messages it has sent.
        is_open: whether more can come.
    """

    def __init__(
        self,
        name: str,
        told: str,
        dialect: Dialect,
        *,
        query: str = "",
        subprotocols: tuple[str, ...] = (),
    ) -> None:
        self.name = name
        self.told = told
        self.dialect = dialect
        self.frames: list[Frame] = []
        self.sent = 0
        self.is_open = False
        self._query = query
        self._subprotocols = subprotocols
        self._socket: aiohttp.ClientWebSocketResponse[bool] | None = None
        self._on_frame: Callable[[], None] = lambda: None

    @asynccontextmanager
    async def connected(
        self,
        http: aiohttp.ClientSession,
        origin: str,
        job: str,
        token: str,
        on_frame: Callable[[], None],
    ) -> AsyncIterator[None]:
        """Connected like a browser, with the token in the query, and reading.

        Raises:
            ShowFailed: the handshake was refused, or answered as no browser accepts it.
        """
        self._on_frame = on_frame
        version = f"{self._query}&" if self._query else ""
        try:
            socket = await http.ws_connect(
                f"{origin}/ws/jobs/{job}/?{version}token={token}",
                protocols=self._subprotocols,
                max_msg_size=MAX_MESSAGE,
                decode_text=False,
            )
        except aiohttp.WSServerHandshakeError as error:
            # The error's own text holds the address, and so the token.
            raise ShowFailed(f"{self.name}: the handshake got {error.status}") from None
        except aiohttp.ClientError as error:
            raise ShowFailed(f"{self.name}: {type(error).__name__} at the handshake") from None
        self._socket = socket
        self.is_open = True
        reader = asyncio.create_task(self._read(socket))
        try:
            if self._subprotocols and socket.protocol not in self._subprotocols:
                raise ShowFailed(
                    f"{self.name}: no offered subprotocol was answered; a browser fails then"
                )
            yield
        finally:
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)
            await socket.close()

    async def say(self, **message: str) -> None:
        """Send one JSON message.

        Raises:
            ShowFailed: the connection is closed.
        """
        assert self._socket is not None
        try:
            await self._socket.send_str(json.dumps(message))
        except aiohttp.ClientError:
            raise ShowFailed(f"{self.name}: the connection was closed") from None
        self.sent += 1

    @property
    def saw_the_end(self) -> bool:
        """Whether the job's last status is among the frames."""
        return any(
            ("status", status) in (frame.content or ())
            for frame in self.frames
            for status in _FINAL
        )

    @property
    def was_answered(self) -> bool:
        """Whether the frame that ends the show has come."""
        return any(frame.kind == "error" for frame in self.frames)

    async def _read(self, socket: aiohttp.ClientWebSocketResponse[Any]) -> None:
        try:
            async for message in socket:
                if message.type is not aiohttp.WSMsgType.TEXT or len(self.frames) == _MOST_FRAMES:
                    break
                self.frames.append(read(message.data))
                self._on_frame()
        finally:
            self.is_open = False
            self._on_frame()
