"""When one answer may be given to several requests."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.http.sharing import (
    age_of,
    has_credentials,
    likeness,
    longest_age,
    longest_kept,
    may_be_shared,
    may_wait,
)

Fields = list[tuple[bytes, bytes]]
SECRET = b"s" * 16

fields = st.lists(st.tuples(st.binary(min_size=1), st.binary()), max_size=5)


@pytest.mark.parametrize(
    ("method", "version", "sent", "expected"),
    [
        ("GET", (1, 1), [], True),
        ("GET", (1, 1), [(b"Host", b"h"), (b"Content-Length", b" 0")], True),
        ("GET", (1, 1), [(b"If-None-Match", b'"1"'), (b"Cache-Control", b"no-cache")], True),
        ("HEAD", (1, 1), [], False),
        ("POST", (1, 1), [], False),
        ("GET", (1, 0), [], False),
        ("GET", (1, 1), [(b"Content-Length", b"1")], False),
        ("GET", (1, 1), [(b"transfer-encoding", b"chunked")], False),
        ("GET", (1, 1), [(b"RANGE", b"bytes=0-1")], False),
        ("GET", (1, 1), [(b"If-Range", b'"1"')], False),
        ("GET", (1, 1), [(b"Expect", b"100-continue")], False),
        ("GET", (1, 1), [(b"Cache-Control", b"max-age=0, No-Store")], False),
    ],
)
def test_only_plain_reads_wait_for_each_other(
    method: str, version: tuple[int, int], sent: Fields, expected: bool
) -> None:
    assert may_wait(method, version, sent) is expected


ASKED: Fields = [(b"Host", b"h"), (b"Accept", b"*/*"), (b"Cookie", b"a=1")]


@pytest.mark.parametrize(
    ("target", "sent"),
    [
        (b"/a?", ASKED),
        (b"/A", ASKED),
        (b"/a", ASKED[:-1]),
        (b"/a", [*ASKED[:-1], (b"Cookie", b"a=2")]),
        (b"/a", [*ASKED, (b"Authorization", b"Bearer x")]),
        (b"/a", [*ASKED, (b"X-Forwarded-For", b"192.0.2.1")]),
        (b"/a", [*ASKED, (b"X-Anything", b"1")]),
        (b"/a", [*ASKED, (b"Accept", b"*/*")]),
        (b"/a", ASKED[::-1]),
        (b"/a", [(b"Host", b"h"), (b"Accept", b"*/*\ncookie"), (b"a=1", b"")]),
    ],
)
def test_requests_that_the_server_can_tell_apart_are_not_alike(target: bytes, sent: Fields) -> None:
    assert likeness(target, sent, SECRET) != likeness(b"/a", ASKED, SECRET)


def test_what_names_a_single_request_and_the_spelling_of_names_tell_nothing_apart() -> None:
    others = [(b"X-Request-Id", b"1"), (b"traceparent", b"00-1"), (b"TraceState", b"a=1")]
    respelled = [(name.upper(), value) for name, value in ASKED]
    assert likeness(b"/a", [*others, *respelled], SECRET) == likeness(b"/a", ASKED, SECRET)


@given(st.binary(), fields, st.binary(), fields)
def test_likeness_is_what_is_compared_and_nothing_runs_together(
    target: bytes, sent: Fields, other_target: bytes, other: Fields
) -> None:
    ignored = {b"x-request-id", b"traceparent", b"tracestate"}

    def compared(asked: Fields) -> Fields:
        return [(name.lower(), value) for name, value in asked if name.lower() not in ignored]

    same = target == other_target and compared(sent) == compared(other)
    assert (likeness(target, sent, SECRET) == likeness(other_target, other, SECRET)) is same


def test_likeness_is_short_and_another_with_another_secret() -> None:
    assert len(likeness(b"/a" * 30_000, ASKED, SECRET)) == 32
    assert likeness(b"/a", ASKED, b"t" * 16) != likeness(b"/a", ASKED, SECRET)


def test_credentials_are_tokens_and_cookies() -> None:
    assert has_credentials([(b"AUTHORIZATION", b"Bearer x")])
    assert has_credentials([(b"cookie", b"a=1")])
    assert not has_credentials([(b"Host", b"h"), (b"Accept", b"*/*")])


@pytest.mark.parametrize(
    ("status", "answered", "expected"),
    [
        (200, [], True),
        (204, [], True),
        (304, [(b"ETag", b'"1"')], True),
        (404, [], True),
        (503, [(b"Retry-After", b"1")], True),
        (200, [(b"Cache-Control", b"no-cache, max-age=0"), (b"Vary", b"Accept, Cookie")], True),
        (103, [], False),
        (206, [], False),
        (401, [], False),
        (407, [], False),
        (421, [], False),
        (200, [(b"SET-COOKIE", b"a=1")], False),
        (200, [(b"Authentication-Info", b"nextnonce=1")], False),
        (200, [(b"Clear-Site-Data", b'"*"')], False),
        (200, [(b"Cache-Control", b"max-age=1"), (b"cache-control", b"No-Store")], False),
        (200, [(b"Vary", b"Accept"), (b"vary", b"*")], False),
        (200, [(b"Vary", b"Accept, X-Request-ID")], False),
        (200, [(b"Content-Type", b"text/event-stream; charset=utf-8")], False),
    ],
)
def test_what_is_for_one_client_is_not_shared(
    status: int, answered: Fields, expected: bool
) -> None:
    assert may_be_shared(status, answered, has_credentials=True) is expected
    assert may_be_shared(status, answered, has_credentials=False) is expected


@pytest.mark.parametrize("directive", [b"private", b'max-age=1,PRIVATE="set-cookie, x"'])
def test_what_is_private_is_shared_only_where_credentials_say_whose_it_is(
    directive: bytes,
) -> None:
    answered = [(b"Cache-Control", directive)]
    assert may_be_shared(200, answered, has_credentials=True)
    assert not may_be_shared(200, answered, has_credentials=False)


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ([], inf),
        ([(b"Cache-Control", b"only-if-cached")], inf),
        ([(b"Cache-Control", b"No-Cache")], 0),
        ([(b"Cache-Control", b"a"), (b"cache-control", b"no-store")], 0),
        ([(b"Cache-Control", b"max-age=0")], 0),
        ([(b"Cache-Control", b'max-age="3", max-age=2')], 2),
        ([(b"Cache-Control", b"max-age=soon")], 0),
        ([(b"Cache-Control", b"max-age")], 0),
        ([(b"Pragma", b"no-cache")], 0),
        ([(b"Pragma", b"no-cache"), (b"Cache-Control", b"max-age=2")], 2),
    ],
)
def test_a_request_says_how_old_an_answer_may_be(sent: Fields, expected: float) -> None:
    assert longest_age(sent) == expected


@pytest.mark.parametrize(
    ("status", "answered", "expected"),
    [
        (200, [], inf),
        (204, [], inf),
        (304, [(b"ETag", b'"1"')], inf),
        (404, [], inf),
        (500, [], 0),
        (403, [], 0),
        (302, [], 0),
        (200, [(b"Cache-Control", b"private, must-revalidate")], inf),
        (200, [(b"Cache-Control", b"No-Cache")], 0),
        (200, [(b"Cache-Control", b'no-cache="set-cookie"')], 0),
        (200, [(b"Cache-Control", b"no-store")], 0),
        (200, [(b"Cache-Control", b"max-age=0, must-revalidate")], 0),
        (200, [(b"Cache-Control", b"max-age=60, s-maxage=5")], 5),
        (200, [(b"Cache-Control", b"max-age=60"), (b"Age", b"58")], 2),
        (200, [(b"Cache-Control", b"max-age=60"), (b"Age", b"61")], 0),
        (200, [(b"Pragma", b"no-cache")], 0),
        (200, [(b"Expires", b"0")], 0),
        (200, [(b"Expires", b"0"), (b"Cache-Control", b"max-age=3")], 3),
    ],
)
def test_an_answer_says_for_how_long_it_may_be_kept(
    status: int, answered: Fields, expected: float
) -> None:
    assert longest_kept(status, answered) == expected


def test_the_age_of_an_answer_is_the_highest_that_can_be_read() -> None:
    assert age_of([]) == 0
    assert age_of([(b"age", b" 3 "), (b"Age", b"1"), (b"Age", b"-9"), (b"Age", b"x")]) == 3
    assert age_of([(b"Age", b"9" * 5000)]) == 999_999_999
