"""Switches in the SQLite file of the sessions, for the processes of one machine.

One connection of its own, used by one thread (`storage.sqlite_database`). What is appended or
replaced is on the disk when the call returns; what replicas say of themselves need not be.

SQLite tells nobody of a change: while somebody listens, the newest number is read a few times a
second. Announcements end by the machine's clock; one from before the clock was set back is
forgotten.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from proxy.control.switch_store.base import (
    KEPT,
    MAX_ANNOUNCED,
    MAX_DAY,
    MAX_DAY_ROWS,
    MAX_DAYS,
    MAX_NUMBER,
    MAX_REVISION,
    MAX_STATE,
    MAX_VALUE,
    MAX_VALUES,
    Newest,
    StoredDay,
    StoredRevision,
    check_announcement,
    check_day,
    check_fold,
    check_revision,
    check_value,
    newest_of,
    page_size,
    read_part,
    tag_of,
)
from proxy.control.switch_store.listeners import Listeners
from proxy.errors import StoreAway, StoreFull
from proxy.storage.sqlite_database import SqliteDatabase
from proxy.storage.sqlite_file import transaction

_POLL: Final = 0.25
"""Seconds between two looks at the newest number, while somebody listens."""

# What is too large, or no bytes at all, is not read, and told apart from what is missing.
_WHOLE: Final = (
    "SELECT number,"
    " CASE WHEN typeof(revision) = 'blob' AND length(revision) <= ? THEN revision END,"
    " CASE WHEN typeof(state) = 'blob' AND length(state) <= ? THEN state END"
    " FROM switch_revisions"
)
_LOAD: Final = _WHOLE + " ORDER BY number DESC LIMIT 1"
_REVISION: Final = _WHOLE + " WHERE number = ?"
_NUMBER: Final = "SELECT coalesce(max(number), 0) FROM switch_revisions"
_NEWEST: Final = (
    "SELECT number, CASE WHEN typeof(revision) = 'blob' AND length(revision) <= ? THEN revision END"
    " FROM switch_revisions ORDER BY number DESC LIMIT 1"
)
_PAGE: Final = (
    "SELECT revision FROM switch_revisions"
    " WHERE number < ? AND typeof(revision) = 'blob' AND length(revision) <= ?"
    " ORDER BY number DESC LIMIT ?"
)
_VALUE: Final = (
    "SELECT CASE WHEN typeof(value) = 'blob' AND length(value) <= ? THEN value END"
    " FROM switch_values WHERE name = ?"
)
_ANNOUNCED: Final = (
    "SELECT replica, document FROM switch_replicas WHERE said <= ? AND ? < until"
    " AND typeof(document) = 'blob' AND length(document) <= ?"
    " ORDER BY until DESC LIMIT ?"
)

_DAYS: Final = (
    "SELECT number, name,"
    " CASE WHEN typeof(document) = 'blob' AND length(document) <= ? THEN document ELSE x'' END"
    " FROM switch_days WHERE number BETWEEN ? AND ? ORDER BY number, name LIMIT ?"
)
_DAY: Final = "SELECT document FROM switch_days WHERE number = ? AND name = ?"
_OLDEST: Final = (
    "DELETE FROM switch_days WHERE number IN"
    " (SELECT DISTINCT number FROM switch_days ORDER BY number DESC LIMIT -1 OFFSET ?)"
)


class SqliteSwitchStore:
    """A store in one file; see `proxy.control.switch_store.base.SwitchStore`."""

    def __init__(self, path: Path, *, timeout: float) -> None:
        """Open the file, or make it.

        Args:
            path: the file; its directory exists.
            timeout: seconds that a call waits for its answer at most.

        Raises:
            ConfigError: it cannot be opened, is damaged, or is of another version.
        """
        self._database = SqliteDatabase(
            path, timeout=timeout, thread="segue-switches", name="switch store"
        )
        self._listeners = Listeners()
        self._watching: asyncio.Task[None] | None = None
        self._seen: Newest | None = None

    async def load(self) -> StoredRevision | None:
        return await self._database.call(lambda connection: _one(connection, _LOAD))

    async def append(self, new: StoredRevision, after: str = "") -> bool:
        check_revision(new)

        def work(connection: sqlite3.Connection) -> bool:
            with transaction(connection, durable=True):
                newest = _newest(connection)
                if newest.number != new.number - 1 or after not in ("", newest.tag):
                    return False
                connection.execute("INSERT INTO switch_revisions VALUES (?, ?, ?)", new)
                connection.execute(
                    "DELETE FROM switch_revisions WHERE number <= ?", (new.number - KEPT,)
                )
                return True

        has_won = await self._database.call(work)
        if has_won:
            self._seen = newest_of(new)
            self._listeners.tell()
        return has_won

    async def number(self) -> int:
        return await self._database.call(_number)

    async def newest(self) -> Newest:
        return await self._database.call(_newest)

    async def revision(self, number: int) -> StoredRevision | None:
        if not 1 <= number <= MAX_NUMBER:
            return None
        return await self._database.call(lambda connection: _one(connection, _REVISION, number))

    async def revisions(self, before: int | None, limit: int) -> list[bytes]:
        first = MAX_NUMBER + 1 if before is None else max(0, min(before, MAX_NUMBER + 1))
        values = (first, MAX_REVISION, page_size(limit))
        return await self._database.call(
            lambda connection: [row[0] for row in connection.execute(_PAGE, values)]
        )

    async def value(self, name: str) -> bytes | None:
        check_value(name)
        return await self._database.call(lambda connection: _value(connection, name))

    async def replace(self, name: str, expected: bytes | None, new: bytes | None) -> bool:
        check_value(name, expected, new)

        def work(connection: sqlite3.Connection) -> bool:
            with transaction(connection, durable=True):
                if _value(connection, name) != expected:
                    return False
                if new is None:
                    connection.execute("DELETE FROM switch_values WHERE name = ?", (name,))
                    return True
                (count,) = connection.execute("SELECT count(*) FROM switch_values").fetchone()
                if expected is None and count >= MAX_VALUES:
                    raise StoreFull("the store holds as many named values as it may")
                connection.execute("REPLACE INTO switch_values VALUES (?, ?)", (name, new))
                return True

        return await self._database.call(work)

    async def announce(self, replica: str, document: bytes, ttl: float) -> None:
        check_announcement(replica, document, ttl)

        def work(connection: sqlite3.Connection) -> None:
            with transaction(connection, durable=False):
                now = time.time()
                connection.execute(
                    "DELETE FROM switch_replicas WHERE until <= ? OR said > ?", (now, now)
                )
                connection.execute(
                    "REPLACE INTO switch_replicas VALUES (?, ?, ?, ?)",
                    (replica, document, now, now + ttl),
                )
                connection.execute(
                    "DELETE FROM switch_replicas WHERE replica IN (SELECT replica"
                    " FROM switch_replicas ORDER BY until DESC LIMIT -1 OFFSET ?)",
                    (MAX_ANNOUNCED,),
                )

        await self._database.call(work)

    async def announced(self) -> dict[str, bytes]:
        def work(connection: sqlite3.Connection) -> dict[str, bytes]:
            now = time.time()
            values = (now, now, MAX_VALUE, MAX_ANNOUNCED)
            return dict(connection.execute(_ANNOUNCED, values).fetchall())

        return await self._database.call(work)

    async def write_day(self, new: StoredDay, *, again: bool) -> bool:
        check_day(new)

        def work(connection: sqlite3.Connection) -> bool:
            with transaction(connection, durable=False):
                if connection.execute(_DAY, new[:2]).fetchone() is None:
                    if again:
                        return False
                    (count,) = connection.execute("SELECT count(*) FROM switch_days").fetchone()
                    if count >= MAX_DAY_ROWS:
                        raise StoreFull("the store holds as many days as it may")
                connection.execute("REPLACE INTO switch_days VALUES (?, ?, ?)", new)
                connection.execute(_OLDEST, (MAX_DAYS,))
                return True

        return await self._database.call(work)

    async def days(self, first: int, last: int) -> list[StoredDay]:
        def work(connection: sqlite3.Connection) -> list[StoredDay]:
            found = connection.execute(_DAYS, (MAX_DAY, first, last, MAX_DAY_ROWS))
            return [StoredDay(*row) for row in found]

        return await self._database.call(work)

    async def fold_days(self, gone: Sequence[StoredDay], into: StoredDay) -> bool:
        check_fold(gone, into)

        def work(connection: sqlite3.Connection) -> bool:
            with transaction(connection, durable=True):
                found = {each[:2]: connection.execute(_DAY, each[:2]).fetchone() for each in gone}
                if any(found[each[:2]] != (each.document,) for each in gone):
                    return False
                if into[:2] not in found and connection.execute(_DAY, into[:2]).fetchone():
                    return False
                connection.executemany(
                    "DELETE FROM switch_days WHERE number = ? AND name = ?", list(found)
                )
                connection.execute("INSERT INTO switch_days VALUES (?, ?, ?)", into)
                return True

        return await self._database.call(work)

    def listen(self, told: Callable[[], None]) -> None:
        self._listeners.add(told)
        if self._watching is None:
            self._watching = asyncio.get_running_loop().create_task(
                self._watch(), name="switches: watch the file"
            )

    async def close(self) -> None:
        self._listeners.end()
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.wait([self._watching])
        await self._database.close()

    async def _watch(self) -> None:
        newest: Newest | None
        while True:
            try:
                newest = await self.newest()
            except StoreAway:
                newest = None  # A gap: whatever is found behind it is news.
            if newest is not None and newest != self._seen:
                self._listeners.tell()
            self._seen = newest
            await asyncio.sleep(_POLL)


def _number(connection: sqlite3.Connection) -> int:
    return int(connection.execute(_NUMBER).fetchone()[0])


def _newest(connection: sqlite3.Connection) -> Newest:
    row = connection.execute(_NEWEST, (MAX_REVISION,)).fetchone()
    return Newest() if row is None else Newest(row[0], "" if row[1] is None else tag_of(row[1]))


def _one(connection: sqlite3.Connection, query: str, *number: int) -> StoredRevision | None:
    row = connection.execute(query, (MAX_REVISION, MAX_STATE, *number)).fetchone()
    if row is None:
        return None
    return StoredRevision(row[0], read_part(row[1], MAX_REVISION), read_part(row[2], MAX_STATE))


def _value(connection: sqlite3.Connection, name: str) -> bytes | None:
    row = connection.execute(_VALUE, (MAX_VALUE, name)).fetchone()
    return None if row is None else read_part(row[0], MAX_VALUE)
