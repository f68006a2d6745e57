"""Opening a JSON object into members whose values stay bytes, and closing it again.

Where a key occurs twice, the last value counts and takes the first one's place, as in Python and
in browsers.
"""

from __future__ import annotations

import json
from typing import Final

import msgspec
from msgspec import Raw

from proxy.mapping import tolerant

Object = dict[str, Raw]
"""The members of an object in their order; each value is its JSON text."""

# As a number: looking for a byte costs a sixth of looking for a string of one.
BACKSLASH: Final = 0x5C

_decode: Final = msgspec.json.Decoder(Object).decode
_encode: Final = msgspec.json.Encoder().encode


class SpelledObject(Object):
    """An object some of whose keys were written with escapes.

    Attributes:
        spellings: those keys' JSON text, quotes included.
    """

    __slots__ = ("spellings",)

    def __init__(self) -> None:
        super().__init__()
        self.spellings: dict[str, bytes] = {}


def open_object(text: bytes) -> Object | None:
    """Read the members of an object; None where the text is not one, or not UTF-8, or not JSON.

    Costs about half a microsecond for a frame of 777 bytes.
    """
    try:
        if not text.isascii():
            # msgspec checks the UTF-8 of what it decodes, not of what it leaves raw.
            text.decode()
        members = _decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return open_tolerantly(text)
    # A key's escapes are lost in decoding. They are found by what the values do not account for.
    if BACKSLASH in text and text.count(BACKSLASH) != b"".join(members.values()).count(BACKSLASH):
        return open_tolerantly(text)
    return members


def open_tolerantly(text: bytes) -> Object | None:
    """Do the same for what msgspec refuses though it should be mapped, and for escaped keys."""
    if not text.lstrip(b" \t\n\r").startswith(b"{"):
        return None
    try:
        pairs = tolerant.split(text.decode())
    except UnicodeDecodeError:
        return None
    if pairs is None:
        return None
    members = SpelledObject()
    for spelling, value in pairs:
        if "\\" in spelling:
            key = json.loads(spelling)
            members.spellings[key] = spelling.encode()
        else:
            key = spelling[1:-1]
        members[key] = Raw(value.encode())
    return members


def close_object(members: Object) -> bytes:
    """Write an object without white space between its members."""
    if not isinstance(members, SpelledObject) or not members.spellings:
        return _encode(members)
    spellings = members.spellings
    written = [
        (spellings.get(key) or _encode(key)) + b":" + bytes(value) for key, value in members.items()
    ]
    return b"{" + b",".join(written) + b"}"
