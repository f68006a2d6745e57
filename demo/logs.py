"""What the programs say, kept after the demonstration: of the last run alone, and private.

Tokens are taken out while a line is written: the proxy logs none, but the old server is somebody
else's, and so is the traceback of whatever it stumbles over.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final

from demo.faults import ShowFailed

NAMES: Final = tuple(
    f"{act}{program}.log" for act in ("", "third-", "fourth-") for program in ("proxy", "backend")
)
"""The files that a run may write; no other file of the directory is touched."""

DIRECTORY: Final = Path(__file__).resolve().parents[1] / ".demo" / "logs"
"""Where they are unless the command line says otherwise."""

LARGEST: Final = 16 * 1024 * 1024
"""Bytes of one log; what comes after them is not kept."""

LONGEST_LINE: Final = 256 * 1024
"""Bytes of a line; one that is longer is not kept."""

_DIRECTORIES: Final = 9
_CHUNK: Final = 64 * 1024
_JWT: Final = re.compile(rb"eyJ[\w-]+\.[\w-]+\.[\w-]*")
_TOO_LONG: Final = b"[a line that is too long is not kept]\n"
_FULL: Final = b"[the log is full; what follows is not kept]\n"


@contextmanager
def kept(directory: Path | None, *, default: Path = DIRECTORY) -> Iterator[Path]:
    """A directory for the logs of this run alone; those of an earlier run in it are gone.

    Args:
        directory: this one and no other; None: `default`, or `default` with a number where another
            demonstration writes there.
        default: see there.

    Raises:
        ShowFailed: it cannot be written, or another demonstration writes there.
    """
    wanted = [directory] if directory is not None else _choices(default)
    with ExitStack() as held:
        for path in wanted:
            try:
                path.mkdir(parents=True, exist_ok=True)
                descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
                held.callback(os.close, descriptor)
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                for name in NAMES:
                    (path / name).unlink(missing_ok=True)
            except BlockingIOError:
                continue
            except OSError as error:
                raise ShowFailed(
                    f"the logs cannot be kept in {path}: {error.strerror}; name another directory"
                    " with --logs"
                ) from None
            yield path
            return
        raise ShowFailed(
            f"another demonstration writes its logs in {wanted[-1]}; name another directory"
            " with --logs"
        )


def _choices(default: Path) -> list[Path]:
    others = range(2, _DIRECTORIES + 1)
    return [default, *(default.with_name(f"{default.name}-{number}") for number in others)]


def opened(file: Path) -> BinaryIO:
    """A new file that only its owner reads, in place of one of that name.

    Raises:
        ShowFailed: it cannot be written.
    """
    try:
        file.unlink(missing_ok=True)
        # Made here and now: nobody has put a link in its place, or reads an older file.
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise ShowFailed(f"the log {file} cannot be written: {error.strerror}") from None
    return os.fdopen(descriptor, "wb", buffering=0)


async def copy(stream: asyncio.StreamReader, log: BinaryIO) -> None:
    """Write what a program says to its log, to the end of the stream, and close the log."""
    with log:
        room = LARGEST
        async for lines in _lines(stream):
            text = _JWT.sub(b"[token]", lines)
            if room:
                kept_whole = len(text) <= room
                room = room - len(text) if kept_whole else 0
                # A full disk must not keep the program from going on: it is read all the same.
                with suppress(OSError):
                    log.write(text if kept_whole else _FULL)


async def _lines(stream: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """Whole lines, several at a time: a token is never cut in two."""
    begun = b""
    skipping = False
    while chunk := await stream.read(_CHUNK):
        whole, newline, rest = chunk.rpartition(b"\n")
        if newline:
            lines = begun + whole + newline
            if skipping:
                lines = lines.partition(b"\n")[2]
            skipping, begun = False, b""
            if lines:
                yield lines
        if not skipping:
            begun += rest
            if len(begun) > LONGEST_LINE:
                skipping, begun = True, b""
                yield _TOO_LONG
    if begun:
        yield begun
