"""Nothing left for a connection to the server: Segue says so, and does not blame the server."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import resource
import socket
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from proxy.errors import OutOfResources
from proxy.process.open_files import FileShares
from proxy.upstream import pool
from proxy.upstream.connection import Connection
from proxy.upstream.pool import Pool, own_trouble
from proxy.upstream.target import Target
from tests.support.rig import RawPeer, Segue, raw_server, segue, status_of
from tests.support.sockets import handshake
from tests.support.waiting import PATIENCE

GET = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
LAST = b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"


@contextmanager
def no_files_left() -> Iterator[Callable[[], None]]:
    """Inside, this process can open no file and no socket; gives what takes up those closed since.

    Threads that keep the audit and the switches have files open for a moment.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # Low, so that there is not much to be filled.
    lowest = max(int(each.name) for each in Path("/proc/self/fd").iterdir()) + 8
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
    fillers = []

    def fill() -> None:
        with suppress(OSError):
            while True:
                fillers.append(os.dup(0))

    try:
        fill()
        yield fill
    finally:
        for filler in fillers:
            os.close(filler)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def answer(peer: RawPeer) -> None:
    await peer.read_head()
    await peer.send(OK)


def warnings(proxy: Segue) -> list[dict[str, object]]:
    """Those beside the lines of requests."""
    lines = [json.loads(line) for line in proxy.log.getvalue().splitlines()]
    return [line for line in lines if line["level"] == "warning" and line["event"] != "request"]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
@pytest.mark.parametrize("is_handshake", [False, True], ids=["request", "handshake"])
async def test_no_file_left_is_503_and_says_nothing_of_the_server(
    host: str, is_handshake: bool, tmp_path: Path
) -> None:
    file = tmp_path / "config.yaml"
    (tmp_path / "mappings").mkdir()
    async with raw_server(answer) as one, raw_server(answer) as other:
        urls = ", ".join(f'"{each.url.replace("127.0.0.1", host)}"' for each in (one, other))
        file.write_text(f"upstream: {{targets: [{urls}], ejection: {{failures: 1}}}}\n")
        async with segue(None, config=file) as proxy, AsyncExitStack() as stack:
            peers = [await stack.enter_async_context(proxy.client()) for _ in range(4)]
            assert status_of(await proxy.ask(LAST)) == 200
            assert await proxy.server.audit.flushed(PATIENCE)
            with no_files_left() as fill:
                for peer in peers:
                    fill()
                    await peer.send(handshake() if is_handshake else GET)
                    head, body = await peer.read_response()
                    assert status_of(head) == 503
                    assert b"\r\nRetry-After: " in head
                    assert b"LimitNOFILE" in body
            why, who = warnings(proxy)
            assert (why["event"], who["event"]) == ("out of resources", "limit reached")
            assert "LimitNOFILE" in str(why["detail"])
            assert (who["limit"], who["address"]) == ("resources", "127.0.0.1")
            assert await proxy.metric("segue_errors_total", error="out_of_resources") == len(peers)
            assert await proxy.metric("segue_upstream_failures_total") == 0
            assert await proxy.metric("segue_upstream_ejections_total") == 0
            assert await proxy.metric("segue_upstream_up") == 2


async def test_files_that_are_kept_for_others_are_taken_by_no_connection_to_a_server(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept = FileShares(limit=1024, clients=1024, refusals=1024, servers=0)
    monkeypatch.setattr("proxy.process.open_files.shares", lambda: kept)
    async with raw_server(answer) as server, segue(server.url) as proxy:
        for sent in (LAST, handshake()):
            response = await proxy.ask(sent)
            assert status_of(response) == 503
            assert b"LimitNOFILE" in response
        assert await proxy.metric("segue_upstream_failures_total") == 0
        assert await proxy.metric("segue_upstream_connections") == 0


async def test_probe_for_which_no_file_is_left_says_nothing_of_the_server() -> None:
    env = {
        "SEGUE_UPSTREAM__HEALTH__PATH": "/",
        "SEGUE_UPSTREAM__HEALTH__INTERVAL": "10ms",
        "SEGUE_UPSTREAM__HEALTH__UNHEALTHY": "1",
    }
    async with raw_server(answer) as server, segue(server.url, env) as proxy:
        with no_files_left():
            async with asyncio.timeout(PATIENCE):
                while not warnings(proxy):  # noqa: ASYNC110 (the log tells nobody)
                    await asyncio.sleep(0.01)
        assert [line["event"] for line in warnings(proxy)] == ["out of resources"]
        assert await proxy.metric("segue_upstream_up") == 1


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        (errno.EMFILE, "LimitNOFILE"),
        (errno.ENFILE, "fs.file-max"),
        (errno.ENOBUFS, "tcp_mem"),
        (errno.ENOMEM, "tcp_mem"),
        (errno.EADDRNOTAVAIL, "ip_local_port_range"),
    ],
)
def test_each_want_says_what_to_do(code: int, advice: str) -> None:
    trouble = own_trouble(OSError(code, os.strerror(code)))
    assert isinstance(trouble, OutOfResources)
    assert advice in trouble.detail


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ECONNREFUSED, "refused"),
        OSError(errno.EHOSTUNREACH, "no route"),
        OSError("Multiple exceptions: refused, no route"),
        socket.gaierror(socket.EAI_NONAME, "unknown"),
    ],
)
def test_what_is_about_the_server_is_none_of_it(error: OSError) -> None:
    assert own_trouble(error) is None


def test_name_that_cannot_be_looked_up_for_want_of_files_is_not_unknown() -> None:
    with no_files_left():
        trouble = own_trouble(socket.gaierror(socket.EAI_NONAME, "unknown"))
    assert trouble is not None
    assert "LimitNOFILE" in trouble.detail


@contextmanager
def no_ports_left(monkeypatch: pytest.MonkeyPatch, *servers: str) -> Iterator[None]:
    """Inside, the kernel has no port of this machine left for connections to these servers."""
    ports = {int(url.rpartition(":")[2]) for url in servers}
    usual = pool.open_connection

    async def open_connection(owner: Pool, target: Target) -> Connection:
        trouble = own_trouble(OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL)))
        if target.port in ports and trouble is not None:
            raise trouble
        return await usual(owner, target)

    with monkeypatch.context() as patch:
        patch.setattr(pool, "open_connection", open_connection)
        yield


@pytest.mark.parametrize("is_handshake", [False, True], ids=["request", "handshake"])
async def test_no_port_left_for_one_server_is_no_want_of_one_for_another(
    is_handshake: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "config.yaml"
    (tmp_path / "mappings").mkdir()
    sent = handshake() if is_handshake else LAST
    async with raw_server(answer) as one, raw_server(answer) as other:
        file.write_text(
            f'upstream: {{targets: ["{one.url}", "{other.url}"], ejection: {{failures: 1}}}}\n'
        )
        async with segue(None, config=file) as proxy:
            with no_ports_left(monkeypatch, one.url):
                assert [status_of(await proxy.ask(sent)) for _ in range(4)] == [200] * 4
            assert await proxy.metric("segue_errors_total") == 0
            with no_ports_left(monkeypatch, one.url, other.url):
                assert status_of(await proxy.ask(sent)) == 503
            assert await proxy.metric("segue_errors_total", error="out_of_resources") == 1
            assert await proxy.metric("segue_upstream_failures_total") == 0
            assert await proxy.metric("segue_upstream_ejections_total") == 0
            assert await proxy.metric("segue_upstream_up") == 2
            assert status_of(await proxy.ask(sent)) == 200
