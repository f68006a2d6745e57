"""Opening a JSON object or list into members that stay bytes, and closing it again.

Where a key occurs twice, the last value counts and takes the first one's place, as in Python and
in browsers.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec
from msgspec import Raw

from proxy.mapping.json import tolerant
from proxy.mapping.json.disguise import read_list, read_object

Object = dict[str, Raw]
"""The members of an object in their order; each value is its JSON text."""

# As a number: looking for a byte costs a sixth of looking for a string of one.
BACKSLASH: Final = 0x5C
_LARGE: Final = 1 << 16
"""A longer text with escapes is not read the short way first, which may be in vain."""

_SPACE: Final = b" \t\n\r"

_decode: Final = msgspec.json.Decoder(Object).decode
_decode_list: Final = msgspec.json.Decoder(list[Raw]).decode
_decode_texts: Final = msgspec.json.Decoder(list[str]).decode
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
    if len(text) > _LARGE and BACKSLASH in text:
        return open_tolerantly(text)
    try:
        if not text.isascii():
            # msgspec checks the UTF-8 of what it decodes, not of what it leaves raw.
            text.decode()
        members = _decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return open_tolerantly(text)
    return open_tolerantly(text) if _has_escaped_keys(text, members) else members


def _has_escaped_keys(text: bytes, members: Object) -> bool:
    # A key's escapes are lost in decoding. They are found by what the values do not account for.
    return BACKSLASH in text and text.count(BACKSLASH) != b"".join(members.values()).count(
        BACKSLASH
    )


def open_tolerantly(text: bytes) -> Object | None:
    """Do the same for what msgspec refuses though it should be mapped, and for escaped keys."""
    if not text.lstrip(_SPACE).startswith(b"{"):
        return None
    try:
        decoded = text.decode()
    except UnicodeDecodeError:
        return None
    try:
        return _spelled(*read_object(text))
    except msgspec.DecodeError:
        return None  # In disguise it would have been taken.
    except RecursionError:
        return _looked_at(decoded)


def _looked_at(text: str) -> Object | None:
    """Read the members token by token: of what is nested too deeply for msgspec."""
    pairs = tolerant.split(text)
    if pairs is None:
        return None
    return _spelled(
        [Raw(key.encode()) for key, _ in pairs], [Raw(value.encode()) for _, value in pairs]
    )


def _spelled(spellings: Sequence[Raw], values: Sequence[Raw]) -> Object:
    """Make an object of keys as they are written, quotes included, and of values."""
    joined = b",\n".join(spellings)  # No string has a line break in it.
    listed = b"[%b]" % joined
    try:
        keys = _decode_texts(listed)
    except msgspec.DecodeError:
        keys = json.loads(listed)  # Halves of surrogate pairs.
    members = SpelledObject()
    members.update(zip(keys, values, strict=True))
    if BACKSLASH in joined:
        written = zip(keys, joined.split(b",\n"), strict=True)
        members.spellings = {key: spelling for key, spelling in written if BACKSLASH in spelling}
    return members


def close_object(members: Object) -> bytes:
    """Write an object without white space between its members."""
    spellings = members.spellings if isinstance(members, SpelledObject) else {}
    if not spellings:
        try:
            return _encode(members)
        except UnicodeEncodeError:
            # A key with half of a surrogate pair came here from an object that knew its spelling.
            pass
    written = [
        (spellings.get(key) or _close_key(key)) + b":" + bytes(value)
        for key, value in members.items()
    ]
    return b"{" + b",".join(written) + b"}"


def _close_key(key: str) -> bytes:
    try:
        return _encode(key)
    except UnicodeEncodeError:
        return json.dumps(key).encode()


def copy_object(members: Object) -> Object:
    """Copy an object; the values are shared."""
    if not isinstance(members, SpelledObject):
        return members.copy()
    copy = SpelledObject()
    copy.update(members)
    copy.spellings = members.spellings
    return copy


def open_list(text: bytes) -> list[Raw] | None:
    """Read the elements of a list; None where the text is not one, or not UTF-8, or not JSON."""
    try:
        decoded = text.decode()
    except UnicodeDecodeError:
        return None
    try:
        return _decode_list(text)
    except (msgspec.DecodeError, RecursionError):
        return _open_list_tolerantly(text, decoded)


def _open_list_tolerantly(text: bytes, decoded: str) -> list[Raw] | None:
    if not text.lstrip(_SPACE).startswith(b"["):
        return None
    try:
        return read_list(text)
    except msgspec.DecodeError:
        return None
    except RecursionError:
        pass
    elements = tolerant.split_list(decoded)
    return None if elements is None else [Raw(element.encode()) for element in elements]


def close_list(elements: Iterable[bytes | Raw]) -> bytes:
    """Write a list without white space between its elements."""
    return b"[" + b",".join(elements) + b"]"


def weight(members: Object) -> int:
    """Estimate the bytes that an object takes, in memory and written."""
    return sum(map(len, members.values())) + sum(map(len, members)) + 100 * len(members)
