"""How deep a JSON text is nested, for texts that may be anything."""

from __future__ import annotations

import re
from itertools import accumulate
from typing import Final

# One that does not end goes on up to the end: what is no JSON must not look deep.
_STRING: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+(?:"|\Z|\\\Z)', re.DOTALL)

_STEPS: Final = bytes(1 if byte in b"[{" else 0xFF for byte in range(256))
"""What a bracket does to the depth, as a signed byte: 1, or -1."""

_NO_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))

_BLOCK: Final = 1 << 15
"""Brackets after which it is looked whether the text is too deep already."""


def nests_deeper(text: bytes, than: int) -> bool:
    """Whether more than so many objects and arrays stand inside each other.

    Brackets in strings do not count. Costs a comparison of lengths for a text of at most that many
    bytes, two searches for one byte where it has no more brackets; else about 30 ns for each of
    them, and 100 ns for each string: 25 ms for 1 MiB of `{},{},`.
    """
    if len(text) <= than or text.count(b"[") + text.count(b"{") <= than:
        return False
    if b'"' in text:
        text = _STRING.sub(b"", text)
    steps = memoryview(text.translate(_STEPS, _NO_BRACKETS)).cast("b")
    depth = 0
    for begin in range(0, len(steps), _BLOCK):
        depths = list(accumulate(steps[begin : begin + _BLOCK], initial=depth))
        if max(depths) > than:
            return True
        depth = depths[-1]
    return False
