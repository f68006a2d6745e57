"""Who a client is, as far as it takes to treat the same user in the same way each time.

It chooses a dialect and gives no right: a token is read and not verified.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b
from typing import Final

from proxy.gateway.context import RequestContext
from proxy.http.headers import RawFields, values_of
from proxy.sessions.record import MAX_TEXT
from proxy.tokens import jwt
from proxy.tokens.places import TokenPlaces

_REMEMBERED: Final = 1024
_LONGEST: Final = 2048
"""Characters of a token that is remembered; 2 MiB of them at most."""

_MOST_AGENT: Final = 256

_MOST_NAME: Final = 64
"""Bytes of a user's name that is kept as it is: each open WebSocket keeps one."""


def identity_of(context: RequestContext) -> bytes:
    """Say who a client is; equal for two requests of the same user, as far as that can be told.

    The session's user; else the user that the token names, the same for each of their tokens; else
    the credential; else the client's address and how it names itself. Of the last two there is
    only a hash.
    """
    session = context.session
    if session is not None and session.cached.record.user:
        return identity_of_user(session.cached.record.user)
    request, places = context.request, context.snapshot.config.sessions.tokens.places
    handshake = context.head.target if context.head.upgrade else None
    told = identity_of_credential(request.fields, handshake, places)
    if told is not None:
        return told
    info = context.info
    return _hashed(b"a", f"{info.client or info.peer}\0".encode() + info.user_agent[:_MOST_AGENT])


def identity_of_credential(
    fields: RawFields, handshake: bytes | None, places: TokenPlaces
) -> bytes | None:
    """Say who a client is by what it sends to be known; None where that is nothing.

    Args:
        fields: those of its request.
        handshake: the target, where it opens a WebSocket: browsers cannot set fields on one, and
            servers read the token there.
        places: where tokens stand.
    """
    authorization = values_of(fields, b"authorization")
    token = places.bearer(authorization)
    if token is None:
        token = next(iter(places.other_tokens(fields, handshake)), None)
    if token is not None:
        return (_of_token if len(token) <= _LONGEST else _read)(token)
    return _hashed(b"c", b",".join(authorization)) if authorization else None


def identity_of_user(name: str) -> bytes:
    """Say who a client is whose user is known by name, by their session or their token."""
    # As much of it as is kept of a session's: who logs in stays who they are.
    told = name[:MAX_TEXT].encode("utf-8", "surrogatepass")
    return b"u:" + told if len(told) <= _MOST_NAME else _hashed(b"u", told)


def _read(token: str) -> bytes:
    user = jwt.user_of(token)
    if user:
        return identity_of_user(user)
    return _hashed(b"c", token.encode("utf-8", "surrogatepass"))


_of_token = lru_cache(maxsize=_REMEMBERED)(_read)


def _hashed(kind: bytes, told: bytes) -> bytes:
    return kind + b":" + blake2b(told, digest_size=16).digest()
