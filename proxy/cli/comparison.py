"""Printing which fields of two messages differ."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from proxy.cli.styled import Span, Style
from proxy.cli.terminal import printable, shortened
from proxy.configuration.document import render_path
from proxy.mapping.checks.comparison import Difference

MAX_SHOWN: Final = 120
"""How many characters of a value are shown."""


def shown(found: Difference) -> Iterator[Span]:
    """Write a difference as lines, as `diff` does."""
    path, expected, got = texts(found)
    place = f"{path}: " if path else ""
    if expected is not None:
        yield Span(f"- {place}{expected}", Style.BAD)
    if got is not None:
        yield Span(f"+ {place}{got}", Style.GOOD)


def texts(found: Difference) -> tuple[str, str | None, str | None]:
    """Where it is, what was expected and what was found, short and safe to print."""
    return (printable(render_path(found.path)), _text(found.expected), _text(found.found))


def _text(value: bytes | None) -> str | None:
    return None if value is None else shortened(value.decode(errors="replace"), MAX_SHOWN)
