"""How deep a JSON text is nested, for texts that may be anything."""

from __future__ import annotations

import re
from typing import Final

# A string that does not end is one up to the end: what is no JSON must not look deep.
_TOKEN: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+(?:"|\Z|\\\Z)|[\[{]|[\]}]', re.DOTALL)
_OPENING: Final = frozenset(b"[{")
_QUOTE: Final = ord('"')


def nests_deeper(text: bytes, than: int) -> bool:
    """Whether more than so many objects and arrays stand inside each other.

    Brackets in strings do not count. Costs a comparison of lengths for a text of at most that many
    bytes, two searches for one byte where it has no more brackets, else one pass over its tokens.
    """
    if len(text) <= than or text.count(b"[") + text.count(b"{") <= than:
        return False
    depth = 0
    for token in _TOKEN.finditer(text):
        first = text[token.start()]
        if first in _OPENING:
            depth += 1
            if depth > than:
                return True
        elif first != _QUOTE:
            depth -= 1
    return False
