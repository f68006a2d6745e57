"""Which processes run with a state directory: only those that still live, and never what is odd."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from proxy.storage.processes import Announcement, RunningProcess, running

OLD = RunningProcess(7, 1000.0, "/etc/a.yaml", "http://127.0.0.1:1")
NEW = RunningProcess(7, 2000.0, "/etc/b.yaml", "https://127.0.0.1:2")


def test_each_is_found_while_it_runs_the_newest_first(tmp_path: Path) -> None:
    assert running(tmp_path) == []
    old = Announcement(tmp_path, OLD)
    new = Announcement(tmp_path, NEW)
    assert running(tmp_path) == [NEW, OLD]
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}
    new.withdraw()
    assert running(tmp_path) == [OLD]
    old.withdraw()
    assert list(tmp_path.iterdir()) == []


def test_one_that_was_killed_is_not_found_and_its_file_goes_with_the_next(tmp_path: Path) -> None:
    dead = Announcement(tmp_path, OLD)
    os.close(dead._lock)
    assert len(list(tmp_path.iterdir())) == 1
    assert running(tmp_path) == []
    new = Announcement(tmp_path, NEW)
    assert len(list(tmp_path.iterdir())) == 1
    new.withdraw()


def test_another_users_file_says_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    announced = Announcement(tmp_path, OLD)
    uid = os.geteuid()
    monkeypatch.setattr("proxy.storage.processes.os.geteuid", lambda: uid + 12345)
    assert running(tmp_path) == []
    announced.withdraw()


@pytest.mark.parametrize("odd", ["text", "link", "fifo", "directory", "many"])
def test_what_else_is_there_does_no_harm(tmp_path: Path, odd: str) -> None:
    place = tmp_path / "process-0.json"
    match odd:
        case "text":
            place.write_text("{")
        case "link":
            place.symlink_to("/dev/zero")
        case "fifo":
            os.mkfifo(place)
        case "directory":
            place.mkdir()
        case "many":
            for number in range(100):
                (tmp_path / f"process-{number:03}.json").write_text("[]")
    announced = Announcement(tmp_path, NEW)
    assert running(tmp_path) in ([NEW], [] if odd == "many" else [NEW])
    announced.withdraw()


@pytest.mark.parametrize(
    "content",
    [
        b'{"x":' + b"[" * 8000,
        b'{"x":' + b"[" * 4000 + b"]" * 4000 + b"}",
        b'{"pid":1,"since":1,"config":"\xff","admin":""}',
        b'{"pid":1,"since":1,"config":"\\ud800","admin":""}',
        b'{"pid":1' + b"0" * 5000 + b',"since":1e999,"config":"","admin":""}',
        b"\xff" * 20_000,
        b"",
    ],
    ids=["open", "deep", "no-utf-8", "surrogate", "numbers", "bytes", "empty"],
)
def test_what_a_locked_file_says_that_is_none_of_ours_is_passed_over(
    tmp_path: Path, content: bytes
) -> None:
    odd = Announcement(tmp_path, OLD)
    odd._path.write_bytes(content)  # In place, so that its lock stays.
    announced = Announcement(tmp_path, NEW)
    assert running(tmp_path) == [NEW]
    announced.withdraw()
    odd.withdraw()


def test_directory_that_is_none(tmp_path: Path) -> None:
    assert running(tmp_path / "none") == []
    with pytest.raises(FileNotFoundError):
        Announcement(tmp_path / "none", NEW)
