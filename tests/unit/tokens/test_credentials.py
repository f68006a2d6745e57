"""Tokens in requests and bodies: found, replaced, and nothing else touched."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import UnsupportedMediaType
from proxy.tokens import credentials

NESTED = b"[" * 100_000


@pytest.mark.parametrize(
    ("lines", "token"),
    [
        ([b"Bearer abc"], "abc"),
        ([b"bearer abc "], "abc"),
        ([b"BEARER  abc"], "abc"),
        ([b"Bearer\tabc\t"], "abc"),
        ([b"Bearer a b"], None),
        ([b"Basic abc"], None),
        ([b"Bearer"], None),
        ([b"Bearerabc"], None),
        ([b"Bearer a", b"Bearer b"], None),
        ([b"Bearer \xff"], "\xff"),
        ([], None),
    ],
)
def test_a_bearer_token_is_read_where_there_is_exactly_one(
    lines: list[bytes], token: str | None
) -> None:
    assert credentials.bearer(lines) == token


@pytest.mark.parametrize(
    ("target", "found"),
    [
        (b"/ws?token=abc", ["abc"]),
        (b"/ws?x=1&access_token=abc&token=d", ["abc", "d"]),
        (b"/ws?token=&access_token=abc", ["abc"]),
        (b"/ws?token=%61b%63", ["abc"]),
        (b"/ws?%74oken=abc&access%5ftoken=d", ["abc", "d"]),
        (b"/ws?token=a=b", ["a=b"]),
        (b"/ws?token=a+b%2", ["a b%2"]),
        (b"/ws?x=1", []),
        (b"/ws", []),
        (b"/ws?token", []),
        (b"/ws?tokens=1&xtoken=2", []),
    ],
)
def test_a_handshakes_tokens_are_read_from_its_query(target: bytes, found: list[str]) -> None:
    assert credentials.query_tokens(target) == found


def test_another_token_takes_its_place_and_every_other_byte_stays() -> None:
    fields = [(b"host", b"h"), (b"authorization", b"bearer old"), (b"X", b"old")]
    assert credentials.with_bearer(fields, "new") == [
        (b"host", b"h"),
        (b"authorization", b"Bearer new"),
        (b"X", b"old"),
    ]
    target = b"/old?a=%41&token=old&&b=old&access_token=other&access_token=old"
    assert credentials.with_query_token(target, "old", "new") == (
        b"/old?a=%41&token=new&&b=old&access_token=other&access_token=new"
    )
    assert credentials.with_query_token(b"/?%74oken=%6fld&a=%41", "old", "new") == (
        b"/?%74oken=new&a=%41"
    )
    assert credentials.with_query_token(b"/", "old", "new") == b"/"


def test_a_refresh_goes_with_the_host_and_the_address_of_whom_it_is_for() -> None:
    fields = [
        (b"Host", b"app"),
        (b"Cookie", b"c"),
        (b"Authorization", b"Bearer t"),
        (b"X-Forwarded-For", b"1.2.3.4"),
        (b"X-Request-Id", b"1"),
        (b"Via", b"1.1 segue"),
    ]
    names = [name for name, _ in credentials.carried(fields)]
    assert names == [b"Host", b"X-Forwarded-For", b"X-Request-Id", b"Via"]


def test_a_pair_is_read_from_what_a_login_answers() -> None:
    body = b'{"user": {"id": 1}, "access": "a", "refresh": "r", "more": 1}'
    assert credentials.read_pair(body) == credentials.Pair("a", "r")
    assert credentials.read_pair(b'{"access": "a"}') == credentials.Pair("a", None)
    assert "a" not in repr(credentials.Pair("a", "r")).replace("Pair", "")


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"null", b"{}", b'{"access": 1}', b'{"refresh": "r"}', NESTED, b"\xff"]
)
def test_what_is_no_pair_is_none(body: bytes) -> None:
    assert credentials.read_pair(body) is None


@given(st.binary(max_size=200))
def test_no_body_raises(body: bytes) -> None:
    credentials.read_pair(body)
    credentials.read_refresh(body)
    credentials.is_token_error(body)
    assert credentials.read_refresh(credentials.with_refresh(body, "r")) == "r"


JSON, FORM = b"application/json", b"application/x-www-form-urlencoded"


@pytest.mark.parametrize(
    ("kind", "body", "token"),
    [
        (JSON, b'{"refresh": "r"}', "r"),
        (b"application/json; charset=UTF-8", b'{"refresh": "r"}', "r"),
        (None, b'{"refresh": "r"}', "r"),
        (b"text/plain", b'{"refresh": "r"}', "r"),
        (JSON, rb'{"refr\u0065sh": "\u0072"}', "r"),
        (JSON, b'{"refresh": " r\\n"}', "r"),
        (JSON, b'{"refresh": "x", "refresh": "r", "n": NaN, "s": "\\ud800"}', "r"),
        (JSON, b'{"refresh": 1}', None),
        (JSON, b'["refresh"]', None),
        (JSON, b"refresh=r", None),
        (FORM, b"a=1&refresh=r", "r"),
        (b"Application/X-WWW-Form-URLEncoded; charset=utf-8", b"refr%65sh=x&refresh=+%72+", "r"),
        (FORM, b"refresh=", ""),
        (FORM, b'{"refresh": "r"}', None),
        (FORM, b"a=1&" * 1001 + b"refresh=r", None),
    ],
)
def test_a_refresh_token_is_read_as_servers_read_it(
    kind: bytes | None, body: bytes, token: str | None
) -> None:
    assert (credentials.read_refresh(body, [] if kind is None else [kind]) or "") == (token or "")


@pytest.mark.parametrize(
    "kinds",
    [
        [b"application/json; charset=utf-16"],
        [b"application/json; charset*=ascii''utf-7"],
        [b'application/x-www-form-urlencoded; charset="latin-1"'],
        [b"multipart/form-data; boundary=x"],
        [JSON, FORM],
    ],
)
def test_a_body_that_only_the_server_could_read_is_refused(kinds: list[bytes]) -> None:
    with pytest.raises(UnsupportedMediaType):
        credentials.read_refresh(b'{"refresh": "r"}', kinds)


@given(st.binary(max_size=60), st.binary(max_size=60))
def test_no_type_of_a_body_breaks_it(kind: bytes, body: bytes) -> None:
    with suppress(UnsupportedMediaType):
        credentials.read_refresh(body, [kind])


def test_a_refresh_token_is_put_into_a_body_and_the_rest_of_it_stays() -> None:
    assert credentials.read_refresh(b'{"refresh": "r", "n": 1.10}') == "r"
    assert credentials.with_refresh(b'{"refresh": "r", "n": 1.10}', 'x"y') == (
        b'{"refresh":"x\\"y","n":1.10}'
    )
    assert credentials.with_refresh(b"refresh=form", "x") == b'{"refresh":"x"}'
    assert credentials.with_refresh(b"", "x") == b'{"refresh":"x"}'
    assert credentials.with_refresh(NESTED, "x") == b'{"refresh":"x"}'
    assert json.loads(credentials.write_pair("a", "r")) == {"access": "a", "refresh": "r"}


def test_the_servers_token_error_is_told_from_other_refusals() -> None:
    error = b'{"detail": "Token is blacklisted", "code": "token_not_valid"}'
    assert credentials.is_token_error(error)
    assert not credentials.is_token_error(b'{"detail": "Forbidden", "code": "no"}')
    assert not credentials.is_token_error(b'{"detail": "token_not_valid"}')
    assert not credentials.is_token_error(error[:-1])
    assert not credentials.is_token_error(NESTED)
