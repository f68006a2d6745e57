"""The bodies of the routes of tokens: answers that are read, requests that are written.

Reads what the server wrote, of any content; `request_bodies` reads what clients did.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlencode

import msgspec

from proxy.errors import TOKEN_ERROR
from proxy.http.cookies import cookie_set
from proxy.http.headers import RawFields
from proxy.tokens.places import TokenPlaces
from proxy.types import FieldPath

MAX_BODY: Final = 64 * 1024
"""Bytes of the largest body that is read for tokens: a pair of 8 KiB each, a user, and room."""

JSON: Final = b"application/json"
FORM: Final = b"application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class Pair:
    """What the server issued.

    Attributes:
        access: the access token.
        refresh: the refresh token; None where the server keeps the one that it was sent.
    """

    access: str = field(repr=False)
    refresh: str | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class OwnRequest:
    """What Segue sends to have a refresh token exchanged.

    Attributes:
        kind: the value of its `Content-Type`.
        body: of it.
        fields: what else stands in its head: a cookie, where the server reads that.
    """

    kind: bytes
    body: bytes = field(repr=False)
    fields: RawFields = field(default=(), repr=False)


_DEEPEST: Final = 4
_MOST_TOLD: Final = 12
"""Of the fields of an answer that are told: the keys that lead to one, and how many."""


class _Error(msgspec.Struct):
    code: str


class _Failure(msgspec.Struct):
    code: object = None
    error: object = None


# Answers.


def read_pair(body: bytes, places: TokenPlaces, fields: RawFields = ()) -> Pair | None:
    """The tokens in the server's answer to a login or a refresh.

    Args:
        body: of the answer; empty where it cannot be read.
        places: where they stand. What is not in the body is in a cookie.
        fields: of the answer.
    """
    read: Any = None
    with suppress(ValueError, RecursionError):
        read = msgspec.json.decode(body)
    access, refresh = _at(read, places.access), _at(read, places.refresh)
    if places.access_cookie is not None:
        access = access or cookie_set(fields, places.access_cookie)
    if places.refresh_cookie is not None:
        refresh = refresh or cookie_set(fields, places.refresh_cookie)
    if not isinstance(access, str) or not isinstance(refresh, str | None):
        return None
    return Pair(access, refresh)


def text_fields(body: bytes) -> list[str]:
    """The fields of a JSON object that hold text, the first few of them: tokens are among these."""
    found: list[str] = []
    with suppress(ValueError, RecursionError):
        _walk(msgspec.json.decode(body), (), found)
    return found


def _walk(value: Any, path: FieldPath, found: list[str]) -> None:
    if isinstance(value, dict) and len(path) < _DEEPEST:
        for key, inner in value.items():
            _walk(inner, (*path, key), found)
    elif isinstance(value, str) and path and len(found) < _MOST_TOLD:
        found.append(".".join(key.replace(".", "\\.") for key in path))


def error_codes(body: bytes) -> list[str]:
    """The codes of the error that a server's answer names, of any content.

    SimpleJWT has it as `code`, OAuth 2.0 as `error` (RFC 6749 section 5.2), others within it.
    """
    try:
        answer = msgspec.json.decode(body, type=_Failure)
    except (ValueError, RecursionError):
        return []
    error = answer.error
    found = (answer.code, error, error.get("code") if isinstance(error, dict) else None)
    return [code for code in found if isinstance(code, str)]


def is_token_error(body: bytes) -> bool:
    """Whether a refusal's body says that the token is the reason."""
    try:
        return msgspec.json.decode(body, type=_Error).code == TOKEN_ERROR
    except (ValueError, RecursionError):
        return False


# Requests.


def with_token(body: bytes, path: FieldPath, token: str) -> bytes:
    """The body with that token; what else it holds stays, where it is a JSON object."""
    try:
        values = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    except (ValueError, RecursionError):
        values = {}
    key, *inner = path
    if inner:
        within = with_token(bytes(values.get(key, b"{}")), tuple(inner), token)
    else:
        within = msgspec.json.encode(token)
    values[key] = msgspec.Raw(within)
    return msgspec.json.encode(values)


def own_refresh(token: str, places: TokenPlaces) -> OwnRequest:
    """What Segue sends to have a refresh token exchanged."""
    path, constants = places.refresh_request, places.request_fields
    fields = tuple(places.with_refresh((), token))
    if not places.request_is_form:
        return OwnRequest(
            JSON, with_token(msgspec.json.encode(dict(constants)), path, token), fields
        )
    return OwnRequest(FORM, urlencode([*constants, (form_name(path), token)]).encode(), fields)


def form_name(path: FieldPath) -> str:
    """The name of a field of a form that stands for a path: `user[token]`, as frameworks read."""
    return path[0] + "".join(f"[{key}]" for key in path[1:])


def _at(value: Any, path: FieldPath) -> Any:
    """What stands at a path; None where nothing does."""
    for key in path:
        if not isinstance(value, dict):
            return None
        value = value.get(key)
    return value
