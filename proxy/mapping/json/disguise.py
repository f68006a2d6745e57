r"""JSON that strict parsers refuse, in a disguise that they take: read by msgspec, and undone.

`tolerant` says which texts these are. It looks at each token in Python, which takes half a second
for a mebibyte of them. Here nothing is looked at one by one: what msgspec does not take, and what
it would not leave as it is, is replaced throughout the text, in strings and outside of them, by
what it takes and leaves:

- `NaN`, `Infinity` and `-Infinity` by numbers with a space on both sides. The spaces keep apart
  what was not apart, so that `1NaN` stays what it is: no JSON.
- The backslash of each escape by a mark, so that keys are told as they are spelled and halves of
  surrogate pairs are no matter. Outside of strings a mark is as wrong as a backslash.

Numbers and marks are such as do not occur in the text, and cannot come about by what is put beside
them: what is found of them afterwards is what was put there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from msgspec import Raw

_BAD_CODE: Final = re.compile(rb"\\u(?![0-9a-fA-F]{4})")
_KEY: Final = re.compile(r'[{,\s]*+"([^"]*+)"\s*+:\s*+')
_SIMPLE: Final = _KEY.pattern + r'(?:"[^"]*+"|[-+.\w]++)'
_SIMPLE_MEMBER: Final = re.compile(_SIMPLE)
_SIMPLE_MEMBERS: Final = re.compile(f"(?:{_SIMPLE})*+")
# Written in C; what the values are is of no interest, however large a number.
_value: Final = json.JSONDecoder(parse_int=len, parse_float=len, object_pairs_hook=len)
_NAMES: Final = (b"u", b"n", b"t", b"r", b"/", b"b", b"f")
"""What follows the backslash of an escape, beside a backslash and a quote."""

_ODD: Final = (b"-Infinity", b"Infinity", b"NaN")
"""In the order in which they are replaced: one is a part of another."""


@dataclass(frozen=True, slots=True)
class Disguise:
    """A text as it is shown to a strict parser.

    Attributes:
        text: in disguise.
        mark: what stands in a backslash's place; empty where there is none.
        odd: numbers that stand in the place of values, without their spaces, and those values.
    """

    text: bytes
    mark: bytes
    odd: tuple[tuple[bytes, bytes], ...]

    def undone_values(self, values: Collection[Raw]) -> Collection[Raw]:
        """Values as they were written."""
        if not (values and (self.odd or self.mark)):
            return values
        # All at once, each between spaces, as numbers are that stand for a value inside another.
        joined = self._undone(b" %b " % b" \0 ".join(values))
        return list(map(Raw, map(bytes.strip, joined.split(b"\0"))))

    def undone_keys(self, keys: Collection[str]) -> Collection[str]:
        """Keys as they are spelled, without their quotes."""
        if not (keys and (self.odd or self.mark)):
            return keys
        # No string has a line break in it.
        return self._undone("\n".join(keys).encode()).decode().split("\n")

    def _undone(self, pieces: bytes) -> bytes:
        for number, written in self.odd:
            pieces = pieces.replace(b" %b " % number, written)
        if self.mark:
            for name, escape in ((b"B", rb"\\"), (b"Q", rb"\""), (b"", b"\\")):
                pieces = pieces.replace(self.mark + name, escape)
        return pieces


def disguise(text: bytes, *, escapes: bool) -> Disguise | None:
    """Disguise a text; None where what would be put in occurs in it.

    That is once in many thousand texts, and cannot be brought about on purpose: what `hash` gives
    differs from process to process.

    Args:
        text: UTF-8.
        escapes: whether escapes are disguised, too.
    """
    seed = hash(text)
    digits, mark = b"%011d" % (seed % 10**10 + 10**10), b"z%08xy" % (seed >> 32 & 0xFFFFFFFF)
    if digits in text or mark in text:
        return None
    odd = []
    for number, value in enumerate(_ODD):
        if value in text:
            odd.append((b"%b%d" % (digits, number), value))
            text = text.replace(value, b" %b " % odd[-1][0])
    if not escapes:
        return Disguise(text, b"", tuple(odd))
    # Backslashes pair from the left, as they do in a string.
    text = text.replace(rb"\\", mark + b"B").replace(rb"\"", mark + b"Q")
    for name in _NAMES if _BAD_CODE.search(text) is None else ():
        text = text.replace(b"\\" + name, mark + name)
    return Disguise(text, mark, tuple(odd))


def keys_in_order(disguised: str) -> list[str]:
    """The keys of an object in disguise, each time that they occur; it is JSON, as msgspec found.

    Raises:
        RecursionError: it is nested too deeply for the decoder.
    """
    keys: list[str] = []
    position = 0
    while True:
        run = _SIMPLE_MEMBERS.match(disguised, position)
        assert run is not None
        keys += _SIMPLE_MEMBER.findall(disguised, position, run.end())
        found = _KEY.match(disguised, run.end())
        if found is None:
            return keys
        keys.append(found[1])
        _, position = _value.raw_decode(disguised, found.end())
