"""The JSON values that rules and examples hold: how they are written, and when two are equal."""

from __future__ import annotations

import json
import re
from collections.abc import Hashable
from decimal import Decimal, InvalidOperation
from typing import Final

import msgspec

from proxy.configuration.document import as_written

_JSON_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")


def encode(value: object) -> bytes:
    """Write a value from a document as JSON; numbers keep their spelling where JSON allows it."""
    match value:
        case dict():
            members = (encode(key) + b":" + encode(element) for key, element in value.items())
            return b"{" + b",".join(members) + b"}"
        case list() | tuple():
            return b"[" + b",".join(map(encode, value)) + b"]"
        case bool() | None | str():
            return msgspec.json.encode(value)
        case int():
            text = str(as_written(value))
            return (text if _JSON_NUMBER.fullmatch(text) else str(int(value))).encode()
        case float():
            text = str(as_written(value))
            return (text if _JSON_NUMBER.fullmatch(text) else repr(float(value))).encode()
    raise TypeError(f"{type(value).__name__} is not allowed in JSON")


def number(text: str) -> Hashable:
    """Read a JSON number so that equal values compare equal, however large or precise.

    An exponent beyond what `Decimal` takes (18 digits) equals only its own spelling.
    """
    try:
        return Decimal(text)
    except InvalidOperation:
        return ("number", text)


def scalar(text: bytes) -> Hashable:
    """Read a scalar's JSON text to something that equals what JSON calls equal, and hashes so.

    Types are kept apart. Python's `NaN`, `Infinity` and `-Infinity` equal only themselves; an
    object or an array gives None, which equals no scalar.
    """
    match text[:1]:
        case b'"':
            return ("text", json.loads(text))
        case b"{" | b"[":
            return None
        case b"t" | b"f" | b"n" | b"N" | b"I":
            return ("constant", text)
        case _:
            return ("constant", text) if text == b"-Infinity" else ("number", number(text.decode()))


def is_plain(text: bytes) -> bool:
    """Tell whether a scalar's JSON text is the only spelling of its value that has no escape."""
    return (text[:1] == b'"' and b"\\" not in text) or text in (b"true", b"false", b"null")


def spellings(value: Hashable) -> frozenset[bytes]:
    """List the usual spellings of what `scalar` gave, every plain one among them.

    Text is written as it is, or with everything beyond ASCII escaped, as Python's `json.dumps`
    does. Numbers have too many spellings to list and give none.
    """
    match value:
        case ("text", str(text)):
            return frozenset((encode(text), json.dumps(text).encode()))
        case ("constant", bytes(constant)):
            return frozenset((constant,))
        case _:
            return frozenset()
