"""Cookies of a request: read, and taken out."""

from __future__ import annotations

import pytest

from proxy.http.cookies import cookie_of, without_cookie


def test_a_cookie_is_read_where_there_is_exactly_one() -> None:
    fields = [(b"Cookie", b"a=1; sid=x=y"), (b"cookie", b"xsid=2")]
    assert cookie_of(fields, b"sid") == "x=y"
    assert cookie_of(fields, b"b") is None
    assert cookie_of([*fields, (b"Cookie", b"sid=z")], b"sid") is None


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"sid=1", None),
        (b"a=1; sid=2; b=3", b"a=1; b=3"),
        (b"sid=2; b=3", b"b=3"),
        (b"a=sid; b=3", b"a=sid; b=3"),
        (b"b = 3 ;sid=1", b"b = 3 "),
    ],
)
def test_a_cookie_is_taken_out_and_the_others_keep_their_bytes(
    before: bytes, after: bytes | None
) -> None:
    fields = [(b"Cookie", before), (b"X", b"sid=1")]
    expected = [(b"X", b"sid=1")] if after is None else [(b"Cookie", after), (b"X", b"sid=1")]
    assert without_cookie(fields, b"sid") == expected
