"""Text and how it looks: what commands say, before anybody knows where it is printed."""

from __future__ import annotations

from enum import StrEnum
from typing import Final, NamedTuple

from proxy.errors import printable


class Style(StrEnum):
    """How text looks; the values are rich's, in the 16 colours that each terminal has its own of.

    What has the same value looks the same, whatever it is called.
    """

    PLAIN = ""
    HEADING = "bold"
    DIM = "dim"
    GOOD = "green"
    BAD = "red"
    OFF = "dim"
    SHADOW = "bright_blue"
    CANARY = "yellow"
    ON = "green"
    OLD = "yellow"
    NEW = "bold green"


class Span(NamedTuple):
    """Text of one look."""

    text: str
    style: Style = Style.PLAIN


Piece = str | Span
Line = tuple[Piece, ...]
"""What stands in one line, from left to right; or the cells of one row."""


class Column(NamedTuple):
    """A column of a table.

    Attributes:
        title: what stands above it.
        cut: whether its cells may be cut off where the terminal is narrow; not what people copy.
        right: whether they stand at its right edge, as numbers do.
        wrap: whether they may go on in the next line, where nothing of them may be lost.
        spare: whether it may be left out where the terminal is narrow; the last one goes first.
    """

    title: str
    cut: bool = False
    right: bool = False
    wrap: bool = False
    spare: bool = False


_STATES: Final = {
    "off": Style.OFF,
    "shadow": Style.SHADOW,
    "canary": Style.CANARY,
    "on": Style.ON,
}


def state(text: str) -> Span:
    """The state of a switch in its colour, which its first word tells."""
    return Span(text, _STATES.get(text.partition(" ")[0], Style.PLAIN))


def safe(piece: Piece) -> Span:
    """The piece with everything escaped that could act on a terminal."""
    if isinstance(piece, str):
        return Span(printable(piece))
    return Span(printable(piece.text), piece.style)


def plain(line: Line) -> str:
    """The line without colours, and nothing in it that could act on a terminal."""
    return "".join(safe(piece).text for piece in line)
