"""Traces: what a collector is sent, what the server is told, and what is never sent."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import aiohttp
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from tests.support.collector import Collector, collector, values
from tests.support.rfc6455 import CLOSE, TEXT
from tests.support.rig import RawPeer, Segue, answering, raw_server, segue
from tests.support.sockets import closing, fields_of, handshake, origin
from tests.support.waiting import PATIENCE

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"
STATE = b"congo=t61rcWkgMzE"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI3In0.c2lnbmF0dXJl"
SPANS = "segue_trace_spans_total"


def on(to: Collector, **more: str) -> dict[str, str]:
    return {
        "SEGUE_TRACING__ENABLED": "true",
        "SEGUE_TRACING__ENDPOINT": to.url,
        "SEGUE_TRACING__RATIO": "1",
        **{f"SEGUE_TRACING__{name.upper()}": value for name, value in more.items()},
    }


def get(target: bytes = b"/", *fields: bytes) -> bytes:
    return b"\r\n".join((b"GET " + target + b" HTTP/1.1", b"Host: h", *fields, b"", b""))


def parent(flags: str, trace: str = TRACE) -> bytes:
    return f"traceparent: 00-{trace}-{PARENT}-{flags}".encode()


async def ask(proxy: Segue, request: bytes) -> None:
    async with proxy.client() as client:
        await client.send(request)
        await client.read_response()


@asynccontextmanager
async def traced(heads: list[bytes], **more: str) -> AsyncIterator[tuple[Segue, Collector]]:
    async with (
        collector() as to,
        raw_server(answering(OK, heads)) as server,
        segue(server.url, on(to, **more)) as proxy,
    ):
        yield proxy, to


def sent_parent(head: bytes) -> tuple[str, str, str]:
    """The trace, the span and the flags that the server was told."""
    (found,) = fields_of(head, b"traceparent")
    version, trace, span, flags = found.decode().split("-")
    assert version == "00"
    return trace, span, flags


async def test_request_is_a_span_whose_child_is_the_servers() -> None:
    heads: list[bytes] = []
    async with traced(heads) as (proxy, to):
        request = get(b"/jobs/7?token=secret", parent("01"), b"tracestate: " + STATE)
        await ask(proxy, request)
        (span,) = await to.first(1)
        about = to.spans[0][1]
        upstream = proxy.server._live.current.config.upstream.urls[0].removeprefix("http://")
    assert (span.trace_id.hex(), span.parent_span_id.hex()) == (TRACE, PARENT)
    assert sent_parent(heads[0]) == (TRACE, span.span_id.hex(), "01")
    assert fields_of(heads[0], b"tracestate") == [STATE]
    assert (span.name, span.kind) == ("GET", Span.SPAN_KIND_SERVER)
    assert span.status.code == Status.STATUS_CODE_UNSET
    assert 0 < span.end_time_unix_nano - span.start_time_unix_nano < PATIENCE * 10**9
    found = values(span.attributes)
    assert found.pop("segue.upstream.duration") > 0
    assert re.fullmatch(r"[0-9a-f]+-[0-9a-f]+", found.pop("segue.request_id"))
    assert found == {
        "http.request.method": "GET",
        "http.response.status_code": 200,
        "url.scheme": "http",
        "url.path": "/jobs/7",
        "client.address": "127.0.0.1",
        "network.peer.address": "127.0.0.1",
        "network.protocol.name": "http",
        "segue.cohort": "none",
        "segue.version.source": "none",
        "segue.upstream.address": upstream,
    }
    assert about["service.name"] == "segue"
    assert {"service.version", "service.instance.id", "telemetry.sdk.name"} <= set(about)


async def test_a_request_without_a_trace_begins_one() -> None:
    heads: list[bytes] = []
    async with traced(heads) as (proxy, to):
        await ask(proxy, get(b"/", b"traceparent: 00-bad", b"tracestate: " + STATE))
        (span,) = await to.first(1)
    assert span.parent_span_id == b""
    assert sent_parent(heads[0]) == (span.trace_id.hex(), span.span_id.hex(), "01")
    assert fields_of(heads[0], b"tracestate") == []


async def test_parent_decides_and_the_ratio_where_there_is_none() -> None:
    heads: list[bytes] = []
    async with traced(heads, ratio="0") as (proxy, to):
        await ask(proxy, get(b"/no-parent"))
        await ask(proxy, get(b"/not-sampled", parent("00")))
        await ask(proxy, get(b"/sampled", parent("01")))
        (span,) = await to.first(1)
        await exported(proxy, 1)
    assert values(span.attributes)["url.path"] == "/sampled"
    assert sent_parent(heads[0])[2] == "00"
    assert sent_parent(heads[1]) == (TRACE, PARENT, "00")


async def test_parents_of_strangers_need_not_be_followed() -> None:
    heads: list[bytes] = []
    below, above = "0" * 31 + "1", "f" * 32
    settings = {"ratio": "0.5", "follow_parent": "false"}
    async with traced(heads, **settings) as (proxy, to):
        await ask(proxy, get(b"/above", parent("01", above)))
        await ask(proxy, get(b"/below", parent("00", below)))
        (span,) = await to.first(1)
    assert (span.trace_id.hex(), span.parent_span_id.hex()) == (below, PARENT)
    assert sent_parent(heads[0]) == (above, PARENT, "01")
    assert sent_parent(heads[1]) == (below, span.span_id.hex(), "01")


async def test_websocket_is_a_span_below_that_of_its_handshake() -> None:
    async with collector() as to, origin() as upstream, segue(upstream.url, on(to)) as proxy:
        client = await proxy.connect()
        await client.send(handshake(b"/ws/jobs/1/?token=secret", b"X-Client-Version: 2.1"))
        server, head = await upstream.accept()
        await client.read_head()
        (shaken,) = await to.first(1)
        assert sent_parent(head) == (shaken.trace_id.hex(), shaken.span_id.hex(), "01")
        sent = await server.send(TEXT, b'{"kind": "other"}')
        await server.send(CLOSE, closing(4001))
        await client.close()
        await server.peer.close()
        _, whole = await to.first(2)
    found = values(shaken.attributes)
    assert (found["http.response.status_code"], found["url.path"]) == (101, "/ws/jobs/1/")
    assert (whole.trace_id, whole.parent_span_id) == (shaken.trace_id, shaken.span_id)
    assert (whole.name, whole.kind) == ("websocket", Span.SPAN_KIND_INTERNAL)
    found = values(whole.attributes)
    assert found["segue.websocket.server_close"] == 4001
    assert found["segue.websocket.server_bytes"] > len(sent)
    assert found["segue.websocket.to_client"] == "old-to-new"
    assert found["segue.cohort"] == "modern"
    assert found["network.protocol.name"] == "websocket"
    assert whole.end_time_unix_nano > shaken.end_time_unix_nano


async def test_failure_is_an_error_with_its_kind_and_a_refusal_is_none() -> None:
    async def script(peer: RawPeer) -> None:
        head = await peer.read_head()
        if head.startswith(b"GET /refused "):
            await peer.send(b"HTTP/1.1 403 No\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")

    async with (
        collector() as to,
        raw_server(script) as server,
        segue(server.url, on(to)) as proxy,
    ):
        await ask(proxy, get(b"/refused"))
        await ask(proxy, get(b"/broken"))
        await ask(proxy, b"PROPFIND /pot HTTP/1.1\r\nHost: h\r\n\r\n")
        refused, broken, odd = await to.first(3)
    assert refused.status.code == Status.STATUS_CODE_UNSET
    assert "error.type" not in values(refused.attributes)
    assert broken.status.code == Status.STATUS_CODE_ERROR
    found = values(broken.attributes)
    assert found["http.response.status_code"] == 502
    assert found["error.type"].startswith("upstream_")
    assert (odd.name, values(odd.attributes)["http.request.method"]) == ("HTTP", "_OTHER")


async def test_no_token_is_in_a_trace() -> None:
    async with traced([], token="for-the-collector") as (proxy, to):
        bearer = f"Authorization: Bearer {JWT}".encode()
        await ask(proxy, get(f"/reset/{JWT}?access={JWT}".encode(), bearer))
        await to.first(1)
        assert to.heads[0]["authorization"] == "Bearer for-the-collector"
        assert to.heads[0]["user-agent"].startswith("segue/")
        assert "for-the-collector" not in proxy.log.getvalue()
    for body in to.bodies:
        assert b"eyJ" not in body
        assert b"for-the-collector" not in body
        assert b"access=" not in body


async def test_collector_that_hangs_stops_nothing_and_what_has_no_room_is_counted() -> None:
    async with traced([], queue="16") as (proxy, to):
        to.hold.clear()
        await ask(proxy, get())
        async with asyncio.timeout(PATIENCE):
            while not to.bodies:  # noqa: ASYNC110 (it tells nobody)
                await asyncio.sleep(0.02)
        for _ in range(20):
            await ask(proxy, get())
        assert await proxy.metric(SPANS, result="dropped") == 4
        to.hold.set()
        await to.first(17)
        await exported(proxy, 17)


async def exported(proxy: Segue, count: int) -> None:
    async with asyncio.timeout(PATIENCE):
        while await proxy.metric(SPANS, result="exported") != count:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def test_collector_that_refuses_is_told_once_and_counted() -> None:
    async with traced([]) as (proxy, to):
        to.status = 400
        for number in (1, 2):
            await ask(proxy, get())
            async with asyncio.timeout(PATIENCE):
                while await proxy.metric(SPANS, result="failed") != number:  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
        to.status = 200
        await ask(proxy, get())
        await to.first(1)
        await exported(proxy, 1)
        text = proxy.log.getvalue()
    assert text.count("the collector does not take traces") == 1
    assert text.count("the collector takes traces again") == 1


async def test_what_waits_is_sent_before_the_end() -> None:
    async with traced([]) as (proxy, to):
        await ask(proxy, get())
        await proxy.server.drain()
        assert len(to.spans) == 1


async def test_durations_have_exemplars_for_whoever_takes_openmetrics() -> None:
    async with traced([]) as (proxy, to):
        await ask(proxy, get(b"/", parent("01")))
        await to.first(1)
        url = f"http://{proxy.server.admin_address}/metrics"
        async with aiohttp.ClientSession() as client:
            async with client.get(url, headers={"Accept": "application/openmetrics-text"}) as page:
                assert page.content_type == "application/openmetrics-text"
                text = await page.text()
            async with client.get(url) as page:
                assert page.content_type == "text/plain"
                plain = await page.text()
    exemplar = re.compile(rf'(\w+)_bucket{{.*}} 1\.0 # {{trace_id="{TRACE}"}} [\d.e-]+ [\d.]+')
    named = {found[1] for line in text.splitlines() if (found := exemplar.fullmatch(line))}
    kinds = ("request", "proxy", "upstream")
    assert named == {f"segue_{kind}_duration_seconds" for kind in kinds}
    assert text.endswith("# EOF\n")
    assert TRACE not in plain


async def test_nothing_is_sent_or_changed_where_tracing_is_off() -> None:
    heads: list[bytes] = []
    off: Mapping[str, str] = {"SEGUE_TRACING__RATIO": "1"}
    async with raw_server(answering(OK, heads)) as server, segue(server.url, off) as proxy:
        await ask(proxy, get(b"/", parent("01")))
        assert type(proxy.server._data.access_log).__name__ == "AccessLog"
        assert proxy.server._spans is None
        assert not [name for name, _ in await proxy.metrics() if name == SPANS]
    assert sent_parent(heads[0]) == (TRACE, PARENT, "01")


@pytest.mark.parametrize("fields", [(), (parent("01"),)], ids=["begun", "followed"])
async def test_requests_that_share_an_answer_have_a_span_each(fields: tuple[bytes, ...]) -> None:
    release = asyncio.Event()

    async def script(peer: RawPeer) -> None:
        while True:
            await peer.read_head()
            await release.wait()
            await peer.send(OK)

    async with collector() as to, raw_server(script) as server:
        env = {**on(to), "SEGUE_COALESCING": "[{name: jobs, path: /jobs}]"}
        async with segue(server.url, env) as proxy:
            asking = [asyncio.create_task(ask(proxy, get(b"/jobs", *fields))) for _ in range(3)]
            async with asyncio.timeout(PATIENCE):
                while await proxy.metric("segue_requests_in_flight") != 3:  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
            release.set()
            await asyncio.gather(*asking)
            spans = await to.first(3)
    assert len({span.span_id for span in spans}) == 3
