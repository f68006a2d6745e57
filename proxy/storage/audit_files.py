"""The files of an audit: lines appended by all processes of a state directory, one after the other.

`audit.jsonl` is the one that is appended to, `audit-000001.jsonl` and so on are full. Whoever
appends holds a lock, goes on from the last line that is there, whoever wrote it, and has it on the
disk before the lock is given up. What was not written whole is taken back. What a crash has left of
a line stays where it is, and the next line says so: nothing that is in the files is ever changed.
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
    chain_in,
    end_of,
    first_line,
    open_file,
    place_of,
)
from proxy.storage.state_directory import prepare_directory
from proxy.tokens.audit_chain import (
    BEGINS,
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
_FULL: Final = re.compile(r"audit-(\d{6,})\.jsonl")
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
            self._undo_half_a_rotation(numbers)
            end = end_of(self._directory / CURRENT)
            link, found = self._goes_on_from(end, numbers)
            own = [Entry(now, event, SEGUE, "", told) for event, told in found]
            entries = [*own, *entries]
            events = tuple(event for event, _ in found)
            data, reached = self._lines(entries, link)
            begin = end.begin
            if begin is not None and end.line is not None and end.size + len(data) <= max_size:
                self._write(CURRENT, (b"" if end.is_ended else b"\n") + data, _APPEND, end.size)
                return Appended(Head(begin.audit, begin.file, reached, self.place), events)
            head = self._begin_another(end, numbers, link, entries, now, keep)
            return Appended(head, events)

    def contradict(self, link: Link) -> bool:
        """Whether the files have another line in that place, or end before it.

        Of what is older than they are they say nothing.

        Raises:
            OSError: they cannot be read.
        """
        with self._locked():
            for name in (CURRENT, *(_name(number) for number in reversed(self._full()))):
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
                for name in (CURRENT, *(_name(number) for number in reversed(self._full()))):
                    file = open_file(self._directory / name)
                    if file is not None:
                        status = os.fstat(file.fileno())
                        files.append(OpenedFile(name, file, status.st_size))
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

    def _goes_on_from(
        self, end: FileEnd, numbers: list[int]
    ) -> tuple[Link, list[tuple[str, dict[str, object]]]]:
        """The last line that is there, and what is to be said of how it was found."""
        found: list[tuple[str, dict[str, object]]] = []
        line, rest = end.line, end.rest
        if line is None and numbers:
            before = end_of(self._directory / _name(numbers[-1]))
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
        entries: Sequence[Entry],
        now: str,
        keep: int,
    ) -> Head:
        """Write lines into a new file, and let it take the place of the one that is full."""
        highest = (numbers or [0])[-1]
        number = highest + 1 if end.begin is None else end.begin.file
        if not end.size:
            number = highest
        elif number in numbers:
            number = highest + 1  # Somebody has put files there; none is lost for that.
        there = sorted({*numbers, number} - {0})
        kept = there[-keep:] if keep else []
        begins = FileBegins(
            file=number + 1,
            audit=self._audit_of(end, numbers) or secrets.token_hex(8),
            previous=link.chain,
            oldest=kept[0] if kept else number + 1,
        )
        entry = Entry(now, BEGINS, SEGUE, "", begins.details())
        data, reached = self._lines([entry, *entries], link)
        new = self._directory / _NEW
        new.unlink(missing_ok=True)
        self._write(_NEW, data, _APPEND | os.O_CREAT | os.O_EXCL, 0)
        try:
            if end.size:
                # Never a moment without the file, and never over another one.
                self._name_full(self._directory / _name(number))
            new.replace(self._directory / CURRENT)
        except OSError:
            new.unlink(missing_ok=True)
            raise
        self._sync_directory()
        for each in set(there) - set(kept):
            (self._directory / _name(each)).unlink(missing_ok=True)
        return Head(begins.audit, begins.file, reached, self.place)

    def _audit_of(self, end: FileEnd, numbers: list[int]) -> str:
        """The name of the chain, as the newest file says it; empty where none does."""
        paths = (self._directory / _name(number) for number in reversed(numbers))
        begins = [end.begin, *(read_begin(first_line(path)) for path in paths)]
        return next((begin.audit for begin in begins if begin is not None), "")

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

    def _undo_half_a_rotation(self, numbers: list[int]) -> None:
        """Take back the second name that a full file was given before a crash."""
        if not numbers:
            return
        full = self._directory / _name(numbers[-1])
        current = self._directory / CURRENT
        if current.exists() and full.samefile(current):
            full.unlink()
            numbers.pop()

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
