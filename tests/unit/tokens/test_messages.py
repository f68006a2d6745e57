"""Tokens in messages: read for certain, replaced, and no other byte touched."""

from __future__ import annotations

import pytest

from proxy.errors import ClientError
from proxy.tokens.messages import may_hold_token, read_token, with_token

PATH = ("payload", "authToken")


@pytest.mark.parametrize(
    ("message", "token"),
    [
        (b'{"payload": {"authToken": "a.b.c"}}', "a.b.c"),
        (b'{"payload": {"authToken": ""}}', None),
        (b'{"payload": {}, "authToken": "a.b.c"}', None),
        (b"", None),
    ],
)
def test_a_token_is_read_where_there_is_one(message: bytes, token: str | None) -> None:
    assert read_token(message, PATH) == token


JWT = "eyJhbGciOiJIUzI1NiJ9.eyJleHAiOjE4MDAwMDAwMDB9.c2ln"
ESCAPED = "".join(f"\\u{ord(each):04x}" for each in JWT)


@pytest.mark.parametrize(
    ("message", "may_hold"),
    [
        ('{"payload": {"authToken": 1}}', False),
        ('{"payload": {"authToken": ["%s"]}}', True),
        ('{"payload": {"AuthToken": "%s"}}', True),
        ('{"payload": {"authToken": "%s x"}}', True),
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
            read_token(written, PATH)
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
        (b'{"payload": {"authToken": " old"}}', None),
    ],
)
def test_another_token_takes_its_place_and_nothing_else_changes(
    message: bytes, changed: bytes | None
) -> None:
    assert read_token(message, PATH) == "old"
    assert with_token(message, PATH, "old", "new") == changed
