"""Servers that close connections sooner or later than Segue would: no request meets with that."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

import pytest

from tests.support.rig import RawPeer, segue, status_of
from tests.support.waiting import PATIENCE

CLIENTS: Final = 120
ROUNDS: Final = 15

SERVER: Final = """
import asyncio, sys
from aiohttp import web

async def handle(request):
    await request.read()
    said = {"Keep-Alive": sys.argv[2]} if sys.argv[2] else {}
    return web.Response(text="ok", headers=said)

async def main():
    listener = web.Server(handle, keepalive_timeout=float(sys.argv[1]), access_log=None)
    serving = await asyncio.get_running_loop().create_server(listener, "127.0.0.1", 0, backlog=1024)
    print(serving.sockets[0].getsockname()[1], flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


@asynccontextmanager
async def server(keepalive: float, told: str) -> AsyncIterator[str]:
    """A server in a process of its own that closes connections which were unused for that long."""
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", SERVER, str(keepalive), told), stdout=asyncio.subprocess.PIPE
    )
    try:
        assert child.stdout is not None
        async with asyncio.timeout(PATIENCE):
            yield f"http://127.0.0.1:{int(await child.stdout.readline())}"
    finally:
        child.kill()
        await child.wait()


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
