"""Reading the files of an audit: the end of one, its first line, a line in it.

What is no file is refused and not waited for, and no symbolic link is followed.
"""

from __future__ import annotations

import hashlib
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from proxy.tokens.audit_chain import (
    MAX_LINE,
    AuditKeys,
    AuditLine,
    FileBegins,
    following,
    read_begin,
    read_line,
)

_TAILS: Final = (16 * 1024, 2 * MAX_LINE)
"""Bytes at the end of a file in which its last line is looked for, first and then."""

_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class FileEnd(NamedTuple):
    """The end of a file.

    Attributes:
        size: of the file, in bytes.
        begin: what its first line says; None where it has none that can be read.
        line: its last line that can be read; None where there is none.
        rest: what comes after that, and is no line.
        is_ended: whether the last byte is a line break.
    """

    size: int
    begin: FileBegins | None
    line: AuditLine | None
    rest: bytes
    is_ended: bool


class OpenedFile(NamedTuple):
    """A file of the audit, to be read up to `size` bytes.

    Attributes:
        name: of the file.
        file: at its beginning.
        size: in bytes.
        number: that its name says it has; None for the current one.
    """

    name: str
    file: BinaryIO
    size: int
    number: int | None = None

    def lines(self) -> Iterator[bytes]:
        """Its lines, with their line breaks; of one that is too long, pieces."""
        left = self.size
        while left > 0 and (line := self.file.readline(min(MAX_LINE, left))):
            left -= len(line)
            yield line


def place_of(directory: Path) -> str:
    """A name of this directory on this machine, that tells nobody of either."""
    whole = f"{socket.gethostname()}\0{os.path.realpath(directory)}"
    return hashlib.sha256(whole.encode(errors="surrogateescape")).hexdigest()[:16]


def end_of(path: Path) -> FileEnd:
    """The end of a file; of one that is not there, of an empty one."""
    file = open_file(path)
    if file is None:
        return FileEnd(0, None, None, b"", is_ended=True)
    with file:
        begin = read_begin(read_line(file.readline(MAX_LINE)))
        size = file.seek(0, os.SEEK_END)
        line, rest, tail = None, b"", b""
        for length in _TAILS:
            file.seek(max(size - length, 0))
            tail = file.read()
            line, rest = _last_line(tail)
            if line is not None or length >= size:
                break
    return FileEnd(size, begin, line, rest, is_ended=not tail or tail.endswith(b"\n"))


def first_line(path: Path) -> AuditLine | None:
    """The first line of a file; None where it has none that can be read."""
    file = open_file(path)
    if file is None:
        return None
    with file:
        return read_line(file.readline(MAX_LINE))


def begin_in(path: Path, keys: AuditKeys) -> FileBegins | None:
    """What the first line of a file says, where the lines after it bear it out.

    That is up to the first line that is attested by one of the keys; where all are of keys that are
    not known, up to the end. None where the first line says nothing, or something that was altered.

    Raises:
        OSError: it cannot be read, or is no file.
    """
    file = open_file(path)
    if file is None:
        return None
    with file:
        begin = read_begin(read_line(file.readline(MAX_LINE)))
        if begin is None:
            return None
        chain = begin.previous
        file.seek(0)
        for raw in OpenedFile(path.name, file, os.fstat(file.fileno()).st_size).lines():
            line = read_line(raw)
            if line is None:
                continue  # A crash has left it, or the next line does not follow.
            attested = keys.attest(line)
            if following(chain, line.body) != line.chain or attested is False:
                return None
            if attested:
                break
            chain = line.chain
    return begin


def chain_in(path: Path, sequence: int) -> bytes | None:
    """The chain at a line of a file; None where it has no such line."""
    file = open_file(path)
    if file is None:
        return None
    with file:
        whole = OpenedFile(path.name, file, os.fstat(file.fileno()).st_size)
        start = b'{"seq":%d,' % sequence
        # It is mostly one of the last.
        file.seek(max(whole.size - _TAILS[0], 0))
        _, found, rest = file.read().rpartition(b"\n" + start)
        line = read_line(start + rest.partition(b"\n")[0]) if found else None
        if line is not None:
            return line.chain
        file.seek(0)
        # Only those are read whole that begin like it.
        read = (read_line(raw) for raw in whole.lines() if raw.startswith(start))
        return next((each.chain for each in read if each is not None), None)


def open_file(path: Path) -> BinaryIO | None:
    """The file; None where there is none.

    Raises:
        OSError: it cannot be read, or is no file.
    """
    try:
        descriptor = os.open(path, _READ)
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(f"{path.name} is not a file")
    return os.fdopen(descriptor, "rb")


def _last_line(tail: bytes) -> tuple[AuditLine | None, bytes]:
    """The last line of these bytes that can be read, and the bytes after it."""
    end = len(tail)
    while end > 0:
        begin = tail.rfind(b"\n", 0, end - 1) + 1
        line = read_line(tail[begin:end])
        if line is not None:
            return line, tail[end:]
        end = begin
    return None, tail
