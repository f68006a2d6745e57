"""Where tokens stand in requests and in the bodies of the auth routes, and putting others there.

Reads what clients and the server wrote, of any content; None for whatever is not what it should
be. Nothing here knows whether a token is good.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from email.message import Message
from typing import Final
from urllib.parse import parse_qs, unquote_to_bytes

import msgspec

from proxy.errors import TOKEN_ERROR, UnsupportedMediaType
from proxy.http.headers import RawFields, is_forwarding

MAX_BODY: Final = 64 * 1024
"""Bytes of the largest body that is read for tokens: a pair of 8 KiB each, a user, and room."""


_QUERY_NAMES: Final = ("token", "access_token")
_CHARSETS: Final = frozenset({"utf-8", "utf8", "us-ascii", "ascii"})
_MAX_FORM: Final = 1000
"""Fields of a form, as many as Django reads."""
_CARRIED: Final = frozenset({b"host", b"user-agent", b"via"})


@dataclass(frozen=True, slots=True)
class Pair:
    """What the server issued.

    Attributes:
        access: the access token.
        refresh: the refresh token; None where the server keeps the one that it was sent.
    """

    access: str = field(repr=False)
    refresh: str | None = field(repr=False)


class _Pair(msgspec.Struct):
    access: str
    refresh: str | None = None


class _Error(msgspec.Struct):
    code: str


# In requests.


def bearer(values: Sequence[bytes]) -> str | None:
    """The token in the `Authorization` fields (RFC 6750 section 2.1); None if there is not one.

    Servers split at any white space, so this does.
    """
    parts = values[0].split() if len(values) == 1 else ()
    if len(parts) != 2 or parts[0].lower() != b"bearer":
        return None
    return parts[1].decode("latin-1")


def query_tokens(target: bytes) -> list[str]:
    """The tokens in a handshake's query: of all `token` and `access_token` that are not empty.

    Read as servers do: percent-encoded or not.
    """
    parts = target.partition(b"?")[2].split(b"&")
    return [value for name, value in map(_decoded, parts) if name in _QUERY_NAMES and value]


def _decoded(part: bytes) -> tuple[str, str]:
    name, _, value = part.replace(b"+", b" ").partition(b"=")
    return unquote_to_bytes(name).decode("latin-1"), unquote_to_bytes(value).decode("latin-1")


def with_bearer(fields: RawFields, token: str) -> list[tuple[bytes, bytes]]:
    """The fields with another token in their `Authorization`, at its place; else at the end."""
    value = b"Bearer " + token.encode("latin-1")
    found = False
    changed = []
    for field_ in fields:
        if field_[0].lower() == b"authorization":
            found = True
            changed.append((field_[0], value))
        else:
            changed.append(field_)
    return changed if found else [*changed, (b"Authorization", value)]


def with_query_token(target: bytes, old: str, new: str) -> bytes:
    """The target with another token wherever a parameter for tokens has the old one."""
    path, mark, query = target.partition(b"?")
    after = b"=" + new.encode("latin-1")
    parts = []
    for part in query.split(b"&"):
        name, value = _decoded(part)
        is_it = name in _QUERY_NAMES and value == old
        parts.append(part.partition(b"=")[0] + after if is_it else part)
    return path + mark + b"&".join(parts)


def carried(fields: RawFields) -> tuple[tuple[bytes, bytes], ...]:
    """Of the fields of a forwarded request, those that a refresh on its behalf goes with.

    Whom it comes from, and which host it was for: servers check the latter, limit rates by the
    former, and redirect where the scheme is missing.
    """
    return tuple(
        (name, value)
        for name, value in fields
        if name.lower() in _CARRIED or is_forwarding(name.lower())
    )


# In bodies.


def read_pair(body: bytes) -> Pair | None:
    """The tokens in the server's answer to a login or a refresh."""
    try:
        pair = msgspec.json.decode(body, type=_Pair)
    except (ValueError, RecursionError):
        return None
    return Pair(pair.access, pair.refresh)


def write_pair(access: str, refresh: str) -> bytes:
    """The body that a client gets where its refresh was answered without the server."""
    return msgspec.json.encode({"access": access, "refresh": refresh})


def read_refresh(body: bytes, content_types: Sequence[bytes] = ()) -> str | None:
    """The refresh token that a client sends to be exchanged, or to log out.

    Read as servers do, so that no spelling of a body hides a token: whatever Python's `json` takes
    for JSON, or a form, with white space around the token.

    Args:
        body: of the request.
        content_types: the values of `Content-Type`.

    Raises:
        UnsupportedMediaType: a server may understand how it is written; this does not.
    """
    kind = Message()
    kind["Content-Type"] = b"".join(content_types[:1]).decode("latin-1")
    charset = kind.get_content_charset("utf-8")
    if (
        len(content_types) > 1
        or charset not in _CHARSETS
        or kind.get_content_maintype() == "multipart"
    ):
        raise UnsupportedMediaType("a refresh token is sent as JSON, or as a form, in UTF-8")
    try:
        if kind.get_content_type() == "application/x-www-form-urlencoded":
            values = parse_qs(body.decode("latin-1"), max_num_fields=_MAX_FORM).get("refresh", [])
            token = values[-1] if values else None
        else:
            read = json.loads(body.decode())
            token = read.get("refresh") if isinstance(read, dict) else None
    except (ValueError, RecursionError):
        return None
    return token.strip() if isinstance(token, str) else None


def with_refresh(body: bytes, token: str) -> bytes:
    """The body with that refresh token; what else it holds stays, where it is a JSON object."""
    try:
        values = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    except (ValueError, RecursionError):
        values = {}
    values["refresh"] = msgspec.Raw(msgspec.json.encode(token))
    return msgspec.json.encode(values)


def is_token_error(body: bytes) -> bool:
    """Whether a refusal's body says that the token is the reason."""
    try:
        return msgspec.json.decode(body, type=_Error).code == TOKEN_ERROR
    except (ValueError, RecursionError):
        return False
