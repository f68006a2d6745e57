"""What is counted and written of one request, and what must not be."""

from __future__ import annotations

import asyncio
import io
import itertools
import json
from dataclasses import dataclass
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import ClientGone, UpstreamTimeout
from proxy.observability.access_log import AccessLog, request_ids
from proxy.observability.decisions import DecisionLog
from proxy.observability.log import Writer, build
from proxy.observability.metrics import Metrics
from proxy.versions.selection import Selection
from proxy.versions.sources import VersionSource
from proxy.versions.version import Version

TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJleHAiOjF9.c2VjcmV0"
MODERN = Selection(Version.parse("2.1.0"), VersionSource.QUERY, "modern")
NOBODY = Selection(None, VersionSource.NONE, None)


class Desk:
    """An access log, its metrics, and what it wrote."""

    def __init__(self) -> None:
        self._stream = io.StringIO()
        self._writer = Writer(self._stream)
        self.metrics = Metrics("0")
        log = build(self._writer, "info", "json", is_terminal=False)
        decisions = DecisionLog(log, cast(asyncio.AbstractEventLoop, None), everything=False)
        self.access_log = AccessLog(self.metrics, log, decisions)
        self.metrics.add(self.access_log.families())

    def lines(self) -> list[dict[str, Any]]:
        self._writer.close()
        return [json.loads(line) for line in self._stream.getvalue().splitlines()]


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_a_request_is_one_line_and_one_count(desk: Desk) -> None:
    info = desk.access_log.open(10.0, "192.0.2.7", "GET", b"/api/jobs/")
    desk.access_log.choose(info, MODERN)
    info.status = 200
    info.request_size, info.response_size = 0, 512
    desk.access_log.close(info, 10.25)
    (line,) = desk.lines()
    line.pop("timestamp")
    assert line == {
        "event": "request",
        "level": "info",
        "request_id": info.request_id,
        "peer": "192.0.2.7",
        "method": "GET",
        "path": "/api/jobs/",
        "status": 200,
        "cohort": "modern",
        "version_source": "query",
        "duration": 0.25,
        "trace_id": info.trace.trace_id,
        "request_size": 0,
        "response_size": 512,
    }
    assert desk.metrics.requests == {("modern", "200"): 1}
    assert desk.metrics.version_sources == {"query": 1}
    assert not desk.metrics.errors


def test_a_request_without_version_or_body_says_none_and_no_sizes(desk: Desk) -> None:
    for selection in (None, NOBODY):
        info = desk.access_log.open(0.0, "", "GET", b"/")
        if selection is not None:
            desk.access_log.choose(info, selection)
        info.status = 204
        desk.access_log.close(info, 0.0)
    for line in desk.lines():
        assert (line["cohort"], line["version_source"]) == ("none", "none")
        assert not {"request_size", "response_size", "error", "detail"} & {*line}
    assert desk.metrics.requests == {("none", "204"): 2}
    assert desk.metrics.version_sources == {"none": 1}


def test_an_error_is_on_the_line_and_counted_by_its_label(desk: Desk) -> None:
    info = desk.access_log.open(0.0, "", "GET", b"/")
    desk.access_log.fail(info, UpstreamTimeout("no answer in time"))
    desk.access_log.close(info, 1.0)
    (line,) = desk.lines()
    assert (line["status"], line["error"]) == (504, "upstream_timeout")
    assert line["detail"] == "no answer in time"
    assert desk.metrics.errors == {"upstream_timeout": 1}
    assert desk.metrics.requests == {("none", "504"): 1}


def test_an_error_after_the_head_keeps_the_status_that_the_client_saw(desk: Desk) -> None:
    info = desk.access_log.open(0.0, "", "GET", b"/")
    desk.access_log.fail(info, UpstreamTimeout("cut short"), 200)
    assert (info.status, info.error) == (200, "upstream_timeout")


def test_a_client_that_had_gone_is_counted_as_such(desk: Desk) -> None:
    info = desk.access_log.open(0.0, "", "GET", b"/")
    desk.access_log.fail(info, ClientGone())
    desk.access_log.close(info, 1.0)
    assert desk.metrics.requests == {("none", "499"): 1}


@dataclass
class Ended:
    """What an access log wants to know of a WebSocket."""

    received: tuple[int, int] = (0, 0)
    closes: tuple[tuple[str, int], ...] = ()


def test_a_websocket_counts_when_it_opens_and_is_written_when_it_ends(desk: Desk) -> None:
    info = desk.access_log.open(1.0, "192.0.2.7", "GET", b"/ws/jobs/1/?token=" + TOKEN.encode())
    desk.access_log.choose(info, MODERN)
    socket = Ended()
    desk.access_log.switch(info, 1.5, socket, subprotocol="chat")
    assert desk.metrics.requests == {("modern", "101"): 1}
    assert desk.metrics.sockets == {"modern": 1}
    desk.access_log.close_socket(info, 61.0, socket, client_close=1000, drained=False)
    opened, line = desk.lines()
    assert opened["event"] == "websocket opened"
    assert (opened["status"], opened["duration"], opened["subprotocol"]) == (101, 0.5, "chat")
    assert opened["request_id"] == line["request_id"]
    assert (line["event"], line["status"], line["duration"]) == ("websocket", 101, 60.0)
    assert (line["client_close"], line["drained"]) == (1000, False)
    assert line["path"] == "/ws/jobs/1/"
    assert desk.metrics.requests == {("modern", "101"): 1}


def bytes_shown(desk: Desk) -> dict[tuple[str, ...], float]:
    (family,) = (each for each in desk.metrics.families if each.name == "segue_bytes")
    assert family.kind == "counter"
    return {tuple(map(str, labels)): value for labels, value in family.read()}


def test_bytes_of_open_websockets_are_shown_and_counted_once_when_they_end(desk: Desk) -> None:
    visits = [desk.access_log.open(0.0, "", "GET", b"/ws/") for _ in range(2)]
    sockets = [Ended((7, 100)), Ended((1, 10))]
    for info, socket in zip(visits, sockets, strict=True):
        desk.access_log.switch(info, 0.0, socket)
    expected = {("to_server", "websocket"): 8, ("to_client", "websocket"): 110}
    assert bytes_shown(desk) == expected
    desk.access_log.close_socket(visits[0], 1.0, sockets[0])
    assert bytes_shown(desk) == expected
    sockets[1].received = (2, 20)
    assert bytes_shown(desk) == {("to_server", "websocket"): 9, ("to_client", "websocket"): 120}
    line = desk.lines()[-1]
    assert (line["client_bytes"], line["server_bytes"]) == (7, 100)


def test_bytes_of_bodies_are_counted_by_the_way_they_go(desk: Desk) -> None:
    info = desk.access_log.open(0.0, "", "POST", b"/")
    info.request_size, info.response_size = 3, 40
    desk.access_log.close(info, 0.0)
    assert bytes_shown(desk) == {("to_server", "http"): 3, ("to_client", "http"): 40}


def test_close_frames_are_counted_by_side_and_listed_code(desk: Desk) -> None:
    info = desk.access_log.open(0.0, "", "GET", b"/ws/")
    socket = Ended(closes=(("client", 4003), ("server", 4242), ("segue", 1009)))
    desk.access_log.switch(info, 0.0, socket)
    desk.access_log.close_socket(info, 0.0, socket)
    assert desk.metrics.closes == {
        ("client", "4003"): 1,
        ("server", "other"): 1,
        ("segue", "1009"): 1,
    }


def test_handshakes_are_counted_by_what_became_of_them(desk: Desk) -> None:
    accepted, refused, failed, abandoned = (
        desk.access_log.open(0.0, "", "GET", b"/ws/") for _ in range(4)
    )
    for info in (accepted, refused, failed, abandoned):
        info.protocol = "websocket"
    desk.access_log.choose(accepted, MODERN)
    desk.access_log.switch(accepted, 0.0, Ended())
    refused.status = 403
    desk.access_log.fail(failed, UpstreamTimeout())
    desk.access_log.fail(abandoned, ClientGone())
    for info in (refused, failed, abandoned):
        desk.access_log.close(info, 0.0)
    assert desk.metrics.handshakes == {
        ("modern", "accepted"): 1,
        ("none", "refused"): 1,
        ("none", "failed"): 1,
        ("none", "abandoned"): 1,
    }


def test_the_proxys_part_is_what_was_not_spent_waiting_for_the_server(desk: Desk) -> None:
    info = desk.access_log.open(10.0, "", "GET", b"/")
    info.waited = 0.75
    info.upstream = "192.0.2.1:8000"
    desk.access_log.close(info, 11.0)
    unasked = desk.access_log.open(20.0, "", "GET", b"/")
    desk.access_log.close(unasked, 20.5)
    timings = desk.metrics.timings("none", "http")
    assert (timings.whole.observed, timings.whole.total) == (2, 1.5)
    assert (timings.proxy.observed, timings.proxy.total) == (2, 0.75)
    assert (timings.upstream.observed, timings.upstream.total) == (1, 0.75)
    first, second = desk.lines()
    assert (first["upstream"], first["upstream_duration"]) == ("192.0.2.1:8000", 0.75)
    assert "upstream" not in second


def test_what_was_no_request_has_no_duration(desk: Desk) -> None:
    desk.access_log.close(desk.access_log.open(0.0, "", "", b""), 1.0)
    assert desk.metrics.timings("none", "http").whole.observed == 0


def test_the_mappings_of_bodies_are_on_the_line(desk: Desk) -> None:
    for name in ("", "jobs"):
        info = desk.access_log.open(0.0, "", "GET", b"/")
        info.to_client, info.to_server = name and f"{name}-to-new", name and f"{name}-to-old"
        desk.access_log.close(info, 0.0)
    without, line = desk.lines()
    assert (line["to_client"], line["to_server"]) == ("jobs-to-new", "jobs-to-old")
    assert not {"to_client", "to_server"} & {*without}


def test_the_trace_that_a_request_belongs_to_is_on_its_line(desk: Desk) -> None:
    parent = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    info = desk.access_log.open(0.0, "", "GET", b"/", [(b"Traceparent", parent)])
    desk.access_log.close(info, 0.0)
    started = [desk.access_log.open(0.0, "", "GET", b"/") for _ in range(2)]
    (line,) = desk.lines()
    assert line["trace_id"] == "0af7651916cd43dd8448eb211c80319c"
    assert len({info.trace.trace_id for info in started}) == 2


# What must not be written.


def test_a_long_path_is_cut() -> None:
    assert path_of(b"/" + b"x" * 16000) == "/" + "x" * 1023


def path_of(target: bytes) -> str:
    """The path on the line of a request with that target."""
    desk = Desk()
    info = desk.access_log.open(0.0, "", "GET", target)
    desk.access_log.close(info, 0.0)
    (line,) = desk.lines()
    assert isinstance(line["path"], str)
    return line["path"]


@given(query=st.binary(max_size=30))
def test_no_byte_of_a_query_is_kept(query: bytes) -> None:
    info = Desk().access_log.open(0.0, "", "GET", b"/path?" + query)
    assert info.path == "/path"


@pytest.mark.parametrize(
    ("target", "path"),
    [
        (b"/ws/jobs/1/?token=secret1", "/ws/jobs/1/"),
        (b"/a?b?token=secret1", "/a"),
        (b"?token=secret1", ""),
        (b"/a#token=secret1", "/a"),
        (b"/a#b?token=secret1", "/a"),
        (b"/reset/" + TOKEN.encode() + b"/", "/reset/[redacted]/"),
        (b"/reset;token=secret1/", "/reset;token=[redacted]"),
        (b"http://alice:secret1@api.example/x?y", "api.example/x"),
        (b"http://secret1:a@b:c@api.example", "api.example"),
        (b"alice:secret1@api.example:443", "api.example:443"),
        (b"//secret-free@host/x", "//secret-free@host/x"),
    ],
)
def test_secrets_of_a_target_are_not_written(target: bytes, path: str) -> None:
    assert path_of(target) == path
    assert "secret1" not in path


@pytest.mark.parametrize(
    ("target", "path"),
    [
        (b"/caf\xc3\xa9", "/caf%C3%A9"),
        (b"/\x1b[31mred", "/%1B[31mred"),
        (b"/\x9b31m", "/%9B31m"),
        (b"/a b\r\nc\0", "/a%20b%0D%0Ac%00"),
        (b"/a%2Fb;c=d~'\"<>\\^`{|}", "/a%2Fb;c=d~'\"<>\\^`{|}"),
        (b"*", "*"),
        (b"", ""),
    ],
)
def test_what_a_terminal_could_obey_is_percent_encoded(target: bytes, path: str) -> None:
    assert path_of(target) == path


@given(target=st.binary(max_size=60))
def test_any_target_can_be_written(target: bytes) -> None:
    info = Desk().access_log.open(0.0, "", "GET", target)
    assert info.path.isascii()
    assert not info.path or info.path.isprintable()


def test_a_fault_of_segues_own_is_written_without_its_text(desk: Desk) -> None:
    def broken() -> None:
        raise KeyError(TOKEN)

    with pytest.raises(KeyError) as raised:
        broken()
    desk.access_log.internal_error(raised.value)
    desk.access_log.internal_error(ValueError(TOKEN))
    first, second = desk.lines()
    assert (first["event"], first["level"], first["kind"]) == (
        "internal error",
        "error",
        "KeyError",
    )
    assert ".broken:" in first["where"]
    assert (second["kind"], second["where"]) == ("ValueError", None)
    assert TOKEN not in json.dumps([first, second])


def test_request_ids_are_unique_over_processes_and_requests() -> None:
    first, second = (list(itertools.islice(request_ids(), 20)) for _ in range(2))
    assert len({*first, *second}) == 40
    assert len({request_id.partition("-")[0] for request_id in first}) == 1
    assert all(request_id.isascii() and len(request_id) < 30 for request_id in first)
