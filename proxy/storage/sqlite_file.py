"""The SQLite file itself: how it is made and opened, its schema, its faults in words."""

from __future__ import annotations

import errno
import fcntl
import os
import sqlite3
import stat
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from proxy.errors import StoreAway

VERSION: Final = 1
"""Of the schema, kept in `user_version`."""

_APPLICATION: Final = 0x53656775
_SCHEMA: Final = """
CREATE TABLE sessions (
    session TEXT PRIMARY KEY NOT NULL,
    user TEXT NOT NULL,
    version TEXT NOT NULL,
    cohort TEXT NOT NULL,
    used REAL NOT NULL,
    ended REAL,
    purge_after REAL NOT NULL,
    body BLOB NOT NULL,
    fence INTEGER NOT NULL DEFAULT 0,
    owner TEXT,
    held_from REAL NOT NULL DEFAULT 0,
    held_until REAL NOT NULL DEFAULT 0
);
CREATE INDEX open_sessions ON sessions (session) WHERE ended IS NULL;
CREATE INDEX open_sessions_of_user ON sessions (user, session) WHERE ended IS NULL;
CREATE INDEX sessions_by_purge ON sessions (purge_after);
CREATE TABLE handles (digest BLOB PRIMARY KEY NOT NULL, session TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX handles_of_session ON handles (session);
CREATE TABLE total (kept INTEGER NOT NULL);
INSERT INTO total VALUES (0);
CREATE TRIGGER kept_one_more AFTER INSERT ON sessions BEGIN UPDATE total SET kept = kept + 1; END;
CREATE TRIGGER kept_one_less AFTER DELETE ON sessions BEGIN UPDATE total SET kept = kept - 1; END;
"""
_BOUNDS: Final = """
CREATE TABLE IF NOT EXISTS open_total (open INTEGER NOT NULL);
INSERT INTO open_total
    SELECT (SELECT count(*) FROM sessions WHERE ended IS NULL)
    WHERE NOT EXISTS (SELECT * FROM open_total);
CREATE TRIGGER IF NOT EXISTS open_one_more AFTER INSERT ON sessions WHEN NEW.ended IS NULL
    BEGIN UPDATE open_total SET open = open + 1; END;
CREATE TRIGGER IF NOT EXISTS open_ended AFTER UPDATE OF ended ON sessions
    WHEN OLD.ended IS NULL AND NEW.ended IS NOT NULL
    BEGIN UPDATE open_total SET open = open - 1; END;
CREATE TRIGGER IF NOT EXISTS open_again AFTER UPDATE OF ended ON sessions
    WHEN OLD.ended IS NOT NULL AND NEW.ended IS NULL
    BEGIN UPDATE open_total SET open = open + 1; END;
CREATE TRIGGER IF NOT EXISTS open_one_less AFTER DELETE ON sessions WHEN OLD.ended IS NULL
    BEGIN UPDATE open_total SET open = open - 1; END;
CREATE TABLE IF NOT EXISTS evictable (
    session TEXT PRIMARY KEY NOT NULL,
    user TEXT NOT NULL,
    keep INTEGER NOT NULL,
    ended REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS evictable_in_order ON evictable (keep, ended, session);
CREATE INDEX IF NOT EXISTS evictable_of_user ON evictable (user, keep, ended, session);
CREATE TRIGGER IF NOT EXISTS evictable_one_less AFTER DELETE ON sessions
    BEGIN DELETE FROM evictable WHERE session = OLD.session; END;
"""
_SWITCHES: Final = """
CREATE TABLE IF NOT EXISTS switch_revisions (
    number INTEGER PRIMARY KEY NOT NULL,
    revision BLOB NOT NULL,
    state BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS switch_values (name TEXT PRIMARY KEY NOT NULL, value BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS switch_replicas (
    replica TEXT PRIMARY KEY NOT NULL,
    document BLOB NOT NULL,
    said REAL NOT NULL,
    until REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS switch_days (
    number INTEGER NOT NULL,
    name TEXT NOT NULL,
    document BLOB NOT NULL,
    PRIMARY KEY (number, name)
);
"""
"""Beside the sessions, as the bounds are, also in a file that was made before there were any. Who
knows nothing of them reads and writes the file as before: they are no change of its version."""

_HOST: Final = "ALTER TABLE sessions ADD COLUMN host TEXT NOT NULL DEFAULT ''"
"""Of what was written before there was one it is not known."""

_CHECKPOINT: Final = 200
"""Pages of the write-ahead log, 800 KiB, with which it is brought into the file."""

_HEADER: Final = 100
_MAGIC: Final = b"SQLite format 3\0"
_LINK: Final = "it is a symbolic link; name the file itself"
_DAMAGED: Final = "is damaged, or not a file of sessions"
_PASSING: Final = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_UNWRITABLE: Final = (
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_IOERR_WRITE,
    sqlite3.SQLITE_IOERR_TRUNCATE,
    sqlite3.SQLITE_IOERR_SHMSIZE,
)
"""Whole codes: a quota, and a limit on the size of files, are told as failures to write."""

_NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
_REASONS: Final = {
    sqlite3.SQLITE_BUSY: "is locked by another process",
    sqlite3.SQLITE_LOCKED: "is locked by another process",
    sqlite3.SQLITE_FULL: "cannot grow: the disk is full",
    sqlite3.SQLITE_READONLY: "cannot be written",
    sqlite3.SQLITE_PERM: "cannot be written",
    sqlite3.SQLITE_CANTOPEN: "cannot be opened",
    sqlite3.SQLITE_CORRUPT: _DAMAGED,
    sqlite3.SQLITE_NOTADB: _DAMAGED,
}


def reason_of(error: sqlite3.Error | OSError) -> str:
    """What is wrong with the file, in words of our own."""
    if isinstance(error, OSError):
        verb = "written" if is_unwritable(error) else "used"
        return f"cannot be {verb}: {(error.strerror or 'no reason given').lower()}"
    if is_unwritable(error) and _code(error) == sqlite3.SQLITE_IOERR:
        return _REASONS[sqlite3.SQLITE_READONLY]
    return _REASONS.get(_code(error), "cannot be used")


def is_passing(error: sqlite3.Error | OSError) -> bool:
    """Whether the connection is as good as before: another one had the lock."""
    return isinstance(error, sqlite3.Error) and _code(error) in _PASSING


def is_unwritable(error: sqlite3.Error | OSError) -> bool:
    """Whether only writing fails: what is in the file can be read as before."""
    if isinstance(error, OSError):
        return error.errno in _NO_ROOM
    return getattr(error, "sqlite_errorcode", 0) in _UNWRITABLE


def empty_log(connection: sqlite3.Connection) -> None:
    """Bring what is in the write-ahead log into the file, and give the log's room back.

    Where another process is in the way, that is left to it.

    Raises:
        sqlite3.Error: there is no room for it.
    """
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()


def _code(error: sqlite3.Error) -> int:
    # The primary one of an extended code; errors of the module itself have none.
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def make(path: Path) -> None:
    """Make the file where it is missing, readable for this user alone, as SQLite's own beside it.

    A log without its file would be taken for that of the new one. One that exists is not opened
    for it: closing it would end the locks that another store of this process has on it (POSIX), and
    whoever closes the file next would believe to be its last user, and remove the log.

    Raises:
        OSError: it is not possible, or what has the name is no file that may be written.
    """
    if path.is_symlink():
        # Who can write to the directory would choose which file is made, or written.
        raise OSError(errno.ELOOP, _LINK)
    if not path.exists():
        with _locked(path.parent):
            _make_new(path)
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not os.access(path, os.R_OK | os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def _make_new(path: Path) -> None:
    if path.exists():
        return  # Somebody else was faster, and may use the log beside it already.
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """One process, or thread of one, at a time."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def identity_of(path: Path) -> tuple[int, int]:
    """What tells the file from another one of the same name."""
    status = path.stat()
    return status.st_dev, status.st_ino


def check(path: Path) -> None:
    """Look whether an existing file is one of sessions, by its header; nothing is made or locked.

    Raises:
        StoreAway: it is of another program or version, damaged, or may not be written.
        OSError: it cannot be read.
    """
    if path.is_symlink():
        raise StoreAway(f"the file of sessions cannot be used: {_LINK}")
    mode = path.stat().st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise StoreAway("the file of sessions is not a file")  # A FIFO would be waited for.
    with path.open("rb") as file:
        header = file.read(_HEADER)
    if not os.access(path, os.W_OK):
        raise StoreAway(f"the file of sessions {_REASONS[sqlite3.SQLITE_READONLY]}")
    if not header:
        return  # As good as missing.
    if len(header) < _HEADER or not header.startswith(_MAGIC):
        raise StoreAway(f"the file of sessions {_DAMAGED}")
    # https://sqlite.org/fileformat2.html#the_database_header
    (cookie,) = struct.unpack_from(">I", header, 40)
    (version,) = struct.unpack_from(">I", header, 60)
    (application,) = struct.unpack_from(">I", header, 68)
    # What was never written to this file itself may be in the log beside it.
    if cookie or application or version:
        _check_kind(application, version)


def connected(path: Path, timeout: float) -> sqlite3.Connection:
    """Open the file, which exists; make or check its schema.

    Args:
        path: the file.
        timeout: seconds to wait for the lock of another process.

    Raises:
        StoreAway: it is of another program or version, or cannot have a write-ahead log.
        sqlite3.Error: it cannot be opened, or is damaged.
    """
    # By URI, with which SQLite does not make the file: a new one is made by `_make` alone.
    uri = f"{path.absolute().as_uri()}?mode=rw"
    connection = sqlite3.connect(uri, uri=True, timeout=timeout, isolation_level=None)
    try:
        _write_ahead(connection, timeout)
        connection.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT}")
        _check_version(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _write_ahead(connection: sqlite3.Connection, timeout: float) -> None:
    # Another process that does the same at this moment is not waited for by SQLite itself.
    deadline = time.monotonic() + timeout
    mode = ""
    while not mode:
        try:
            (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
    if mode != "wal":
        raise StoreAway("the file of sessions is on a file system without a write-ahead log")


def _check_version(connection: sqlite3.Connection) -> None:
    with transaction(connection, durable=True):
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        if (application, version, tables) == (0, 0, 0):
            for statement in _statements(_SCHEMA):
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {_APPLICATION}")
            connection.execute(f"PRAGMA user_version = {VERSION}")
        else:
            _check_kind(application, version)
        for statement in _statements(_BOUNDS + _SWITCHES):
            connection.execute(statement)
        columns = {row[1] for row in connection.execute("PRAGMA table_info(sessions)")}
        if "host" not in columns:
            connection.execute(_HOST)


def _check_kind(application: int, version: int) -> None:
    if application != _APPLICATION:
        raise StoreAway("the file of sessions belongs to another program; name another file")
    if version != VERSION:
        raise StoreAway(
            f"the file of sessions has schema {version}, this version of Segue reads {VERSION};"
            " name another file, or move it away and let users log in again"
        )


def _statements(script: str) -> Iterator[str]:
    # `executescript` would commit the transaction it is in.
    statement = ""
    for line in script.splitlines():
        statement += f"{line}\n"
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


@contextmanager
def transaction(connection: sqlite3.Connection, *, durable: bool) -> Iterator[None]:
    """One change, whole or not at all; `durable` waits for the disk."""
    connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
