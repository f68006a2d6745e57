"""Tokens in the heads of requests: found, replaced, and nothing else touched."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.tokens.places import TokenPlaces

PLACES = TokenPlaces()
JWT_AND_TOKEN = TokenPlaces(schemes=frozenset({b"jwt", b"token"}))


@pytest.mark.parametrize(
    ("lines", "token"),
    [
        ([b"Bearer abc"], "abc"),
        ([b"bearer abc "], "abc"),
        ([b"BEARER  abc"], "abc"),
        ([b"Bearer\tabc\t"], "abc"),
        ([b"Bearer a b"], None),
        ([b"Basic abc"], None),
        ([b"JWT abc"], None),
        ([b"Bearer"], None),
        ([b"Bearerabc"], None),
        ([b"Bearer a", b"Bearer b"], None),
        ([b"Bearer \xff"], None),
        ([b"Bearer a,b"], None),
        ([b"Bearer a;b"], None),
        ([b'Bearer "a"'], None),
        ([b"Bearer 1|ab=~+/"], "1|ab=~+/"),
        ([], None),
    ],
)
def test_a_bearer_token_is_read_where_there_is_exactly_one(
    lines: list[bytes], token: str | None
) -> None:
    assert PLACES.bearer(lines) == token


@pytest.mark.parametrize(
    ("line", "token"),
    [(b"JWT abc", "abc"), (b"token abc", "abc"), (b"Bearer abc", None), (b"Basic abc", None)],
)
def test_a_token_is_read_behind_the_schemes_that_are_named(line: bytes, token: str | None) -> None:
    assert JWT_AND_TOKEN.bearer([line]) == token


HEAD = b"eyJhbGciOiJIUzI1NiJ9"
JWT = HEAD + b".eyJleHAiOjE4MDAwMDAwMDB9.c2ln"


@pytest.mark.parametrize(
    "value",
    [
        b"Basic YTpi, Bearer " + JWT,
        b"Bearer x, Bearer " + JWT,
        b"Bearer " + JWT + b", x",
        b"Bearer " + JWT + b";x",
        b"Bearer\xa0" + JWT,
        b"Bearer\xc2\xa0" + JWT,
        b"Bearer\x85" + JWT,
        b"Bearer\xe3\x80\x80" + JWT,
        b'Bearer "' + JWT + b'"',
        b'Bearer token="' + JWT + b'"',
        b"bearer" + JWT,
        b"Bearer, " + JWT,
        b"Bearer: " + JWT,
        b"Bearer x " + JWT,
        b"Bearer " + JWT + b" x",
        b"x,BEARER " + JWT,
        b'Digest realm="x, Bearer ' + JWT + b'"',
        b"Bearer " + JWT.replace(b".c2ln", b"."),
    ],
)
def test_what_hides_a_token_is_known(value: bytes) -> None:
    assert PLACES.bearer([value]) is None or value.endswith(b".")
    assert PLACES.may_hide_bearer(value)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"Bearer",
        b"Bearer ",
        b"Bearer null",
        b"Bearer 1|LcTqEKLPm5zTZN",
        b"Bearer a b",
        b"Basic YmVhcmVyOmJlYXJlcg==",
        b'Digest username="bearer", realm="Bearer tokens", uri="/a.b.c/", response="6629fae49393"',
        b'Digest username="bearer", realm="www.example.com", nonce="dcd98b7102dd2f0e8b11d0f6"',
        b"AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/bearer/s3/aws4_request",
        b"Negotiate YIIJvwYGKwYBBQUCoIIJszCCCa+gJDAi",
        b"JWT " + JWT,
        b"Forbearer " + JWT,
        b"x-bearer " + JWT,
        b"Bearer " + b"a" * 100_000,
    ],
)
def test_credentials_of_other_kinds_hide_none(value: bytes) -> None:
    assert not PLACES.may_hide_bearer(value)


def test_a_scheme_is_known_in_whatever_case_a_server_takes_it() -> None:
    assert JWT_AND_TOKEN.may_hide_bearer(b"To\xe2\x84\xaaen " + JWT)
    assert JWT_AND_TOKEN.may_hide_bearer(b"x, jWt " + JWT)
    assert not JWT_AND_TOKEN.may_hide_bearer(b"x, Bearer " + JWT)


@pytest.mark.parametrize(
    ("places", "before", "after"),
    [
        (PLACES, b"bearer old", b"bearer new"),
        (PLACES, b"BEARER\told", b"BEARER new"),
        (PLACES, b"Basic dXNlcjpwYXNz", b"Basic dXNlcjpwYXNz"),
        (PLACES, b"", b""),
        (JWT_AND_TOKEN, b"Token old", b"Token new"),
        (JWT_AND_TOKEN, b"JWT old", b"JWT new"),
        (JWT_AND_TOKEN, b"Bearer old", b"Bearer old"),
    ],
)
def test_a_token_that_takes_anothers_place_keeps_the_clients_scheme(
    places: TokenPlaces, before: bytes, after: bytes
) -> None:
    fields = [(b"host", b"h"), (b"authorization", before), (b"X", b"old")]
    assert places.with_bearer(fields, "new") == [
        (b"host", b"h"),
        (b"authorization", after),
        (b"X", b"old"),
    ]


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
    assert PLACES.query_tokens(target) == found


def test_another_token_takes_its_place_in_the_query_and_every_other_byte_stays() -> None:
    target = b"/old?a=%41&token=old&&b=old&access_token=other&access_token=old"
    assert PLACES.with_query_token(target, "old", "new") == (
        b"/old?a=%41&token=new&&b=old&access_token=other&access_token=new"
    )
    assert PLACES.with_query_token(b"/?%74oken=%6fld&a=%41", "old", "new") == (
        b"/?%74oken=new&a=%41"
    )
    assert PLACES.with_query_token(b"/", "old", "new") == b"/"


def test_a_query_is_read_with_semicolons_too() -> None:
    assert set(PLACES.query_tokens(b"/?a=1;token=x&b;access_token=y")) == {"x", "y"}
    assert set(PLACES.query_tokens(b"/?token=x;b=1")) == {"x;b=1", "x"}
    assert PLACES.with_query_token(b"/?a=1;token=x&token=x;b", "x", "n") == (
        b"/?a=1;token=n&token=n;b"
    )
    assert PLACES.with_query_token(b"/?token=x;b=1&c;d", "x;b=1", "n") == b"/?token=n&c;d"


def test_a_parameters_name_is_read_as_php_reads_it() -> None:
    assert PLACES.query_tokens(b"/?access.token=x&token%00y=z&+token=w") == ["x", "z", "w"]
    assert PLACES.with_query_token(b"/?access.token=x", "x", "n") == b"/?access.token=n"


QUERY_PIECES = ["token", "access_token", "access", "a.b[c", "a_b_c", "_", ".", "[", " ", "+", "%5f"]
QUERY_PIECES += [
    "%74oken",
    "%00",
    "%20",
    "%ef%bb%bf",
    "\x00",
    "\xa0",
    "=",
    "&",
    ";",
    "x",
    "toke",
    "n",
]


@given(st.lists(st.sampled_from(QUERY_PIECES), max_size=12))
def test_no_spelling_of_a_parameter_is_passed_over_because_a_query_looks_harmless(
    pieces: list[str],
) -> None:
    places = TokenPlaces(query=frozenset({"token", "access_token", "a.b[c"}))
    thorough = TokenPlaces(query=places.query)
    object.__setattr__(thorough, "_may_be_in_query", re.compile(b""))
    target = b"/ws?" + "".join(pieces).encode("latin-1")
    assert places.query_tokens(target) == thorough.query_tokens(target)


def test_a_parameter_of_another_name_is_read_where_it_is_named() -> None:
    places = TokenPlaces(query=frozenset({"jwt"}))
    assert places.query_tokens(b"/ws?token=a&jwt=b") == ["b"]
    assert places.with_query_token(b"/ws?token=b&jwt=b", "b", "n") == b"/ws?token=b&jwt=n"


COOKIES = TokenPlaces(access_cookie=b"at", refresh_cookie=b"rt", subprotocol=b"bearer")
FIELDS = [
    (b"Authorization", b"Bearer old"),
    (b"Cookie", b"at=old; rt=r; x=old"),
    (b"Sec-WebSocket-Protocol", b"bearer, old, old , chat"),
    (b"X", b"old"),
]


def test_a_token_is_replaced_wherever_it_stands() -> None:
    assert COOKIES.with_access(FIELDS, "old", "new") == [
        (b"Authorization", b"Bearer new"),
        (b"Cookie", b"at=new; rt=r; x=old"),
        (b"Sec-WebSocket-Protocol", b"bearer, new, old, chat"),
        (b"X", b"old"),
    ]
    assert COOKIES.with_access(FIELDS, "other", "new") == FIELDS
    assert PLACES.with_access(FIELDS, "old", "new") == [
        (b"Authorization", b"Bearer new"),
        *FIELDS[1:],
    ]


def test_tokens_are_found_in_cookies_and_offers_that_are_named() -> None:
    assert COOKIES.cookie_tokens(FIELDS) == ["old"]
    assert COOKIES.refresh_cookies(FIELDS) == ["r"]
    assert COOKIES.offered_tokens(FIELDS) == ["old"]
    assert COOKIES.offered_tokens([(b"sec-websocket-protocol", b"chat,,bearer")]) == []
    assert COOKIES.other_tokens(FIELDS, b"/?token=q") == ["q", "old", "old"]
    assert COOKIES.other_tokens(FIELDS, None) == ["old"]
    assert PLACES.cookie_tokens(FIELDS) == PLACES.refresh_cookies(FIELDS) == []
    assert PLACES.offered_tokens(FIELDS) == []


def test_cookies_that_servers_may_read_and_that_are_not_read_are_taken_out() -> None:
    hidden = rb'at="\145y"; x=1; rt=%65y'
    assert COOKIES.cookie_tokens([(b"Cookie", hidden)]) == []
    assert COOKIES.refresh_cookies([(b"Cookie", hidden)]) == []
    assert COOKIES.hides_refresh([(b"Cookie", hidden)])
    assert not COOKIES.hides_refresh([(b"Cookie", rb'at="\145y"; rt=ey')])
    assert COOKIES.without_hidden_cookies([(b"Cookie", hidden)]) == [(b"Cookie", b"x=1")]
    assert PLACES.without_hidden_cookies([(b"Cookie", hidden)]) == [(b"Cookie", hidden)]
    assert not PLACES.hides_refresh([(b"Cookie", hidden)])


def test_a_refresh_token_stands_in_authorization_where_that_is_so() -> None:
    places = TokenPlaces(refresh_in_authorization=True, scheme=b"JWT", schemes=frozenset({b"jwt"}))
    assert places.with_refresh([(b"H", b"h")], "r") == [
        (b"H", b"h"),
        (b"Authorization", b"JWT r"),
    ]
    assert PLACES.with_refresh([(b"H", b"h")], "r") == [(b"H", b"h")]
    fields = [(b"authorization", b"jwt old"), (b"Cookie", b"rt=old")]
    assert places.with_other_refresh(fields, "old", "new") == [
        (b"authorization", b"jwt new"),
        fields[1],
    ]
    assert places.with_other_refresh(fields, "o", "new") == fields
    assert COOKIES.with_other_refresh(fields, "old", "new") == [fields[0], (b"Cookie", b"rt=new")]


def test_a_refresh_needs_no_body_where_its_token_stands_in_a_field() -> None:
    assert COOKIES.has_refresh_in_fields
    assert TokenPlaces(refresh_in_authorization=True).has_refresh_in_fields
    assert not PLACES.has_refresh_in_fields


def test_an_access_token_is_taken_out_wherever_it_stands() -> None:
    rest = [(b"Cookie", b"rt=r; x=old"), *FIELDS[2:]]
    assert COOKIES.without_access(FIELDS, {"old"}) == rest
    assert COOKIES.without_access(FIELDS, {"r"}) == FIELDS
    assert PLACES.without_access(FIELDS, {"old"}) == FIELDS[1:]
    other = [(b"Authorization", b"Basic old")]
    assert PLACES.without_access(other, {"old"}) == other


@pytest.mark.parametrize("adds", [True, False])
def test_a_logout_goes_with_the_tokens_that_are_current(*, adds: bool) -> None:
    fields = [(b"Cookie", b"at=old; rt=r")]
    assert COOKIES.with_current(fields, "a", "b", adds=adds)[0] == (b"Cookie", b"at=a; rt=b")
    assert COOKIES.with_current([(b"authorization", b"bearer old")], "a", "b", adds=adds) == [
        (b"authorization", b"bearer a")
    ]
    # The credentials of a client of OAuth's, say (RFC 7009 section 2.1).
    other = [(b"Cookie", b"x=y"), (b"Authorization", b"Basic YTpi")]
    assert COOKIES.with_current(other, "a", "b", adds=adds) == other


def test_a_logout_by_a_cookie_alone_gets_no_access_token() -> None:
    assert COOKIES.with_current([(b"Cookie", b"rt=r")], "a", "b", adds=False) == [
        (b"Cookie", b"rt=b")
    ]
    assert COOKIES.with_current([(b"Cookie", b"rt=r")], "a", "b", adds=True) == [
        (b"Cookie", b"rt=b; at=a")
    ]
    fields = [(b"Cookie", b"at=old")]
    assert PLACES.with_current(fields, "a", "b", adds=False) == fields
    assert PLACES.with_current(fields, "a", "b", adds=True) == [
        *fields,
        (b"Authorization", b"Bearer a"),
    ]
