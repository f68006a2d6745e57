r"""Split a JSON object or list into its members where a strict parser refuses it.

Python's `json.dumps` writes `NaN`, `Infinity`, `-Infinity` and escapes of lone surrogates
(`\ud800`), which RFC 8259 does not allow or advises against, and nesting can be deeper than a
recursive parser dares to go. Everything else is held to RFC 8259. The work is one pass over the
tokens with a stack of its own: linear in the length, whatever the text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Final

_TOKEN: Final = re.compile(
    r"[ \t\n\r]*+(?:"
    # A string with an escape is only begun here; the decoder, which is written in C, reads it.
    r'("[^"\\\x00-\x1f]*+"|")'
    r"|([\[\]{},:])"
    r"|((?:-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][-+]?[0-9]++)?|true|false|null|NaN|-?Infinity))"
    r")"
)
_STRING, _PUNCTUATION = 1, 2
_END: Final = re.compile(r"[ \t\n\r]*+\Z")
_decoder: Final = json.JSONDecoder()

# What may come next. After an opening bracket its closing one may, after a comma it may not.
_VALUE, _FIRST_VALUE, _KEY, _FIRST_KEY, _COLON, _AFTER_MEMBER, _AFTER_ELEMENT, _DONE = range(8)

# What each token leads to; a scalar is told as "0". _DONE: a value is complete, and what may come
# next depends on what it is in.
_MOVES: Final[Mapping[int, Mapping[str, int]]] = {
    _VALUE: {'"': _DONE, "0": _DONE, "{": _FIRST_KEY, "[": _FIRST_VALUE},
    _FIRST_VALUE: {'"': _DONE, "0": _DONE, "{": _FIRST_KEY, "[": _FIRST_VALUE, "]": _DONE},
    _KEY: {'"': _COLON},
    _FIRST_KEY: {'"': _COLON, "}": _DONE},
    _COLON: {":": _VALUE},
    _AFTER_MEMBER: {",": _KEY, "}": _DONE},
    _AFTER_ELEMENT: {",": _VALUE, "]": _DONE},
}


def split(text: str) -> list[tuple[str, str]] | None:
    """Give the members of the object that `text` is, each a key and a value as they are written.

    The keys keep their quotes. None where the text is not an object, or not JSON even by the
    tolerant reading.
    """
    return _split(text, "{")


def split_list(text: str) -> list[str] | None:
    """Give the elements of the list that `text` is, as they are written; None where it is none."""
    elements = _split(text, "[")
    return None if elements is None else [element for _, element in elements]


def _split(text: str, opening: str) -> list[tuple[str, str]] | None:
    members: list[tuple[str, str]] = []
    # For each open object and array, what may come after a value in it.
    inside: list[int] = []
    state, key, value_start = _VALUE, "", 0
    for kind, start, end in _tokens(text):
        following = _MOVES[state].get(kind)
        if following is None or not (inside or kind == opening):
            return None
        if len(inside) == 1:
            if state in (_VALUE, _FIRST_VALUE):
                value_start = start
            elif following == _COLON:
                key = text[start:end]
        if kind in "{[":
            inside.append(_AFTER_MEMBER if kind == "{" else _AFTER_ELEMENT)
        elif following == _DONE:
            if kind in "}]":
                inside.pop()
            if not inside:
                return members if _END.match(text, end) else None
            if len(inside) == 1:
                members.append((key, text[value_start:end]))
            following = inside[-1]
        state = following
    return None


def _tokens(text: str) -> Iterator[tuple[str, int, int]]:
    """Give each token's kind, start and end, up to the first that is none."""
    position = 0
    while found := _TOKEN.match(text, position):
        group = found.lastindex or 0
        start, position = found.span(group)
        if group == _STRING and position == start + 1:
            try:
                _, position = _decoder.raw_decode(text, start)
            except json.JSONDecodeError:
                return
        yield (text[start] if group <= _PUNCTUATION else "0"), start, position
