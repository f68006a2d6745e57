"""Servers that close connections sooner or later than Segue would: no request meets with that."""

from __future__ import annotations

import asyncio
import select
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final, cast

import pytest

from tests.support.rig import RawPeer, segue, status_of

CLIENTS: Final = 120
ROUNDS: Final = 15


class Server(asyncio.Protocol):
    """A connection of a server that closes those which were unused for so many seconds.

    It runs in the loop that Segue runs in, and looks before it closes: however slow the machine is,
    no request is on its way then that was sent before the end could be seen.
    """

    def __init__(self, keepalive: float, told: str) -> None:
        self._keepalive = keepalive
        said = f"Keep-Alive: {told}\r\n" if told else ""
        self._answer = f"HTTP/1.1 200 OK\r\n{said}Content-Length: 2\r\n\r\nok".encode()
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._received = b""

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        if self._timer is not None:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        self._received += data
        if self._received.endswith(b"\r\n\r\nhello"):
            self._received = b""
            self._transport.write(self._answer)
            if self._timer is not None:
                self._timer.cancel()
            self._timer = asyncio.get_running_loop().call_later(self._keepalive, self._close)

    def _close(self) -> None:
        sock = self._transport.get_extra_info("socket")
        if not self._received and not select.select([sock.fileno()], [], [], 0)[0]:
            self._transport.close()


@asynccontextmanager
async def server(keepalive: float, told: str) -> AsyncIterator[str]:
    listener = await asyncio.get_running_loop().create_server(
        lambda: Server(keepalive, told), "127.0.0.1", 0, backlog=1024
    )
    async with listener:
        yield f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"


async def post(peer: RawPeer, statuses: Counter[int]) -> None:
    await peer.send(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello")
    statuses[status_of((await peer.read_response())[0])] += 1


@pytest.mark.parametrize(
    ("told", "setting"),
    [("", "500ms"), ("timeout=1", "60s")],
    ids=["by the setting", "as the server says"],
)
async def test_no_post_meets_with_a_connection_that_is_being_closed(
    told: str, setting: str
) -> None:
    statuses: Counter[int] = Counter()
    async with (
        server(1.0, told) as url,
        segue(url, {"SEGUE_UPSTREAM__KEEPALIVE": setting}) as proxy,
        AsyncExitStack() as stack,
    ):
        peers = [await stack.enter_async_context(proxy.client()) for _ in range(CLIENTS)]
        for number in range(ROUNDS):
            # Around the time at which Segue gives a connection up, and that at which the server
            # does, counted from the answers of the round before.
            await asyncio.sleep((0.44, 0.94, 0.97)[number % 3] + number * 0.002)
            await asyncio.gather(*(post(peer, statuses) for peer in peers))
        reused = await proxy.metric("segue_upstream_reuses_total")
        opened = await proxy.metric("segue_upstream_connects_total")
    assert statuses == {200: CLIENTS * ROUNDS}
    assert reused
    assert opened > CLIENTS  # Connections were given up meanwhile.
