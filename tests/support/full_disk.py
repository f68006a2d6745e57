"""A disk that is full: a real one where a file system may be mounted, else what looks like it.

Without the right to mount, no file may grow beyond a size (RLIMIT_FSIZE): that, too, is a failure
to write and none to read.
"""

from __future__ import annotations

import os
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import pytest

ROOM = 4 << 20
"""Bytes of the small disk: more than the reserve and what SQLite needs beside it."""


class SmallDisk(Protocol):
    """Where a store is.

    Attributes:
        directory: on this disk.
    """

    directory: Path

    def fill(self) -> None:
        """Leave no room."""

    def clear(self) -> None:
        """Make room again."""


class Mounted:
    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._filler = directory / "filler"

    def fill(self, but: int = 0) -> None:
        with self._filler.open("ab", buffering=0) as file:
            while self._free() > but:
                file.write(bytes(4096))

    def clear(self) -> None:
        self._filler.unlink()

    def _free(self) -> int:
        status = os.statvfs(self.directory)
        return status.f_bavail * status.f_frsize


class Limited:
    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(self) -> None:
        # Not less than nothing: what the test itself writes goes through pipes.
        resource.setrlimit(resource.RLIMIT_FSIZE, (1, self._before[1]))

    def clear(self) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, self._before)


def may_mount(directory: Path) -> bool:
    return os.geteuid() == 0 and _mount(directory) and _unmount(directory)


@contextmanager
def mounted(directory: Path) -> Iterator[Mounted]:
    """A file system of its own, of `ROOM` bytes."""
    assert _mount(directory)
    try:
        yield Mounted(directory)
    finally:
        _unmount(directory)


@contextmanager
def limited(directory: Path) -> Iterator[Limited]:
    """No file system of its own, but files of a size that the kernel limits."""
    disk = Limited(directory)
    try:
        yield disk
    finally:
        disk.clear()


def _mount(directory: Path) -> bool:
    command = ["mount", "-t", "tmpfs", "-o", f"size={ROOM},mode=0700", "segue-test", str(directory)]
    return _ran(command)


def _unmount(directory: Path) -> bool:
    return _ran(["umount", "--lazy", str(directory)])


def _ran(command: list[str]) -> bool:
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


@contextmanager
def small_disk(kind: str, directory: Path) -> Iterator[SmallDisk]:
    """Make one of a kind, `mounted` or `limited`; skip the test where this user may not mount."""
    if kind == "mounted" and not may_mount(directory):
        pytest.skip("may not mount a file system; `limited` shows the same")
    with (mounted if kind == "mounted" else limited)(directory) as found:
        yield found
