"""Docstrings of models, taken apart: what schemas say of their properties."""

from __future__ import annotations

import re
from typing import Final

_ATTRIBUTES: Final = re.compile(r"\s*^Attributes:$\n?", re.MULTILINE)
_ATTRIBUTE: Final = re.compile(r"^ {4}(?P<names>\w+(?:, \w+)*): ", re.MULTILINE)


def taken_apart(text: str) -> tuple[str, dict[str, str]]:
    """Return what a docstring says of the whole, and of each attribute; each in one line.

    Args:
        text: without the indentation of the class.
    """
    about, rest = text, ""
    found = _ATTRIBUTES.search(text)
    if found is not None:
        about, rest = text[: found.start()], text[found.end() :]
    pieces = list(_ATTRIBUTE.finditer(rest))
    texts: dict[str, str] = {}
    for piece, following in zip(pieces, [*pieces[1:], None], strict=False):
        end = len(rest) if following is None else following.start()
        told = " ".join(rest[piece.end() : end].split())
        texts.update(dict.fromkeys(piece["names"].split(", "), told))
    return " ".join(about.split()), texts
