"""Open files: as many as there may be, those who look after the process keep some, and say why."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from tests.support.process import Process, running
from tests.support.rig import RawPeer, raw_server, status_of
from tests.support.waiting import PATIENCE

GET = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
FEW = 256


async def serve(peer: RawPeer) -> None:
    while True:
        await peer.read_head()
        await peer.send(OK)


@asynccontextmanager
async def limited(tmp_path: Path, soft: int, hard: int, **limits: int) -> AsyncIterator[Process]:
    """Segue in front of a server, with so many open files."""
    file = tmp_path / "config.yaml"
    (tmp_path / "mappings").mkdir()
    limits = {"connections_per_address": 100_000, **limits}
    async with raw_server(serve) as server:
        file.write_text(f"upstream: {{url: {server.url}}}\nlimits: {json.dumps(limits)}\n")
        async with running(file, open_files=(soft, hard)) as process:
            yield process


def address(process: Process) -> tuple[str, int]:
    host, _, port = process.address.rpartition(":")
    return host, int(port)


async def connect(process: Process) -> RawPeer:
    return RawPeer(*await asyncio.open_connection(*address(process)))


def strangers(process: Process, count: int, stack: AsyncExitStack) -> list[socket.socket]:
    """Connections that say nothing, to the end of the test."""
    made = []
    for _ in range(count):
        stranger = stack.enter_context(socket.socket())
        stranger.setblocking(False)
        stranger.connect_ex(address(process))
        made.append(stranger)
    return made


async def told(stranger: socket.socket) -> bytes:
    """What comes without having been asked for."""
    try:
        return await asyncio.get_running_loop().sock_recv(stranger, 65536)
    except OSError:
        return b""


async def what_the_first_is_told(strangers: list[socket.socket]) -> bytes:
    """What the first of them gets that gets anything."""
    waiting = {asyncio.create_task(told(stranger)) for stranger in strangers}
    try:
        async with asyncio.timeout(PATIENCE):
            while True:
                done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                for each in done:
                    if each.result():
                        return each.result()
    finally:
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


async def test_the_soft_limit_is_raised_to_the_hard_one_and_enough_is_no_warning(
    tmp_path: Path,
) -> None:
    async with limited(tmp_path, 256, 4096, connections=1000) as process:
        assert await process.total("process_max_fds") == 4096
        assert not process.events("too few open files")


async def test_fewer_than_the_limits_promise_is_told_with_the_arithmetic(tmp_path: Path) -> None:
    async with limited(tmp_path, 256, 1024) as process:
        warning = await process.event("too few open files")
        assert (warning["level"], warning["limit"], warning["needed"]) == ("warning", 1024, 20_320)
        assert warning["arithmetic"].startswith("2 x limits.connections (10000: ")
        assert " + 256 idle connections " in warning["arithmetic"]
        assert "LimitNOFILE" in warning["advice"]


@pytest.mark.parametrize("burst", [0, 300], ids=["one by one", "and more at once"])
async def test_probes_are_answered_while_strangers_hold_all_that_there_is(
    tmp_path: Path, burst: int
) -> None:
    async with limited(tmp_path, FEW, FEW) as process, AsyncExitStack() as stack:
        early = await connect(process)
        stack.push_async_callback(early.close)
        answer = await what_the_first_is_told(strangers(process, FEW, stack))
        assert status_of(answer) == 503
        assert b"LimitNOFILE" in answer
        strangers(process, burst, stack)
        async with aiohttp.ClientSession(f"http://{process.admin}") as client:
            for page in ("/healthz", "/readyz", "/metrics"):
                async with client.get(page, headers={"Connection": "close"}) as response:
                    assert (response.status, page) == (200, page)
        # Who was let in is served: for that there is a connection to the server.
        await early.send(GET)
        head, body = await early.read_response()
        assert (status_of(head), body) == (200, b"ok")
        assert await process.total("segue_limits_hit_total", limit="resources") > 0
        assert await process.total("segue_upstream_failures_total") == 0
        async with asyncio.timeout(PATIENCE):
            while not process.events("limit reached"):  # noqa: ASYNC110 (its line is on its way)
                await asyncio.sleep(0.01)
        line = process.events("limit reached")[0]
        assert (line["limit"], line["address"]) == ("resources", "127.0.0.1")
        assert line["level"] == "warning"
