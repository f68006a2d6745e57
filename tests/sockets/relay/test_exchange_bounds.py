"""What one client may take up: each limit of the public listener, reached by a raw peer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import aiohttp
import pytest

from tests.support.process import running
from tests.support.rig import RawPeer, Segue, answering, raw_server, segue, status_of
from tests.support.sockets import handshake, open_pair, origin
from tests.support.waiting import PATIENCE

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
GET = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
PUT = b"PUT / HTTP/1.1\r\nHost: h\r\n"
CHUNKED = PUT + b"Transfer-Encoding: chunked\r\n\r\n"
LAST = b"0\r\n\r\n"


async def limited(proxy: Segue, limit: str) -> float:
    """How often a limit was reached."""
    return await proxy.metric("segue_limits_hit_total", limit=limit)


# The head.


HEADERS = {"SEGUE_LIMITS__REQUEST_HEADERS": "4KiB"}


def with_fields(size: int) -> bytes:
    """A request whose fields take that many bytes, each far below the limit of one."""
    fields = b"Host: h\r\n"
    while len(fields) < size:
        value = b"a" * min(500, max(size - len(fields) - len(b"X: \r\n"), 0))
        fields += b"X: " + value + b"\r\n"
    return b"GET / HTTP/1.1\r\n" + fields + b"\r\n"


async def test_fields_of_a_request_together_are_bounded_to_the_byte() -> None:
    heads: list[bytes] = []
    async with raw_server(answering(OK, heads)) as server, segue(server.url, HEADERS) as proxy:
        async with proxy.client() as peer:
            await peer.send(with_fields(4096))
            assert (await peer.read_response())[1] == b"ok"
        refused = await proxy.ask(with_fields(4101))
        assert status_of(refused) == json.loads(refused.partition(b"\r\n\r\n")[2])["status"] == 431
        assert b"\r\nConnection: close\r\n" in refused
        assert await limited(proxy, "headers") == 1
    assert len(heads) == 1


@pytest.mark.parametrize("first", [b"", GET], ids=["new", "used"])
async def test_head_that_never_ends_is_refused_before_it_is_whole(first: bytes) -> None:
    async with raw_server(answering(OK)) as server, segue(server.url, HEADERS) as proxy:
        async with proxy.client() as peer:
            if first:
                await peer.send(first)
                await peer.read_response()
            endless = b"GET / HTTP/1.1\r\nHost: h\r\n" + b"X: " + b"a" * 10_000 + b"\r\n"
            for _ in range(5):
                await peer.send(endless[:5000])
                endless = b"a" * 100 + b"\r\nY: " + b"b" * 5000
            assert status_of((await peer.read_response())[0]) == 431
        assert await limited(proxy, "headers") == 1


async def test_head_that_never_ends_behind_a_request_waits_for_its_answer() -> None:
    arrived, go = asyncio.Event(), asyncio.Event()

    async def script(peer: RawPeer) -> None:
        await peer.read_head()
        arrived.set()
        await go.wait()
        await peer.send(OK)

    async with raw_server(script) as server, segue(server.url, HEADERS) as proxy:
        async with proxy.client() as peer:
            await peer.send(GET)
            await arrived.wait()
            for _ in range(30):
                await peer.send(b"GET / HTTP/1.1\r\n" if not _ else b"X: " + b"a" * 1000 + b"\r\n")
                await asyncio.sleep(0)
            go.set()
            assert (await peer.read_response())[1] == b"ok"
            assert status_of((await peer.read_response())[0]) == 431


async def test_number_of_fields_is_bounded_and_counted() -> None:
    heads: list[bytes] = []
    env = {"SEGUE_LIMITS__HEADERS": "8"}
    async with raw_server(answering(OK, heads)) as server, segue(server.url, env) as proxy:
        for number in (9, 10, 11, 1000):
            request = b"GET / HTTP/1.1\r\nHost: h\r\n" + b"X: 1\r\n" * (number - 1) + b"\r\n"
            assert status_of(await proxy.ask(request)) == 431, number
        assert await limited(proxy, "headers") == 4
        async with proxy.client() as peer:
            await peer.send(b"GET / HTTP/1.1\r\nHost: h\r\n" + b"X: 1\r\n" * 7 + b"\r\n")
            assert (await peer.read_response())[1] == b"ok"
    assert len(heads) == 1


async def test_head_that_begins_behind_a_request_has_the_time_of_a_head() -> None:
    arrived, go = asyncio.Event(), asyncio.Event()

    async def script(peer: RawPeer) -> None:
        await peer.read_head()
        arrived.set()
        await go.wait()
        await peer.send(OK)

    env = {"SEGUE_TIMEOUTS__HEADER": "200ms", "SEGUE_TIMEOUTS__KEEPALIVE": "1h"}
    async with raw_server(script) as server, segue(server.url, env) as proxy:
        async with proxy.client() as peer:
            await peer.send(GET)
            await arrived.wait()
            await peer.send(b"GET / HTTP/1.1\r\nHo")
            await asyncio.sleep(0.02)
            go.set()
            assert (await peer.read_response())[1] == b"ok"
            assert status_of(await peer.read_all()) == 408
        assert await limited(proxy, "client_time") == 1


# The time between requests.


@pytest.mark.parametrize("requests", [0, 1], ids=["before the first request", "behind one"])
async def test_a_client_that_asks_nothing_is_let_go_and_counted(requests: int) -> None:
    env = {"SEGUE_TIMEOUTS__HEADER": "100ms", "SEGUE_TIMEOUTS__KEEPALIVE": "100ms"}
    async with raw_server(answering(OK)) as server, segue(server.url, env) as proxy:
        async with proxy.client() as peer:
            if requests:
                await peer.send(GET)
                assert (await peer.read_response())[1] == b"ok"
            assert await peer.read_all() == b""
        assert await limited(proxy, "keepalive") == 1
        assert await limited(proxy, "client_time") == 0


async def test_a_client_that_leaves_by_itself_reaches_no_limit() -> None:
    async with raw_server(answering(OK)) as server, segue(server.url) as proxy:
        async with proxy.client() as peer:
            await peer.send(GET)
            assert (await peer.read_response())[1] == b"ok"
        async with asyncio.timeout(PATIENCE):
            while await proxy.metric("segue_open_connections", kind="http"):  # noqa: ASYNC110 (as above)
                await asyncio.sleep(0.01)
        assert await limited(proxy, "keepalive") == 0


async def test_a_client_that_takes_nothing_of_its_response_is_cut_and_counted() -> None:
    size = 64 << 20

    async def script(peer: RawPeer) -> None:
        await peer.read_head()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        with suppress(ConnectionError):
            for _ in range(64):
                await peer.send(bytes(1 << 20))

    env = {"SEGUE_TIMEOUTS__KEEPALIVE": "100ms"}
    async with raw_server(script) as server, segue(server.url, env) as proxy:
        async with proxy.client() as peer:
            await peer.send(GET)
            async with asyncio.timeout(PATIENCE):
                while not await limited(proxy, "keepalive"):  # noqa: ASYNC110 (a counter is read, nothing tells)
                    await asyncio.sleep(0.05)
            # What the kernel holds still arrives, and then the connection breaks off.
            taken = 0
            with suppress(ConnectionError):
                while data := await peer.reader.read(1 << 20):
                    taken += len(data)
            assert taken < size
        assert await limited(proxy, "keepalive") == 1


# The body.


BODY = {"SEGUE_LIMITS__REQUEST_BODY": "10"}


@asynccontextmanager
async def swallowing(seen: bytearray, env: dict[str, str]) -> AsyncIterator[Segue]:
    """Segue in front of a server that takes everything and answers a body that has ended."""

    async def script(peer: RawPeer) -> None:
        while data := await peer.reader.read(65536):
            seen.extend(data)
            if seen.endswith((LAST, b"0123456789")):
                await peer.send(OK)

    async with raw_server(script) as server, segue(server.url, env) as proxy:
        yield proxy


@pytest.mark.parametrize("expects", [b"", b"Expect: 100-continue\r\n"], ids=["sends", "waits"])
async def test_announced_body_beyond_the_limit_is_413_and_nothing_is_forwarded(
    expects: bytes,
) -> None:
    seen = bytearray()
    async with swallowing(seen, BODY) as proxy:
        refused = await proxy.ask(PUT + b"Content-Length: 11\r\n" + expects + b"\r\n")
        assert status_of(refused) == 413
        assert b"100 Continue" not in refused
        assert b"\r\nConnection: close\r\n" in refused
        assert await limited(proxy, "body") == 1
    assert not seen


async def test_body_in_chunks_beyond_the_limit_is_413_and_never_ends_for_the_server() -> None:
    seen = bytearray()
    async with swallowing(seen, BODY) as proxy, proxy.client() as peer:
        await peer.send(CHUNKED + b"6\r\n012345\r\n")
        async with asyncio.timeout(PATIENCE):
            while not seen.endswith(b"012345\r\n"):  # noqa: ASYNC110 (the server tells nobody)
                await asyncio.sleep(0.001)
        await peer.send(b"5\r\n67890\r\n" + LAST)
        assert status_of(await peer.read_all()) == 413
        assert await limited(proxy, "body") == 1
    assert b"67890" not in seen
    assert not seen.endswith(LAST)


async def test_whole_body_in_chunks_beyond_the_limit_is_413_and_nothing_is_forwarded() -> None:
    seen = bytearray()
    async with swallowing(seen, BODY) as proxy:
        refused = await proxy.ask(CHUNKED + b"6\r\n012345\r\n5\r\n67890\r\n" + LAST)
        assert status_of(refused) == 413
    assert not seen


@pytest.mark.parametrize(
    "request_bytes",
    [PUT + b"Content-Length: 10\r\n\r\n0123456789", CHUNKED + b"a\r\n0123456789\r\n" + LAST],
    ids=["length", "chunked"],
)
async def test_body_within_the_limit_goes_through(request_bytes: bytes) -> None:
    seen = bytearray()
    async with swallowing(seen, BODY) as proxy, proxy.client() as peer:
        await peer.send(request_bytes)
        assert (await peer.read_response())[1] == b"ok"
    assert b"0123456789" in seen


async def test_body_is_not_limited_by_default() -> None:
    seen = bytearray()
    async with swallowing(seen, {}) as proxy, proxy.client() as peer:
        await peer.send(PUT + b"Content-Length: %d\r\n\r\n" % (1 << 50) + b"0123456789")
        assert (await peer.read_response())[1] == b"ok"


# Connections.


async def from_address(proxy: Segue, address: str) -> RawPeer:
    """A client connection from another address of this machine."""
    return RawPeer(*await asyncio.open_connection(proxy.host, proxy.port, local_addr=(address, 0)))


async def asked(peer: RawPeer) -> int:
    await peer.send(GET)
    return status_of((await peer.read_response())[0])


PER_ADDRESS = {"SEGUE_LIMITS__CONNECTIONS_PER_ADDRESS": "2"}


async def test_connections_of_one_address_beyond_the_limit_get_503_and_nobody_else_does() -> None:
    async with raw_server(answering(OK)) as server, segue(server.url, PER_ADDRESS) as proxy:
        async with proxy.client() as first, proxy.client() as second:
            assert [await asked(peer) for peer in (first, second)] == [200, 200]
            refused = await proxy.ask(GET)
            assert status_of(refused) == 503
            assert b"\r\nRetry-After: " in refused
            assert b"\r\nConnection: close\r\n" in refused
            assert [await asked(peer) for peer in (first, second)] == [200, 200]
            other = await from_address(proxy, "127.0.0.2")
            assert await asked(other) == 200
            await other.close()
            url = f"http://{proxy.server.admin_address}/readyz"
            async with aiohttp.ClientSession() as client, client.get(url) as response:
                assert response.status == 200
            assert await limited(proxy, "connections_per_address") == 1
            assert await limited(proxy, "connections") == 0
            await second.close()
            async with asyncio.timeout(PATIENCE):
                while status_of(await proxy.ask(b"GET / HTTP/1.0\r\n\r\n")) == 503:  # noqa: ASYNC110 (the limit counts until the close has arrived)
                    await asyncio.sleep(0.01)
    assert '"error": "address_full"' in proxy.log.getvalue()


async def test_websockets_count_for_their_address_until_they_end() -> None:
    env = {"SEGUE_LIMITS__CONNECTIONS_PER_ADDRESS": "1"}
    async with origin() as server, segue(server.url, env) as proxy:
        pair = await open_pair(proxy, server)
        assert status_of(await proxy.ask(handshake())) == 503
        await pair.client.peer.close()
        await pair.server.peer.close()
        async with asyncio.timeout(PATIENCE):
            while await proxy.metric("segue_open_connections", kind="websocket"):  # noqa: ASYNC110 (a gauge is read, not awaited)
                await asyncio.sleep(0.01)
        again = await open_pair(proxy, server)
        await again.client.peer.close()
        await again.server.peer.close()


async def test_what_a_client_writes_of_its_address_does_not_count() -> None:
    async with raw_server(answering(OK)) as server, segue(server.url, PER_ADDRESS) as proxy:
        async with proxy.client() as first, proxy.client() as second:
            assert [await asked(peer) for peer in (first, second)] == [200, 200]
            forged = GET.replace(b"Host: h", b"Host: h\r\nX-Forwarded-For: 198.51.100.7")
            assert status_of(await proxy.ask(forged)) == 503


async def test_trusted_proxy_stands_for_many_and_is_not_counted() -> None:
    env = {**PER_ADDRESS, "SEGUE_LISTEN__TRUSTED_PROXIES": "[127.0.0.1/32]"}
    async with raw_server(answering(OK)) as server, segue(server.url, env) as proxy:
        peers = [await proxy.connect() for _ in range(5)]
        assert [await asked(peer) for peer in peers] == [200] * 5
        others = [await from_address(proxy, "127.0.0.2") for _ in range(3)]
        assert [await asked(peer) for peer in others[:2]] == [200, 200]
        assert status_of(await others[2].read_all()) == 503
        for peer in peers + others:
            await peer.close()


async def test_probes_answer_where_no_client_is_let_in() -> None:
    env = {"SEGUE_LIMITS__CONNECTIONS": "1"}
    async with raw_server(answering(OK)) as server, segue(server.url, env) as proxy:
        async with proxy.client() as peer:
            assert await asked(peer) == 200
            assert status_of(await proxy.ask(GET)) == 503
            for path in ("healthz", "readyz", "metrics"):
                url = f"http://{proxy.server.admin_address}/{path}"
                async with aiohttp.ClientSession() as client, client.get(url) as response:
                    assert response.status == 200
            assert await asked(peer) == 200
            assert await limited(proxy, "connections") == 1


# Readers that do not read.


READERS = 20
OFFERED = 500 << 20
"""Bytes that each of them is offered."""

COST = 32 << 20
"""Bytes that all of them may cost together."""


@pytest.mark.parametrize(
    "framing", [b"Content-Length: %d\r\n" % OFFERED, b""], ids=["length", "end"]
)
async def test_twenty_clients_that_do_not_read_a_response_of_half_a_gigabyte_cost_little(
    tmp_path: Path, framing: bytes
) -> None:
    piece = b"x" * 65536
    taken = 0

    async def script(peer: RawPeer) -> None:
        nonlocal taken
        await peer.read_head()
        await peer.send(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n")
        for _ in range(OFFERED // len(piece)):
            await peer.send(piece)
            taken += len(piece)

    async with raw_server(script) as server:
        env = {"SEGUE_UPSTREAM__URL": server.url, "SEGUE_STATE_DIR": str(tmp_path)}
        async with running(Path("config.yaml"), env=env) as process:
            before = process.resident()
            host, _, port = process.address.rpartition(":")
            clients: list[RawPeer] = []
            for _ in range(READERS):
                client = RawPeer(*await asyncio.open_connection(host, int(port)))
                client.stop_reading()
                await client.send(GET)
                clients.append(client)
            async with asyncio.timeout(PATIENCE):
                while await process.total("segue_limits_hit_total", limit="buffer") < READERS:  # noqa: ASYNC110 (a counter is read, not awaited)
                    await asyncio.sleep(0.05)
                last = -1
                while taken != last:
                    last = taken
                    await asyncio.sleep(0.25)
            assert process.resident() - before < COST
            # Most of it is still where it came from.
            assert taken < READERS * OFFERED // 20
            for client in clients:
                client.abort()
