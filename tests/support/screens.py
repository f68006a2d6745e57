"""Terminals that keep what is written to them, and what a reader sees of it."""

from __future__ import annotations

import io
import re

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_MOTION = re.compile(r"\x1b\[(?:1A|2K|\?25[lh])|\r")


class Terminal(io.StringIO):
    """Says that it is one."""

    def isatty(self) -> bool:
        return True


def uncoloured(text: str) -> str:
    """The text without colours; whatever else acts on a terminal stays in it."""
    return _COLOURS.sub("", text)


def without_motion(text: str) -> str:
    """Without what a changing table is drawn by: up a line, clear it, hide or show the cursor."""
    return _MOTION.sub("", text)
