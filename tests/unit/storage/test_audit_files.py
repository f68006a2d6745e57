"""The files of an audit: appended to, gone on with, begun anew, and what is found at their end."""

from __future__ import annotations

import base64
import errno
import os
from pathlib import Path

import pytest

from proxy.storage.audit_files import CURRENT, Appended, AuditFiles
from proxy.tokens.audit_chain import (
    FOREIGN,
    MISSING,
    TORN,
    UNATTESTED,
    AuditKeys,
    Entry,
    Head,
    Link,
    read_line,
)
from proxy.tokens.audit_verdict import AuditCheck, Verdict

OLD, NEW = (base64.urlsafe_b64encode(bytes([n]) * 32).decode() for n in (1, 2))
KEYS = AuditKeys([NEW, OLD])
TIME = "2027-01-31T00:00:00.000Z"


def entry(**details: object) -> Entry:
    return Entry(TIME, "reloaded", "ci", "operator", details)


def append(
    files: AuditFiles, count: int = 1, *, max_size: int = 1 << 20, keep: int = 3
) -> Appended:
    said = [entry(count=n) for n in range(count)]
    return files.append(said, TIME, max_size=max_size, keep=keep)


def verdict(files: AuditFiles, keys: AuditKeys = KEYS, head: Head | None = None) -> Verdict:
    check = AuditCheck(keys, head)
    with files.opened() as opened:
        for each in opened:
            check.file(each.name, each.number)
            for line in each.lines():
                check.line(line)
    return check.end()


def events(directory: Path) -> list[str]:
    read = [read_line(raw) for raw in (directory / CURRENT).read_bytes().splitlines()]
    return ["" if each is None else each.entry.event for each in read]


def names(directory: Path) -> list[str]:
    return sorted(each.name for each in directory.iterdir())


def test_lines_go_on_from_whoever_wrote_the_last_one(tmp_path: Path) -> None:
    directory = tmp_path / "state"
    one, other = AuditFiles(directory, KEYS), AuditFiles(directory, KEYS)
    append(one)
    append(other, 2)
    appended = append(one)
    assert appended.found == ()
    assert appended.head.link.sequence == 5
    assert verdict(one, head=appended.head).intact
    assert verdict(one).lines == 5
    assert (directory / CURRENT).stat().st_mode & 0o777 == 0o600
    assert directory.stat().st_mode & 0o777 == 0o700


def test_full_files_make_way_for_new_ones(tmp_path: Path) -> None:
    files = AuditFiles(tmp_path, KEYS)
    appended = [append(files, max_size=1000, keep=2) for _ in range(20)][-1]
    found = verdict(files, head=appended.head)
    assert found.intact
    assert found.files == 3
    assert found.first > 1
    last = appended.head.file
    assert names(tmp_path) == sorted(
        [CURRENT, "audit.lock", f"audit-{last - 2:06d}.jsonl", f"audit-{last - 1:06d}.jsonl"]
    )
    assert all(each.stat().st_mode & 0o077 == 0 for each in tmp_path.iterdir())
    (tmp_path / f"audit-{last - 2:06d}.jsonl").unlink()
    assert [each.what for each in verdict(files).faults] == [
        f"the oldest files are missing: {last - 2}"
    ]


def test_a_crash_while_a_file_gives_way_leaves_everything(tmp_path: Path) -> None:
    files = AuditFiles(tmp_path, KEYS)
    append(files, 3)
    # It has its second name, and the new file was not put into its place.
    (tmp_path / "audit-000001.jsonl").hardlink_to(tmp_path / CURRENT)
    (tmp_path / "audit.jsonl.new").write_bytes(b"half a file")
    assert verdict(files).intact
    assert verdict(files).files == 1
    append(files)
    assert names(tmp_path) == [CURRENT, "audit.jsonl.new", "audit.lock"]
    append(files, max_size=100)
    assert names(tmp_path) == ["audit-000001.jsonl", CURRENT, "audit.lock"]
    assert verdict(files).intact
    assert verdict(files).lines == 7


def test_a_file_system_without_links_has_files_that_give_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", refuse)
    files = AuditFiles(tmp_path, KEYS)
    for _ in range(3):
        append(files, max_size=100)
    assert verdict(files).intact
    assert verdict(files).files == 3


def what(found: Verdict) -> list[str]:
    return [each.what for each in found.faults]


def test_a_file_that_somebody_put_in_the_way_is_put_aside_and_said_for_good(
    tmp_path: Path,
) -> None:
    files = AuditFiles(tmp_path, KEYS)
    append(files)
    (tmp_path / "audit-000001.jsonl").write_bytes(b"anything\n")
    appended = append(files, max_size=100)
    assert appended.found == (FOREIGN,)
    assert appended.head.file == 2
    aside = next(tmp_path.glob("audit-000001.jsonl.foreign-*"))
    assert aside.read_bytes() == b"anything\n"
    assert verdict(files).lines == 5
    told = "files that are none of the audit's were there: audit-000001.jsonl"
    assert what(verdict(files)) == [f"{told}: found by Segue itself at {TIME}"]


@pytest.mark.parametrize("kind", ["empty", "copies", "links", "directories"])
def test_files_that_somebody_put_there_have_no_true_ones_removed(tmp_path: Path, kind: str) -> None:
    files = AuditFiles(tmp_path, KEYS)
    first, *_ = [append(files, max_size=100, keep=3).head for _ in range(3)]
    true = {each: (tmp_path / each).read_bytes() for each in names(tmp_path) if each != CURRENT}
    assert {"audit-000001.jsonl", "audit-000002.jsonl"} < set(true)
    for number in (*range(3, 15), 999_999_999):
        planted = tmp_path / f"audit-{number:06d}.jsonl"
        if kind == "links":
            planted.symlink_to(CURRENT)
        elif kind == "directories":
            planted.mkdir()
        else:
            planted.write_bytes(true["audit-000001.jsonl"] if kind == "copies" else b"")
    if kind in ("empty", "copies"):
        assert not verdict(files).intact
    assert not files.contradict(first.link)
    appended = append(files, max_size=100, keep=3)
    assert appended.found == (FOREIGN,)
    assert appended.head.file == 4
    assert {each: (tmp_path / each).read_bytes() for each in true} == true
    begin = files.begin()
    assert begin is not None
    assert begin.oldest == 1
    if kind in ("empty", "copies"):
        assert not verdict(files, head=appended.head).intact
    for planted in tmp_path.glob("audit-*"):
        if planted.name not in {*true, "audit-000003.jsonl"}:
            planted.rmdir() if planted.is_dir() and not planted.is_symlink() else planted.unlink()
    # What stood there is gone; that it did stands in the chain for good.
    assert len(what(verdict(files, head=appended.head))) == 1
    assert "audit-000012.jsonl and 3 more" in what(verdict(files))[0]


def test_an_oldest_file_that_somebody_removed_is_missed_after_a_rotation_too(
    tmp_path: Path,
) -> None:
    files = AuditFiles(tmp_path, KEYS)
    for _ in range(3):
        append(files, max_size=100, keep=5)
    (tmp_path / "audit-000001.jsonl").unlink()
    append(files, max_size=100, keep=5)
    assert what(verdict(files)) == ["the oldest files are missing: 1"]


def test_a_file_before_the_oldest_is_removed_only_if_it_is_one_of_the_chain(
    tmp_path: Path,
) -> None:
    files = AuditFiles(tmp_path, KEYS)
    for _ in range(3):
        append(files, max_size=100, keep=5)
    damaged = tmp_path / "audit-000001.jsonl"
    damaged.write_bytes(b"x" + damaged.read_bytes())
    assert append(files, max_size=100, keep=1).found == (FOREIGN,)
    assert names(tmp_path)[:3] == ["audit-000001.jsonl", "audit-000003.jsonl", CURRENT]
    assert not verdict(files).intact


def test_a_current_file_with_a_beginning_of_somebody_else_has_no_file_removed(
    tmp_path: Path,
) -> None:
    files = AuditFiles(tmp_path, KEYS)
    for _ in range(3):
        append(files, max_size=100, keep=5)
    current = tmp_path / CURRENT
    current.write_bytes(current.read_bytes().replace(b'"oldest":1', b'"oldest":3'))
    append(files, max_size=100, keep=5)
    begin = files.begin()
    assert begin is not None
    assert begin.oldest == 1
    assert {"audit-000001.jsonl", "audit-000002.jsonl"} < set(names(tmp_path))
    assert not verdict(files).intact


def test_what_was_put_there_is_not_gone_on_from(tmp_path: Path) -> None:
    files = AuditFiles(tmp_path, KEYS)
    head = [append(files, max_size=100).head for _ in range(2)][-1]
    (tmp_path / CURRENT).unlink()
    (tmp_path / "audit-000777.jsonl").write_bytes(b"")
    (tmp_path / "audit-000778.jsonl").symlink_to("audit-000001.jsonl")
    appended = append(files)
    assert appended.found == (MISSING, FOREIGN)
    assert (appended.head.audit, appended.head.file) == (head.audit, 2)
    assert appended.head.link.sequence > 2


def test_a_second_name_is_taken_back_whatever_else_is_there(tmp_path: Path) -> None:
    files = AuditFiles(tmp_path, KEYS)
    append(files, 3)
    (tmp_path / "audit-000001.jsonl").hardlink_to(tmp_path / CURRENT)
    (tmp_path / "audit-000009.jsonl").write_bytes(b"")
    assert append(files).found == ()
    assert not (tmp_path / "audit-000001.jsonl").exists()


def test_a_key_that_was_taken_away_leaves_the_numbers_of_files(tmp_path: Path) -> None:
    before = AuditFiles(tmp_path, AuditKeys([OLD]))
    for _ in range(3):
        append(before, max_size=100)
    both = AuditFiles(tmp_path, KEYS)
    append(both)
    files = AuditFiles(tmp_path, AuditKeys([NEW]))
    appended = append(files, max_size=100, keep=2)
    assert (appended.found, appended.head.file) == ((), 4)
    assert names(tmp_path)[:3] == ["audit-000002.jsonl", "audit-000003.jsonl", CURRENT]
    assert verdict(files, AuditKeys([NEW])).intact


def test_half_a_line_stays_and_is_explained(tmp_path: Path) -> None:
    files = AuditFiles(tmp_path, KEYS)
    head = append(files, 2).head
    whole = (tmp_path / CURRENT).read_bytes()
    with (tmp_path / CURRENT).open("ab") as file:
        file.write(b'{"seq":4,"time":"20')
    assert verdict(files, head=head).intact
    appended = append(files)
    assert appended.found == (TORN,)
    assert (tmp_path / CURRENT).read_bytes().startswith(whole + b'{"seq":4,"time":"20\n')
    found = verdict(files, head=appended.head)
    assert found.intact
    assert [each.what for each in found.notes] == [
        "half a line of 19 bytes, which a crash has left"
    ]


def test_a_line_that_lacks_its_line_break_alone_is_whole(tmp_path: Path) -> None:
    files = AuditFiles(tmp_path, KEYS)
    append(files, 2)
    path = tmp_path / CURRENT
    path.write_bytes(path.read_bytes().removesuffix(b"\n"))
    assert verdict(files).intact
    assert append(files).found == ()
    assert verdict(files).lines == 4
    assert verdict(files).intact


def test_cutting_a_line_in_two_hides_nothing_from_the_head(tmp_path: Path) -> None:
    files = AuditFiles(tmp_path, KEYS)
    head = append(files, 3).head
    path = tmp_path / CURRENT
    os.truncate(path, path.stat().st_size - 10)
    assert files.contradict(head.link)
    append(files, 3)
    assert files.contradict(head.link)
    assert [each.what for each in verdict(files, head=head).faults] == [
        "line 4 is another one than the one that the store knows of"
    ]


def test_half_a_line_before_a_new_file_is_explained_in_it(tmp_path: Path) -> None:
    files = AuditFiles(tmp_path, KEYS)
    append(files, 2)
    with (tmp_path / CURRENT).open("ab") as file:
        file.write(b'{"seq":4')
    assert append(files, max_size=100).found == (TORN,)
    assert names(tmp_path)[:2] == ["audit-000001.jsonl", CURRENT]
    assert verdict(files).intact
    assert len(verdict(files).notes) == 1


@pytest.mark.parametrize("where", ["the end", "a new file"])
def test_an_end_of_an_unknown_key_is_not_attested_unseen(tmp_path: Path, where: str) -> None:
    append(AuditFiles(tmp_path, AuditKeys([OLD])), 2)
    files = AuditFiles(tmp_path, AuditKeys([NEW]))
    size = 1 << 20 if where == "the end" else 100
    assert append(files, max_size=size).found == (UNATTESTED,)
    assert append(files).found == ()
    assert [each.what for each in verdict(files, AuditKeys([NEW])).faults] == [
        "attested by no key that is configured: 1 to 3; was the old key taken away?"
    ]
    assert verdict(files, KEYS).intact


def test_a_rotation_of_keys_needs_no_word(tmp_path: Path) -> None:
    append(AuditFiles(tmp_path, AuditKeys([OLD])), 2)
    assert append(AuditFiles(tmp_path, KEYS), 1).found == ()
    files = AuditFiles(tmp_path, AuditKeys([NEW]))
    assert append(files).found == ()
    assert verdict(files, AuditKeys([NEW])).intact


@pytest.mark.parametrize("how", ["removed", "emptied"])
def test_a_current_file_that_is_gone_is_said_to_be(tmp_path: Path, how: str) -> None:
    files = AuditFiles(tmp_path, KEYS)
    append(files)
    append(files, max_size=100)
    if how == "removed":
        (tmp_path / CURRENT).unlink()
    else:
        (tmp_path / CURRENT).write_bytes(b"")
    assert append(files).found == (MISSING,)
    assert [each.what.partition(":")[0] for each in verdict(files).faults] == [
        "line 3 was missing, or another one"
    ]


@pytest.mark.parametrize("rubbish", [b"rubbish\n", b"rubbish", b"\0" * 3_000_000])
def test_a_file_of_rubbish_is_put_aside_and_told(tmp_path: Path, rubbish: bytes) -> None:
    files = AuditFiles(tmp_path, KEYS)
    (tmp_path / CURRENT).write_bytes(rubbish)
    append(files)
    appended = append(files)
    assert appended.found == ()
    assert (tmp_path / "audit-000001.jsonl").read_bytes() == rubbish
    assert not verdict(files).intact
    append(files, max_size=100)
    assert verdict(files).lines > 3


def test_a_first_line_that_is_damaged_begins_another_file(tmp_path: Path) -> None:
    files = AuditFiles(tmp_path, KEYS)
    audit = append(files, max_size=100).head.audit
    append(files, max_size=100)
    path = tmp_path / CURRENT
    path.write_bytes(b"x" + path.read_bytes())
    appended = append(files)
    assert (appended.head.audit, appended.head.file) == (audit, 3)
    assert not verdict(files).intact


def test_what_the_files_say_of_a_link(tmp_path: Path) -> None:
    files = AuditFiles(tmp_path, KEYS)
    links = [append(files, max_size=1000, keep=1).head.link for _ in range(12)]
    assert not files.contradict(links[-1])
    assert not files.contradict(links[-2])
    # Of what they have no more they say nothing.
    assert not files.contradict(links[0])
    assert files.contradict(Link(links[-2].sequence, bytes(32)))
    assert files.contradict(Link(links[-1].sequence + 1, bytes(32)))
    begin = files.begin()
    assert begin is not None
    assert begin.oldest == begin.file - 1


def test_what_cannot_be_written_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = AuditFiles(tmp_path, KEYS)
    append(files)
    before = (tmp_path / CURRENT).read_bytes()
    written = os.write
    calls = []

    def some(file: int, data: memoryview) -> int:
        calls.append(file)
        if len(calls) % 2 == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return written(file, data[:50])

    monkeypatch.setattr(os, "write", some)
    for size in (1 << 20, 100):
        with pytest.raises(OSError, match="No space"):
            append(files, max_size=size)
        assert (tmp_path / CURRENT).read_bytes() == before
    monkeypatch.undo()
    append(files)
    assert verdict(files).intact
    assert verdict(files).lines == 3


@pytest.mark.parametrize("kind", ["pipe", "link", "directory"])
def test_what_is_no_file_is_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / CURRENT
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "link":
        path.symlink_to(tmp_path / "elsewhere")
    else:
        path.mkdir()
    with pytest.raises(OSError, match="audit"):
        append(AuditFiles(tmp_path, KEYS))
    assert not (tmp_path / "elsewhere").exists()


def test_a_directory_without_an_audit_is_none(tmp_path: Path) -> None:
    files = AuditFiles(tmp_path, KEYS)
    assert verdict(files).files == 0
    assert files.begin() is None
    assert names(tmp_path) == []
    with pytest.raises(FileNotFoundError):
        verdict(AuditFiles(tmp_path / "missing", KEYS))


def test_a_lock_that_was_removed_is_made_again(tmp_path: Path) -> None:
    files = AuditFiles(tmp_path, KEYS)
    append(files)
    (tmp_path / "audit.lock").unlink()
    append(files)
    assert verdict(files).lines == 3


def test_a_line_too_long_to_be_one_is_read_in_pieces(tmp_path: Path) -> None:
    files = AuditFiles(tmp_path, KEYS)
    append(files)
    with (tmp_path / CURRENT).open("ab") as file:
        file.write(b"x" * 3_000_000 + b"\n")
    found = verdict(files)
    assert [each.what for each in found.faults] == ["3000000 bytes that are no lines of the audit"]
