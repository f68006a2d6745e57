"""The peers of the suite: a server and a client that echo, by the library `autobahn` of today.

Of the libraries at hand it is the one that all cases call conformant by itself, so that whatever is
worse through Segue is seen.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

from autobahn.asyncio.websocket import (
    WebSocketClientFactory,
    WebSocketClientProtocol,
    WebSocketServerFactory,
    WebSocketServerProtocol,
)

_OPTIONS: Final = {"failByDrop": False, "maxMessagePayloadSize": 0, "maxFramePayloadSize": 0}
"""Without the first, a broken frame would be answered by dropping the connection."""


class _EchoServer(WebSocketServerProtocol):
    def onMessage(self, payload: bytes, isBinary: bool) -> None:  # noqa: N802, N803, FBT001 (the library's names)
        self.sendMessage(payload, isBinary)  # type: ignore[no-untyped-call]


class _Client(WebSocketClientProtocol):
    """Says what it receives, and when it is over."""

    def __init__(self, received: Callable[[_Client, bytes, bool], None]) -> None:
        super().__init__()
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._received = received

    def onMessage(self, payload: bytes, isBinary: bool) -> None:  # noqa: N802, N803, FBT001 (the library's names)
        self._received(self, payload, isBinary)

    def onClose(self, *_: object) -> None:  # noqa: N802 (the library's name)
        if not self.ended.done():
            self.ended.set_result(None)


@asynccontextmanager
async def echo_server() -> AsyncIterator[int]:
    """Run a server that sends every message back; its port."""
    factory: Any = WebSocketServerFactory()  # type: ignore[no-untyped-call]
    factory.protocol = _EchoServer
    factory.setProtocolOptions(**_OPTIONS)
    server = await asyncio.get_running_loop().create_server(factory, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def _visit(url: str, received: Callable[[_Client, bytes, bool], None]) -> None:
    """Open a WebSocket and let it run to its end.

    Raises:
        OSError: nobody listens there.
    """
    factory: Any = WebSocketClientFactory(url)  # type: ignore[no-untyped-call]
    factory.protocol = lambda: _Client(received)
    factory.setProtocolOptions(**_OPTIONS)
    _, client = await asyncio.get_running_loop().create_connection(
        factory, factory.host, factory.port
    )
    await client.ended


def _echo(client: _Client, payload: bytes, binary: bool) -> None:  # noqa: FBT001 (called by position)
    client.sendMessage(payload, binary)  # type: ignore[no-untyped-call]


async def wait_for(port: int, patience: float) -> None:
    """Wait until a fuzzing server answers.

    Raises:
        TimeoutError: it does not, within so many seconds.
    """
    async with asyncio.timeout(patience):
        while True:
            try:
                await case_count(f"ws://127.0.0.1:{port}")
            except OSError:
                await asyncio.sleep(0.1)
            else:
                return


async def case_count(url: str) -> int:
    """How many cases a fuzzing server has for its clients."""
    texts: list[bytes] = []
    await _visit(f"{url}/getCaseCount", lambda _, payload, __: texts.append(payload))
    return int(texts[0])


async def run_cases(url: str, agent: str, parameters: str = "") -> None:
    """Take each case of a fuzzing server, as a client that echoes, and have the report written.

    Args:
        url: of the fuzzing server, or of what stands in front of it.
        agent: what the report calls this run.
        parameters: further query parameters, as `&client_version=2`.
    """
    for number in range(1, await case_count(url) + 1):
        await _visit(f"{url}/runCase?case={number}&agent={agent}{parameters}", _echo)
    await _visit(f"{url}/updateReports?agent={agent}{parameters}", _echo)
