r"""JSON that strict parsers refuse, in a disguise that they take: read by msgspec, and undone.

`tolerant` says which texts these are. It looks at each token in Python, which takes half a second
for a mebibyte of them. Here nothing is looked at one by one. Bytes that msgspec does not take are
replaced throughout the text, in strings and outside of them, by as many that it takes:

- `NaN`, `Infinity` and `-Infinity` by empty arrays with spaces in them. Brackets keep apart what
  was not apart, so that `1NaN` stays what it is: no JSON.
- The first digit of `\ud800`, which may be half of a surrogate pair, by a nought.

As many bytes, because msgspec gives views into what it reads: `Raw` values, which show the text as
it was as soon as that is written over its disguise.

An object is read as a list, in which keys and values take turns. Its keys are then told as they are
spelled, and each of them as often as it occurs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import Raw

_REPLACED: Final = (
    (ord("I"), b"-Infinity", b"[       ]"),
    (ord("I"), b"Infinity", b"[      ]"),
    (ord("N"), b"NaN", b"[ ]"),
    (ord("\\"), rb"\ud", rb"\u0"),
    (ord("\\"), rb"\uD", rb"\u0"),
)
"""In this order: one is a part of another. To look for one byte first costs next to nothing."""

_OBJECTS_TO_LISTS: Final = bytes.maketrans(b"{:}", b"[,]")

_check: Final = msgspec.json.Decoder(Raw).decode
_decode_list: Final = msgspec.json.Decoder(list[Raw]).decode


def read_object(text: bytes) -> tuple[Sequence[Raw], Sequence[Raw]]:
    """Read the keys and the values of an object, as they are written and as often as they occur.

    Args:
        text: UTF-8 that begins like an object.

    Raises:
        msgspec.DecodeError: the text is not JSON by the tolerant reading either.
        RecursionError: it is nested too deeply for msgspec.
    """
    # First as what it is: as a list, `{"a",1}` would pass.
    disguised = text
    try:
        _check(text)
    except msgspec.DecodeError:
        disguised = _disguise(text)
        _check(disguised)
    elements = _views(text, disguised.translate(_OBJECTS_TO_LISTS))
    return elements[::2], elements[1::2]


def read_list(text: bytes) -> list[Raw]:
    """Read the elements of what begins like a list, as they are written; errors as above."""
    return _views(text, _disguise(text))


def _disguise(text: bytes) -> bytes:
    """Replace what strict parsers refuse; what is no JSON by the tolerant reading stays none.

    Of an odd value that stands alone a list is made, which it is not.
    """
    for sign, odd, strict in _REPLACED:
        if sign in text:
            text = text.replace(odd, strict)
    return text


def _views(text: bytes, disguised: bytes) -> list[Raw]:
    """Read the elements of a list in disguise, and let them show the text as it was."""
    shown = bytearray(disguised)
    elements = _decode_list(shown)
    # Nobody else holds what they are views of. It changes this once, and its length never.
    shown[:] = text
    return elements
