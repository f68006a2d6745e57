"""Whether the files of an audit are as they were written: lines in, faults out.

What is looked for, and by what it is found:

- a line that was altered: its chain is another one than what it says gives;
- one that was put in: its MAC is not right, or its number was there before;
- one that was taken out, or moved: the numbers do not go up by one;
- the whole end: the head in the store knows of lines that are not there;
- a file: the first line of each says which number it has, and which is the oldest that is kept;
- one that was put there: it is empty, or its first line says nothing, or not what its name says.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from proxy.tokens.audit_chain import (
    BEGINS,
    FOREIGN,
    LOST,
    MISSING,
    START,
    TORN,
    UNATTESTED,
    AuditKeys,
    AuditLine,
    FileBegins,
    Head,
    Link,
    following,
    read_begin,
    read_line,
)

MOST: Final = 100
"""Faults, and notes, that are kept; of more, how many there are."""

_UNREADABLE_HEAD: Final = "what the store knew of the audit was altered, or of an unknown key"


class Finding(NamedTuple):
    """Something that was found.

    Attributes:
        file: the name of the file; empty for the store.
        line: the line of the file, from 1 on; 0 for the file as a whole.
        sequence: the number that the line says it has; 0 where it says none.
        what: in words.
    """

    file: str
    line: int
    sequence: int
    what: str


@dataclass(slots=True)
class Verdict:
    """What was found.

    Attributes:
        faults: what somebody has done to the files, or may have.
        notes: what is to be known, and is no fault.
        more: faults and notes that are not among them.
        lines, files: that were read.
        audit: the name of the chain; empty where nothing says it.
        first: the number of the first line that was read; 0 where there is none.
        last: the last link.
    """

    faults: list[Finding] = field(default_factory=list)
    notes: list[Finding] = field(default_factory=list)
    more: int = 0
    lines: int = 0
    files: int = 0
    audit: str = ""
    first: int = 0
    last: Link = START

    @property
    def intact(self) -> bool:
        """Whether the files are as they were written."""
        return not self.faults


class AuditCheck:
    """Goes through the files, the oldest first: `file`, `line` for each of its lines; `end`."""

    def __init__(self, keys: AuditKeys, head: Head | None) -> None:
        """Nothing is read yet.

        Args:
            keys: the configured ones.
            head: what the store says of this chain, from before the files were looked at; None
                where it says nothing.
        """
        self.verdict = Verdict()
        self._keys = keys
        self._head = head
        self._head_is_right: bool | None = None
        self._file = ""
        self._number: int | None = None
        self._at = 0
        self._begin: FileBegins | None = None
        self._unread: _Unread | None = None
        # The first of the lines that no MAC of a known key has attested yet, and their last.
        self._open_from: Finding | None = None
        self._open_to = 0

    def file(self, name: str, number: int | None = None) -> None:
        """The lines that follow are of this file.

        Args:
            name: of the file.
            number: that its name says it has; None for the current one.
        """
        self._end_file()
        self.verdict.files += 1
        self._file, self._number, self._at = name, number, 0

    def line(self, raw: bytes) -> None:
        """The next line of the file, with its line break where it has one."""
        self._at += 1
        read = read_line(raw)
        if read is None:
            if self._unread is None:
                self._unread = _Unread(self._finding(0, ""))
            self._unread.add(raw)
            return
        begin = read_begin(read) if self._at == 1 else None
        if begin is not None:
            self._begins(read, begin)
        elif self._at == 1:
            self._fault(read.sequence, "the file does not begin as one of the audit does")
        elif read.entry.event == BEGINS:
            self._fault(read.sequence, "the beginning of a file stands within one")
        self._judge_unread(read)
        self._judge(read)

    def end(self) -> Verdict:
        """There are no more files."""
        self._end_file()
        verdict, unread = self.verdict, self._unread
        if unread is not None:
            if unread.is_half_a_line and not unread.is_ended:
                # Whoever appends next says so in the file.
                what = f"half a line of {unread.size} bytes, which a crash may have left"
                self._note(unread.where, what)
            else:
                self._add(unread.where._replace(what=unread.told))
        if self._open_from is not None:
            self._unattested(self._open_from, self._open_to)
        if self._begin is not None and self._first_file > self._begin.oldest:
            missing = _numbers(self._begin.oldest, self._first_file - 1)
            self._add(Finding("", 0, 0, f"the oldest files are missing: {missing}"))
        self._judge_head()
        return verdict

    _first_file = 0

    def _end_file(self) -> None:
        if self._file and not self._at:
            # No file of the audit ever is: each has its first line before it has its name.
            self._add(Finding(self._file, 0, 0, "the file is empty"))

    def _begins(self, read: AuditLine, begin: FileBegins) -> None:
        verdict, before = self.verdict, self._begin
        if not verdict.lines:
            self._first_file = begin.file
            verdict.last = Link(read.sequence - 1, begin.previous)
            if begin.file == 1 and verdict.last != START:
                self._fault(read.sequence, "the first file of all does not begin with line 1")
        elif before is not None:
            if begin.audit != before.audit:
                self._fault(read.sequence, "the file is of another chain")
            if begin.file > before.file + 1:
                missing = _numbers(before.file + 1, begin.file - 1)
                self._fault(read.sequence, f"the files before this one are missing: {missing}")
                verdict.last = Link(read.sequence - 1, begin.previous)
            elif begin.file <= before.file:
                self._fault(read.sequence, "the file has the number of one before it")
        if self._number not in (None, begin.file):
            self._fault(read.sequence, f"the file says that it is number {begin.file}")
        self._begin = begin
        verdict.audit = begin.audit

    def _judge(self, read: AuditLine) -> None:
        """Compare a line with the one before it, and with its MAC."""
        verdict, last = self.verdict, self.verdict.last
        if not verdict.lines:
            verdict.first = read.sequence
        verdict.lines += 1
        attested = self._keys.attest(read)
        first_without_begin = verdict.lines == 1 and self._begin is None
        in_order = first_without_begin or read.sequence == last.sequence + 1
        if not in_order:
            self._fault(read.sequence, _order(read.sequence, last.sequence))
        elif not first_without_begin and following(last.chain, read.body) != read.chain:
            self._fault(read.sequence, "the line was altered, or put in place of another one")
        if attested is False:
            self._fault(read.sequence, "the line was not written with the key that it names")
        self._attest(read, attested=attested)
        self._note_what_it_says(read)
        if self._head is not None and read.sequence == self._head.link.sequence:
            self._head_is_right = read.chain == self._head.link.chain
        verdict.last = read.link

    def _attest(self, read: AuditLine, *, attested: bool | None) -> None:
        if read.entry.event == UNATTESTED and self._open_from is not None:
            self._unattested(self._open_from, self._open_to)
            self._open_from = None
        if attested and read.entry.event != BEGINS:
            # It attests what its chain comes from, which is every line before; but of the first
            # line of a file the next one may say otherwise.
            self._open_from = None
        elif attested is None:
            self._open_from = self._open_from or self._finding(read.sequence, "")
            self._open_to = read.sequence

    def _note_what_it_says(self, read: AuditLine) -> None:
        details, time = read.entry.details, read.entry.time
        match read.entry.event:
            case event if event == MISSING:
                line = details.get("line")
                what = f"line {line} was missing, or another one" if line else _UNREADABLE_HEAD
                self._fault(read.sequence, f"{what}: found by Segue itself at {time}")
            case event if event == FOREIGN:
                what = f"files that are none of the audit's were there: {_names(details)}"
                self._fault(read.sequence, f"{what}: found by Segue itself at {time}")
            case event if event == LOST:
                what = f"{details.get('lines')} lines before it could not be written"
                self._note(self._finding(read.sequence, ""), what)

    def _judge_unread(self, read: AuditLine) -> None:
        """What could not be read is explained by the line after it, or by nothing."""
        unread = self._unread
        # The beginning of the next file, and what is to be said of the line before, come first.
        if unread is None or read.entry.event in (BEGINS, UNATTESTED):
            return
        self._unread = None
        if read.entry.event == TORN and unread.is_explained(read.entry.details):
            self._note(unread.where, f"half a line of {unread.size} bytes, which a crash has left")
        else:
            self._add(unread.where._replace(what=unread.told))

    def _judge_head(self) -> None:
        head, last = self._head, self.verdict.last
        if head is None:
            return
        sequence = head.link.sequence
        if sequence > last.sequence:
            missing = _numbers(last.sequence + 1, sequence)
            what = f"the end was cut off: the store knows of lines that are missing: {missing}"
            self._add(Finding(self._file, 0, 0, what))
        elif self._head_is_right is False:
            what = f"line {sequence} is another one than the one that the store knows of"
            self._add(Finding("", 0, sequence, what))
        elif self._head_is_right is None:
            what = f"line {sequence}, of which the store knows, is not among the files"
            self._note(Finding("", 0, sequence, ""), what)
        if sequence < last.sequence:
            what = f"the store knows of lines up to {sequence}, of {last.sequence}: had the lines"
            self._note(Finding("", 0, 0, ""), f"{what} after it been cut off, nothing would say so")

    def _unattested(self, first: Finding, last: int) -> None:
        lines = _numbers(first.sequence, last)
        what = f"attested by no key that is configured: {lines}; was the old key taken away?"
        self._add(first._replace(what=what))

    def _finding(self, sequence: int, what: str) -> Finding:
        return Finding(self._file, self._at, sequence, what)

    def _fault(self, sequence: int, what: str) -> None:
        self._add(self._finding(sequence, what))

    def _add(self, fault: Finding) -> None:
        if len(self.verdict.faults) < MOST:
            self.verdict.faults.append(fault)
        else:
            self.verdict.more += 1

    def _note(self, where: Finding, what: str) -> None:
        if len(self.verdict.notes) < MOST:
            self.verdict.notes.append(where._replace(what=what))
        else:
            self.verdict.more += 1


class _Unread:
    """Bytes that are no lines, one after the other."""

    def __init__(self, where: Finding) -> None:
        self.where = where
        self.size = 0
        self.is_ended = False
        self._digest = hashlib.sha256()
        self._pieces = 0

    def add(self, raw: bytes) -> None:
        self._pieces += 1
        content = raw.removesuffix(b"\n")
        self.is_ended = content != raw
        self.size += len(content)
        self._digest.update(content)

    @property
    def is_half_a_line(self) -> bool:
        # It has no line break; the one that ends it is put there with its explanation.
        return self._pieces == 1

    @property
    def told(self) -> str:
        return f"{self.size} bytes that are no lines of the audit"

    def is_explained(self, details: Any) -> bool:
        told = details.get("bytes"), details.get("sha256")
        return self.is_half_a_line and told == (self.size, self._digest.hexdigest())


def _order(found: int, last: int) -> str:
    if found > last + 1:
        return f"lines are missing before it: {_numbers(last + 1, found - 1)}"
    return f"the line is out of order, or there twice: it comes after line {last}"


def _names(details: Mapping[str, Any]) -> str:
    names, count = details.get("files"), details.get("count")
    told = ", ".join(map(str, names)) if isinstance(names, list) else ""
    more = count - len(names) if isinstance(names, list) and isinstance(count, int) else 0
    return f"{told} and {more} more" if more > 0 else told


def _numbers(first: int, last: int) -> str:
    return str(first) if first == last else f"{first} to {last}"
