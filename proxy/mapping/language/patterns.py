"""Regular expressions whose time is linear in the text, whatever the expression.

Python's `re` backtracks: `(a+)+$` on thirty letters can take minutes. The engine here is the Rust
`regex` crate, which pydantic brings along and which promises time proportional to the expression's
size times the text's length; it has no look-around and no back-references. Both factors are bounded
here, the size with its counted repetitions written out: `(a{30}){30}` is 900.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from pydantic_core import SchemaError, SchemaValidator, core_schema

MAX_PATTERN: Final = 1_000
"""Characters of the longest expression."""

MAX_SIZE: Final = 400
"""Characters and classes of the largest expression, each as often as it is repeated; `\\w` is 5."""

MAX_MATCHED: Final = 4_096
"""Characters of the longest text that is searched; a longer one matches nothing."""


def compile_pattern(pattern: str) -> Callable[[str], bool]:
    """Compile an expression; the closure tells whether it is found somewhere in a text.

    A text that holds half of a surrogate pair is no Unicode text, and matches nothing.

    Raises:
        ValueError: it is not understood, or too large.
    """
    if len(pattern) > MAX_PATTERN:
        raise ValueError(f"the expression has more than {MAX_PATTERN} characters")
    if _size(pattern) > MAX_SIZE:
        raise ValueError(f"the expression repeats too much: more than {MAX_SIZE} when written out")
    try:
        search = SchemaValidator(
            core_schema.str_schema(pattern=pattern, regex_engine="rust-regex", strict=True)
        ).isinstance_python
    except SchemaError as error:
        # The last line says what is wrong; those before repeat the expression.
        reason = str(error).strip().splitlines()[-1].strip().removeprefix("error: ")
        raise ValueError(f"not a regular expression: {reason}") from None
    return lambda text: len(text) <= MAX_MATCHED and search(text)


_TOKEN: Final = re.compile(
    r"\\.|\[(?:\\.|[^\]\\])*+\]|\{([0-9]+)(?:,([0-9]*))?\}|(\()|(\))|.", re.DOTALL
)

# A class of Unicode such as `\\w` is itself a tree of byte ranges.
_UNICODE: Final = re.compile(r"\\[wWdDsSpP]")
_CLASS: Final = 5


def _size(pattern: str) -> int:
    """Count what an expression matches with, counted repetitions written out."""
    outer: list[int] = []
    total = last = 0
    for token in _TOKEN.finditer(pattern):
        least, most, opening, closing = token.groups()
        if least is not None:
            repeated = last * max(int(least[:6]), int((most or "0")[:6]), 1)
            total, last = total + repeated - last, repeated
        elif opening:
            outer.append(total)
            total = last = 0
        elif closing and outer:
            last = total
            total += outer.pop()
        else:
            last = _CLASS if _UNICODE.search(token[0]) else 1
            total += last
    return total + sum(outer)
