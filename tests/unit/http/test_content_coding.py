"""Bodies that come compressed, and such that only say so."""

from __future__ import annotations

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.http.content_coding import accepts_gzip, plain

TEXT = b'{"code":"token_not_valid"}'
MOST = 1024
GZIP = gzip.compress(TEXT)


def said(coding: bytes) -> list[tuple[bytes, bytes]]:
    return [(b"Content-Type", b"application/json"), (b"CONTENT-ENCODING", coding)]


@pytest.mark.parametrize(
    ("body", "coding"),
    [
        pytest.param(TEXT, b"identity", id="identity"),
        pytest.param(TEXT, b" Identity ", id="identity-in-white-space"),
        pytest.param(TEXT, b"", id="no-coding"),
        pytest.param(GZIP, b"gzip", id="gzip"),
        pytest.param(GZIP, b"GZIP", id="gzip-in-capitals"),
        pytest.param(GZIP, b"x-gzip", id="x-gzip"),
        pytest.param(zlib.compress(TEXT), b"deflate", id="deflate"),
    ],
)
def test_what_a_body_says_is_read(body: bytes, coding: bytes) -> None:
    assert plain(body, said(coding), MOST) == TEXT


def test_a_body_without_a_coding_is_itself() -> None:
    assert plain(TEXT, [], 1) == TEXT


@pytest.mark.parametrize(
    ("body", "coding"),
    [
        pytest.param(TEXT, b"gzip", id="not-compressed"),
        pytest.param(TEXT, b"br", id="unknown-coding"),
        pytest.param(GZIP[:-9], b"gzip", id="no-end"),
        pytest.param(GZIP[:5], b"gzip", id="half-a-header"),
        pytest.param(GZIP[:-8] + b"\0" * 8, b"gzip", id="wrong-checksum"),
        pytest.param(gzip.compress(GZIP), b"gzip, gzip", id="twice"),
        pytest.param(b"", b"gzip", id="nothing"),
    ],
)
def test_what_cannot_be_read_says_nothing(body: bytes, coding: bytes) -> None:
    assert plain(body, said(coding), MOST) == b""


def test_two_fields_are_two_codings() -> None:
    assert plain(gzip.compress(TEXT), [*said(b"gzip"), *said(b"gzip")], MOST) == b""


@pytest.mark.parametrize("size", [MOST + 1, 100_000_000])
def test_a_body_that_grows_too_large_says_nothing(size: int) -> None:
    assert plain(gzip.compress(b"x" * size), said(b"gzip"), MOST) == b""
    assert plain(gzip.compress(b"x" * MOST), said(b"gzip"), MOST) == b"x" * MOST


@given(st.binary(max_size=200), st.sampled_from([b"gzip", b"deflate", b"br", b"gzip, br", b"\xff"]))
def test_no_bytes_break_it(body: bytes, coding: bytes) -> None:
    assert len(plain(body, said(coding), MOST)) <= MOST


@pytest.mark.parametrize(
    ("values", "accepted"),
    [
        ([], False),
        (["gzip"], True),
        (["br, GZIP ;q=0.5"], True),
        (["br", "gzip"], True),
        (["gzip;q=0"], False),
        (["gzip; Q=0.000, br"], False),
        (["*"], True),
        (["gzip;q=0, *"], False),
        (["*;q=0"], False),
        (["identity, br;q=1.0"], False),
        (["gzip;level=0"], True),
    ],
)
def test_who_takes_gzip(values: list[str], accepted: bool) -> None:
    assert accepts_gzip(values) is accepted
