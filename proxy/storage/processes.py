"""The processes that run with a state directory, and where each can be asked.

Each has a file there, which it keeps locked for as long as it lives. A lock goes with its process,
whatever ends it, and means the same in every container on the machine; a process id does not.
"""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import msgspec

_PATTERN: Final = "process-*.json"
_MOST: Final = 64
"""Files that are looked at; processes that share a state directory are a handful."""

_MOST_BYTES: Final = 16384

_UNREADABLE: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What the decoder raises of bytes that are none of ours: not JSON, not UTF-8, nested too deep."""


class RunningProcess(msgspec.Struct, frozen=True):
    """A process that runs with the state directory.

    Attributes:
        pid: its process id, as it sees itself.
        since: when it was ready, in seconds since 1970.
        config: its configuration file, absolute.
        admin: its admin listener, as a URL without a path.
    """

    pid: int
    since: float
    config: str
    admin: str


class Announcement:
    """The file by which a process can be found, as long as it runs."""

    def __init__(self, directory: Path, process: RunningProcess) -> None:
        """Make it, for this user alone, and remove those of processes that have ended.

        Raises:
            OSError: it is not possible there.
        """
        for left in _files(directory):
            _remove_if_left(left)
        name = secrets.token_hex(8)
        self._path = directory / f"process-{name}.json"
        draft = directory / f".process-{name}"
        self._lock = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.write(self._lock, msgspec.json.encode(process))
            # It has its name only when it is locked and whole.
            draft.replace(self._path)
        except OSError:
            draft.unlink(missing_ok=True)
            os.close(self._lock)
            raise

    def withdraw(self) -> None:
        """The process ends."""
        self._path.unlink(missing_ok=True)
        os.close(self._lock)


def running(directory: Path) -> list[RunningProcess]:
    """The processes that run with a state directory, the newest first; none where it is unread.

    Somebody else's files are not looked at (root looks at everybody's): tokens are sent to where
    they say.
    """
    found = [process for each in _files(directory) if (process := _read(each)) is not None]
    return sorted(found, key=lambda each: each.since, reverse=True)


def _files(directory: Path) -> list[Path]:
    with suppress(OSError):
        return sorted(directory.glob(_PATTERN))[:_MOST]
    return []


def _read(path: Path) -> RunningProcess | None:
    """What a file says, where its process still has it."""
    with suppress(OSError, *_UNREADABLE), _opened(path) as descriptor:
        is_ours = os.geteuid() in (0, os.fstat(descriptor).st_uid)
        if is_ours and _is_locked(descriptor):
            return msgspec.json.decode(os.read(descriptor, _MOST_BYTES), type=RunningProcess)
    return None


def _remove_if_left(path: Path) -> None:
    with suppress(OSError), _opened(path) as descriptor:
        if not _is_locked(descriptor):
            path.unlink()


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _is_locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False
