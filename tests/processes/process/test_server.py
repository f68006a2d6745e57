"""The whole process: what listens, how it drains, what it says when it cannot start."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp
import pytest

from tests.support.checkout import ROOT
from tests.support.rig import CONFIG, RawPeer, answering, raw_server, segue, status_of
from tests.support.waiting import PATIENCE

GET = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@dataclass
class Process:
    """`python -m proxy run`, as an operator starts it."""

    child: asyncio.subprocess.Process
    address: str = ""
    admin: str = ""

    async def event(self, name: str) -> dict[str, object]:
        """Read the log up to the line of that event."""
        assert self.child.stderr is not None
        async with asyncio.timeout(PATIENCE):
            while line := await self.child.stderr.readline():
                entry: dict[str, object] = json.loads(line)
                if entry["event"] == name:
                    return entry
        pytest.fail(f"the process ended without {name!r}")

    async def connect(self) -> RawPeer:
        host, _, port = self.address.rpartition(":")
        return RawPeer(*await asyncio.open_connection(host, int(port)))

    def signal(self, number: signal.Signals) -> None:
        self.child.send_signal(number)

    async def exit_code(self) -> int:
        async with asyncio.timeout(PATIENCE):
            return await self.child.wait()


@asynccontextmanager
async def running(upstream: str, **env: str) -> AsyncIterator[Process]:
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", "-m", "proxy", "run", "--config", str(CONFIG)),
        *("--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--upstream", upstream),
        env={**os.environ, "SEGUE_LOG__FORMAT": "json", **env},
        cwd=ROOT,
        stderr=asyncio.subprocess.PIPE,
    )
    process = Process(child)
    try:
        started = await process.event("listening")
        process.address, process.admin = str(started["address"]), str(started["admin"])
        yield process
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()


async def readiness(process: Process) -> tuple[int, str]:
    async with (
        aiohttp.ClientSession() as client,
        client.get(f"http://{process.admin}/readyz") as response,
    ):
        return response.status, (await response.json())["status"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_signal_drains_and_the_process_ends_with_code_0(number: signal.Signals) -> None:
    arrived, release = asyncio.Event(), asyncio.Event()

    async def script(peer: RawPeer) -> None:
        await peer.read_head()
        arrived.set()
        await release.wait()
        await peer.send(OK)
        await peer.read_all()

    async with raw_server(script) as origin, running(origin.url) as process:
        assert await readiness(process) == (200, "ready")
        idle, busy = await process.connect(), await process.connect()
        await busy.send(GET)
        await arrived.wait()
        process.signal(number)
        await process.event("draining")
        assert await readiness(process) == (503, "draining")
        with pytest.raises(ConnectionRefusedError):
            await process.connect()
        assert await idle.read_all() == b""
        release.set()
        head, body = await busy.read_response()
        assert status_of(head) == 200
        assert body == b"ok"
        await busy.close()
        await idle.close()
        assert (await process.event("stopped"))["orderly"] is True
        assert await process.exit_code() == 0


@asynccontextmanager
async def stuck(**env: str) -> AsyncIterator[tuple[Process, RawPeer]]:
    """A process with a request that is never answered."""
    arrived = asyncio.Event()

    async def script(peer: RawPeer) -> None:
        await peer.read_head()
        arrived.set()
        await peer.read_all()

    async with raw_server(script) as origin, running(origin.url, **env) as process:
        peer = await process.connect()
        await peer.send(GET)
        await arrived.wait()
        yield process, peer
        await peer.close()


async def test_drain_has_a_deadline() -> None:
    async with stuck(SEGUE_TIMEOUTS__DRAIN="300ms") as (process, peer):
        process.signal(signal.SIGTERM)
        assert (await process.event("stopped"))["orderly"] is False
        assert await process.exit_code() == 0
        assert await peer.read_all() == b""


async def test_second_signal_cuts_the_drain_short() -> None:
    async with stuck(SEGUE_TIMEOUTS__DRAIN="10m") as (process, peer):
        process.signal(signal.SIGTERM)
        await process.event("draining")
        process.signal(signal.SIGTERM)
        await process.event("stopped before the drain was complete")
        assert await process.exit_code() == 0
        assert await peer.read_all() == b""


async def test_connections_that_are_kept_end_with_their_current_request() -> None:
    async with raw_server(answering(OK)) as origin, segue(origin.url) as proxy:
        async with proxy.client() as used, proxy.client() as unused:
            await used.send(GET)
            await used.read_response()
            assert await proxy.metric("segue_open_connections", kind="http") == 2
            assert await proxy.server.drain()
            assert await used.read_all() == await unused.read_all() == b""


async def test_a_clients_connection_is_kept_alive_and_sends_without_delay() -> None:
    async with raw_server(answering(OK)) as origin, segue(origin.url) as proxy:
        async with proxy.client() as client:
            await client.send(GET)
            await client.read_response()
            (connection,) = proxy.server._data.listener.connections
            assert connection.transport is not None
            accepted = connection.transport.get_extra_info("socket")
            assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


@pytest.mark.parametrize("name", ["listen", "admin"])
async def test_port_in_use_is_named(name: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        flags = {"listen": "127.0.0.1:0", "admin": "127.0.0.1:0", name: address}
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "proxy", "run", "--config", str(CONFIG)),
            *(part for flag, value in flags.items() for part in (f"--{flag}", value)),
            cwd=ROOT,
            env={**os.environ, "SEGUE_SESSIONS__ENABLED": "false"},
            stderr=asyncio.subprocess.PIPE,
        )
        _, stderr = await child.communicate()
    assert child.returncode == 1
    message = f"{address}: {name}.address: cannot listen there: address already in use"
    # What comes first is the log: of a canary key that the state directory had none of, say.
    assert stderr.decode().splitlines()[-2:] == [message, "segue: 1 problem found"]
