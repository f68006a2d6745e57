"""What is held of bodies and messages, where little may be: who is refused, and who is not."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import pytest

from tests.support.rfc6455 import BINARY, CLOSE, CONTINUATION, TEXT
from tests.support.rig import RawPeer, Segue, answering, raw_server, segue, status_of
from tests.support.sockets import closing, gone, handshake, open_pair, origin
from tests.support.waiting import PATIENCE

RULES = """\
name: {name}
description: For a test.
channel: {channel}
direction: {direction}
rules:
  - name: a
    match: {{field: a, exists: true}}
    do: [rename: {{a: b}}]
    examples: [{{in: {{a: 1}}, out: {{b: 1}}}}]
"""

MAPPINGS = {
    "in": ("websocket", "to_server"),
    "out": ("websocket", "to_client"),
    "body-in": ("http", "to_server"),
    "body-out": ("http", "to_client"),
}

# One address may hold 384 KiB, and 4 KiB whatever others do.
CONFIGURATION = """\
upstream: {url: "http://127.0.0.1:1"}
limits: {memory: 1MiB, body: 1MiB}
listen: {trusted_proxies: [127.0.0.2]}
cohorts:
  - name: modern
    versions: ">=2"
    websocket: {to_client: [out], to_server: [in]}
    http: [{path: /mapped, to_client: [body-out], to_server: [body-in]}]
coalescing: [{name: polled, path: "/polled/{}"}]
"""

KIB = 1024
JSON = b"Content-Type: application/json\r\n"
POST = b"POST /mapped HTTP/1.1\r\nHost: h\r\nX-Client-Version: 2.1\r\n" + JSON
GET = b"GET /mapped HTTP/1.1\r\nHost: h\r\nX-Client-Version: 2.1\r\n"
RESERVED = "segue_memory_reserved_bytes"
REFUSED = "segue_memory_refusals_total"


def written(directory: Path) -> Path:
    (directory / "mappings").mkdir()
    for name, (channel, direction) in MAPPINGS.items():
        text = RULES.format(name=name, channel=channel, direction=direction)
        (directory / "mappings" / f"{name}.yaml").write_text(text, encoding="utf-8")
    config = directory / "config.yaml"
    config.write_text(CONFIGURATION, encoding="utf-8")
    return config


async def becomes(proxy: Segue, value: float, kind: str) -> None:
    async with asyncio.timeout(PATIENCE):
        while await proxy.metric(RESERVED, kind=kind) != value:  # noqa: ASYNC110 (it tells nobody)
            await asyncio.sleep(0.02)


@asynccontextmanager
async def client_at(proxy: Segue, address: str) -> AsyncIterator[RawPeer]:
    """A raw client connection from an address of its own."""
    streams = await asyncio.open_connection(proxy.host, proxy.port, local_addr=(address, 0))
    peer = RawPeer(*streams)
    try:
        yield peer
    finally:
        await peer.close()


async def begin(peer: RawPeer, size: int, *fields: bytes) -> None:
    """Send a request of which a byte is missing."""
    await peer.send(POST + b"".join(fields) + b"Content-Length: %d\r\n\r\n" % (size + 1))
    await peer.send(b" " * size)


async def answer(peer: RawPeer) -> None:
    """The script of a server that says how long the body was."""
    while True:
        head = await peer.read_head()
        size = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        await peer.read(size)
        text = b"%d" % size
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(text), text))


async def test_bodies_of_one_address_are_refused_beyond_its_share_and_others_are_served(
    tmp_path: Path,
) -> None:
    config = written(tmp_path)
    async with (
        raw_server(answer) as server,
        segue(server.url, config=config) as proxy,
        AsyncExitStack() as stack,
    ):
        stranger = [await stack.enter_async_context(proxy.client()) for _ in range(3)]
        for peer in stranger:
            await begin(peer, 120 * KIB)
        await becomes(proxy, 360 * KIB, "body")
        one_more = await stack.enter_async_context(proxy.client())
        await begin(one_more, 64 * KIB)
        head, body = await one_more.read_response()
        assert status_of(head) == 503
        assert b"\r\nRetry-After: 1\r\n" in head
        assert b"limits.memory" in body
        assert await proxy.metric(REFUSED) == 1
        assert await proxy.metric("segue_limits_hit_total", limit="memory") == 1
        assert await proxy.metric("segue_errors_total", error="memory_full") == 1
        async with client_at(proxy, "127.0.0.3") as another:
            await begin(another, 64 * KIB)
            await another.send(b"1")
            assert status_of((await another.read_response())[0]) == 200
        # Nor is anything taken from who holds it.
        for peer in stranger:
            await peer.send(b"1")
            assert status_of((await peer.read_response())[0]) == 200
        await becomes(proxy, 0, "body")


async def test_a_body_that_alone_is_too_large_for_a_share_gets_413(tmp_path: Path) -> None:
    config = written(tmp_path)
    async with (
        raw_server(answer) as server,
        segue(server.url, config=config) as proxy,
        proxy.client() as peer,
    ):
        await peer.send(POST + b"Content-Length: %d\r\n\r\n" % (800 * KIB))
        await peer.send(b" " * (400 * KIB))
        head, body = await peer.read_response()
        assert status_of(head) == 413
        assert b"limits.memory" in body
        await becomes(proxy, 0, "body")


async def test_behind_a_trusted_proxy_each_of_its_clients_has_a_share(tmp_path: Path) -> None:
    config = written(tmp_path)

    def client(number: int) -> bytes:
        return b"X-Forwarded-For: 203.0.113.%d\r\n" % number

    async with (
        raw_server(answer) as server,
        segue(server.url, config=config) as proxy,
        AsyncExitStack() as stack,
    ):

        async def forwarded(number: int, size: int) -> RawPeer:
            peer = await stack.enter_async_context(client_at(proxy, "127.0.0.2"))
            await begin(peer, size, client(number))
            return peer

        await forwarded(1, 360 * KIB)
        await becomes(proxy, 360 * KIB, "body")
        refused = await forwarded(1, 64 * KIB)
        assert status_of((await refused.read_response())[0]) == 503
        other = await forwarded(2, 64 * KIB)
        await other.send(b"1")
        assert status_of((await other.read_response())[0]) == 200


async def test_a_response_that_finds_no_room_passes_as_it_is(tmp_path: Path) -> None:
    config = written(tmp_path)
    body = b'{"a":"%b"}' % (b"x" * (200 * KIB))

    script = answering(
        b"HTTP/1.1 200 OK\r\n" + JSON + b"Content-Length: %d\r\n\r\n" % len(body) + body
    )
    async with raw_server(script) as server, segue(server.url, config=config) as proxy:
        async with proxy.client() as alone:
            await alone.send(GET + b"\r\n")
            assert (await alone.read_response())[1].startswith(b'{"b":')
        async with proxy.client() as stranger, proxy.client() as second:
            await begin(stranger, 360 * KIB)
            await becomes(proxy, 360 * KIB, "body")
            await second.send(GET + b"\r\n")
            assert (await second.read_response())[1] == body
            assert await proxy.metric(REFUSED, kind="body") == 1
            assert await proxy.metric("segue_messages_total", outcome="failed") == 1
        await becomes(proxy, 0, "body")


async def test_an_answer_that_finds_no_room_is_not_shared(tmp_path: Path) -> None:
    config = written(tmp_path)
    asked = 0
    go_on = asyncio.Event()

    async def script(peer: RawPeer) -> None:
        nonlocal asked
        length = b"Content-Length: %d\r\n\r\n" % (100 * KIB)
        while True:
            await peer.read_head()
            asked += 1
            await go_on.wait()
            await peer.send(b"HTTP/1.1 200 OK\r\n" + length + b"x" * (100 * KIB))

    request = b"GET /polled/1 HTTP/1.1\r\nHost: h\r\n\r\n"
    async with (
        raw_server(script) as server,
        segue(server.url, config=config) as proxy,
        AsyncExitStack() as stack,
    ):
        stranger = await stack.enter_async_context(proxy.client())
        await begin(stranger, 360 * KIB)
        await becomes(proxy, 360 * KIB, "body")
        waiting = [await stack.enter_async_context(proxy.client()) for _ in range(3)]
        for peer in waiting:
            await peer.send(request)
        async with asyncio.timeout(PATIENCE):
            while await proxy.metric("segue_coalescing_requests_total") < 3:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        go_on.set()
        for peer in waiting:
            assert len((await peer.read_response())[1]) == 100 * KIB
        assert asked > 1
        assert await proxy.metric(REFUSED, kind="shared_answer") >= 1
        await becomes(proxy, 0, "shared_answer")


async def test_a_new_budget_counts_from_the_reload_on(tmp_path: Path) -> None:
    config = written(tmp_path)
    async with (
        raw_server(answer) as server,
        segue(server.url, config=config) as proxy,
        proxy.client() as peer,
    ):
        config.write_text(CONFIGURATION.replace("memory: 1MiB", "memory: 4MiB"), encoding="utf-8")
        proxy.server.reload()
        async with asyncio.timeout(PATIENCE):
            while await proxy.metric("segue_memory_budget_bytes") != 4096 * KIB:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        await begin(peer, 500 * KIB)
        await peer.send(b"1")
        assert status_of((await peer.read_response())[0]) == 200


MODERN = b"X-Client-Version: 2.1"


@pytest.mark.parametrize("side", ["client", "server"])
async def test_a_message_that_finds_no_room_ends_its_own_websocket_with_1013(
    tmp_path: Path, side: str
) -> None:
    config = written(tmp_path)
    async with origin() as upstream, segue(upstream.url, config=config) as proxy:
        pairs = [await open_pair(proxy, upstream, fields=(MODERN,)) for _ in range(3)]
        ends = [each.client if side == "client" else each.server for each in pairs]
        others = [each.server if side == "client" else each.client for each in pairs]
        # Fragments are kept as they came and unmasked.
        for sender in ends[:2]:
            await sender.send(TEXT, b'{"a":"' + b"x" * (80 * KIB), fin=False)
        async with asyncio.timeout(PATIENCE):
            while await proxy.metric(RESERVED, kind="message") < 320 * KIB:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        await ends[2].send(TEXT, b'{"a":"' + b"x" * (80 * KIB), fin=False)
        code, _ = await others[2].close_frame()
        assert code == 1001
        await others[2].send(CLOSE, closing(code))
        assert await ends[2].close_frame() == (1013, "no room for the message")
        assert await proxy.metric(REFUSED, kind="message") == 1
        assert await proxy.metric("segue_limits_hit_total", limit="memory") == 1
        # The others end as if nothing had been.
        for sender, other in zip(ends[:2], others[:2], strict=True):
            await sender.send(CONTINUATION, b'"}')
            assert (await other.message()).startswith(b'{"b":"xx')
        await becomes(proxy, 0, "message")
        for pair in pairs:
            await pair.client.peer.close()
            await pair.server.peer.close()
        await gone(proxy)
        faults = [json.loads(line).get("fault") for line in proxy.log.getvalue().splitlines()]
        assert [each for each in faults if each] == ["no room for the message"]


async def test_a_message_that_is_more_than_one_client_may_have_is_too_big(tmp_path: Path) -> None:
    config = written(tmp_path)
    async with origin() as upstream, segue(upstream.url, config=config) as proxy:
        pair = await open_pair(proxy, upstream, fields=(MODERN,))
        frame = pair.client.frame(TEXT, b"x" * (900 * KIB))
        await pair.client.peer.send(frame[: 500 * KIB])
        assert (await pair.server.close_frame())[0] == 1009
        await pair.server.send(CLOSE, closing(1009))
        assert await pair.client.close_frame() == (1009, "message too big for one client")
        await becomes(proxy, 0, "message")
        await pair.client.peer.close()
        await pair.server.peer.close()


@pytest.mark.parametrize("how", ["end", "drain"])
async def test_what_was_reserved_for_a_message_is_given_back_when_its_websocket_ends(
    tmp_path: Path, how: str
) -> None:
    config = written(tmp_path)
    async with origin() as upstream, segue(upstream.url, config=config) as proxy:
        pair = await open_pair(proxy, upstream, fields=(MODERN,))
        await pair.client.send(TEXT, b"x" * (50 * KIB), fin=False)
        async with asyncio.timeout(PATIENCE):
            while not await proxy.metric(RESERVED, kind="message"):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        if how == "drain":
            for each in proxy.server._data.connections:
                each.drain()
            assert (await pair.client.close_frame())[0] == 1012
        pair.client.peer.reset()
        pair.server.peer.reset()
        await becomes(proxy, 0, "message")
        await gone(proxy)
        assert proxy.server._data.memory.holders == 0


async def test_a_websocket_is_cut_whose_client_does_not_take_what_finds_no_room(
    tmp_path: Path,
) -> None:
    config = written(tmp_path)
    async with origin() as upstream, segue(upstream.url, config=config) as proxy:
        async with client_at(proxy, "127.0.0.3") as stranger:
            await begin(stranger, 360 * KIB)
            await becomes(proxy, 360 * KIB, "body")
            slow = await open_pair(proxy, upstream, fields=(MODERN,))
            async with client_at(proxy, "127.0.0.3") as peer:
                await peer.send(handshake(b"/ws/jobs/1/", MODERN))
                server, _ = await upstream.accept()
                await peer.read_head()
                peer.stop_reading()

                async def send() -> None:
                    with suppress(ConnectionError):
                        while True:
                            await server.send(BINARY, b"x" * (64 * KIB))

                async with asyncio.timeout(PATIENCE):
                    await send()
                assert await proxy.metric(REFUSED, kind="unsent") == 1
                await becomes(proxy, 0, "unsent")
            await gone(proxy, left=1)
            lines = map(json.loads, proxy.log.getvalue().splitlines())
            faults = {each["fault"]: each["fault_side"] for each in lines if each.get("fault")}
            assert faults == {"too much waits to be sent": "client"}
            # Another address is not asked for anything.
            await slow.server.send(TEXT, b'{"a":1}')
            assert await slow.client.message() == b'{"b":1}'
            await slow.client.peer.close()
            await slow.server.peer.close()


async def test_a_response_is_broken_off_whose_client_does_not_take_what_finds_no_room(
    tmp_path: Path,
) -> None:
    config = written(tmp_path)
    length = 1 << 30

    async def script(peer: RawPeer) -> None:
        await peer.read_head()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % length)
        while True:
            await peer.send(b"x" * (64 * KIB))

    async with raw_server(script) as server, segue(server.url, config=config) as proxy:
        async with proxy.client() as stranger, proxy.client() as slow:
            await begin(stranger, 360 * KIB)
            await becomes(proxy, 360 * KIB, "body")
            slow.stop_reading()
            await slow.send(b"GET /other HTTP/1.1\r\nHost: h\r\n\r\n")
            async with asyncio.timeout(PATIENCE):
                while not await proxy.metric(REFUSED, kind="unsent"):  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
            slow.read_on()
            assert await slow.ended_by_reset()
        await becomes(proxy, 0, "unsent")
        assert await proxy.metric("segue_errors_total", error="memory_full") == 1


async def test_a_slow_reader_is_counted_until_it_takes_what_waits(tmp_path: Path) -> None:
    config = written(tmp_path)
    config.write_text(CONFIGURATION.replace("memory: 1MiB", "memory: 8MiB"), encoding="utf-8")
    size = 32 << 20
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size

    async with (
        raw_server(answering(head + b"x" * size)) as server,
        segue(server.url, config=config) as proxy,
        proxy.client() as slow,
    ):
        slow.stop_reading()
        await slow.send(b"GET /other HTTP/1.1\r\nHost: h\r\n\r\n")
        async with asyncio.timeout(PATIENCE):
            while not await proxy.metric(RESERVED, kind="unsent"):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        slow.read_on()
        await slow.read_response()
        await becomes(proxy, 0, "unsent")


async def test_an_upload_that_a_slow_server_does_not_take_is_refused_where_it_finds_no_room(
    tmp_path: Path,
) -> None:
    config = written(tmp_path)
    done = asyncio.Event()

    async def script(peer: RawPeer) -> None:
        peer.stop_reading()
        await done.wait()

    async with raw_server(script) as server, segue(server.url, config=config) as proxy:
        async with proxy.client() as stranger, proxy.client() as slow:
            await begin(stranger, 360 * KIB)
            await becomes(proxy, 360 * KIB, "body")
            await slow.send(
                b"POST /other HTTP/1.1\r\nHost: h\r\nContent-Length: 1073741824\r\n\r\n"
            )

            async def send() -> None:
                with suppress(ConnectionError):
                    while True:
                        await slow.send(b"x" * (64 * KIB))

            sending = asyncio.create_task(send())
            head, _ = await slow.read_response()
            assert status_of(head) == 503
            assert b"\r\nRetry-After: 1\r\n" in head
            sending.cancel()
            assert await proxy.metric("segue_errors_total", error="memory_full") == 1
        done.set()
        for kind in ("received", "unsent", "body"):
            await becomes(proxy, 0, kind)


async def test_heads_that_are_never_whole_are_counted_and_refused(tmp_path: Path) -> None:
    config = written(tmp_path)
    part = b"GET / HTTP/1.1\r\nHost: h\r\n" + b"".join(
        b"X-%d: %b\r\n" % (number, b"x" * 10_000) for number in range(5)
    )
    async with (
        raw_server(answering(b"HTTP/1.1 204 No Content\r\n\r\n")) as server,
        segue(server.url, config=config) as proxy,
        AsyncExitStack() as stack,
    ):

        async def drip() -> RawPeer:
            peer = await stack.enter_async_context(proxy.client())
            await peer.send(part)
            return peer

        kept = [await drip() for _ in range(3)]
        # The parser has a copy.
        await becomes(proxy, 3 * 2 * len(part), "received")
        refused = await drip()
        head, _ = await refused.read_response()
        assert status_of(head) == 503
        assert await proxy.metric(REFUSED, kind="received") == 1
        for peer in kept:
            await peer.send(b"\r\n")
            assert status_of(await peer.read_head()) == 204
        await becomes(proxy, 0, "received")


WAITING = b"GET /%d HTTP/1.1\r\nHost: h\r\n" + b"".join(
    b"X-%d: %b\r\n" % (number, b"x" * 15_000) for number in range(4)
)


@asynccontextmanager
async def waiting(tmp_path: Path) -> AsyncIterator[tuple[Segue, asyncio.Event]]:
    """A Segue in front of a server that answers when it is told to."""
    told = asyncio.Event()

    async def answer_late(peer: RawPeer) -> None:
        while True:
            await peer.read_head()
            await told.wait()
            await peer.send(b"HTTP/1.1 204 No Content\r\n\r\n")

    config = written(tmp_path)
    async with raw_server(answer_late) as server, segue(server.url, config=config) as proxy:
        try:
            yield proxy, told
        finally:
            told.set()


def counted(head: bytes) -> int:
    """The bytes of the fields and the target of a head."""
    line, _, fields = head.partition(b"\r\n")
    return len(line.split()[1]) + len(fields)


async def test_heads_of_requests_that_wait_for_the_server_are_counted_and_refused(
    tmp_path: Path,
) -> None:
    size = counted(WAITING % 1)
    async with waiting(tmp_path) as (proxy, told), AsyncExitStack() as stack:
        stranger = []
        for number in range(1, 6):
            stranger.append(await stack.enter_async_context(proxy.client()))
            await stranger[-1].send(WAITING % 1 + b"\r\n")
            await becomes(proxy, number * size, "head")
        # The parser's copies are gone.
        await becomes(proxy, 0, "received")
        async with proxy.client() as one_more:
            # One refusal, and the end: nothing of it goes on.
            await one_more.send(WAITING % 1 + b"\r\n")
            refused = await one_more.read_all()
            assert status_of(refused) == 503
            assert refused.count(b"HTTP/1.1 ") == 1
            assert b"limits.memory" in refused
            assert await proxy.metric(REFUSED, kind="received") == 1
        small = await stack.enter_async_context(proxy.client())
        await small.send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        another = await stack.enter_async_context(client_at(proxy, "127.0.0.3"))
        await another.send(WAITING % 1 + b"\r\n")
        await becomes(proxy, 6 * size, "head")
        told.set()
        for peer in (*stranger, small, another):
            assert status_of(await peer.read_head()) == 204
        await becomes(proxy, 0, "head")
        # The connections go on, with a large head and a small one.
        for again in (WAITING % 2 + b"\r\n", b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"):
            await stranger[0].send(again)
            assert status_of(await stranger[0].read_head()) == 204
        await becomes(proxy, 0, "head")


async def test_heads_behind_a_trusted_proxy_count_for_its_clients(tmp_path: Path) -> None:
    async with waiting(tmp_path) as (proxy, _), AsyncExitStack() as stack:

        async def ask(client: bytes) -> RawPeer:
            peer = await stack.enter_async_context(client_at(proxy, "127.0.0.2"))
            await peer.send(WAITING % 1 + b"X-Forwarded-For: %b\r\n\r\n" % client)
            return peer

        size = counted(WAITING % 1 + b"X-Forwarded-For: 10.0.0.1\r\n")
        for number in range(1, 7):
            await ask(b"10.0.0.1")
            await becomes(proxy, number * size, "head")
        head, body = await (await ask(b"10.0.0.1")).read_response()
        assert status_of(head) == 503
        assert b"limits.memory" in body
        assert await proxy.metric(REFUSED, kind="head") == 1
        await ask(b"10.0.0.2")
        await becomes(proxy, 7 * size, "head")


async def test_large_heads_that_wait_for_the_request_before_them_are_counted(
    tmp_path: Path,
) -> None:
    async with waiting(tmp_path) as (proxy, told), proxy.client() as peer:
        await peer.send(WAITING % 1 + b"\r\n")
        await becomes(proxy, counted(WAITING % 1), "head")
        # In pieces, of which the last is small.
        await peer.send(WAITING % 2)
        await becomes(proxy, 2 * len(WAITING % 2), "received")
        await peer.send(b"\r\n")
        names_and_values = len(b"/2") + 4 * (len(b"X-0") + 15_000) + len(b"Hosth")
        await becomes(proxy, 2 * names_and_values, "received")
        told.set()
        for _ in range(2):
            assert status_of(await peer.read_head()) == 204
        await becomes(proxy, 0, "received")
        await becomes(proxy, 0, "head")


async def test_the_head_of_a_handshake_is_counted_until_the_websocket_is_open(
    tmp_path: Path,
) -> None:
    config = written(tmp_path)
    large = [b"X-%d: %b" % (number, b"x" * 15_000) for number in range(4)]
    async with origin() as upstream, segue(upstream.url, config=config) as proxy:
        client = await proxy.connect()
        await client.send(handshake(b"/ws/", *large))
        server = await upstream.connection()
        await server.read_head()
        assert await proxy.metric(RESERVED, kind="head") > 60_000
        await server.close()
        assert status_of(await client.read_head()) == 502
        await client.close()
        pair = await open_pair(proxy, upstream, fields=large)
        await becomes(proxy, 0, "head")
        await pair.client.peer.close()
        await pair.server.peer.close()
        await gone(proxy)
