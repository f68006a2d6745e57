"""Where the cells of a table stand: how wide they are on a terminal, and what has to give way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from rich.cells import cell_len

from proxy.cli.styled import Column, Line, safe

GAP: Final = "  "
"""What is between two columns."""

_LEAST: Final = 8
"""What is left at least of a cell that is cut off."""


def widths(columns: Sequence[Column], rows: Sequence[Line]) -> list[int]:
    """How wide each column is with all of its cells, in columns of a terminal."""
    found = [cell_len(column.title) for column in columns]
    for row in rows:
        for index, cell in enumerate(row):
            found[index] = max(found[index], cell_len(safe(cell).text))
    return found


def fitted(columns: Sequence[Column], wanted: Sequence[int], room: int | None) -> list[int] | None:
    """The widths with which the table fits, the widest of what may be cut being cut first.

    Args:
        columns: those of the table.
        wanted: their widths with all of their cells.
        room: of the terminal; None for all that is wanted.

    Returns:
        The widths; None where it does not fit.
    """
    found = list(wanted)
    if room is None:
        return found
    least = [
        min(width, max(_LEAST, cell_len(column.title))) if column.cut else width
        for column, width in zip(columns, found, strict=True)
    ]
    left = sum(found) + len(GAP) * (len(found) - 1) - room
    while left > 0:
        index = max(range(len(found)), key=lambda each: (found[each] > least[each], found[each]))
        if found[index] == least[index]:
            return None
        found[index] -= 1
        left -= 1
    return found


def aligned(columns: Sequence[Column], rows: Sequence[Line], wide: Sequence[int]) -> Iterator[str]:
    """The lines of a table of plain text, the titles first; nothing is cut off."""
    for row in (tuple(column.title for column in columns), *rows):
        cells = []
        for column, cell, width in zip(columns, row, wide, strict=True):
            text = safe(cell).text
            filling = " " * (width - cell_len(text))
            cells.append(filling + text if column.right else text + filling)
        yield GAP.join(cells).rstrip()
