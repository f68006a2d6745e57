"""Printing which fields of two messages differ."""

from __future__ import annotations

from collections.abc import Iterator

from proxy.cli.styled import Span, Style
from proxy.control.explain import texts
from proxy.mapping.checks.comparison import Difference


def shown(found: Difference) -> Iterator[Span]:
    """Write a difference as lines, as `diff` does."""
    path, expected, got = texts(found)
    place = f"{path}: " if path else ""
    if expected is not None:
        yield Span(f"- {place}{expected}", Style.BAD)
    if got is not None:
        yield Span(f"+ {place}{got}", Style.GOOD)
