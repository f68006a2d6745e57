"""What systemd is told, on a real socket, by a real process; and the delay before its drain."""

from __future__ import annotations

import asyncio
import io
import os
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from structlog import get_logger

from proxy.observability import log as logs
from proxy.process.supervisor import Supervisor
from tests.support.process import running
from tests.support.rig import answering, raw_server
from tests.support.waiting import PATIENCE

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Systemd:
    """The other end of `NOTIFY_SOCKET`."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(path.replace("@", "\0"))
        self.socket.setblocking(False)

    async def told(self, *, but: str = "WATCHDOG=1") -> dict[str, str]:
        """The next message."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(PATIENCE):
            while True:
                text = (await loop.sock_recv(self.socket, 4096)).decode()
                if text != but:
                    return dict(line.split("=", 1) for line in text.split("\n"))


@pytest.fixture(params=["file", "abstract"])
def systemd(request: pytest.FixtureRequest, tmp_path: Path) -> Systemd:
    # The address of a Unix socket is short.
    name = f"@segue-test-{os.getpid()}" if request.param == "abstract" else ""
    directory = os.open(tmp_path, os.O_PATH)
    return Systemd(name or f"/proc/{os.getpid()}/fd/{directory}/notify")


@asynccontextmanager
async def configured(directory: Path, more: str = "") -> AsyncIterator[Path]:
    async with raw_server(answering(OK)) as server:
        config = directory / "config.yaml"
        config.write_text(f"upstream: {{url: '{server.url}'}}\n{more}")
        yield config


async def test_it_is_told_from_the_start_to_the_end(tmp_path: Path, systemd: Systemd) -> None:
    env = {
        "NOTIFY_SOCKET": systemd.path,
        "WATCHDOG_USEC": "100000",
        "SEGUE_STATE_DIR": str(tmp_path / "state"),
    }
    async with configured(tmp_path) as config, running(config, env=env) as process:
        ready = await systemd.told()
        assert ready["READY"] == "1"
        serving = ready["STATUS"].removeprefix("serving ")
        # The loop turns.
        for _ in range(3):
            assert await systemd.told(but="") == {"WATCHDOG": "1"}
        before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        process.hang_up()
        reloading = await systemd.told()
        assert reloading["RELOADING"] == "1"
        after = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        assert before <= int(reloading["MONOTONIC_USEC"]) <= after
        assert await systemd.told() == {"READY": "1", "STATUS": f"serving {serving}"}
        config.write_text("upstream: 7\n")
        process.hang_up()
        assert (await systemd.told())["RELOADING"] == "1"
        failed = await systemd.told()
        assert failed["READY"] == "1"
        assert failed["STATUS"] == f"reload failed (1 problems), serving {serving}"
        stopped = asyncio.create_task(process.terminate())
        stopping = await systemd.told()
        assert (stopping["STOPPING"], stopping["EXTEND_TIMEOUT_USEC"]) == ("1", "40000000")
        assert await stopped == 0
    systemd.socket.close()


async def test_unready_comes_first_and_everything_else_goes_on_for_the_delay(
    tmp_path: Path,
) -> None:
    """Until the second signal: the delay is longer than the test."""
    more = "timeouts: {drain_delay: 10m, drain: 5s}\n"
    env = {"SEGUE_STATE_DIR": str(tmp_path / "state")}
    async with configured(tmp_path, more) as config, running(config, env=env) as process:
        async with aiohttp.ClientSession() as client:
            async with client.get(f"http://{process.address}/") as response:
                assert await response.text() == "ok"
            process.child.terminate()
            assert (await process.event("unready"))["seconds"] == 600
            assert await process.ready() == 503
            for fresh in (False, True):
                fields = {"Connection": "close"} if fresh else {}
                url = f"http://{process.address}/"
                async with client.get(url, headers=fields) as response:
                    assert await response.text() == "ok"
            assert not process.events("draining")
        assert await process.terminate() == 0
        await process.event("stopped before the drain was complete")


async def test_after_the_delay_it_drains(tmp_path: Path) -> None:
    env = {"SEGUE_STATE_DIR": str(tmp_path / "state")}
    more = "timeouts: {drain_delay: 10ms}\n"
    async with configured(tmp_path, more) as config, running(config, env=env) as process:
        assert await process.terminate() == 0
        assert [line["event"] for line in process.lines][-3:] == ["unready", "draining", "stopped"]


def tell(env: dict[str, str]) -> str:
    """What is logged where a supervisor is told that all is ready."""
    stream = io.StringIO()
    writer = logs.Writer(stream)
    log = logs.build(writer, "info", "json", is_terminal=False)
    Supervisor(env, log).ready("0123456789ab")
    writer.close()
    return stream.getvalue()


def test_nobody_is_told_without_a_socket() -> None:
    for env in ({}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "vsock:2:1234"}):
        assert tell(env) == ""


def test_one_that_is_away_is_logged_and_hinders_nothing(tmp_path: Path) -> None:
    assert '"supervisor not told"' in tell({"NOTIFY_SOCKET": f"{tmp_path}/none"})
    assert '"supervisor not told"' in tell({"NOTIFY_SOCKET": f"/{'x' * 200}"})


@pytest.mark.parametrize(
    ("env", "interval"),
    [
        ({"WATCHDOG_USEC": "60000000"}, 30.0),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": str(os.getpid())}, 30.0),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "-5"}, None),
        ({"WATCHDOG_USEC": "9" * 400}, None),
        ({"WATCHDOG_USEC": "9" * 5000}, None),
        ({"WATCHDOG_USEC": "1"}, 0.01),
        ({}, None),
    ],
    ids=range(10),
)
def test_watchdog_is_fed_where_it_is_this_process_s(
    env: dict[str, str], interval: float | None
) -> None:
    made = Supervisor({"NOTIFY_SOCKET": "/run/notify", **env}, get_logger())
    assert made._interval == interval
