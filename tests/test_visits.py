"""What is counted and written of one request, and what must not be."""

from __future__ import annotations

import io
import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import ClientGone, UpstreamTimeout
from proxy.log import Writer, build
from proxy.metrics import Metrics
from proxy.selection import Selection
from proxy.values import VersionSource
from proxy.versions import Version
from proxy.visits import Journal, request_ids

TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJleHAiOjF9.c2VjcmV0"
MODERN = Selection(Version.parse("2.1.0"), VersionSource.QUERY, "modern")
NOBODY = Selection(None, VersionSource.NONE, None)


class Desk:
    """A journal, its metrics, and what it wrote."""

    def __init__(self) -> None:
        self._stream = io.StringIO()
        self._writer = Writer(self._stream)
        self.metrics = Metrics("0")
        log = build(self._writer, "info", "json", is_terminal=False)
        self.journal = Journal(self.metrics, log)

    def lines(self) -> list[dict[str, Any]]:
        self._writer.close()
        return [json.loads(line) for line in self._stream.getvalue().splitlines()]


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_a_request_is_one_line_and_one_count(desk: Desk) -> None:
    visit = desk.journal.open(10.0, "192.0.2.7", "GET", b"/api/jobs/")
    desk.journal.choose(visit, MODERN)
    visit.status = 200
    visit.request_size, visit.response_size = 0, 512
    desk.journal.close(visit, 10.25)
    (line,) = desk.lines()
    line.pop("timestamp")
    assert line == {
        "event": "request",
        "level": "info",
        "request_id": visit.request_id,
        "peer": "192.0.2.7",
        "method": "GET",
        "path": "/api/jobs/",
        "status": 200,
        "cohort": "modern",
        "version_source": "query",
        "duration": 0.25,
        "request_size": 0,
        "response_size": 512,
    }
    assert desk.metrics.requests == {("modern", "200"): 1}
    assert desk.metrics.version_sources == {"query": 1}
    assert not desk.metrics.errors


def test_a_request_without_version_or_body_says_none_and_no_sizes(desk: Desk) -> None:
    for selection in (None, NOBODY):
        visit = desk.journal.open(0.0, "", "GET", b"/")
        if selection is not None:
            desk.journal.choose(visit, selection)
        visit.status = 204
        desk.journal.close(visit, 0.0)
    for line in desk.lines():
        assert (line["cohort"], line["version_source"]) == ("none", "none")
        assert not {"request_size", "response_size", "error", "detail"} & {*line}
    assert desk.metrics.requests == {("none", "204"): 2}
    assert desk.metrics.version_sources == {"none": 1}


def test_an_error_is_on_the_line_and_counted_by_its_label(desk: Desk) -> None:
    visit = desk.journal.open(0.0, "", "GET", b"/")
    desk.journal.fail(visit, UpstreamTimeout("no answer in time"))
    desk.journal.close(visit, 1.0)
    (line,) = desk.lines()
    assert (line["status"], line["error"]) == (504, "upstream_timeout")
    assert line["detail"] == "no answer in time"
    assert desk.metrics.errors == {"upstream_timeout": 1}
    assert desk.metrics.requests == {("none", "504"): 1}


def test_an_error_after_the_head_keeps_the_status_that_the_client_saw(desk: Desk) -> None:
    visit = desk.journal.open(0.0, "", "GET", b"/")
    desk.journal.fail(visit, UpstreamTimeout("cut short"), 200)
    assert (visit.status, visit.error) == (200, "upstream_timeout")


def test_a_client_that_had_gone_is_counted_as_such(desk: Desk) -> None:
    visit = desk.journal.open(0.0, "", "GET", b"/")
    desk.journal.fail(visit, ClientGone())
    desk.journal.close(visit, 1.0)
    assert desk.metrics.requests == {("none", "499"): 1}


def test_a_websocket_counts_when_it_opens_and_is_written_when_it_ends(desk: Desk) -> None:
    visit = desk.journal.open(1.0, "192.0.2.7", "GET", b"/ws/jobs/1/?token=" + TOKEN.encode())
    desk.journal.choose(visit, MODERN)
    desk.journal.switch(visit)
    assert desk.metrics.requests == {("modern", "101"): 1}
    assert desk.metrics.sockets == {"modern": 1}
    desk.journal.close_socket(visit, 61.0, client_close=1000, drained=False)
    (line,) = desk.lines()
    assert (line["event"], line["status"], line["duration"]) == ("websocket", 101, 60.0)
    assert (line["client_close"], line["drained"]) == (1000, False)
    assert line["path"] == "/ws/jobs/1/"
    assert desk.metrics.requests == {("modern", "101"): 1}


# What must not be written.


def path_of(target: bytes) -> str:
    """The path on the line of a request with that target."""
    desk = Desk()
    visit = desk.journal.open(0.0, "", "GET", target)
    desk.journal.close(visit, 0.0)
    (line,) = desk.lines()
    assert isinstance(line["path"], str)
    return line["path"]


@given(query=st.binary(max_size=30))
def test_no_byte_of_a_query_is_kept(query: bytes) -> None:
    visit = Desk().journal.open(0.0, "", "GET", b"/path?" + query)
    assert visit.path == "/path"


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
    visit = Desk().journal.open(0.0, "", "GET", target)
    assert visit.path.isascii()
    assert not visit.path or visit.path.isprintable()


def test_a_fault_of_segues_own_is_written_without_its_text(desk: Desk) -> None:
    def broken() -> None:
        raise KeyError(TOKEN)

    with pytest.raises(KeyError) as raised:
        broken()
    desk.journal.internal_error(raised.value)
    desk.journal.internal_error(ValueError(TOKEN))
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
