"""What the watcher sees: coloured lines that fit the terminal, and frames side by side.

It is the screen that the commands of Segue print to, with a width that is bounded, and with cells
of several lines beside each other. Text comes from a server: nothing of it acts on the terminal.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Final, TextIO

from rich.cells import cell_len, set_cell_size

from proxy.cli import screen
from proxy.cli.styled import Line, Piece, Span, Style, safe

__all__ = ["Line", "Screen", "Span", "Style", "columns_of", "cut", "fitted", "harmless"]

_NARROWEST: Final = 60
_WIDEST: Final = 220
_USUAL: Final = 100
_SIZE_FROM: Final = 100


class Screen(screen.Screen):
    """Where lines are written."""

    def __init__(
        self,
        stream: TextIO,
        env: Mapping[str, str],
        *,
        colour: bool = True,
        width: int | None = None,
    ) -> None:
        """Nothing is written yet; `width` is for who wants another than the stream's."""
        super().__init__(stream, env, colour=colour)
        told = env.get("COLUMNS", "")
        columns = width or self.width or (int(told[:6]) if told.isdecimal() else 0) or _USUAL
        self.room = min(max(columns, _NARROWEST), _WIDEST)
        """Columns; from 60 to 220, so that there is always room and lines stay readable."""

    @classmethod
    def on(cls, stream: TextIO, *, colour: bool) -> Screen:
        """The screen of this terminal; 100 columns where it is none and `COLUMNS` is unset."""
        return cls(stream, os.environ, colour=colour)

    @property
    def is_live(self) -> bool:
        """Whether what is changing is drawn anew in its place."""
        return self._moves

    def heading(self, text: str) -> None:
        """Write a heading, set off from what precedes it."""
        self.line()
        self.line(Span(text, Style.HEADING))

    def beside(self, columns: Sequence[tuple[int, Sequence[Line]]]) -> None:
        """Write cells of several lines beside each other; each column has its width."""
        for cells in zip_longest(*(cell for _, cell in columns), fillvalue=()):
            pieces: list[Piece] = []
            for number, (line, (width, _)) in enumerate(zip(cells, columns, strict=True)):
                if number:
                    pieces.append(Span(" │ ", Style.DIM))
                pieces += fitted(line, width)
            while pieces and not (last := safe(pieces.pop())).text.strip():
                pass
            self.line(*pieces, Span(last.text.rstrip(), last.style))


def fitted(line: Line, width: int) -> tuple[Span, ...]:
    """The line with exactly this width: cut with an ellipsis, or filled with spaces."""
    room = width
    spans = []
    for piece in line:
        span = safe(piece)
        text = cut(span.text, room)
        spans.append(Span(text, span.style))
        room -= cell_len(text)
    return *spans, Span(" " * room)


def cut(text: str, width: int) -> str:
    """The text if it fits, else as much of it as fits before an ellipsis."""
    if cell_len(text) <= width:
        return text
    return f"{set_cell_size(text, width - 1)}…" if width > 0 else ""


def columns_of(text: str) -> int:
    """How many columns of a terminal the text takes."""
    return cell_len(text)


def value_text(text: str, width: int) -> str:
    """A JSON text on one line of this width; a long one is cut and its size told."""
    text = harmless(text)
    if cell_len(text) <= width:
        return text
    size = len(text.encode(errors="replace"))
    note = f" {size_text(size)}" if size >= _SIZE_FROM else ""
    return cut(text, width - len(note)) + note


def size_text(size: int) -> str:
    """Bytes as people read them."""
    return f"{size} B" if size < 1024 else f"{size / 1024:.1f} KiB"


def harmless(text: str) -> str:
    """The text with everything escaped that a terminal does not show as itself."""
    return "".join(
        character if character.isprintable() else f"\\u{ord(character):04x}" for character in text
    )
