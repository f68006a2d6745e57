"""What is particular to the file: who may read it, its locks, its faults, its replacement."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from dataclasses import replace

import pytest

from proxy.errors import ConfigError, RecordUnreadable, StoreAway
from proxy.sessions.store.base import SessionUse
from proxy.sessions.store.sqlite import SqliteStore
from proxy.storage.sqlite_file import VERSION
from tests.support.records import NOW, record, session_of
from tests.support.storages import SHORT, SqliteStorage, mode_of, store_at
from tests.support.waiting import PATIENCE


async def test_its_files_are_for_this_user_alone(sqlite: SqliteStorage) -> None:
    async with sqlite.opened() as store:
        await store.save(record())
        files = sorted(sqlite.path.parent.iterdir())
        assert [file.name.removeprefix("sessions.sqlite3") for file in files] == [
            "",
            "-reserve",
            "-shm",
            "-wal",
        ]
        assert {mode_of(file) for file in files} == {0o600}


async def test_a_save_is_durable_and_a_use_need_not_be(sqlite: SqliteStorage) -> None:
    async with sqlite.opened() as store:
        assert isinstance(store, SqliteStore)
        await store.save(record())
        assert await setting(store, "synchronous") == 2  # FULL
        await store.touch(session_of(1), NOW + 1, "", "")
        assert await setting(store, "synchronous") == 1  # NORMAL
        assert await setting(store, "journal_mode") == "wal"


async def setting(store: SqliteStore, name: str) -> object:
    """A setting of the connection that the store uses, asked on its thread."""
    value: object = await store._database.call(
        lambda connection: connection.execute(f"PRAGMA {name}").fetchone()[0]
    )
    return value


async def test_a_lock_is_told_in_time_and_readers_go_on(sqlite: SqliteStorage) -> None:
    async with sqlite.opened(timeout=SHORT) as store:
        first = await store.save(record())
        assert first is not None
        with sqlite.locked():
            with pytest.raises(StoreAway, match="locked by another process"):
                await store.save(replace(first, user="eve"))
            assert await store.load(first.session) == first
        assert await store.save(replace(first, user="eve")) is not None


async def test_a_blocked_call_leaves_the_loop_free(sqlite: SqliteStorage) -> None:
    async with sqlite.opened() as store:
        await store.save(record())
        turns = 0
        with sqlite.locked():
            waiting = asyncio.create_task(store.touch(session_of(1), NOW + 1, "", ""))
            for _ in range(1000):
                await asyncio.sleep(0)
                turns += not waiting.done()
        await waiting
        assert turns == 1000


async def test_what_was_not_begun_in_time_is_never_done(sqlite: SqliteStorage) -> None:
    async with sqlite.opened() as patient, sqlite.opened(timeout=SHORT) as store:
        with sqlite.locked():
            calls = [store.save(record(number)) for number in range(20)]
            outcomes = await asyncio.gather(*calls, return_exceptions=True)
            assert all(isinstance(outcome, StoreAway) for outcome in outcomes)
        await store.ping()
        # The one that had begun may have had the lock at last.
        assert await patient.count() <= 1


@pytest.mark.parametrize("content", [b"not a database", b"SQLite format 3\0" + bytes(4096)])
def test_a_file_that_is_none_is_refused_at_the_start(sqlite: SqliteStorage, content: bytes) -> None:
    sqlite.path.write_bytes(content * 10)
    with pytest.raises(
        ConfigError, match=r"sessions\.sqlite3: store\.url: the file of sessions is damaged"
    ):
        store_at(sqlite.address)


async def test_damage_under_a_running_store_is_told_and_mended(sqlite: SqliteStorage) -> None:
    async with sqlite.opened() as store:
        for number in range(50):
            await store.save(record(number))
    sound = sqlite.path.read_bytes()
    async with sqlite.opened() as store:
        sqlite.path.write_bytes(sound[:8192] + b"\xff" * (len(sound) - 8192))
        loads = [store.load(session_of(number)) for number in range(50)]
        outcomes = await asyncio.gather(*loads, return_exceptions=True)
        assert {str(each) for each in outcomes if isinstance(each, Exception)} == {
            "the file of sessions is damaged, or not a file of sessions"
        }
        sqlite.path.write_bytes(sound)
        assert await store.load(session_of(7)) == replace(record(7), revision=1)


async def test_a_damaged_record_is_told(sqlite: SqliteStorage) -> None:
    async with sqlite.opened() as store:
        await store.save(record())
        await store.save(record(2))
        sqlite.execute("UPDATE sessions SET body = x'01ff' WHERE session LIKE '%1'")
        with pytest.raises(RecordUnreadable, match="damaged record"):
            await store.load(session_of(1))
        readable = await store.load(session_of(2))
        assert readable is not None
        page = await store.sessions(user=None, after="", limit=9)
        assert (page.records, page.unreadable, page.after) == ([readable], [session_of(1)], "")
        first = await store.sessions(user=None, after="", limit=1)
        assert (first.records, first.unreadable) == ([], [session_of(1)])
        last = await store.sessions(user=None, after=first.after, limit=1)
        assert (last.records, last.unreadable, last.after) == ([readable], [], session_of(2))


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        (f"PRAGMA user_version = {VERSION + 1}", f"has schema {VERSION + 1}"),
        ("PRAGMA application_id = 7", "belongs to another program"),
    ],
)
async def test_a_file_of_another_version_or_program_is_refused(
    sqlite: SqliteStorage, statement: str, told: str
) -> None:
    async with sqlite.opened() as store:
        await store.save(record())
    sqlite.execute(statement)
    with pytest.raises(ConfigError, match=told):
        store_at(sqlite.address)


def test_a_database_of_another_program_is_left_alone(sqlite: SqliteStorage) -> None:
    sqlite.execute("CREATE TABLE theirs (id)")
    with pytest.raises(ConfigError, match="belongs to another program"):
        store_at(sqlite.address)
    assert sqlite.execute("SELECT name FROM sqlite_schema") == [("theirs",)]


@pytest.mark.parametrize("journal", ["DELETE", "WAL"])
def test_a_file_that_stays_locked_is_told_at_the_start(sqlite: SqliteStorage, journal: str) -> None:
    sqlite.execute(f"PRAGMA journal_mode = {journal}")
    with sqlite.locked(), pytest.raises(ConfigError, match="is locked by another process"):
        store_at(sqlite.address, timeout=0.2)


def test_a_directory_in_its_place_is_told(sqlite: SqliteStorage) -> None:
    sqlite.path.mkdir()
    with pytest.raises(ConfigError, match="is a directory"):
        store_at(sqlite.address)


async def test_a_file_that_was_exchanged_is_used_from_the_next_call_on(
    sqlite: SqliteStorage,
) -> None:
    backup = SqliteStorage(sqlite.path.parent / "backup")
    backup.path.parent.mkdir()
    async with backup.opened() as store:
        await store.save(record(2))
    async with sqlite.opened() as store:
        await store.save(record(1))
        for file in (
            sqlite.path.parent / "sessions.sqlite3-wal",
            sqlite.path.parent / "sessions.sqlite3-shm",
        ):
            file.unlink()
        backup.path.rename(sqlite.path)
        assert await store.load(session_of(1)) is None
        assert await store.load(session_of(2)) is not None


async def test_a_file_that_is_gone_is_not_made_again_behind_the_operators_back(
    sqlite: SqliteStorage,
) -> None:
    async with sqlite.opened() as store:
        await store.save(record())
        sqlite.path.unlink()
        with pytest.raises(StoreAway, match="no such file"):
            await store.load(session_of(1))
        assert not sqlite.path.exists()
    # At a start it is; what the old one left beside it does not come back.
    async with sqlite.opened() as store:
        assert await store.load(session_of(1)) is None
        await store.save(record())


async def test_stores_that_make_the_file_at_the_same_moment_agree(sqlite: SqliteStorage) -> None:
    stores = await asyncio.gather(*(asyncio.to_thread(store_at, sqlite.address) for _ in range(8)))
    for number, store in enumerate(stores):
        await store.save(record(number))
    assert {await store.count() for store in stores} == {8}
    for store in stores:
        await store.close()


async def test_many_calls_at_once_are_all_answered(sqlite: SqliteStorage) -> None:
    async with sqlite.opened(timeout=PATIENCE) as store:
        await store.save(record())
        found = await asyncio.gather(*(store.load(session_of(1)) for _ in range(500)))
        assert len([each for each in found if each is not None]) == 500


async def test_a_second_store_of_a_process_leaves_the_locks_of_the_first(
    sqlite: SqliteStorage,
) -> None:
    """Whoever opens and closes the file ends all locks of the process on it (POSIX)."""
    async with sqlite.opened() as store:
        await store.save(record(1))
        async with sqlite.opened() as second:
            # Another program that is the last to close the file would remove the log.
            code = (
                "import sqlite3, sys; sqlite3.connect(sys.argv[1]).execute('PRAGMA user_version')"
            )
            subprocess.run([sys.executable, "-c", code, sqlite.path], check=True)
            assert sqlite.path.with_name(f"{sqlite.path.name}-wal").exists()
            await second.save(record(2))
        await store.save(record(3))
    async with sqlite.opened() as store:
        assert await store.count() == 3


async def test_a_file_of_before_hosts_were_noted_is_read_and_written(
    sqlite: SqliteStorage,
) -> None:
    async with sqlite.opened() as store:
        before = await store.save(record(1, host="a.example"))
        assert before is not None
    sqlite.execute("ALTER TABLE sessions DROP COLUMN host")
    async with sqlite.opened() as store, sqlite.opened() as other:
        assert await store.uses("ada", 10) == [SessionUse(before.session, NOW, "")]
        assert await other.save(before) is not None
        assert await store.uses("ada", 10) == [SessionUse(before.session, NOW, "a.example")]
