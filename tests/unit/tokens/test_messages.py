"""Tokens in messages: read for certain, replaced, and no other byte touched."""

from __future__ import annotations

import pytest

from proxy.tokens.messages import read_token, with_token

PATH = ("payload", "authToken")


@pytest.mark.parametrize(
    ("message", "token"),
    [
        (b'{"payload": {"authToken": "a.b.c"}}', "a.b.c"),
        (b'{"payload": {"authToken": ""}}', None),
        (b'{"payload": {"authToken": 1}}', None),
        (b'{"payload": {"AuthToken": "a"}}', None),
        (b'{"payload": {"authToken": "a b"}}', None),
        (b'{"payload": ["a"]}', None),
        (b'{"payload": {"authToken": "a", "authToken": "a"}}', None),
        (b'[{"payload": {"authToken": "a"}}]', None),
        (b"authToken=a", None),
        (b"\xff", None),
        (b"", None),
    ],
)
def test_a_token_is_read_where_there_is_one_for_certain(message: bytes, token: str | None) -> None:
    assert read_token(message, PATH) == token


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
        (b'{"payload": {"authToken": "\\u006fld"}}', None),
        (b'{"payload": {"authToken": " old"}}', None),
    ],
)
def test_another_token_takes_its_place_and_nothing_else_changes(
    message: bytes, changed: bytes | None
) -> None:
    assert read_token(message, PATH) == "old"
    assert with_token(message, PATH, "old", "new") == changed
