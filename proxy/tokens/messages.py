"""The token in a message of a WebSocket: read for certain, or the message is none of Segue's."""

from __future__ import annotations

import json
from typing import Final

from proxy.errors import ClientError
from proxy.tokens import request_bodies
from proxy.tokens.bodies import JSON
from proxy.types import FieldPath

_MOST: Final = 4
"""Places of a message that are tried for where its token stands."""


def read_token(message: bytes, path: FieldPath) -> str | None:
    """The token at a path of a message; None where none is read there for certain."""
    try:
        return request_bodies.read_token(message, path, ((b"content-type", JSON),))
    except ClientError:
        return None


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
        if read_token(changed, path) == new:
            return changed
        start = message.find(before, start + 1)
    return None
