"""The state directory: nobody else reads it, and processes that start together agree."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from proxy.errors import ConfigError
from proxy.storage.reserve import Reserve
from proxy.storage.state_directory import (
    KEY_FILE,
    check_development_key,
    check_private,
    development_key,
    prepare_directory,
)
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


def test_a_key_that_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / KEY_FILE, 0o600)
    with pytest.raises(ConfigError, match=r"sessions\.key: not a file"):
        development_key(tmp_path)


USER = os.geteuid()
WRITE = "others may write to it"


def refused(directory: Path, user: int | None = USER) -> str:
    """What is wrong with a directory; empty where nothing is."""
    try:
        check_private(directory, user=user)
    except ConfigError as error:
        return error.problems[0].message
    return ""


def test_a_directory_of_this_user_alone_is_private(tmp_path: Path) -> None:
    assert refused(tmp_path / "missing") == ""
    prepare_directory(tmp_path / "state")
    assert refused(tmp_path / "state") == ""
    (tmp_path / "state").chmod(0o2700)
    assert refused(tmp_path / "state") == "", "of a group, which may do nothing"
    (tmp_path / "file").write_text("")
    assert refused(tmp_path / "file") == "", "what is none is told where it is used"


@pytest.mark.parametrize("mode", [0o720, 0o702, 0o777, 0o1777, 0o2770])
def test_a_directory_that_others_may_write_to_is_refused(tmp_path: Path, mode: int) -> None:
    tmp_path.chmod(mode)
    for user in (USER, None):
        told = refused(tmp_path, user)
        assert told.startswith(f"state directory: {WRITE} (mode {mode:04o}): chmod 700 {tmp_path},")


@pytest.mark.parametrize("mode", [0o750, 0o701, 0o755])
def test_a_directory_that_others_may_read_is_refused_of_its_user(tmp_path: Path, mode: int) -> None:
    tmp_path.chmod(mode)
    for user in (USER, None):
        assert refused(tmp_path, user) == (
            f"state directory: others may read it (mode {mode:04o}): chmod 700 {tmp_path}"
        )
    if USER == 0:  # Such as an image has: nothing of Segue's can be in it.
        assert refused(tmp_path, USER + 1) == ""


def test_a_directory_of_somebody_else_is_refused(tmp_path: Path) -> None:
    if USER == 0:
        os.chown(tmp_path, 4711, -1)
    owner = tmp_path.stat().st_uid
    user = owner + 1
    told = refused(tmp_path, user)
    assert told == (
        f"state directory: it belongs to the user {owner}, and not to {user}, who runs Segue:"
        f" chown {user} {tmp_path}"
    )
    assert refused(tmp_path, None) == "", "who only looks need not be its user"


@pytest.mark.parametrize("target", ["elsewhere", "missing"])
def test_a_link_in_its_place_is_refused_unless_it_is_roots(tmp_path: Path, target: str) -> None:
    prepare_directory(tmp_path / "elsewhere")
    link = tmp_path / "state"
    link.symlink_to(tmp_path / target)
    if USER == 0:
        assert refused(link) == "", "systemd makes one for a dynamic user"
        os.chown(link, 4711, -1, follow_symlinks=False)
    owner = link.lstat().st_uid
    expected = f"state directory: it is a symbolic link of the user {owner}: name the directory"
    assert refused(link).startswith(expected if target == "elsewhere" else "")


def test_a_key_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text(new_key())
    elsewhere.chmod(0o600)
    (tmp_path / KEY_FILE).symlink_to(elsewhere)
    with pytest.raises(ConfigError, match=r"sessions\.key: it is a symbolic link"):
        development_key(tmp_path)
    with pytest.raises(ConfigError, match=r"sessions\.key: it is a symbolic link"):
        check_development_key(tmp_path)


@pytest.mark.skipif(USER != 0, reason="only root makes files of others")
def test_a_key_of_somebody_else_is_refused(tmp_path: Path) -> None:
    development_key(tmp_path)
    os.chown(tmp_path / KEY_FILE, 4711, -1)
    with pytest.raises(ConfigError, match=r"belongs to the user 4711, who knows it: remove it"):
        development_key(tmp_path)
    os.chown(tmp_path, 4711, -1)
    development_key(tmp_path)  # As root who looks into the directory of a service.


def test_a_reserve_that_is_a_link_fills_no_file_of_others(tmp_path: Path) -> None:
    store, victim = tmp_path / "sessions.sqlite3", tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / "sessions.sqlite3-reserve").symlink_to(victim)
    with pytest.raises(OSError, match="symbolic link"):
        Reserve(store).keep()
    assert victim.read_text() == "precious"
