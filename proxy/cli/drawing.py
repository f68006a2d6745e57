"""What rich draws on a terminal. Only `proxy.cli.screen` imports this, when there is something."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, TextIO

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.live import Live
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from proxy.cli.layout import GAP
from proxy.cli.styled import Column, Line, Style, safe

_UNBOUNDED: Final = 1 << 20
"""Columns where there is no terminal that something would have to fit."""


class Drawing(Console):
    """A console that parses no markup, and changes no text that it is given."""

    def __init__(self, stream: TextIO, *, moves: bool, colourful: bool) -> None:
        """Nothing is written yet.

        Args:
            stream: where to.
            moves: whether the cursor can be moved there.
            colourful: whether colours are wanted.
        """
        super().__init__(
            file=stream,
            force_terminal=moves,
            color_system="standard" if colourful else None,
            no_color=not colourful,
            markup=False,
            emoji=False,
            highlight=False,
            legacy_windows=False,
            # What is wanted has been read; rich would read NO_COLOR and TERM in ways of its own.
            _environ={},
        )

    def on_broken_pipe(self) -> None:
        """Leave it to the command, as with all that it prints: whoever read has seen enough."""
        raise  # noqa: PLE0704 (called where it is handled)

    def fit(self, width: int | None) -> None:
        """From now on the terminal has so many columns; None: there is none, and nothing to fit."""
        self.width = _UNBOUNDED if width is None else width

    def line_of(self, line: Line) -> None:
        """Write a line, which wraps as the terminal wraps it."""
        self.print(text(line), soft_wrap=True)

    def draw(self, what: RenderableType) -> None:
        """Write a table."""
        self.print(what, crop=False)

    def live(self) -> Live:
        """What is drawn anew in its place, when it is told to."""
        return Live(console=self, auto_refresh=False, redirect_stdout=False, redirect_stderr=False)


def text(line: Line) -> Text:
    """A line as rich has it."""
    return Text.assemble(*((piece.text, piece.style.value) for piece in map(safe, line)))


def lines(several: Iterable[Line]) -> RenderableType:
    """Lines below each other, cut off where the terminal ends, so that their number is known."""
    found = []
    for line in several:
        one = text(line)
        one.no_wrap, one.overflow = True, "ellipsis"
        found.append(one)
    return Group(*found)


def table(
    columns: Sequence[Column], rows: Sequence[Line], widths: Sequence[int], indent: int = 0
) -> RenderableType:
    """A table of these widths, without lines, its titles bold, so far from the left edge."""
    made = Table(
        box=None,
        padding=(0, len(GAP), 0, 0),
        pad_edge=False,
        header_style=Style.HEADING.value,
    )
    for column, width in zip(columns, widths, strict=True):
        made.add_column(
            text((column.title,)),
            width=width,
            no_wrap=not column.wrap,
            overflow="fold" if column.wrap else "ellipsis",
            justify="right" if column.right else "left",
        )
    for row in rows:
        made.add_row(*(text((cell,)) for cell in row))
    return _Placed(made, indent)


class _Placed:
    """Some columns from the left edge, and without the spaces that would fill up its lines."""

    def __init__(self, what: RenderableType, indent: int) -> None:
        self._what = what
        self._indent = indent

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for line in console.render_lines(self._what, options, pad=False):
            kept = list(line)
            while kept and not kept[-1].text.strip():
                kept.pop()
            if kept:
                kept[-1] = Segment(kept[-1].text.rstrip(), kept[-1].style)
            if kept and self._indent:
                yield Segment(" " * self._indent)
            yield from kept
            yield Segment.line()
