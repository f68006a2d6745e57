"""Bodies that may be rewritten: which they are, and the fields that go with the old bytes."""

from __future__ import annotations

import pytest

from proxy.http.headers import Fields
from proxy.http.representation import (
    ask_for_identity,
    has_length,
    is_json,
    vary,
    with_length,
    without_length,
)


@pytest.mark.parametrize(
    "fields",
    [
        [(b"Content-Type", b"application/json")],
        [(b"content-type", b" Application/JSON ; charset=utf-8")],
        [(b"Content-Type", b"application/problem+json")],
        [(b"Content-Type", b"application/json"), (b"Content-Encoding", b" Identity ")],
        [(b"Content-Type", b"application/json"), (b"Content-Encoding", b"")],
    ],
)
def test_json_that_can_be_read(fields: Fields) -> None:
    assert is_json(fields)


@pytest.mark.parametrize(
    "fields",
    [
        [],
        [(b"Content-Type", b"text/html")],
        [(b"Content-Type", b"text/x+json")],
        [(b"Content-Type", b"application/jsonl")],
        [(b"Content-Type", b"application/json"), (b"Content-Type", b"application/json")],
        [(b"Content-Type", b"application/json"), (b"Content-Encoding", b"gzip")],
    ],
)
def test_what_is_no_json_or_encoded_is_left_alone(fields: Fields) -> None:
    assert not is_json(fields)


def test_the_whole_body_is_asked_for_unencoded_and_writes_stay_guarded() -> None:
    fields = [
        (b"Accept-Encoding", b"gzip"),
        (b"RANGE", b"bytes=0-1"),
        (b"If-None-Match", b'"1"'),
        (b"If-Modified-Since", b"x"),
        (b"If-Range", b'"1"'),
        (b"If-Match", b'"1"'),
        (b"If-Unmodified-Since", b"x"),
        (b"Accept", b"*/*"),
    ]
    assert ask_for_identity(fields) == [*fields[5:], (b"Accept-Encoding", b"identity")]


def test_what_described_the_old_bytes_goes_and_the_new_length_comes() -> None:
    kept = [(b"Content-Type", b"application/json"), (b"Cache-Control", b"no-store")]
    names = [b"ETag", b"Last-Modified", b"Content-MD5", b"Digest", b"Content-Digest"]
    names += [b"Repr-Digest", b"Accept-Ranges", b"Content-Length"]
    fields = [kept[0], *((name, b"x") for name in names), kept[1]]
    assert without_length(fields) == kept
    assert with_length(fields, 17) == [*kept, (b"Content-Length", b"17")]


@pytest.mark.parametrize(
    ("lines", "added"),
    [
        ([], True),
        ([b"Accept"], True),
        ([b"Accept, x-client-version"], False),
        ([b"Accept", b" X-Client-Version "], False),
        ([b"*"], False),
        ([b"X-Client-Version-2"], True),
    ],
)
def test_vary_names_the_field_once(lines: list[bytes], added: bool) -> None:
    fields = [(b"Vary", line) for line in lines]
    name = (b"Vary", b"X-Client-Version")
    assert vary(fields, b"X-Client-Version") == ([*fields, name] if added else fields)


@pytest.mark.parametrize(
    ("lines", "announced"), [([], False), ([b"0"], False), ([b" 0 "], False), ([b"1"], True)]
)
def test_a_length_of_nothing_announces_no_body(lines: list[bytes], announced: bool) -> None:
    assert has_length([(b"Content-Length", line) for line in lines]) is announced
