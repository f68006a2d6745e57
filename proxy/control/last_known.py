"""The last table that was read from a store elsewhere, in a file of this machine.

A process that starts while its store is away would else begin with what the configuration says:
what was switched off would be on again.
"""

from __future__ import annotations

import asyncio
import os
import secrets
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import msgspec
from structlog.typing import FilteringBoundLogger

FILE: Final = "switches.json"

_FORMAT: Final = 1
_MOST: Final = 4 * 1024 * 1024
"""Bytes that are read; a table is 1 MiB at most, and its text here a third more."""


class Known(msgspec.Struct, frozen=True):
    """What was read last.

    Attributes:
        store: which store it was, without what is secret in its URL.
        table: as the store has it.
        key: of the canaries, sealed as the store has it.
    """

    format: int
    store: str
    table: bytes
    key: bytes


class LastKnown:
    """The file. Whatever is wrong with it is no reason not to serve."""

    def __init__(self, directory: Path, url: str, log: FilteringBoundLogger) -> None:
        """Nothing is read or written yet.

        Args:
            directory: the state directory.
            url: of the store: what another one said does not count.
            log: told that it cannot be written, once.
        """
        self._path = directory / FILE
        self._store = _named(url)
        self._log = log
        self._failed = False

    def load(self) -> Known | None:
        """What was read last; None where that is not known."""
        try:
            with open(self._path, "rb", opener=_open_at_once) as file:
                found = msgspec.json.decode(file.read(_MOST), type=Known)
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None
        return found if (found.format, found.store) == (_FORMAT, self._store) else None

    async def save(self, table: bytes, key: bytes) -> None:
        """Keep what was read, in place of what was before."""
        known = msgspec.json.encode(Known(_FORMAT, self._store, table, key))
        try:
            await asyncio.to_thread(self._write, known)
            self._failed = False
        except OSError as error:
            if not self._failed:
                reason = (error.strerror or "not possible").lower()
                self._log.warning("no copy of the switches", file=str(self._path), reason=reason)
            self._failed = True

    def _write(self, known: bytes) -> None:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = self._path.with_name(f".{FILE}-{secrets.token_hex(8)}")
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            with os.fdopen(os.open(draft, flags, 0o600), "wb") as file:
                file.write(known)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(self._path)
        finally:
            with suppress(FileNotFoundError):
                draft.unlink()


def _named(url: str) -> str:
    parts = urlsplit(url)
    place = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
    return sha256(place.encode()).hexdigest()[:16]


def _open_at_once(path: str, flags: int) -> int:
    # Without waiting: nobody may ever write to a FIFO.
    return os.open(path, flags | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
