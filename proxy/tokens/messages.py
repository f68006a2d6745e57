"""The token in a message of a WebSocket: read for certain, or the message is none of Segue's."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from proxy.errors import ClientError
from proxy.tokens import request_bodies
from proxy.tokens.places import LIKE_JWT, TokenPlaces
from proxy.types import FieldPath

_MOST: Final = 4
"""Places of a message that are tried for where its token stands."""


@dataclass(frozen=True, slots=True)
class FoundToken:
    """A token in a message.

    Attributes:
        token: itself.
        written: what stands in its place: a scheme may be before it, and white space around it.
    """

    token: str = field(repr=False)
    written: str = field(repr=False)


def read_token(message: bytes, path: FieldPath, places: TokenPlaces) -> FoundToken | None:
    """The token at a path of a message; None where there is none.

    Some clients write it as in `Authorization` (RFC 6750 section 2.1), with one of the schemes.

    Args:
        message: of a WebSocket.
        path: where its token stands.
        places: knows the schemes.

    Raises:
        ClientError: it is no JSON object that all read alike.
    """
    written = request_bodies.read_text(message, path)
    if written is None:
        return None
    token = places.bearer([written.encode()]) if written.isascii() else None
    return FoundToken(token or request_bodies.checked_token(written), written)


def may_hold_token(message: bytes) -> bool:
    """Whether a server may read a token in a message that is not read here for certain.

    That takes a JSON object, in whatever encoding, and something that looks like a JWT, in whatever
    escapes.
    """
    plain = message.translate(None, _BETWEEN)
    if not plain.lstrip().startswith(b"{"):
        return False
    return LIKE_JWT.search(_ESCAPED.sub(_unescaped, plain)) is not None


_BETWEEN: Final = b"\x00\xef\xbb\xbf\xfe\xff"
"""Byte order marks, and every other byte of UTF-16."""

_ESCAPED: Final = re.compile(rb"\\u00([2-7][0-9A-Fa-f])")


def _unescaped(match: re.Match[bytes]) -> bytes:
    return bytes((int(match[1], 16),))


def with_token(
    message: bytes, path: FieldPath, places: TokenPlaces, old: FoundToken, new: str
) -> bytes | None:
    """The message with another token in place of its own, and all other bytes as they were.

    None where the old one is not found there as it is spelled.
    """
    at = old.written.rindex(old.token)
    wanted = old.written[:at] + new + old.written[at + len(old.token) :]
    before, after = json.dumps(old.written).encode(), json.dumps(wanted).encode()
    start = message.find(before)
    for _ in range(_MOST):
        if start < 0:
            break
        changed = message[:start] + after + message[start + len(before) :]
        with suppress(ClientError):  # Where it stood for a name, that may be there twice now.
            found = read_token(changed, path, places)
            if found is not None and found.written == wanted:
                return changed
        start = message.find(before, start + 1)
    return None
