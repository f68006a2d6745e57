"""What is printed: colours where they are wanted, and text that cannot act on a terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from typing import Final, TextIO

from proxy.errors import printable

__all__ = ["Paint", "printable", "shortened"]

_RESET: Final = "\x1b[0m"


class Paint:
    """Colours, or none of them.

    They are used on a terminal, unless `NO_COLOR` is set to anything but nothing
    (https://no-color.org) or the terminal calls itself dumb.
    """

    def __init__(self, stream: TextIO, env: Mapping[str, str]) -> None:
        self.enabled = stream.isatty() and not env.get("NO_COLOR") and env.get("TERM") != "dumb"

    def red(self, text: str) -> str:
        return self._in("\x1b[31m", text)

    def green(self, text: str) -> str:
        return self._in("\x1b[32m", text)

    def dim(self, text: str) -> str:
        return self._in("\x1b[2m", text)

    def bold(self, text: str) -> str:
        return self._in("\x1b[1m", text)

    def _in(self, code: str, text: str) -> str:
        return f"{code}{text}{_RESET}" if self.enabled else text


def shortened(text: str, most: int) -> str:
    """The text, safe to print, cut off after `most` characters with a note of what is missing."""
    if len(text) > most:
        return f"{printable(text[:most])}... ({len(text)} characters)"
    return printable(text)


def counted(number: int, what: str) -> str:
    """The number, and the word for one or for several of them."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def print_table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    """Print a table whose cells are safe to print, its header in bold on a terminal."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    first, *others = (
        "  ".join(map(str.ljust, cells, widths)).rstrip() for cells in (header, *rows)
    )
    print(Paint(sys.stdout, os.environ).bold(first))
    for line in others:
        print(line)


def span(seconds: float) -> str:
    """A duration as people read it, in its two largest units; `over` where it is none."""
    if not 0 <= seconds < float("inf"):
        return "over" if seconds < 0 else "never"
    left, parts = int(seconds), list[str]()
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, left = divmod(left, size)
        if count or parts or unit == "s":
            parts.append(f"{count}{unit}")
        if len(parts) == 2:
            break
    return " ".join(parts)
