"""Terminals that keep what is written to them, and what a reader sees of it."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import re
import struct
import subprocess
import sys
import termios

from tests.support.checkout import ROOT
from tests.support.waiting import PATIENCE

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_PART = re.compile(r"\x1b\[[?\d;]*[A-Za-z]|\r|\n|[^\x1b\r\n]+")
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


def on_a_terminal(columns: int, *arguments: str, **env: str) -> str:
    """What a command writes to a terminal of this width."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    unset = {"NO_COLOR", "FORCE_COLOR", "COLUMNS", "TERM"}
    environment = {key: value for key, value in os.environ.items() if key not in unset}
    with subprocess.Popen(
        [sys.executable, *arguments],
        cwd=ROOT,
        stdin=theirs,
        stdout=theirs,
        env={**environment, "TERM": "xterm-256color", **env},
    ) as process:
        os.close(theirs)
        written = b""
        while True:
            try:
                written += os.read(ours, 65536)
            except OSError:  # What Linux says when nobody holds the other end any more.
                break
        assert process.wait(PATIENCE) == 0
    os.close(ours)
    return written.decode().replace("\r\n", "\n")


def standing(written: str) -> list[str]:
    """What stands on a terminal in the end, for the few ways in which our own moves the cursor."""
    rows, row, column = [""], 0, 0
    for part in _PART.findall(written):
        if part == "\r":
            column = 0
        elif part == "\n":
            row, column = row + 1, 0
            rows += [""] * (row == len(rows))
        elif part == "\x1b[2K":
            rows[row] = ""
        elif part[0] == "\x1b":
            assert part[-1] in "Amhl", part
            row -= int(part[2:-1] or 1) if part[-1] == "A" else 0
        else:
            line = rows[row].ljust(column)
            rows[row] = line[:column] + part + line[column + len(part) :]
            column += len(part)
    return rows
