"""The numbers and lines of a running Segue, against what its peers did."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from tests.support.rfc6455 import CLOSE, TEXT
from tests.support.rig import RawPeer, Segue, answering, raw_server, segue
from tests.support.sockets import MASK, closing, fields_of, handshake, open_pair, origin
from tests.support.waiting import PATIENCE

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
GET = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
PARENT = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
STATE = b"congo=t61rcWkgMzE"

BODIES = """\
name: out
description: For a test.
channel: http
direction: to_client
rules:
  - name: a
    match: {field: a, exists: true}
    do: [rename: {a: b}]
    examples: [{in: {a: 1}, out: {b: 1}}]
"""

ROUTE = """\
upstream: {url: "http://127.0.0.1:1"}
versions: {default: "2"}
cohorts:
  - name: modern
    versions: ">=2"
    http: [{path: /, to_client: [out]}]
"""

SLOW = 0.3
"""Seconds that a server takes; what Segue takes is far below."""
WAITED = 0.9 * SLOW  # The loop's clock, by which it sleeps, has its own idea of a millisecond.


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not await condition():  # noqa: ASYNC110 (it tells nobody)
            await asyncio.sleep(0.02)


def lines(proxy: Segue, event: str) -> list[dict[str, Any]]:
    return [
        line
        for line in map(json.loads, proxy.log.getvalue().splitlines())
        if line["event"] == event
    ]


async def line_of(proxy: Segue, event: str) -> dict[str, Any]:
    """The only line of that kind, once it is written."""

    async def written() -> bool:
        return bool(lines(proxy, event))

    await until(written)
    (line,) = lines(proxy, event)
    return line


async def answer_slowly(peer: RawPeer) -> None:
    await peer.read_head()
    await asyncio.sleep(SLOW)
    await peer.send(OK)
    await peer.read_all()


async def seconds(proxy: Segue, what: str, **labels: str) -> float:
    return await proxy.metric(f"segue_{what}_duration_seconds_sum", **labels)


async def test_waiting_for_the_server_is_none_of_the_proxys_part() -> None:
    labels = {"cohort": "none", "protocol": "http"}
    async with raw_server(answer_slowly) as server, segue(server.url) as proxy:
        async with proxy.client() as client:
            await client.send(GET)
            assert (await client.read_response())[1] == b"hello"
        line = await line_of(proxy, "request")
        assert await seconds(proxy, "request", **labels) >= WAITED
        assert await seconds(proxy, "upstream", **labels) >= WAITED
        assert 0 < await seconds(proxy, "proxy", **labels) < SLOW / 2
        assert await proxy.metric("segue_proxy_duration_seconds_count", **labels) == 1
        assert await proxy.metric("segue_upstream_connect_duration_seconds_count") == 1
    assert line["upstream"] == server.url.removeprefix("http://")
    assert WAITED <= line["upstream_duration"] < line["duration"] < SLOW * 2


async def test_a_handshake_that_the_server_left_open_was_spent_waiting_for_it() -> None:
    labels = {"cohort": "none", "protocol": "websocket"}
    timeout = {"SEGUE_TIMEOUTS__WEBSOCKET_HANDSHAKE": "300ms"}
    async with origin() as upstream, segue(upstream.url, timeout) as proxy:
        async with proxy.client() as client:
            await client.send(handshake())
            assert b" 504 " in await client.read_head()
        await line_of(proxy, "request")
        assert await seconds(proxy, "upstream", **labels) >= WAITED
        assert await seconds(proxy, "proxy", **labels) < SLOW / 2
        assert (
            await proxy.metric("segue_handshakes_total", cohort="none", result="failed"),
            await proxy.metric("segue_limits_hit_total", limit="upstream_time"),
        ) == (1, 1)


async def test_requests_are_in_flight_until_they_are_answered() -> None:
    release = asyncio.Event()

    async def script(peer: RawPeer) -> None:
        await peer.read_head()
        await release.wait()
        await peer.send(OK)
        await peer.read_all()

    async with raw_server(script) as server, segue(server.url) as proxy:
        async with proxy.client() as client:
            assert await proxy.metric("segue_requests_in_flight") == 0
            await client.send(GET)

            async def flies() -> bool:
                return await proxy.metric("segue_requests_in_flight") == 1

            await until(flies)
            release.set()
            await client.read_response()
            assert await proxy.metric("segue_requests_in_flight") == 0


async def test_bodies_and_websockets_are_counted_in_bytes_by_the_way_they_go() -> None:
    async def shown(proxy: Segue, protocol: str) -> tuple[float, float]:
        return (
            await proxy.metric("segue_bytes_total", direction="to_server", protocol=protocol),
            await proxy.metric("segue_bytes_total", direction="to_client", protocol=protocol),
        )

    async with raw_server(answering(OK)) as server, segue(server.url) as proxy:
        async with proxy.client() as client:
            await client.send(GET)
            await client.read_response()
            await line_of(proxy, "request")
            assert await shown(proxy, "http") == (0, 5)
    async with origin() as upstream, segue(upstream.url) as proxy:
        pair = await open_pair(proxy, upstream)
        sent = await pair.client.send(TEXT, b"to the server")
        answer = await pair.server.send(TEXT, b"to the client, which is longer")
        await pair.server.message()
        await pair.client.message()
        assert await shown(proxy, "websocket") == (len(sent), len(answer))
        pair.client.peer.reset()
        await pair.server.peer.read_all()
        await pair.server.peer.close()
        line = await line_of(proxy, "websocket")
        assert (line["client_bytes"], line["server_bytes"]) == (len(sent), len(answer))
        assert await shown(proxy, "websocket") == (len(sent), len(answer))
        assert await proxy.metric("segue_websocket_closes_total", side="client", code="1006") == 1


async def test_close_frames_are_counted_by_who_sent_them() -> None:
    # The client who is told of its violation has no answer to that.
    env = {"SEGUE_TIMEOUTS__WEBSOCKET_CLOSE": "500ms"}
    async with origin() as upstream, segue(upstream.url, env) as proxy:
        pair = await open_pair(proxy, upstream)
        await pair.server.send(CLOSE, closing(4001, "no token"))
        assert await pair.client.close_frame() == (4001, "no token")
        await pair.client.send(CLOSE, closing(4900))
        assert await pair.server.close_frame() == (4900, "")
        await pair.server.peer.close()
        await pair.client.peer.close()
        await line_of(proxy, "websocket")
        closes = proxy.server.metrics.closes
        assert closes == {("server", "4001"): 1, ("client", "other"): 1}
        second = await open_pair(proxy, upstream)
        await second.client.peer.send(b"\xc1\x80" + MASK)  # A reserved bit.
        assert (await second.client.close_frame())[0] == 1002
        await second.server.close_frame()
        await second.client.peer.close()
        await second.server.peer.close()

        async def counted() -> bool:
            return closes["segue", "1002"] == 1

        await until(counted)
        assert sum(closes.values()) == 3


async def test_a_trace_goes_on_untouched_and_is_on_the_line() -> None:
    heads: list[bytes] = []
    fields = b"traceparent: " + PARENT + b"\r\ntracestate: " + STATE + b"\r\n"
    async with raw_server(answering(OK, heads)) as server, segue(server.url) as proxy:
        async with proxy.client() as client:
            await client.send(GET[:-2] + fields + b"\r\n")
            await client.read_response()
        line = await line_of(proxy, "request")
    assert fields in heads[0]
    assert heads[0].count(b"trace") == 2
    assert line["trace_id"] == "0af7651916cd43dd8448eb211c80319c"


async def test_a_handshake_without_a_trace_starts_the_one_that_is_on_its_line() -> None:
    async with origin() as upstream, segue(upstream.url) as proxy:
        client = await proxy.connect()
        await client.send(handshake(b"/ws/", b"traceparent: 00-bad", b"tracestate: " + STATE))
        server, head = await upstream.accept()
        await client.read_head()
        await client.close()
        await server.peer.close()
        line = await line_of(proxy, "websocket")
    (parent,) = fields_of(head, b"traceparent")
    version, trace_id, _, flags = parent.decode().split("-")
    assert (version, trace_id, flags) == ("00", line["trace_id"], "00")
    assert fields_of(head, b"tracestate") == []


async def test_limits_are_counted_when_they_are_reached() -> None:
    limits = {"SEGUE_LIMITS__HEADER_LINE": "1KiB", "SEGUE_LIMITS__CONNECTIONS": "1"}
    async with raw_server(answering(OK)) as server, segue(server.url, limits) as proxy:
        long = GET[:-2] + b"X: " + b"x" * 2000 + b"\r\n\r\n"
        assert b" 431 " in await proxy.ask(long)
        async with proxy.client() as client:
            await client.send(GET)
            await client.read_response()
            assert b" 503 " in await proxy.ask(GET)
        assert await proxy.metric("segue_limits_hit_total", limit="headers") == 1
        assert await proxy.metric("segue_limits_hit_total", limit="connections") == 1
        assert await proxy.metric("segue_limits_hit_total", limit="message") == 0


async def test_the_mappings_of_a_body_are_on_its_line(tmp_path: Path) -> None:
    (tmp_path / "mappings").mkdir()
    (tmp_path / "mappings" / "out.yaml").write_text(BODIES, encoding="utf-8")
    config = tmp_path / "config.yaml"
    config.write_text(ROUTE, encoding="utf-8")
    answer = (
        b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 7\r\n\r\n{"a":1}'
    )
    async with raw_server(answering(answer)) as server, segue(server.url, config=config) as proxy:
        async with proxy.client() as client:
            await client.send(GET)
            assert (await client.read_response())[1] == b'{"b":1}'
        line = await line_of(proxy, "request")
    assert line["to_client"] == "out"
    assert "to_server" not in line
    assert line["response_size"] == 7
