"""A hop of TCP between Segue and its server that notes requests, and breaks WebSockets."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

_LINE: Final = re.compile(rb"^([A-Z]+) (\S+) HTTP/1\.1\r\n", re.MULTILINE)


@dataclass
class Counted:
    """What came by.

    Attributes:
        url: of the hop, in place of the server's.
        requests: `METHOD path` of each, without its query; a handshake is one of them.
        lets_sockets_in: whether handshakes go on; otherwise their connections are ended.
        holds: what begins a `METHOD path` that waits, and what it waits for.
    """

    url: str = ""
    requests: list[str] = field(default_factory=list)
    lets_sockets_in: bool = True
    holds: dict[str, asyncio.Event] = field(default_factory=dict)
    _sockets: list[asyncio.StreamWriter] = field(default_factory=list)

    def of(self, start: str) -> int:
        """How many came that begin so."""
        return sum(each.startswith(start) for each in self.requests)

    def asked(self) -> list[str]:
        """The requests that are no handshake and no preflight."""
        return [
            each
            for each in self.requests
            if " /ws/" not in each and not each.startswith("OPTIONS ")
        ]

    def cut(self) -> None:
        """Break every open WebSocket, without a word."""
        while self._sockets:
            self._sockets.pop().transport.abort()

    def close(self, code: int) -> None:
        """Have the server end every open WebSocket with a code (RFC 6455 section 7.4)."""
        while self._sockets:
            self._sockets.pop().write(b"\x88\x02" + code.to_bytes(2, "big"))

    async def carry(
        self, near: asyncio.StreamReader, back: asyncio.StreamWriter, host: str, port: int
    ) -> None:
        """Pass on one connection."""
        far, on = await asyncio.open_connection(host, port, limit=1 << 24)

        async def answers() -> None:
            with suppress(ConnectionError):
                while data := await far.read(1 << 16):
                    back.write(data)
                    await back.drain()
            back.close()

        answering = asyncio.create_task(answers())
        is_socket = False
        try:
            with suppress(ConnectionError):
                while data := await near.read(1 << 16):
                    if not is_socket:
                        for method, target in _LINE.findall(data):
                            path = target.partition(b"?")[0].decode()
                            self.requests.append(f"{method.decode()} {path}")
                            is_socket = path.startswith("/ws/")
                        if is_socket:
                            if not self.lets_sockets_in:
                                break
                            self._sockets.append(back)
                        for start, gate in self.holds.items():
                            if self.requests and self.requests[-1].startswith(start):
                                await gate.wait()
                    on.write(data)
                    await on.drain()
        finally:
            answering.cancel()
            on.close()
            back.close()


@asynccontextmanager
async def counted(server: str) -> AsyncIterator[Counted]:
    """Run a hop in front of a server."""
    parts = urlsplit(server)
    hop = Counted()

    async def accept(near: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        await hop.carry(near, back, str(parts.hostname), int(parts.port or 80))

    listening = await asyncio.start_server(accept, "127.0.0.1", 0, limit=1 << 24)
    hop.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    try:
        yield hop
    finally:
        for gate in hop.holds.values():
            gate.set()
        listening.close()
