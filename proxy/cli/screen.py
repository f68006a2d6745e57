"""Where commands print for people: lines in colours, tables that fit, what changes while one looks.

On a terminal that is drawn by rich, which is imported only when there is something to draw: a
server, and a command that prints plain text, do without it. Into files and pipes go plain columns,
of whatever width they need, so that scripts can read them.

All text is escaped here, whatever a caller did: nothing that a client or a server wrote acts on the
terminal, and none of it is taken for rich's markup, which is never parsed.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, TextIO

from proxy.cli.styled import Column, Line, Piece, Span, Style, plain, safe

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live

    from proxy.cli.drawing import Drawing

_DUMB: Final = ("dumb", "unknown")
_USUAL: Final = 80


def is_colourful(stream: TextIO, env: Mapping[str, str]) -> bool:
    """Whether to use colours.

    `NO_COLOR` (https://no-color.org) with any value forbids them; `FORCE_COLOR`
    (https://force-color.org) with any value has them everywhere; else they are for terminals that
    do not call themselves dumb.
    """
    if env.get("NO_COLOR"):
        return False
    return bool(env.get("FORCE_COLOR")) or _moves(stream, env)


def _moves(stream: TextIO, env: Mapping[str, str]) -> bool:
    return stream.isatty() and env.get("TERM") not in _DUMB


class Screen:
    """What is printed to."""

    def __init__(self, stream: TextIO, env: Mapping[str, str], *, colour: bool = True) -> None:
        """Nothing is written yet.

        Args:
            stream: where to.
            env: the variables of the environment.
            colour: False for none, whatever the environment says.
        """
        self._stream = stream
        self._env = env
        self._moves = _moves(stream, env)
        self._colourful = colour and is_colourful(stream, env)
        self._made: Drawing | None = None

    @property
    def width(self) -> int | None:
        """Columns of the terminal; None where it is none, and nothing has to fit."""
        return _width(self._stream, self._env) if self._stream.isatty() else None

    @classmethod
    def of_stdout(cls) -> Screen:
        """That of this process."""
        if hasattr(sys.stdout, "reconfigure"):
            # An encoding that lacks a character gets it escaped, and not a traceback.
            sys.stdout.reconfigure(errors="backslashreplace")
        return cls(sys.stdout, os.environ)

    def line(self, *pieces: Piece) -> None:
        """Write one line; what does not fit wraps as the terminal wraps it."""
        if self._colourful or self._made is not None:
            self._drawing().line_of(pieces)
        else:
            self._stream.write(f"{plain(pieces)}\n")
            self._stream.flush()

    def table(self, columns: Sequence[Column], rows: Sequence[Line], *, indent: int = 0) -> None:
        """Write a table, each row with as many cells as there are columns.

        On a terminal it fits: cells that may be cut off end with an ellipsis, others go on in the
        next line; columns that say nothing are left out, spare ones too, which is told below. Where
        that is not enough each row becomes a block of lines, so that nothing is lost.
        """
        from proxy.cli import layout  # noqa: PLC0415 (imports of rich what it needs)

        if not self._colourful and self.width is None:
            for text in layout.aligned(columns, rows, layout.widths(columns, rows)):
                self._stream.write(f"{' ' * indent}{text}\n")
            return
        room = None if self.width is None else self.width - indent
        found = layout.arranged(columns, rows, room)
        if found is None:
            self._blocks(columns, rows, indent)
            return
        from proxy.cli import drawing  # noqa: PLC0415

        self._drawing().draw(drawing.table(found.columns, found.rows, found.widths, indent))
        if found.left_out:
            text = f"no room for {', '.join(found.left_out)}: a wider terminal or --json has it"
            self.line(Span(f"{' ' * indent}{text}", Style.DIM))

    def _blocks(self, columns: Sequence[Column], rows: Sequence[Line], indent: int) -> None:
        """Write a block for each row, as far to the right as its first cell begins."""
        from proxy.cli import layout  # noqa: PLC0415

        names = max(len(column.title) for column in columns)
        for number, row in enumerate(rows):
            if number:
                self.line()
            first = safe(row[0]).text
            further = indent + len(first) - len(first.lstrip(" "))
            for column, cell in zip(columns, row, strict=True):
                span = safe(cell)
                text = span.text.strip(" ")
                if text in ("", layout.NOTHING):
                    continue
                title = f"{' ' * further}{column.title:<{names}}  "
                self.line(Span(title, Style.HEADING), span._replace(text=text))

    @contextmanager
    def changing(self) -> Iterator[Changing]:
        """Yield what is drawn anew in its place whenever it changes, until the body ends.

        Where the cursor cannot be moved (a file, a pipe, a dumb terminal), the lines that changed
        are written below. What is written by `line` meanwhile stands above.
        """
        if not self._moves:
            yield Changing(self, None)
            return
        with self._drawing().live() as live:
            yield Changing(self, live)

    def _drawing(self) -> Drawing:
        from proxy.cli.drawing import Drawing  # noqa: PLC0415 (only now: it imports rich)

        if self._made is None:
            self._made = Drawing(self._stream, moves=self._moves, colourful=self._colourful)
        self._made.fit(self.width)
        return self._made


class Changing:
    """What `Screen.changing` yields."""

    def __init__(self, screen: Screen, live: Live | None) -> None:
        self._screen = screen
        self._live = live
        self._wide: list[int] = []
        self._last: list[str] = []

    def lines(self, lines: Sequence[Line]) -> None:
        """Show these lines in place of those of before."""
        if self._live is not None:
            from proxy.cli import drawing  # noqa: PLC0415

            self._show(drawing.lines(lines))
        else:
            self._tell([plain(line) for line in lines])

    def table(self, columns: Sequence[Column], rows: Sequence[Line]) -> None:
        """Show this table in place of that of before, cut off where it does not fit."""
        from proxy.cli import layout  # noqa: PLC0415

        wanted = layout.widths(columns, rows)
        if self._live is None:
            # The columns of lines that are told one by one stay where they were.
            before = self._wide or wanted
            self._wide = list(map(max, wanted, before))
            self._tell(list(layout.aligned(columns, rows, self._wide)))
            return
        from proxy.cli import drawing  # noqa: PLC0415

        fitted = layout.fitted(columns, wanted, self._screen.width)
        if fitted is None:
            narrow = [column._replace(cut=True) for column in columns]
            fitted = layout.fitted(narrow, wanted, self._screen.width) or wanted
        self._show(drawing.table(columns, rows, fitted))

    def _show(self, what: RenderableType) -> None:
        assert self._live is not None
        self._live.update(what, refresh=True)

    def _tell(self, lines: list[str]) -> None:
        for number, line in enumerate(lines):
            if number >= len(self._last) or self._last[number].split() != line.split():
                self._screen.line(line)
        self._last = lines


def _width(stream: TextIO, env: Mapping[str, str]) -> int:
    """How wide a terminal is: as `COLUMNS` says, as it says itself, or as they usually are."""
    told = env.get("COLUMNS", "")
    if told.isascii() and told.isdecimal() and int(told[:6]) > 0:
        return int(told[:6])
    try:
        return os.get_terminal_size(stream.fileno()).columns or _USUAL
    except (OSError, ValueError):
        return _USUAL
