"""The token in a message of a WebSocket: read for certain, or the message is none of Segue's."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from typing import Final

from proxy.errors import ClientError
from proxy.tokens import places, request_bodies
from proxy.tokens.bodies import JSON
from proxy.types import FieldPath

_MOST: Final = 4
"""Places of a message that are tried for where its token stands."""


def read_token(message: bytes, path: FieldPath) -> str | None:
    """The token at a path of a message; None where there is none.

    Raises:
        ClientError: it is no JSON object that all read alike.
    """
    return request_bodies.read_token(message, path, ((b"content-type", JSON),))


def may_hold_token(message: bytes) -> bool:
    """Whether a server may read a token in a message that is not read here for certain.

    That takes a JSON object, in whatever encoding, and something that looks like a JWT, in whatever
    escapes.
    """
    plain = message.translate(None, _BETWEEN)
    if not plain.lstrip().startswith(b"{"):
        return False
    return places.LIKE_JWT.search(_ESCAPED.sub(_unescaped, plain)) is not None


_BETWEEN: Final = b"\x00\xef\xbb\xbf\xfe\xff"
"""Byte order marks, and every other byte of UTF-16."""

_ESCAPED: Final = re.compile(rb"\\u00([2-7][0-9A-Fa-f])")


def _unescaped(match: re.Match[bytes]) -> bytes:
    return bytes((int(match[1], 16),))


def with_token(message: bytes, path: FieldPath, old: str, new: str) -> bytes | None:
    """The message with another token at that path, and all other bytes as they were.

    None where the old one is not found there as it is spelled.
    """
    before, after = json.dumps(old).encode(), json.dumps(new).encode()
    start = message.find(before)
    for _ in range(_MOST):
        if start < 0:
            break
        changed = message[:start] + after + message[start + len(before) :]
        with suppress(ClientError):  # Where it stood for a name, that may be there twice now.
            if read_token(changed, path) == new:
                return changed
        start = message.find(before, start + 1)
    return None
