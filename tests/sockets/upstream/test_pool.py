"""Connections to the server: kept, reused, given up, and never trusted beyond one response."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
import trustme

from tests.support.rig import RawPeer, Segue, answering, raw_server, segue, status_of
from tests.support.waiting import PATIENCE

GET = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello"
LAST = b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
RESET_ON_CLOSE = struct.pack("ii", 1, 0)


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port on which connections neither succeed nor fail: its backlog is full."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]
        for filler in fillers:
            filler.close()


@pytest.fixture
def closed_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


async def connections(proxy: Segue, state: str) -> float:
    return await proxy.metric("segue_upstream_connections", state=state)


# Reuse.


async def test_one_connection_serves_the_requests_of_several_clients() -> None:
    heads: list[bytes] = []
    async with raw_server(answering(OK, heads)) as origin, segue(origin.url) as proxy:
        for _ in range(5):
            assert (await proxy.ask(LAST)).endswith(b"ok")
        assert origin.connections == 1
        assert await proxy.metric("segue_upstream_connects_total") == 1
        assert await proxy.metric("segue_upstream_reuses_total") == 4
        assert await connections(proxy, "idle") == 1
        assert await connections(proxy, "busy") == 0
    assert len(heads) == 5


@pytest.mark.parametrize(
    "response",
    [
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nConnection: X-A,  CLOSE\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n\r\nforged",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok garbage",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok garbage",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\ngarbage",
        b"HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 304 Not Modified\r\n\r\nok",
    ],
    ids=[
        "close",
        "close in a list",
        "HTTP/1.0",
        "second response",
        "surplus",
        "surplus behind close",
        "surplus behind chunks",
        "body of a 204",
        "body of a 304",
    ],
)
async def test_response_is_delivered_and_its_connection_not_used_again(response: bytes) -> None:
    async with raw_server(answering(response)) as origin, segue(origin.url) as proxy:
        async with proxy.client() as peer:
            for _ in range(3):
                await peer.send(GET)
                head = await peer.read_head()
                assert status_of(head) == status_of(response)
                if status_of(head) == 200:
                    rest = b"2\r\nok\r\n0\r\n\r\n" if b"chunked" in head else b"ok"
                    assert await peer.read(len(rest)) == rest
        assert origin.connections == 3


async def test_body_behind_a_response_to_head_is_not_the_next_response() -> None:
    async with raw_server(answering(OK)) as origin, segue(origin.url) as proxy:
        async with proxy.client() as peer:
            for _ in range(3):
                await peer.send(GET.replace(b"GET", b"HEAD"))
                assert await peer.read_head() == OK[:-2]
        assert origin.connections == 3


async def test_bytes_on_an_idle_connection_make_it_unusable() -> None:
    surplus, sent = asyncio.Event(), asyncio.Event()

    async def script(peer: RawPeer) -> None:
        await peer.read_head()
        await peer.send(OK)
        await surplus.wait()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged")
        sent.set()
        await peer.read_all()

    async with raw_server(script) as origin, segue(origin.url) as proxy:
        assert (await proxy.ask(LAST)).endswith(b"ok")
        surplus.set()
        await sent.wait()
        async with asyncio.timeout(PATIENCE):
            while await connections(proxy, "idle"):  # noqa: ASYNC110 (a gauge is read, not awaited)
                await asyncio.sleep(0.01)
        assert (await proxy.ask(LAST)).endswith(b"ok")
        assert origin.connections == 2


async def test_idle_connections_beyond_the_limit_are_closed() -> None:
    together = asyncio.Barrier(6)

    async def script(peer: RawPeer) -> None:
        await peer.read_head()
        await together.wait()
        await peer.send(OK)
        await peer.read_all()

    env = {"SEGUE_UPSTREAM__CONNECTIONS": "2"}
    async with raw_server(script) as origin, segue(origin.url, env) as proxy:
        answers = await asyncio.gather(*(proxy.ask(LAST) for _ in range(6)))
        assert all(answer.endswith(b"ok") for answer in answers)
        assert origin.connections == 6
        async with asyncio.timeout(PATIENCE):
            while await connections(proxy, "busy"):  # noqa: ASYNC110 (a gauge is read, not awaited)
                await asyncio.sleep(0.01)
        assert await connections(proxy, "idle") == 2


# Kept connections that turn out to be closed.


def closing_on_reuse(
    received: list[bytes], *, always: bool = False
) -> Callable[[RawPeer], Awaitable[None]]:
    """A script that takes the second request of a connection, or every one, and closes."""

    async def script(peer: RawPeer) -> None:
        head = await peer.read_head()
        received.append(head)
        if b"Content-Length" in head:
            await peer.read(5)
        if not (always and len(received) > 1):
            await peer.send(OK)
            received.append(await peer.read_head())

    return script


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"OPTIONS"])
async def test_safe_request_on_a_stale_connection_is_repeated_on_a_fresh_one(
    method: bytes,
) -> None:
    received: list[bytes] = []
    script = closing_on_reuse(received)
    async with raw_server(script) as origin, segue(origin.url) as proxy:
        assert status_of(await proxy.ask(LAST)) == 200
        assert status_of(await proxy.ask(LAST.replace(b"GET", method))) == 200
        assert origin.connections == 2
    assert [head.split(b" ")[0] for head in received[:3]] == [b"GET", method, method]


async def test_safe_request_is_repeated_once_and_no_more() -> None:
    received: list[bytes] = []
    script = closing_on_reuse(received, always=True)
    async with raw_server(script) as origin, segue(origin.url) as proxy:
        assert status_of(await proxy.ask(LAST)) == 200
        assert status_of(await proxy.ask(LAST)) == 502
        assert origin.connections == 2
    assert len(received) == 3


@pytest.mark.parametrize(
    "request_bytes",
    [
        POST,
        POST.replace(b"Content-Length: 5\r\n\r\nhello", b"\r\n"),
        GET.replace(b"GET", b"DELETE"),
    ],
    ids=["body", "no body", "delete"],
)
async def test_request_with_an_effect_is_never_repeated(request_bytes: bytes) -> None:
    received: list[bytes] = []
    script = closing_on_reuse(received)
    async with raw_server(script) as origin, segue(origin.url) as proxy:
        assert status_of(await proxy.ask(LAST)) == 200
        async with proxy.client() as peer:
            await peer.send(request_bytes)
            assert status_of((await peer.read_response())[0]) == 502
        assert origin.connections == 1
    assert [head.split(b" ")[0] for head in received] == [b"GET", request_bytes.split(b" ")[0]]


async def test_slow_answer_on_a_kept_connection_is_no_reason_to_ask_again() -> None:
    received: list[bytes] = []

    async def script(peer: RawPeer) -> None:
        received.append(await peer.read_head())
        await peer.send(OK)
        received.append(await peer.read_head())
        await peer.read_all()

    env = {"SEGUE_TIMEOUTS__RESPONSE": "200ms"}
    async with raw_server(script) as origin, segue(origin.url, env) as proxy:
        assert status_of(await proxy.ask(LAST)) == 200
        assert status_of(await proxy.ask(LAST)) == 504
        assert origin.connections == 1
    assert len(received) == 2


# Servers that cannot be reached, or do not answer.


async def test_refused_connection_is_502_and_shows_in_the_metrics(closed_port: int) -> None:
    async with segue(f"http://127.0.0.1:{closed_port}") as proxy:
        async with proxy.client() as peer:
            for _ in range(2):
                await peer.send(GET)
                head, body = await peer.read_response()
                problem = json.loads(body)
                assert status_of(head) == problem["status"] == 502
                assert problem["title"] == "Bad gateway"
                assert problem["detail"].startswith("the server refused the connection")
                assert problem["request_id"].encode() in head
        assert await proxy.metric("segue_upstream_up") == 0
        failures = await proxy.metric("segue_upstream_failures_total", error="upstream_unreachable")
        assert failures == 2
        assert await proxy.metric("segue_errors_total", error="upstream_unreachable") == 2


async def test_server_that_comes_back_is_served_again(closed_port: int) -> None:
    async with segue(f"http://127.0.0.1:{closed_port}") as proxy:
        assert status_of(await proxy.ask(LAST)) == 502

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(OK)
            await reader.read()
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", closed_port)
        assert (await proxy.ask(LAST)).endswith(b"ok")
        assert await proxy.metric("segue_upstream_up") == 1
        server.close()


async def test_unknown_host_is_502() -> None:
    async with segue("http://does-not-exist.invalid:80") as proxy:
        assert status_of(await proxy.ask(LAST)) == 502


async def test_server_that_does_not_accept_is_504(silent_port: int) -> None:
    env = {"SEGUE_TIMEOUTS__CONNECT": "200ms"}
    async with segue(f"http://127.0.0.1:{silent_port}", env) as proxy:
        answer = await proxy.ask(LAST)
    assert status_of(answer) == 504
    assert b"no connection to the server in time" in answer


@pytest.mark.parametrize("part", [b"", b"HTTP/1.1 200 OK\r\nX-A:"], ids=["nothing", "half a head"])
async def test_server_that_does_not_answer_is_504(part: bytes) -> None:
    async def script(peer: RawPeer) -> None:
        await peer.read_head()
        await peer.send(part)
        await peer.read_all()

    env = {"SEGUE_TIMEOUTS__RESPONSE": "200ms"}
    async with raw_server(script) as origin, segue(origin.url, env) as proxy:
        answer = await proxy.ask(LAST)
        assert status_of(answer) == 504
        assert await connections(proxy, "busy") == 0


@pytest.mark.parametrize("greeting", [b"", b"220 mail.example.com\r\n"], ids=["silent", "talking"])
async def test_server_that_closes_at_once_is_502_and_leaves_no_connection_behind(
    greeting: bytes,
) -> None:
    async def script(peer: RawPeer) -> None:
        await peer.send(greeting)
        peer.reset()

    async with raw_server(script) as origin, segue(origin.url) as proxy:
        answers = await asyncio.gather(*(proxy.ask(LAST) for _ in range(20)))
        assert {status_of(answer) for answer in answers} == {502}
        assert await connections(proxy, "busy") == 0
        assert await connections(proxy, "idle") == 0


@pytest.mark.asyncio(loop_factories=["uvloop", "asyncio"])
async def test_client_that_is_gone_while_the_connection_opens_leaves_none_behind() -> None:
    async with raw_server(answering(OK)) as origin, segue(origin.url) as proxy:
        # Which turn of the loop finds the connection half open is up to the loop.
        for turns in range(12):
            for _ in range(10):
                with socket.create_connection((proxy.host, proxy.port)) as client:
                    client.send(GET)
                    for _ in range(turns):
                        await asyncio.sleep(0)
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
                await asyncio.sleep(0.001)
        async with asyncio.timeout(PATIENCE):
            while await connections(proxy, "busy"):  # noqa: ASYNC110 (a gauge is read, not awaited)
                await asyncio.sleep(0.01)


# The TLS of asyncio's own loop does not tell the two apart; `segue run` is always on uvloop.
@pytest.mark.asyncio(loop_factories=["uvloop"])
@pytest.mark.parametrize("orderly", [True, False], ids=["close_notify", "cut"])
async def test_response_without_length_ends_over_tls_only_where_the_server_says_so(
    orderly: bool, tmp_path: Path
) -> None:
    authority = trustme.CA()
    ca_file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)

    async def script(peer: RawPeer) -> None:
        await peer.read_head()
        await peer.send(b"HTTP/1.1 200 OK\r\n\r\nhalf")
        if not orderly:
            # An end of TCP below TLS: whoever sits between could have sent it.
            raw = peer.writer.transport.get_extra_info("socket")
            with socket.socket(fileno=os.dup(raw.fileno())) as below:
                below.shutdown(socket.SHUT_WR)
            await peer.read_all()

    env = {"SEGUE_UPSTREAM__TLS__CA_FILE": str(ca_file)}
    async with raw_server(script, context) as origin, segue(origin.url, env) as proxy:
        answer = await proxy.ask(LAST)
    assert answer.endswith(b"\r\n4\r\nhalf\r\n0\r\n\r\n") is orderly
    assert ('"error": "upstream_broken"' in proxy.log.getvalue()) is not orderly


# How long an unused connection is kept.


def keeping(field: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\n" + field + b"Content-Length: 2\r\n\r\nok"


@pytest.mark.parametrize(
    ("field", "setting"),
    [
        (b"", "0.2s"),
        (b"Keep-Alive: max=5\r\n", "0.2s"),
        (b"Keep-Alive: timeout=0\r\n", "60s"),
        (b"Keep-Alive: timeout=60, max=0\r\n", "60s"),
    ],
)
async def test_unused_connection_is_closed_when_its_time_is_up(field: bytes, setting: str) -> None:
    closed = asyncio.Event()

    async def script(peer: RawPeer) -> None:
        await peer.read_head()
        await peer.send(keeping(field))
        assert await peer.read_all() == b""
        closed.set()

    env = {"SEGUE_UPSTREAM__KEEPALIVE": setting}
    async with raw_server(script) as origin, segue(origin.url, env) as proxy:
        assert (await proxy.ask(LAST)).endswith(b"ok")
        async with asyncio.timeout(PATIENCE):
            await closed.wait()
        assert (await proxy.ask(LAST)).endswith(b"ok")
        assert origin.connections == 2
        assert await proxy.metric("segue_upstream_failures_total") == 0


async def test_connection_whose_time_is_up_is_not_used_though_it_is_still_open() -> None:
    env = {"SEGUE_UPSTREAM__KEEPALIVE": "1ms"}
    async with raw_server(answering(OK)) as origin, segue(origin.url, env) as proxy:
        async with proxy.client() as peer:
            for _ in range(3):
                await peer.send(GET)
                await peer.read_response()
                await asyncio.sleep(0.002)
        assert origin.connections == 3


async def test_end_that_the_loop_has_not_seen_yet_is_seen_before_an_unsafe_request() -> None:
    servers: asyncio.Queue[RawPeer] = asyncio.Queue()

    async def script(peer: RawPeer) -> None:
        await peer.read_head()
        await peer.send(OK)
        servers.put_nowait(peer)
        await peer.read_all()

    async with raw_server(script) as origin, segue(origin.url) as proxy:
        assert (await proxy.ask(LAST)).endswith(b"ok")
        server = await servers.get()
        [pool] = proxy.server._data.fleet.pools
        async with asyncio.timeout(PATIENCE):
            while not pool.idle:  # noqa: ASYNC110 (a gauge is read, not awaited)
                await asyncio.sleep(0)
        # Nothing is awaited from here on: only the kernel knows.
        with socket.socket(fileno=os.dup(server.writer.get_extra_info("socket").fileno())) as sock:
            sock.shutdown(socket.SHUT_WR)
        connection = pool.take(look=False)
        assert connection is not None
        pool.put_back(connection)
        assert pool.take(look=True) is None
        assert connection.transport.is_closing()
