"""The state directory: nobody else reads it, and processes that start together agree."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from proxy.errors import ConfigError
from proxy.storage.state_directory import KEY_FILE, development_key, exposure_of, prepare_directory
from proxy.tokens.sealing import new_key, read_key
from tests.support.storages import mode_of


def test_the_directory_is_made_for_this_user_alone(tmp_path: Path) -> None:
    directory = tmp_path / "state" / "segue"
    prepare_directory(directory)
    assert mode_of(directory) == 0o700
    prepare_directory(directory)


def test_a_directory_that_is_there_stays_as_it_is(tmp_path: Path) -> None:
    tmp_path.chmod(0o750)
    prepare_directory(tmp_path)
    assert mode_of(tmp_path) == 0o750


def test_a_file_in_its_place_is_told(tmp_path: Path) -> None:
    place = tmp_path / "state"
    place.write_text("")
    with pytest.raises(ConfigError, match=r"state: state directory: file exists"):
        prepare_directory(place)


def test_the_key_is_made_once_for_this_user_alone(tmp_path: Path) -> None:
    key = development_key(tmp_path / "state")
    file = tmp_path / "state" / KEY_FILE
    assert mode_of(file) == 0o600
    assert read_key(key) == key == file.read_text().strip()
    assert development_key(tmp_path / "state") == key
    assert list(file.parent.iterdir()) == [file]


def test_processes_that_start_together_get_the_same_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(development_key, [tmp_path] * 64))) == 1
    assert [file.name for file in tmp_path.iterdir()] == [KEY_FILE]


def test_a_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    file = tmp_path / KEY_FILE
    file.write_text(new_key())
    file.chmod(0o640)
    with pytest.raises(ConfigError, match=r"sessions\.key: others may read this key: chmod 600"):
        development_key(tmp_path)


@pytest.mark.parametrize("text", ["", "hunter2", "x" * 5000, "é" * 40])
def test_what_is_no_key_is_told_and_not_repeated(tmp_path: Path, text: str) -> None:
    file = tmp_path / KEY_FILE
    file.write_text(text)
    file.chmod(0o600)
    with pytest.raises(ConfigError, match=r"sessions\.key: expected a key") as raised:
        development_key(tmp_path)
    assert not text or text not in str(raised.value)


def test_a_key_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / KEY_FILE).mkdir()
    with pytest.raises(ConfigError, match=r"is a directory"):
        development_key(tmp_path)


@pytest.mark.parametrize("odd", ["fifo", "device"])
def test_a_key_that_is_no_file_is_not_waited_for(tmp_path: Path, odd: str) -> None:
    if odd == "fifo":
        os.mkfifo(tmp_path / KEY_FILE, 0o600)
    else:
        (tmp_path / KEY_FILE).symlink_to("/dev/zero")
    with pytest.raises(ConfigError, match=r"sessions\.key: not a file"):
        development_key(tmp_path)


def test_a_directory_that_others_may_write_to_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = tmp_path / "state"
    prepare_directory(directory)
    assert exposure_of(directory) == ""
    for mode in (0o720, 0o777, 0o1777):
        directory.chmod(mode)
        assert exposure_of(directory) == f"others may write to it (mode {mode:04o}): chmod 700"
    directory.chmod(0o700)
    owner = directory.stat().st_uid
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    told = f"it belongs to the user {owner}, and not to {owner + 1}, who runs Segue"
    assert exposure_of(directory) == ("" if owner == 0 else told)
