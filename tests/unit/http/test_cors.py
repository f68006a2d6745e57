"""What Segue adds to CORS answers, and what it never opens."""

from __future__ import annotations

import pytest

from proxy.http.cors import allow_header, error_fields, is_preflight, preflight_fields

Fields = list[tuple[bytes, bytes]]

PAGE = b"https://app.example.com"
PREFLIGHT: Fields = [
    (b"Host", b"api.example.com"),
    (b"Origin", PAGE),
    (b"Access-Control-Request-Method", b"GET"),
    (b"Access-Control-Request-Headers", b"x-client-version"),
]
NAME = b"X-Client-Version"
ALLOWED = (b"Access-Control-Allow-Origin", PAGE)
ANY = (b"access-control-allow-origin", b"*")
CREDENTIALS = (b"Access-Control-Allow-Credentials", b"true")
HEADERS = b"Access-Control-Allow-Headers"


def test_a_preflight_is_options_with_origin_and_requested_method() -> None:
    assert is_preflight("OPTIONS", PREFLIGHT)
    assert not is_preflight("GET", PREFLIGHT)
    assert not is_preflight("OPTIONS", [field for field in PREFLIGHT if field[0] != b"Origin"])
    assert not is_preflight("OPTIONS", PREFLIGHT[:2])


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ([ALLOWED], [ALLOWED, (HEADERS, NAME)]),
        ([ANY], [ANY, (HEADERS, NAME)]),
        (
            [(b"access-control-ALLOW-headers", b"authorization, content-type"), ALLOWED],
            [
                (b"access-control-ALLOW-headers", b"authorization, content-type, " + NAME),
                ALLOWED,
            ],
        ),
        (
            [(HEADERS, b"a"), ALLOWED, (HEADERS, b"b"), (b"Via", b"x")],
            [(HEADERS, b"a"), ALLOWED, (HEADERS, b"b, " + NAME), (b"Via", b"x")],
        ),
        ([ALLOWED, (HEADERS, b" ")], [ALLOWED, (HEADERS, NAME)]),
        # A header of a similar name is another header.
        (
            [ALLOWED, (HEADERS, b"x-client-versions")],
            [ALLOWED, (HEADERS, b"x-client-versions, " + NAME)],
        ),
        # For a request with credentials `*` is a name like any other (Fetch, CORS-preflight fetch).
        ([ALLOWED, CREDENTIALS, (HEADERS, b"*")], [ALLOWED, CREDENTIALS, (HEADERS, b"*, " + NAME)]),
    ],
)
def test_the_version_header_is_added_where_the_origin_is_allowed(
    answer: Fields, expected: Fields
) -> None:
    assert allow_header(PREFLIGHT, answer, NAME) == expected


@pytest.mark.parametrize(
    "answer",
    [
        [],
        [(HEADERS, b"authorization")],
        [(b"Access-Control-Allow-Origin", b"https://other.example.com"), (HEADERS, b"a")],
        [(b"Access-Control-Allow-Origin", PAGE.upper())],
        [ALLOWED, ALLOWED],
        [(b"Access-Control-Allow-Origin", b"")],
        [ALLOWED, (HEADERS, b"a,x-CLIENT-version ,b")],
        [ALLOWED, (HEADERS, b"a"), (HEADERS, b"x-client-version")],
        [ALLOWED, (HEADERS, b"*")],
        [ALLOWED, (b"Access-Control-Allow-Credentials", b"TRUE"), (HEADERS, b"*")],
    ],
)
def test_other_answers_stay_as_they_are(answer: Fields) -> None:
    before = list(answer)
    assert allow_header(PREFLIGHT, answer, NAME) == before
    assert answer == before


def test_two_origins_are_nobodys() -> None:
    twice = [*PREFLIGHT, (b"Origin", PAGE)]
    assert allow_header(twice, [ALLOWED], NAME) == [ALLOWED]
    assert error_fields(twice, [PAGE.decode()]) == [(b"Vary", b"Origin")]


def test_an_opaque_origin_is_allowed_only_by_its_name() -> None:
    sandboxed = [(b"Origin", b"null"), *PREFLIGHT[2:]]
    allowed = [(b"Access-Control-Allow-Origin", b"null")]
    assert allow_header(sandboxed, allowed, NAME) == [*allowed, (HEADERS, NAME)]
    assert error_fields(sandboxed, [PAGE.decode()]) == [(b"Vary", b"Origin")]


def test_an_error_is_readable_for_a_listed_origin() -> None:
    assert error_fields(PREFLIGHT, (PAGE.decode(),)) == [
        (b"Access-Control-Allow-Origin", PAGE),
        (b"Access-Control-Allow-Credentials", b"true"),
        (b"Vary", b"Origin"),
    ]


@pytest.mark.parametrize(
    "origin",
    [b"https://evil.example", PAGE + b".evil.example", PAGE + b"\xff", b"http://app.example.com"],
)
def test_an_error_is_not_readable_for_other_origins_but_varies(origin: bytes) -> None:
    assert error_fields([(b"origin", origin)], (PAGE.decode(),)) == [(b"Vary", b"Origin")]
    assert error_fields([], (PAGE.decode(),)) == [(b"Vary", b"Origin")]


def test_without_listed_origins_errors_carry_no_cors_fields() -> None:
    assert error_fields(PREFLIGHT, ()) == []


def test_a_star_allows_every_page_without_credentials() -> None:
    for request in (PREFLIGHT, []):
        assert error_fields(request, ("*",)) == [(b"Access-Control-Allow-Origin", b"*")]


ORIGIN, METHOD = PREFLIGHT[1], PREFLIGHT[2]
REQUESTED = b"Access-Control-Request-Headers"
METHODS = (b"Access-Control-Allow-Methods", b"GET")
NOT_KEPT = (b"Access-Control-Max-Age", b"0")
VARY = (b"Vary", b"Origin")


def test_a_preflight_of_a_listed_origin_gets_what_it_asks_for_and_nobody_keeps_that() -> None:
    assert preflight_fields(
        [ORIGIN, METHOD, (REQUESTED, b"X-Client-Version, authorization")], (PAGE.decode(),)
    ) == [
        *(ALLOWED, CREDENTIALS, VARY, METHODS),
        (HEADERS, b"authorization, x-client-version"),
        NOT_KEPT,
    ]
    assert preflight_fields([ORIGIN, METHOD], (PAGE.decode(),)) == [
        *(ALLOWED, CREDENTIALS, VARY, METHODS, NOT_KEPT)
    ]


def test_a_star_allows_the_preflights_of_every_page_without_credentials() -> None:
    anybody = (b"Access-Control-Allow-Origin", b"*")
    assert preflight_fields([ORIGIN, METHOD], ("*",)) == [anybody, METHODS, NOT_KEPT]


@pytest.mark.parametrize(
    ("request_fields", "origins"),
    [
        (PREFLIGHT, ()),
        (PREFLIGHT, ("https://other.example.com",)),
        ([*PREFLIGHT, ORIGIN], (PAGE.decode(),)),
        ([*PREFLIGHT, METHOD], (PAGE.decode(),)),
        ([ORIGIN, (METHOD[0], b"GET, PUT")], (PAGE.decode(),)),
        ([ORIGIN, (METHOD[0], b"")], (PAGE.decode(),)),
        ([ORIGIN, METHOD, (REQUESTED, b"a b")], (PAGE.decode(),)),
        ([ORIGIN, METHOD, (REQUESTED, b"a, b\x00")], (PAGE.decode(),)),
    ],
    ids=["none", "other", "two origins", "two methods", "a list", "empty", "space", "control"],
)
def test_other_preflights_are_not_answered(
    request_fields: Fields, origins: tuple[str, ...]
) -> None:
    assert preflight_fields(request_fields, origins) is None
