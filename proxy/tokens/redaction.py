"""Text without tokens: whatever looks like one, or stands where one would, is taken out."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote

from proxy.tokens.admin_token import ANYWHERE, PREFIX

REDACTED: Final = "[redacted]"


# Parameters whose values are secrets, whatever they look like: by a part of the name, or all of it.
_SECRET_PARTS: Final = ("token", "secret", "passw", "credential", "api_key", "api-key", "apikey")


_SECRET_NAMES: Final = frozenset(
    {
        "access",
        "auth",
        "authorization",
        "bearer",
        "code",
        "jwt",
        "key",
        "refresh",
        "sessionid",
        "sid",
        "sig",
        "signature",
        "ticket",
    }
)


_SUSPECTS: Final = ("%", "eyj", PREFIX, *_SECRET_PARTS, *sorted(_SECRET_NAMES))


# Without those that hold another one: `authorization` is found by `auth`.
_SUSPECT: Final = tuple(
    text for text in _SUSPECTS if not any(other in text for other in _SUSPECTS if other != text)
)


# Every pattern here takes time linear in the text: what it reads is what a client sent.
_JWT: Final = re.compile(r"eyJ[\w-]{5}")


_BEARER: Final = re.compile(r"\b(bearer(?:[\s+]|%20)+)[^\s,;&#]+", re.IGNORECASE)


_PIECE: Final = re.compile(r"[^?&;#\s=/]+=[^&#\s]*|[^/?&;#\s]+")


_WORD: Final = re.compile(r"[\w.-]+")


_MAX_DECODINGS: Final = 3


def redact(text: str) -> str:
    """The text, a path with or without a query, with every value that may be a token replaced.

    Replaced are the values of parameters named like a token (`token`, `access_token`, `refresh`
    and their like), whatever looks like a JWT or a token of the admin
    listener, what follows `Bearer`, and values that hold any of
    these inside. Percent-encoding hides nothing: servers decode names and values, so this does.
    Where in doubt it replaces too much. Everything else stays as it is.
    """
    lower = text.lower()
    for suspect in _SUSPECT:  # Every line of the log comes here: `any` takes twice as long.
        if suspect in lower:
            return _PIECE.sub(_redacted_piece, _BEARER.sub(rf"\1{REDACTED}", text))
    return text


def _redacted_piece(match: re.Match[str]) -> str:
    piece = match[0]
    name, equals, value = piece.partition("=")
    if not equals:
        return REDACTED if _holds_secret(piece) else piece
    if _holds_secret(name):
        return REDACTED
    if value and (_names_secret(unquote(name)) or _holds_secret(value)):
        value = REDACTED
    return f"{name}={value}"


def _names_secret(name: str) -> bool:
    # Frameworks read `token[]` as a list named `token`.
    name = name.partition("[")[0].strip().lower()
    return name in _SECRET_NAMES or any(part in name for part in _SECRET_PARTS)


def _holds_secret(text: str) -> bool:
    """Whether a value holds a secret: a whole URL, a JSON object or a header can be a parameter."""
    for _ in range(_MAX_DECODINGS):
        if any(each.search(text) is not None for each in (_JWT, _BEARER, ANYWHERE)):
            return True
        if ("=" in text or ":" in text) and any(map(_names_secret, _WORD.findall(text))):
            return True
        decoded = unquote(text)
        if decoded == text:
            return False
        text = decoded
    return True
