"""Tokens in the bodies of the routes of tokens: found, replaced, and nothing else touched."""

from __future__ import annotations

import json
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.tokens import bodies
from proxy.tokens.bodies import Pair
from proxy.tokens.places import TokenPlaces

NESTED = b"[" * 100_000
PLACES = TokenPlaces()
FIELD = ("refresh",)
ENVELOPE = TokenPlaces(
    access=("data", "tokens", "access"), refresh=("data", "tokens", "refresh_token")
)


def test_a_pair_is_read_from_what_a_login_answers() -> None:
    body = b'{"user": {"id": 1}, "access": "a", "refresh": "r", "more": 1}'
    assert bodies.read_pair(body, PLACES) == Pair("a", "r")
    assert bodies.read_pair(b'{"access": "a"}', PLACES) == Pair("a", None)
    assert bodies.read_pair(b'{"access": "a", "refresh": null}', PLACES) == Pair("a", None)
    assert "a" not in repr(Pair("a", "r")).replace("Pair", "")


def test_a_pair_is_read_from_where_the_configuration_says_that_it_stands() -> None:
    body = b'{"access": "x", "data": {"tokens": {"access": "a", "refresh_token": "r"}}}'
    assert bodies.read_pair(body, ENVELOPE) == Pair("a", "r")
    assert bodies.read_pair(b'{"data": {"tokens": ["a"]}}', ENVELOPE) is None
    assert bodies.read_pair(b'{"data": "a"}', ENVELOPE) is None


def test_what_is_not_in_the_body_is_read_from_cookies() -> None:
    places = TokenPlaces(access_cookie=b"at", refresh_cookie=b"rt")
    fields = [(b"Set-Cookie", b"at=c; Path=/"), (b"set-cookie", b"rt=s; HttpOnly")]
    assert bodies.read_pair(b"", places, fields) == Pair("c", "s")
    assert bodies.read_pair(b'{"access": "a", "refresh": ""}', places, fields) == Pair("a", "s")
    assert bodies.read_pair(b'{"access": "a"}', places, []) == Pair("a", None)
    assert bodies.read_pair(b"{}", places, fields[1:]) is None
    assert bodies.read_pair(b"{}", PLACES, fields) is None
    assert bodies.own_refresh("r", places).fields == ((b"Cookie", b"rt=r"),)


def test_the_fields_that_hold_text_are_told_and_not_what_they_hold() -> None:
    body = b'{"a": {"b.c": "x", "n": 1, "l": ["y"]}, "t": "z", "1": {"2": {"3": {"4": {"5": ""}}}}}'
    assert bodies.text_fields(body) == ["a.b\\.c", "t"]
    assert len(bodies.text_fields(json.dumps({str(each): "" for each in range(50)}).encode())) == 12
    for other in (b"", b"[]", b'"x"', NESTED):
        assert bodies.text_fields(other) == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"null",
        b"{}",
        b'{"access": 1}',
        b'{"refresh": "r"}',
        b'{"access": "a", "refresh": 1}',
        NESTED,
        b"\xff",
    ],
)
def test_what_is_no_pair_is_none(body: bytes) -> None:
    assert bodies.read_pair(body, PLACES) is None
    assert bodies.read_pair(body, ENVELOPE) is None


@given(st.binary(max_size=200))
def test_no_body_raises(body: bytes) -> None:
    bodies.read_pair(body, PLACES)
    bodies.is_token_error(body)
    bodies.error_codes(body)
    assert json.loads(bodies.with_token(body, FIELD, "r"))["refresh"] == "r"
    assert json.loads(bodies.with_token(body, ("data", "a"), "r"))["data"]["a"] == "r"


JSON, FORM = b"application/json", b"application/x-www-form-urlencoded"


def test_a_refresh_token_is_put_into_a_body_and_the_rest_of_it_stays() -> None:
    assert bodies.with_token(b'{"refresh": "r", "n": 1.10}', FIELD, 'x"y') == (
        b'{"refresh":"x\\"y","n":1.10}'
    )
    assert bodies.with_token(b"refresh=form", FIELD, "x") == b'{"refresh":"x"}'
    assert bodies.with_token(b"", FIELD, "x") == b'{"refresh":"x"}'
    assert bodies.with_token(NESTED, FIELD, "x") == b'{"refresh":"x"}'
    assert bodies.with_token(b'{"n": 1.10, "a": {"b": "r", "n": 1E2}}', ("a", "b"), "x") == (
        b'{"n":1.10,"a":{"b":"x","n":1E2}}'
    )
    assert bodies.with_token(b'{"a": 1}', ("a", "b"), "x") == b'{"a":{"b":"x"}}'


def test_a_refresh_of_segues_own_is_written_as_the_server_reads_it() -> None:
    assert bodies.own_refresh("r", PLACES) == bodies.OwnRequest(JSON, b'{"refresh":"r"}')
    constant = (("grant_type", "refresh_token"), ("client_id", "a&b"))
    written = bodies.own_refresh(
        "r=", TokenPlaces(refresh_request=("session", "token"), request_fields=constant)
    )
    assert (written.kind, json.loads(written.body)) == (
        JSON,
        {**dict(constant), "session": {"token": "r="}},
    )
    form = TokenPlaces(
        refresh_request=("refresh_token",), request_fields=constant, request_is_form=True
    )
    written = bodies.own_refresh("r=", form)
    assert written.kind == FORM
    assert parse_qsl(written.body.decode()) == [*constant, ("refresh_token", "r=")]
    assert "a&b" not in repr(form)
    assert "r=" not in repr(written)


def test_the_servers_token_error_is_told_from_other_refusals() -> None:
    error = b'{"detail": "Token is blacklisted", "code": "token_not_valid"}'
    assert bodies.is_token_error(error)
    assert not bodies.is_token_error(b'{"detail": "Forbidden", "code": "no"}')
    assert not bodies.is_token_error(b'{"detail": "token_not_valid"}')
    assert not bodies.is_token_error(error[:-1])
    assert not bodies.is_token_error(NESTED)


@pytest.mark.parametrize(
    ("body", "codes"),
    [
        (b'{"detail": "Token is blacklisted", "code": "token_not_valid"}', ["token_not_valid"]),
        (b'{"error": "invalid_grant", "error_description": "no"}', ["invalid_grant"]),
        (b'{"error": {"code": "gone", "message": "no"}, "code": "E1"}', ["E1", "gone"]),
        (b'{"error": {"code": ["gone"]}, "code": 7}', []),
        (b'{"detail": "invalid_grant"}', []),
        (b'["invalid_grant"]', []),
        (b'{"error": "invalid_grant"', []),
        (b"", []),
        (NESTED, []),
    ],
)
def test_the_codes_of_an_error_are_found_where_servers_put_them(
    body: bytes, codes: list[str]
) -> None:
    assert bodies.error_codes(body) == codes
