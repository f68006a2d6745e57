"""Sessions in one SQLite file, for the processes of one machine.

One connection, used by one thread (`storage.sqlite_database`). The write-ahead log lets processes
read while one writes; each change is one `BEGIN IMMEDIATE` transaction, which has the write lock
from its first statement on. A save is on the disk when it returns; uses and leases are written
without waiting for the disk, because a crash of the machine ends every holder of a lease too.

Leases end by the machine's clock. Where it was set back behind the beginning of a lease, that lease
counts as ended: the fence keeps its holder from writing.
"""

from __future__ import annotations

import sqlite3
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

from proxy.errors import ConfigError, Diagnostic, StoreAway, StoreFull
from proxy.sessions.record import Record, check_texts, decode, encode, next_fence, succeeding
from proxy.sessions.store.base import MAX_BATCH, RecordPage, SessionUse, keeping, page_of
from proxy.storage.sqlite_database import SqliteDatabase
from proxy.storage.sqlite_file import check, reason_of, transaction
from proxy.storage.state_directory import check_directory

_Row = tuple[bytes, float, str, str, int]

_SELECT: Final = "SELECT body, used, version, cohort, fence FROM sessions"
_LIST: Final = (
    "SELECT body, used, version, cohort, fence, session FROM sessions"
    " WHERE ended IS NULL AND session > ?"
)


def check_file(path: Path) -> None:
    """Find what would keep `SqliteStore` from opening the file, as far as its header says.

    Raises:
        ConfigError: it cannot be opened or made, or is not a file of sessions.
    """
    check_directory(path.parent)
    try:
        if path.exists():
            check(path)
    except (StoreAway, OSError) as error:
        message = (
            error.detail
            if isinstance(error, StoreAway)
            else f"the file of sessions {reason_of(error)}"
        )
        raise ConfigError([Diagnostic(str(path), 0, 0, "store.url", message)]) from None


class SqliteStore:
    """A store in one file; see `proxy.sessions.store.base.Store`."""

    def __init__(self, path: Path, *, limit: int, timeout: float) -> None:
        """Open the file, or make it.

        Args:
            path: the file; its directory exists.
            limit: how many sessions it may hold.
            timeout: seconds that a call waits for its answer at most.

        Raises:
            ConfigError: it cannot be opened, is damaged, or is of another version.
        """
        self._limit = limit
        self._database = SqliteDatabase(
            path, timeout=timeout, thread="segue-store", name="session store"
        )

    async def find(self, *digests: bytes) -> Record | None:
        def work(connection: sqlite3.Connection) -> Record | None:
            query = _SELECT + " JOIN handles USING (session) WHERE digest = ?"
            for digest in digests:
                row = connection.execute(query, (digest,)).fetchone()
                if row is not None:
                    return _record(row)
            return None

        return await self._database.call(work)

    async def load(self, session: str) -> Record | None:
        def work(connection: sqlite3.Connection) -> Record | None:
            row = _row(connection, session)
            return None if row is None else _record(row)

        return await self._database.call(work)

    async def save(self, record: Record, *, fence: int | None = None) -> Record | None:
        encode(record)  # What is no record is the caller's fault, and said at once.

        def work(connection: sqlite3.Connection) -> Record | None:
            with transaction(connection, durable=True):
                row = _row(connection, record.session)
                stored = None if row is None else _record(row)
                following = succeeding(record, stored)
                if following is None or (row is not None and fence is not None and row[4] > fence):
                    return None
                if stored is None:
                    _make_place(connection, following, self._limit)
                _write(connection, following, stored)
                return following

        return await self._database.call(work)

    async def touch(self, session: str, used: float, version: str, cohort: str) -> None:
        check_texts(version, cohort)

        def work(connection: sqlite3.Connection) -> None:
            with transaction(connection, durable=False):
                connection.execute(
                    "UPDATE sessions SET used = ?, version = ?, cohort = ?"
                    " WHERE session = ? AND ended IS NULL AND used < ?",
                    (used, version, cohort, session, used),
                )

        await self._database.call(work)

    async def acquire(self, session: str, owner: str, ttl: float) -> int | None:
        def work(connection: sqlite3.Connection) -> int | None:
            with transaction(connection, durable=False):
                now = time.time()
                found = connection.execute(
                    "SELECT fence FROM sessions WHERE session = ? AND"
                    " (owner IS NULL OR owner = ? OR ? < held_from OR ? >= held_until)",
                    (session, owner, now, now),
                ).fetchone()
                if found is None:
                    return None
                fence = next_fence(found[0], now)
                connection.execute(
                    "UPDATE sessions SET fence = ?, owner = ?, held_from = ?, held_until = ?"
                    " WHERE session = ?",
                    (fence, owner, now, now + ttl, session),
                )
                return fence

        return await self._database.call(work)

    async def extend(self, session: str, owner: str, ttl: float) -> bool:
        def work(connection: sqlite3.Connection) -> bool:
            with transaction(connection, durable=False):
                now = time.time()
                changed = connection.execute(
                    "UPDATE sessions SET held_from = ?, held_until = ? WHERE session = ?"
                    " AND owner = ? AND held_from <= ? AND ? < held_until",
                    (now, now + ttl, session, owner, now, now),
                )
                return changed.rowcount == 1

        return await self._database.call(work)

    async def release(self, session: str, owner: str) -> None:
        def work(connection: sqlite3.Connection) -> None:
            with transaction(connection, durable=False):
                connection.execute(
                    "UPDATE sessions SET owner = NULL WHERE session = ? AND owner = ?",
                    (session, owner),
                )

        await self._database.call(work)

    async def sessions(self, *, user: str | None, after: str, limit: int) -> RecordPage:
        everybody = _LIST + " ORDER BY session LIMIT ?"
        one = _LIST + " AND user = ? ORDER BY session LIMIT ?"
        most = min(limit, MAX_BATCH)

        def work(connection: sqlite3.Connection) -> RecordPage:
            rows = (
                connection.execute(everybody, (after, most))
                if user is None
                else connection.execute(one, (after, user, most))
            )
            return page_of(((row[-1], partial(_record, row[:-1])) for row in rows), most)

        return await self._database.call(work)

    async def uses(self, user: str, limit: int) -> list[SessionUse]:
        query = (
            "SELECT session, used, host FROM sessions WHERE ended IS NULL AND user = ?"
            " ORDER BY session LIMIT ?"
        )

        def work(connection: sqlite3.Connection) -> list[SessionUse]:
            return list(map(SessionUse._make, connection.execute(query, (user, limit))))

        return await self._database.call(work)

    async def count(self) -> int:
        def work(connection: sqlite3.Connection) -> int:
            return int(connection.execute("SELECT open FROM open_total").fetchone()[0])

        return await self._database.call(work)

    async def purge(self, now: float) -> int:
        chosen = "SELECT session FROM sessions WHERE purge_after <= ? LIMIT ?"

        def work(connection: sqlite3.Connection) -> int:
            with transaction(connection, durable=False):
                over = connection.execute(chosen, (now, MAX_BATCH)).fetchall()
                _remove(connection, over)
                return len(over)

        # In steps, so that other calls find their turn in between.
        total = 0
        while removed := await self._database.call(work):
            total += removed
        return total

    async def writable(self) -> None:
        def work(connection: sqlite3.Connection) -> None:
            self._database.try_room(connection)
            with transaction(connection, durable=True):
                connection.execute("UPDATE total SET kept = kept")

        await self._database.call(work)

    async def ping(self) -> None:
        await self._database.call(
            lambda connection: connection.execute("SELECT kept FROM total").fetchone()
        )

    async def close(self) -> None:
        await self._database.close()


def _row(connection: sqlite3.Connection, session: str) -> _Row | None:
    row: _Row | None = connection.execute(_SELECT + " WHERE session = ?", (session,)).fetchone()
    return row


def _record(row: _Row) -> Record:
    body, used, version, cohort, _ = row
    return replace(decode(body), used=used, version=version, cohort=cohort)


def _remove(connection: sqlite3.Connection, sessions: list[tuple[str]]) -> None:
    connection.executemany("DELETE FROM handles WHERE session = ?", sessions)
    connection.executemany("DELETE FROM sessions WHERE session = ?", sessions)


def _make_place(connection: sqlite3.Connection, record: Record, limit: int) -> None:
    """See that one record more may be kept; a tombstone goes for it if need be.

    Raises:
        StoreFull: it may not.
    """
    query = "SELECT open, kept FROM open_total, total"
    open_, kept = connection.execute(query).fetchone()
    if record.closed is None and open_ >= limit:
        raise StoreFull("the session store is full")
    if kept - open_ < limit:
        return
    if record.closed is not None and record.eviction:
        raise StoreFull("the session store is full of ended sessions")
    theirs = "SELECT session FROM evictable WHERE user = ? ORDER BY keep, ended, session LIMIT 1"
    everybody = "SELECT session FROM evictable ORDER BY keep, ended, session LIMIT 1"
    oldest = connection.execute(theirs, (record.user,)).fetchone() if record.user else None
    if oldest is None:
        oldest = connection.execute(everybody).fetchone()
    if oldest is not None:
        _remove(connection, [oldest])
    elif kept >= 2 * limit:
        raise StoreFull("the session store is full of ended sessions")


def _write(connection: sqlite3.Connection, record: Record, stored: Record | None) -> None:
    values = (
        record.user,
        record.version,
        record.cohort,
        record.used,
        record.closed,
        record.purge_after,
        encode(record),
        record.host,
        record.session,
    )
    connection.execute(
        "INSERT INTO sessions"
        " (user, version, cohort, used, ended, purge_after, body, host, session)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
        if stored is None
        else "UPDATE sessions SET user = ?, version = ?, cohort = ?, used = ?, ended = ?,"
        " purge_after = ?, body = ?, host = ? WHERE session = ?",
        values,
    )
    closed = record.closed
    if closed is not None or (stored is not None and stored.closed is not None):
        connection.execute("DELETE FROM evictable WHERE session = ?", (record.session,))
    if closed is not None and record.eviction:
        connection.execute(
            "INSERT INTO evictable (session, user, keep, ended) VALUES (?, ?, ?, ?)",
            (record.session, record.user, keeping(record.eviction), closed),
        )
    before = set() if stored is None else stored.digests
    now = record.digests
    connection.executemany(
        "DELETE FROM handles WHERE digest = ? AND session = ?",
        [(digest, record.session) for digest in before - now],
    )
    connection.executemany(
        "INSERT INTO handles (digest, session) VALUES (?, ?)"
        " ON CONFLICT (digest) DO UPDATE SET session = excluded.session",
        [(digest, record.session) for digest in now],
    )
