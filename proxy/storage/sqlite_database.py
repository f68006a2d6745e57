"""A SQLite file in use: one connection, used by one thread, and what is done about its faults.

Calls from the loop wait for the thread (`worker`) and never block. A file that cannot be written,
because the disk is full, is still read. Beside it is a reserve, which is given up where the
write-ahead log is what fills the disk. A file that is exchanged is used from the next call on, one
that is gone is not made again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, NoReturn, TypeVar

from proxy.errors import ConfigError, Diagnostic, StoreAway, StoreReadOnly
from proxy.storage.reserve import Reserve
from proxy.storage.sqlite_file import (
    connected,
    empty_log,
    identity_of,
    is_passing,
    is_unwritable,
    make,
    reason_of,
)
from proxy.storage.worker import Worker

_T = TypeVar("_T")

_SPARE: Final = 1 << 18
"""Bytes beside the reserve without which a file that was full still counts as full."""


class SqliteDatabase:
    """The file, for one store of a process; others of the same process have their own."""

    def __init__(self, path: Path, *, timeout: float, thread: str, name: str) -> None:
        """Open the file, or make it.

        Args:
            path: the file; its directory exists.
            timeout: seconds that a call waits for its answer at most.
            thread: the name of the thread.
            name: what errors call the store.

        Raises:
            ConfigError: it cannot be opened, is damaged, or is of another version.
        """
        self._path = path
        self._timeout = timeout
        self._connection: sqlite3.Connection | None = None
        self._identity = (0, 0)
        self._reserve = Reserve(path)
        self._worker = Worker(thread, name)
        try:
            self._worker.submit(self._opened).result()
        except (StoreAway, ConfigError) as error:
            self._worker.end()
            raise ConfigError([Diagnostic(str(path), 0, 0, "store.url", error.detail)]) from None

    async def call(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        """What `work` returns, done by the thread.

        Args:
            work: one transaction, or none; may be called twice where the first was undone.

        Raises:
            StoreReadOnly: the file cannot be written.
            StoreAway: it cannot be used, or not in time.
        """
        return await self._worker.call(lambda: self._work(work), self._timeout)

    def try_room(self, connection: sqlite3.Connection) -> None:
        """Find whether there is room for more, and some to spare; on the thread, in a call.

        Raises:
            sqlite3.Error, OSError: there is not.
        """
        empty_log(connection)
        self._reserve.keep(_SPARE)

    async def close(self) -> None:
        """Close the file, and end the thread."""
        try:
            await self._worker.call(self._drop, self._timeout)
        finally:
            self._worker.end()

    def _work(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        connection = self._opened()
        try:
            try:
                return work(connection)
            except (sqlite3.Error, OSError) as error:
                if not is_unwritable(error):
                    raise
                self._make_room(connection)
            return work(connection)  # Nothing of it was done: it is one transaction.
        except (sqlite3.Error, OSError) as error:
            self._fail(error)

    def _make_room(self, connection: sqlite3.Connection) -> None:
        """Empty a write-ahead log that has filled the disk, with the help of the reserve.

        Raises:
            sqlite3.Error, OSError: the disk is full of something else.
        """
        self._reserve.give_up()
        empty_log(connection)
        self._reserve.keep()

    def _opened(self) -> sqlite3.Connection:
        """The connection, to the file that has the name now: it may be another than before.

        Raises:
            StoreAway: the file is gone, cannot be opened, is damaged, or of another version.
        """
        try:
            if self._connection is not None:
                if identity_of(self._path) == self._identity:
                    return self._connection
                self._drop()
            elif self._identity == (0, 0):
                make(self._path)
            self._identity = identity_of(self._path)
            # The loop gives up after the whole timeout: an answer after half of it is still heard.
            self._connection = self._connected()
        except (sqlite3.Error, OSError) as error:
            self._drop()
            raise StoreAway(f"the file of sessions {reason_of(error)}") from None
        return self._connection

    def _connected(self) -> sqlite3.Connection:
        try:
            connection = connected(self._path, self._timeout / 2)
        except sqlite3.Error as error:
            if not is_unwritable(error):
                raise
            self._reserve.give_up()  # To be read, it needs a little room beside it.
            connection = connected(self._path, self._timeout / 2)
        with suppress(OSError):
            self._reserve.keep()
        return connection

    def _fail(self, error: sqlite3.Error | OSError) -> NoReturn:
        if is_unwritable(error):
            raise StoreReadOnly(f"the file of sessions {reason_of(error)}") from None
        if not is_passing(error):
            self._drop()
        raise StoreAway(f"the file of sessions {reason_of(error)}") from None

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
