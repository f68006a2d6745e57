"""Tokens in messages: read for certain, replaced, and no other byte touched."""

from __future__ import annotations

import pytest

from proxy.errors import ClientError
from proxy.tokens.messages import FoundToken, may_hold_token, read_token, with_token
from proxy.tokens.places import TokenPlaces

PATH = ("payload", "authToken")
PLACES = TokenPlaces(schemes=frozenset({b"bearer", b"jwt"}))


@pytest.mark.parametrize(
    ("message", "token"),
    [
        (b'{"payload": {"authToken": "a.b.c"}}', "a.b.c"),
        (b'{"payload": {"authToken": ""}}', None),
        (b'{"payload": {}, "authToken": "a.b.c"}', None),
        (b'{"payload": {"authToken": " "}}', None),
        (b'{"payload": null}', None),
        (b"", None),
        (b'{"payload": {"authToken": " a.b.c\\n"}}', "a.b.c"),
        (b'{"payload": {"authToken": "Bearer a.b.c"}}', "a.b.c"),
        (b'{"payload": {"authToken": " jwt \\t a.b.c "}}', "a.b.c"),
        (b'{"payload": {"authToken": "Bearer"}}', "Bearer"),
    ],
)
def test_a_token_is_read_where_there_is_one(message: bytes, token: str | None) -> None:
    found = read_token(message, PATH, PLACES)
    assert (found and found.token) == token


JWT = "eyJhbGciOiJIUzI1NiJ9.eyJleHAiOjE4MDAwMDAwMDB9.c2ln"
ESCAPED = "".join(f"\\u{ord(each):04x}" for each in JWT)


@pytest.mark.parametrize(
    ("message", "may_hold"),
    [
        ('{"payload": {"authToken": 1}}', False),
        ('{"payload": {"authToken": ["%s"]}}', True),
        ('{"payload": {"AuthToken": "%s"}}', True),
        ('{"payload": {"authToken": "%s x"}}', True),
        ('{"payload": {"authToken": "Token %s"}}', True),
        ('{"payload": {"authToken": "Bearer %s x"}}', True),
        ('{"payload": {"authToken": "Bearer %s, x"}}', True),
        ('{"payload": {"authToken": "Bearer\u00a0%s"}}', True),
        ('{"payload": ["%s"]}', True),
        ('{"payload": {"authToken": "%s", "authToken": "a"}}', True),
        ('{"payload": {"authToken": NaN}, "x": NaN, "www.example.com": 1}', False),
        ('{"payload": {"authToken": "%s"}, "n": NaN}', True),
        ('\ufeff{"payload": {"authToken": "%s"}}', True),
        ("{payload: {authToken: '%s'}}", True),
        ('[{"payload": {"authToken": "%s"}}]', False),
        ("authToken=%s", False),
        ("\xff", False),
        ('40{"payload": {"authToken": "%s"}}', False),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-be", "utf-32"])
def test_what_is_not_read_for_certain_may_hold_a_token_or_not(
    message: str, encoding: str, *, may_hold: bool
) -> None:
    for token in (JWT, ESCAPED):
        written = message.replace("%s", token).encode(encoding)
        with pytest.raises(ClientError):
            read_token(written, PATH, PLACES)
        assert may_hold_token(written) is may_hold


@pytest.mark.parametrize(
    ("message", "changed"),
    [
        (
            b'{ "payload" : {"authToken":\n"old" } , "n": 1.10 }',
            b'{ "payload" : {"authToken":\n"new" } , "n": 1.10 }',
        ),
        (
            b'{"id": "old", "old": 1, "payload": {"old": "old", "authToken": "old"}}',
            None,  # It stands in more places than are tried.
        ),
        (
            b'{"id": "old", "payload": {"authToken": "old", "x": "old"}}',
            b'{"id": "old", "payload": {"authToken": "new", "x": "old"}}',
        ),
        (
            b'{"old": 1, "new": 2, "payload": {"authToken": "old"}}',
            b'{"old": 1, "new": 2, "payload": {"authToken": "new"}}',
        ),
        (b'{"payload": {"authToken": "\\u006fld"}}', None),
        (b'{"payload": {"authToken": " old"}}', b'{"payload": {"authToken": " new"}}'),
        (
            b'{"old": "old", "payload": {"authToken" : "Bearer  old"}}',
            b'{"old": "old", "payload": {"authToken" : "Bearer  new"}}',
        ),
        (
            b'{"id": "JWT old", "payload": {"authToken": "JWT old"}}',
            b'{"id": "JWT old", "payload": {"authToken": "JWT new"}}',
        ),
    ],
)
def test_another_token_takes_its_place_and_nothing_else_changes(
    message: bytes, changed: bytes | None
) -> None:
    found = read_token(message, PATH, PLACES)
    assert found is not None
    assert found.token == "old"
    assert "old" not in repr(found)
    assert with_token(message, PATH, PLACES, found, "new") == changed


def test_a_token_that_is_spelled_as_its_scheme_is_not_taken_for_it() -> None:
    message = b'{"payload": {"authToken": "jwt jwt"}}'
    found = FoundToken("jwt", "jwt jwt")
    assert read_token(message, PATH, PLACES) == found
    changed = b'{"payload": {"authToken": "jwt new"}}'
    assert with_token(message, PATH, PLACES, found, "new") == changed
