"""What the watcher sees: coloured lines that fit the terminal, and frames side by side.

Text comes from a server, so what a terminal would take for a command is escaped, and widths are
those that terminals show (two columns for most of East Asian script and for emoji).
"""

from __future__ import annotations

import os
import shutil
import unicodedata
from collections.abc import Mapping, Sequence
from enum import Enum
from itertools import zip_longest
from typing import Final, NamedTuple, TextIO

_NARROWEST: Final = 60
_WIDEST: Final = 220
_SIZE_FROM: Final = 100


class Style(Enum):
    """How text looks; the values are the parameters of SGR (ECMA-48 section 8.3.117)."""

    PLAIN = ""
    DIM = "2"
    HEADING = "1"
    OLD = "33"
    NEW = "1;32"
    GOOD = "32"
    BAD = "1;31"


class Span(NamedTuple):
    """Text of one look."""

    text: str
    style: Style = Style.PLAIN


Line = Sequence[Span]


def is_colourful(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Whether to use colour: on a terminal, unless `NO_COLOR` or `TERM=dumb` says otherwise."""
    return stream.isatty() and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"


class Screen:
    """Where lines are written.

    Attributes:
        width: columns; from 60 to 220, so that there is always room for something and lines stay
            readable.
    """

    def __init__(self, stream: TextIO, width: int, *, colour: bool) -> None:
        self.width = min(max(width, _NARROWEST), _WIDEST)
        self._stream = stream
        self._colour = colour

    @classmethod
    def on(cls, stream: TextIO, *, colour: bool) -> Screen:
        """The screen of this terminal; 100 columns where it is none and `COLUMNS` is unset."""
        columns = shutil.get_terminal_size((100, 24)).columns
        return cls(stream, columns, colour=colour and is_colourful(stream, os.environ))

    def line(self, *spans: Span | str) -> None:
        """Write one line; what does not fit wraps as the terminal wraps it."""
        painted = (self._paint(Span(span) if isinstance(span, str) else span) for span in spans)
        self._stream.write("".join(painted).rstrip() + "\n")
        self._stream.flush()

    def heading(self, text: str) -> None:
        """Write a heading, set off from what precedes it."""
        self.line()
        self.line(Span(text, Style.HEADING))

    def table(self, columns: Sequence[tuple[int, Sequence[Line]]]) -> None:
        """Write cells of several lines beside each other; each column has its width."""
        for cells in zip_longest(*(cell for _, cell in columns), fillvalue=()):
            spans: list[Span] = []
            for number, (line, (width, _)) in enumerate(zip(cells, columns, strict=True)):
                if number:
                    spans.append(Span(" │ ", Style.DIM))
                spans += fitted(line, width)
            self.line(*spans)

    def _paint(self, span: Span) -> str:
        if not self._colour or span.style is Style.PLAIN:
            return span.text
        return f"\x1b[{span.style.value}m{span.text}\x1b[0m"


def fitted(line: Line, width: int) -> list[Span]:
    """The line with exactly this width: cut with an ellipsis, or filled with spaces."""
    room = width
    spans = []
    for span in line:
        text = cut(span.text, room)
        spans.append(Span(text, span.style))
        room -= columns_of(text)
    spans.append(Span(" " * room))
    return spans


def cut(text: str, width: int) -> str:
    """The text if it fits, else as much of it as fits before an ellipsis."""
    if columns_of(text) <= width:
        return text
    if width < 1:
        return ""
    kept = []
    room = width - 1
    for character in text:
        room -= _columns_of_one(character)
        if room < 0:
            break
        kept.append(character)
    return "".join(kept) + "…"


def columns_of(text: str) -> int:
    """How many columns of a terminal the text takes."""
    return sum(map(_columns_of_one, text))


def _columns_of_one(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def value_text(text: str, width: int) -> str:
    """A JSON text on one line of this width; a long one is cut and its size told."""
    text = harmless(text)
    if columns_of(text) <= width:
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
