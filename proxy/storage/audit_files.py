"""The files of an audit: lines appended by all processes of a state directory, one after the other.

`audit.jsonl` is the one that is appended to, `audit-000001.jsonl` and so on are full. Whoever
appends holds a lock, goes on from the last line that is there, whoever wrote it, and has it on the
disk before the lock is given up. What was not written whole is taken back. What a crash has left of
a line stays where it is, and the next line says so: nothing that is in the files is ever changed.

Which files there are is told by the first lines of the chain's own, and never by what lies in the
directory: else who can write there would have the true ones removed, by putting others there.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import re
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from proxy.storage.audit_reading import (
    FileEnd,
    OpenedFile,
    begin_in,
    chain_in,
    end_of,
    first_line,
    open_file,
    place_of,
)
from proxy.storage.state_directory import prepare_directory
from proxy.tokens.audit_chain import (
    BEGINS,
    FOREIGN,
    MISSING,
    START,
    TORN,
    UNATTESTED,
    AuditKeys,
    Entry,
    FileBegins,
    Head,
    Link,
    read_begin,
    written_line,
)
from proxy.types import SEGUE

CURRENT: Final = "audit.jsonl"
_LOCK: Final = "audit.lock"
_NEW: Final = "audit.jsonl.new"
_FULL: Final = re.compile(r"audit-([0-9]{6,15})\.jsonl")
_MOST_NAMES: Final = 10
"""Files of others that one line names; of more, how many there are."""

_MODE: Final = 0o600
_NO_LINKS: Final = (errno.EPERM, errno.ENOTSUP, errno.EMLINK)
"""What file systems say that give no file a second name."""

_APPEND: Final = os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Appended(NamedTuple):
    """What came of appending.

    Attributes:
        head: where the chain has got to.
        found: what was wrong with the end that was appended to, by the event that says so.
    """

    head: Head
    found: tuple[str, ...]


_Found = tuple[str, dict[str, object]]
"""Something to be said of the files: the event, and its details."""


class AuditFiles:
    """Appends to the files of one state directory, and reads them.

    Attributes:
        place: what heads say of where the files are.
    """

    def __init__(self, directory: Path, keys: AuditKeys) -> None:
        """Nothing is made yet."""
        self.place = place_of(directory)
        self._directory = directory
        self._keys = keys

    def append(self, entries: Sequence[Entry], now: str, *, max_size: int, keep: int) -> Appended:
        """Append lines, and wait for the disk.

        Args:
            entries: what the lines say.
            now: the time of the lines that the audit writes about itself.
            max_size: bytes of a file, after which another one is begun.
            keep: full files that are kept.

        Raises:
            ConfigError: the directory cannot be made.
            OSError: nothing was appended.
        """
        prepare_directory(self._directory)
        with self._locked():
            numbers = self._full()
            end = end_of(self._directory / CURRENT)
            self._undo_half_a_rotation(end, numbers)
            newest = None if end.line is not None else self._newest(numbers)
            link, found = self._goes_on_from(end, newest)
            data, reached = self._lines([*_told(found, now), *entries], link)
            begin = end.begin
            if begin is not None and end.line is not None and end.size + len(data) <= max_size:
                self._write(CURRENT, (b"" if end.is_ended else b"\n") + data, _APPEND, end.size)
                head = Head(begin.audit, begin.file, reached, self.place)
            else:
                head = self._begin_another(end, numbers, link, found, entries, now, keep)
            return Appended(head, tuple(event for event, _ in found))

    def contradict(self, link: Link) -> bool:
        """Whether the files have another line in that place, or end before it.

        Of what is older than they are they say nothing.

        Raises:
            OSError: they cannot be read.
        """
        with self._locked():
            begin = self.begin()
            audit = "" if begin is None else begin.audit
            own = (each for each in reversed(self._full()) if self._is_own(each, audit))
            for name in (CURRENT, *map(_name, own)):
                first = first_line(self._directory / name)
                if first is not None and first.sequence <= link.sequence:
                    return chain_in(self._directory / name, link.sequence) != link.chain
        return False

    @contextmanager
    def opened(self) -> Iterator[list[OpenedFile]]:
        """All files, the oldest first, as they are at one moment; others append meanwhile.

        Raises:
            OSError: one cannot be read.
        """
        files: list[OpenedFile] = []
        try:
            with self._locked(make=False):
                seen = set()
                # A full one may have both names for a moment: that of `CURRENT` is the one to stay.
                for number in (None, *reversed(self._full())):
                    name = CURRENT if number is None else _name(number)
                    file = open_file(self._directory / name)
                    if file is not None:
                        status = os.fstat(file.fileno())
                        files.append(OpenedFile(name, file, status.st_size, number))
                        if status.st_ino in seen:
                            files.pop().file.close()
                        seen.add(status.st_ino)
            yield files[::-1]
        finally:
            for each in files:
                each.file.close()

    def begin(self) -> FileBegins | None:
        """What the first line of the current file says; None where there is none."""
        return read_begin(first_line(self._directory / CURRENT))

    def _goes_on_from(self, end: FileEnd, newest: int | None) -> tuple[Link, list[_Found]]:
        """The last line that is there, and what is to be said of how it was found.

        Args:
            end: of the current file.
            newest: the number of the full file to look into where that one has no line.
        """
        found: list[_Found] = []
        line, rest = end.line, end.rest
        if line is None and newest is not None:
            before = end_of(self._directory / _name(newest))
            line, rest = before.line, before.rest + rest
        if line is not None and not self._keys.attest(line):
            found.append((UNATTESTED, {"line": line.sequence, "key": line.key}))
        if rest:
            content = rest.replace(b"\n", b"")
            digest = hashlib.sha256(content).hexdigest()
            found.append((TORN, {"bytes": len(content), "sha256": digest}))
        if line is not None and not end.size:
            # There is one from the first line on.
            found.append((MISSING, {"line": line.sequence + 1, "file": CURRENT}))
        return START if line is None else line.link, found

    def _begin_another(
        self,
        end: FileEnd,
        numbers: list[int],
        link: Link,
        found: list[_Found],
        entries: Sequence[Entry],
        now: str,
        keep: int,
    ) -> Head:
        """Write lines into a new file, and let it take the place of the one that is full."""
        begin = begin_in(self._directory / CURRENT, self._keys)
        number = 0 if begin is None else begin.file
        if begin is None:
            newest = self._newest(numbers)
            if newest is not None:
                begin, number = begin_in(self._directory / _name(newest), self._keys), newest
            # What is there in place of the current file is no file of the chain, but is kept.
            number += bool(end.size)
        audit = secrets.token_hex(8) if begin is None else begin.audit
        begins = FileBegins(
            file=number + 1,
            audit=audit,
            previous=link.chain,
            oldest=max(1 if begin is None else begin.oldest, number + 1 - keep),
        )
        own = {each for each in numbers if each <= number and self._is_own(each, audit)}
        is_taken = bool(end.size) and number in numbers
        others = [each for each in numbers if each not in own or (is_taken and each == number)]
        if others:
            names = [_name(each) for each in others[:_MOST_NAMES]]
            found.append((FOREIGN, {"files": names, "count": len(others)}))
        entry = Entry(now, BEGINS, SEGUE, "", begins.details())
        data, reached = self._lines([entry, *_told(found, now), *entries], link)
        new = self._directory / _NEW
        new.unlink(missing_ok=True)
        self._write(_NEW, data, _APPEND | os.O_CREAT | os.O_EXCL, 0)
        try:
            if end.size:
                full = self._directory / _name(number)
                if is_taken:
                    full.rename(full.with_name(f"{full.name}.foreign-{secrets.token_hex(4)}"))
                # Never a moment without the file, and never over another one.
                self._name_full(full)
            new.replace(self._directory / CURRENT)
        except OSError:
            new.unlink(missing_ok=True)
            raise
        self._sync_directory()
        for each in own | {number}:
            if each < begins.oldest:
                (self._directory / _name(each)).unlink(missing_ok=True)
        return Head(begins.audit, begins.file, reached, self.place)

    def _newest(self, numbers: list[int]) -> int | None:
        """The number of the newest full file that is one of the chain's, by what it says itself."""
        for number in reversed(numbers):
            try:
                begin = begin_in(self._directory / _name(number), self._keys)
            except OSError:
                continue  # A link, or a directory: it is nobody's file.
            if begin is not None and begin.file == number:
                return number
        return None

    def _is_own(self, number: int, audit: str) -> bool:
        """Whether a full file says of itself that it is that one of this chain; empty: of any."""
        try:
            begin = read_begin(first_line(self._directory / _name(number)))
        except OSError:
            return False
        return begin is not None and begin.file == number and audit in ("", begin.audit)

    def _name_full(self, full: Path) -> None:
        current = self._directory / CURRENT
        try:
            os.link(current, full)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            current.rename(full)

    def _lines(self, entries: Sequence[Entry], link: Link) -> tuple[bytes, Link]:
        lines: list[bytes] = []
        for entry in entries:
            line, link = written_line(entry, link, self._keys)
            lines.append(line)
        return b"".join(lines), link

    def _undo_half_a_rotation(self, end: FileEnd, numbers: list[int]) -> None:
        """Take back the second name that a full file was given before a crash."""
        number = 0 if end.begin is None else end.begin.file
        if number not in numbers:
            return
        full, current = self._directory / _name(number), self._directory / CURRENT
        if os.path.samestat(full.lstat(), current.lstat()):
            full.unlink()
            numbers.remove(number)

    def _write(self, name: str, data: bytes, flags: int, size: int) -> None:
        file = os.open(self._directory / name, flags, _MODE)
        try:
            try:
                left = memoryview(data)
                while left:
                    left = left[os.write(file, left) :]
                os.fsync(file)
            except OSError:
                # What is there of it is nobody's line: it is tried again, whole.
                os.ftruncate(file, size)
                raise
        finally:
            os.close(file)

    def _full(self) -> list[int]:
        """The numbers of the files that are full, the smallest first."""
        found = (_FULL.fullmatch(each.name) for each in self._directory.iterdir())
        return sorted(int(each[1]) for each in found if each is not None)

    @contextmanager
    def _locked(self, *, make: bool = True) -> Iterator[None]:
        """Keep all others out; whoever only reads makes no lock, for nobody else may be there."""
        path = self._directory / _LOCK
        flags = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | (os.O_CREAT if make else 0)
        while True:
            try:
                lock = os.open(path, flags, _MODE)
            except FileNotFoundError:
                if make:
                    raise
                yield
                return
            try:
                fcntl.flock(lock, fcntl.LOCK_EX)
                # Somebody may have removed it while it was waited for.
                try:
                    is_it = os.path.samestat(path.stat(), os.fstat(lock))
                except FileNotFoundError:
                    is_it = False
                if is_it:
                    yield
                    return
            finally:
                os.close(lock)

    def _sync_directory(self) -> None:
        directory = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


def _name(number: int) -> str:
    return f"audit-{number:06d}.jsonl"


def _told(found: list[_Found], now: str) -> list[Entry]:
    return [Entry(now, event, SEGUE, "", details) for event, details in found]
