"""Where the cells of a table stand: how wide they are on a terminal, and what has to give way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from rich.cells import cell_len

from proxy.cli.styled import Column, Line, safe

GAP: Final = "  "
"""What is between two columns."""

_LEAST: Final = 8
"""What is left at least of a cell that is cut off."""

_LEAST_WRAPPED: Final = 16
"""How wide a column is at least whose cells go on in the next line."""

NOTHING: Final = "-"
"""A cell that says nothing."""


class Arranged(NamedTuple):
    """A table that fits.

    Attributes:
        columns: those that are shown.
        rows: their cells.
        widths: of these columns.
        left_out: the titles of those that say something and have no room.
    """

    columns: list[Column]
    rows: list[Line]
    widths: list[int]
    left_out: list[str]


def arranged(columns: Sequence[Column], rows: Sequence[Line], room: int | None) -> Arranged | None:
    """The table as it fits: first without columns that say nothing, then without spare ones.

    Args:
        columns: those of the table.
        rows: their cells.
        room: of the terminal; None for all that is wanted.

    Returns:
        What is shown; None where it does not fit.
    """
    wanted = widths(columns, rows)
    kept = list(range(len(columns)))
    left_out: list[str] = []
    if room is not None and _total(wanted) > room:
        kept = [index for index in kept if not index or _says_something(rows, index)]
    while True:
        shown = [columns[index] for index in kept]
        found = fitted(shown, [wanted[index] for index in kept], room)
        if found is not None:
            cells = [tuple(row[index] for index in kept) for row in rows]
            return Arranged(shown, cells, found, left_out)
        spare = [index for index in kept if columns[index].spare]
        if not spare:
            return None
        kept.remove(spare[-1])
        left_out.insert(0, columns[spare[-1]].title)


def _says_something(rows: Sequence[Line], index: int) -> bool:
    return any(safe(row[index]).text.strip() not in ("", NOTHING) for row in rows)


def _total(found: Sequence[int]) -> int:
    return sum(found) + len(GAP) * (len(found) - 1)


def widths(columns: Sequence[Column], rows: Sequence[Line]) -> list[int]:
    """How wide each column is with all of its cells, in columns of a terminal."""
    found = [cell_len(column.title) for column in columns]
    for row in rows:
        for index, cell in enumerate(row):
            found[index] = max(found[index], cell_len(safe(cell).text))
    return found


def fitted(columns: Sequence[Column], wanted: Sequence[int], room: int | None) -> list[int] | None:
    """The widths with which the table fits, what may be cut being narrower first, the widest of it.

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
    least = [_least(column, width) for column, width in zip(columns, found, strict=True)]
    left = _total(found) - room
    while left > 0:
        index = max(
            range(len(found)),
            key=lambda each: (found[each] > least[each], not columns[each].wrap, found[each]),
        )
        if found[index] == least[index]:
            return None
        found[index] -= 1
        left -= 1
    return found


def _least(column: Column, wanted: int) -> int:
    """How wide a column has to be at least."""
    if not column.cut and not column.wrap:
        return wanted
    return min(wanted, max(_LEAST_WRAPPED if column.wrap else _LEAST, cell_len(column.title)))


def aligned(columns: Sequence[Column], rows: Sequence[Line], wide: Sequence[int]) -> Iterator[str]:
    """The lines of a table of plain text, the titles first; nothing is cut off."""
    for row in (tuple(column.title for column in columns), *rows):
        cells = []
        for column, cell, width in zip(columns, row, wide, strict=True):
            text = safe(cell).text
            filling = " " * (width - cell_len(text))
            cells.append(filling + text if column.right else text + filling)
        yield GAP.join(cells).rstrip()
