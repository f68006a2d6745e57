"""Problem documents, read back by another parser."""

from __future__ import annotations

import json
from http.client import HTTPMessage, parse_headers
from io import BytesIO

import pytest

from proxy.errors import (
    ClientError,
    ClientGone,
    MethodNotAllowed,
    SegueError,
    SessionEnded,
    Unavailable,
    UpstreamError,
    UpstreamTimeout,
)
from proxy.http.headers import RawFields
from proxy.http.responses import problem, relayed, reply


def parsed(
    error: SegueError, also: RawFields = (), *, persistent: bool = True, is_head: bool = False
) -> tuple[bytes, HTTPMessage, bytes]:
    """The status line, the fields and the body of a problem document."""
    stream = BytesIO(problem(error, "abc-1", also, persistent=persistent, is_head=is_head))
    status_line = stream.readline()
    return status_line, parse_headers(stream), stream.read()


def test_an_error_becomes_a_problem_document_with_the_request_id() -> None:
    status_line, fields, body = parsed(UpstreamTimeout('no "answer" in time'))
    assert status_line == b"HTTP/1.1 504 Gateway Timeout\r\n"
    assert json.loads(body) == {
        "type": "about:blank",
        "title": "Gateway timeout",
        "status": 504,
        "detail": 'no "answer" in time',
        "request_id": "abc-1",
    }
    assert fields.items() == [
        ("Content-Type", "application/problem+json"),
        ("Content-Length", str(len(body))),
        ("Cache-Control", "no-store"),
        ("X-Request-Id", "abc-1"),
        ("Connection", "keep-alive"),
    ]


def test_the_answer_to_a_head_is_only_the_head() -> None:
    _, with_body, body = parsed(ClientError("odd"))
    _, fields, nothing = parsed(ClientError("odd"), is_head=True)
    assert nothing == b""
    assert fields.items() == with_body.items()
    assert int(fields["Content-Length"]) == len(body) > 0


@pytest.mark.parametrize(("persistent", "value"), [(True, "keep-alive"), (False, "close")])
def test_the_answer_says_whether_the_connection_stays_open(persistent: bool, value: str) -> None:
    assert parsed(ClientError(), persistent=persistent)[1].get_all("Connection") == [value]


def test_the_fields_of_cors_are_added() -> None:
    also = [(b"Access-Control-Allow-Origin", b"https://app.example"), (b"Vary", b"Origin")]
    _, fields, _ = parsed(ClientError(), also)
    assert fields["Access-Control-Allow-Origin"] == "https://app.example"
    assert fields["Vary"] == "Origin"


def test_a_refused_method_is_told_which_are_allowed() -> None:
    allowed = parsed(MethodNotAllowed())[1]["Allow"]
    assert allowed == "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
    assert parsed(ClientError())[1]["Allow"] is None


def test_an_unavailable_service_says_when_to_come_back() -> None:
    assert parsed(Unavailable())[1]["Retry-After"] == "1"
    assert parsed(UpstreamTimeout())[1]["Retry-After"] is None


def test_the_end_of_a_session_is_told_as_the_server_tells_it() -> None:
    status_line, fields, body = parsed(SessionEnded())
    assert status_line == b"HTTP/1.1 401 Unauthorized\r\n"
    assert json.loads(body)["code"] == "token_not_valid"
    assert fields["WWW-Authenticate"] == 'Bearer realm="api"'
    assert "code" not in json.loads(parsed(ClientError())[2])
    assert parsed(ClientError())[1]["WWW-Authenticate"] is None


@pytest.mark.parametrize(("persistent", "value"), [(True, "keep-alive"), (False, "close")])
def test_a_reply_has_its_fields_and_its_body(persistent: bool, value: str) -> None:
    given = [(b"Set-Cookie", b"a=1"), (b"Set-Cookie", b"b=2")]
    stream = BytesIO(reply(200, given, b'{"a":1}', "abc-1", persistent=persistent))
    assert stream.readline() == b"HTTP/1.1 200 OK\r\n"
    assert parse_headers(stream).items() == [
        ("Set-Cookie", "a=1"),
        ("Set-Cookie", "b=2"),
        ("Content-Length", "7"),
        ("X-Request-Id", "abc-1"),
        ("Connection", value),
    ]
    assert stream.read() == b'{"a":1}'


def test_a_reply_cannot_be_made_to_have_another_field() -> None:
    with pytest.raises(ValueError, match="line break"):
        reply(200, [(b"X-A", b"1\r\nX-B: 2")], b"", "abc-1", persistent=True)


def test_a_status_without_a_phrase_is_still_a_status_line() -> None:
    assert parsed(ClientGone())[0] == b"HTTP/1.1 499 \r\n"


@pytest.mark.parametrize(("persistent", "value"), [(True, "keep-alive"), (False, "close")])
def test_a_response_that_was_held_is_framed_anew_and_otherwise_as_it_was(
    persistent: bool, value: str
) -> None:
    fields = [(b"X-A", b"1"), (b"Content-length", b"99"), (b"X-A", b"2")]
    stream = BytesIO(relayed(201, b"Made so", fields, b"body", persistent=persistent))
    assert stream.readline() == b"HTTP/1.1 201 Made so\r\n"
    told = parse_headers(stream)
    assert told.items() == [
        *(("X-A", "1"), ("X-A", "2"), ("Content-Length", "4"), ("Connection", value))
    ]
    assert stream.read() == b"body"


@pytest.mark.parametrize("status", [204, 304])
def test_a_response_that_has_no_body_is_held_without_one(status: int) -> None:
    stream = BytesIO(relayed(status, b"", [(b"Content-Length", b"4")], b"", persistent=True))
    assert stream.readline() == b"HTTP/1.1 %d \r\n" % status
    assert parse_headers(stream).items() == [("Connection", "keep-alive")]
    assert stream.read() == b""


def test_a_response_of_the_servers_cannot_be_made_to_have_another_field() -> None:
    with pytest.raises(UpstreamError):
        relayed(200, b"OK", [(b"X-A", b"1\r\nX-B: 2")], b"", persistent=True)
