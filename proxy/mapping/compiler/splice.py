"""The short way for what most rules do: give the field that decided a constant in its place.

Where that field stands first and holds plain text, the bytes of its value are exchanged and all
others stay, white space included. Whatever is decided differently by the members of the message is
left to the general way: another first member, escapes, a field that occurs twice, and what a strict
parser refuses (which may be no JSON at all, or only Python's). Measured on frames of 777 bytes: 1.0
microseconds instead of 3.1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import UNSET, Raw, UnsetType

from proxy.mapping.engine.compiled import Rewrite, Shortcut
from proxy.mapping.json.depth import nests_deeper
from proxy.mapping.json.literals import encode
from proxy.mapping.language.operations.values import Set

_QUOTE: Final = 0x22

_FIRST: Final = b'{"":0'
"""Stands for what comes before the rest of a message, so that the rest is read as members."""


def constant(do: Sequence[object], field: str) -> bytes | None:
    """Return the JSON that a rule gives a field, if that is all it does."""
    match do:
        case [Set(when=None, set=values)] if set(values) == {(field,)}:
            return encode(values[field,])
    return None


def compile_splice(
    field: str, constants: Mapping[bytes, bytes | None], *, undecided: bool
) -> Shortcut | None:
    """Return the short way; None where it would lead nowhere.

    Args:
        field: the top-level field by which rules are told apart.
        constants: for the JSON texts of its values what the first rule that matches sets it to;
            None where that rule does something else, or there is more to be asked.
        undecided: whether a rule may match though the value is none of these.
    """
    key = encode(field)
    if b"\\" in key:
        return None  # msgspec takes no such key for a field.
    plain = {
        text[1:-1]: None if literal is None else (text, literal)
        for text, literal in constants.items()
        # A text with escapes has other spellings; it stays in nobody's table.
        if text[:1] == b'"' and b"\\" not in text
    }
    others = frozenset(value for value, pair in plain.items() if pair is None)
    if len(others) == len(plain):
        return None

    spaced, compact = b"{" + key + b': "', b"{" + key + b':"'
    spaced_heads, compact_heads = _heads(spaced, plain), _heads(compact, plain)
    spaced_length, compact_length = len(spaced), len(compact)
    # Keys are compared as they are read, so that an escaped spelling is found too.
    rest_of: Any = msgspec.defstruct(
        "Rest", [("again", Raw | UnsetType, UNSET)], rename={"again": field}, gc=False
    )
    read = msgspec.json.Decoder(rest_of).decode

    def shortcut(general: Rewrite, deepest: int) -> Rewrite:
        def splice(message: bytes) -> tuple[bytes, ...] | None:
            if message.startswith(spaced):
                start, known = spaced_length, spaced_heads
            elif message.startswith(compact):
                start, known = compact_length, compact_heads
            else:
                return general(message)
            end = message.find(_QUOTE, start)
            value = message[start:end]
            if value not in known and (undecided or value in others or b"\\" in value):
                return general(message)
            if len(message) > deepest and nests_deeper(message, deepest):
                return general(message)
            rest = message[end + 1 :]
            try:
                if not message.isascii():
                    message.decode()  # msgspec does not check the UTF-8 of what it leaves out.
                again = read(_FIRST + rest).again
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                return general(message)
            if again is not UNSET:
                return general(message)
            head = known.get(value)
            return None if head is None else (head + rest,)

        return splice

    return shortcut


def _heads(
    opening: bytes, plain: Mapping[bytes, tuple[bytes, bytes] | None]
) -> dict[bytes, bytes | None]:
    # Set to what it was, a message passes.
    return {
        value: None if pair[0] == pair[1] else opening[:-1] + pair[1]
        for value, pair in plain.items()
        if pair is not None
    }
