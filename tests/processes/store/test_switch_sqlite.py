"""Switches in the file of sessions: who makes it, its faults, a disk that is full."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.control.switch_store.base import MAX_REVISION, MAX_VALUE, SwitchStore
from proxy.control.switch_store.sqlite import SqliteSwitchStore
from proxy.errors import ConfigError, RecordUnreadable, StoreAway, StoreReadOnly
from proxy.sessions.store.base import Store
from proxy.storage.sqlite_file import VERSION
from tests.support.full_disk import Mounted, SmallDisk, may_mount, mounted, small_disk
from tests.support.records import record, session_of
from tests.support.storages import SHORT, SqliteStorage, mode_of, store_at
from tests.support.switch_storages import (
    Listener,
    Shared,
    appended,
    revision,
    switch_store_at,
)

TABLES = ("switch_revisions", "switch_values", "switch_replicas")


@pytest.fixture
def shared(sqlite: SqliteStorage) -> Shared:
    return Shared(sqlite)


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Mounted]:
    if not may_mount(tmp_path):
        pytest.skip("may not mount a file system")
    with mounted(tmp_path) as real:
        yield real


@pytest.fixture(params=["mounted", "limited"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(request.param, tmp_path) as small:
        yield small


async def test_its_files_are_for_this_user_alone(sqlite: SqliteStorage, shared: Shared) -> None:
    async with shared.switches() as store:
        await appended(store, 1)
        assert {mode_of(file) for file in sqlite.path.parent.iterdir()} == {0o600}


async def test_what_is_appended_or_replaced_is_durable(shared: Shared) -> None:
    async with shared.switches() as store:
        await store.announce("one", b"", 60)
        assert await setting(store, "synchronous") == 1  # NORMAL
        await appended(store, 1)
        assert await setting(store, "synchronous") == 2  # FULL
        await store.announce("one", b"", 60)
        await store.replace("salt", None, b"")
        assert await setting(store, "synchronous") == 2


async def setting(store: SwitchStore, name: str) -> object:
    """A setting of the connection that the store uses, asked on its thread."""
    assert isinstance(store, SqliteSwitchStore)
    value: object = await store._database.call(
        lambda connection: connection.execute(f"PRAGMA {name}").fetchone()[0]
    )
    return value


async def test_a_file_from_before_there_were_switches_is_used_as_it_is(
    sqlite: SqliteStorage, shared: Shared
) -> None:
    async with sqlite.opened() as sessions:
        saved = await sessions.save(record())
    for table in TABLES:
        sqlite.execute(f"DROP TABLE {table}")
    async with shared.switches() as store, sqlite.opened() as sessions:
        await appended(store, 1)
        assert await sessions.load(session_of(1)) == saved
    assert sqlite.execute("PRAGMA user_version") == [(VERSION,)] == [(1,)]


async def test_a_file_from_before_there_were_switches_is_used_on_a_full_disk(
    small: Mounted,
) -> None:
    sqlite = SqliteStorage(small.directory)
    async with sqlite.opened() as sessions:
        saved = await sessions.save(record())
    for table in TABLES:
        sqlite.execute(f"DROP TABLE {table}")
    small.fill()
    # The room for new tables is what the reserve is given up for.
    async with sqlite.opened() as sessions:
        assert await sessions.load(session_of(1)) == saved


async def test_stores_of_both_kinds_may_make_the_file_at_the_same_moment(
    sqlite: SqliteStorage,
) -> None:
    def open_one(number: int) -> Store | SwitchStore:
        return switch_store_at(sqlite.address) if number % 2 else store_at(sqlite.address)

    opened = await asyncio.gather(*(asyncio.to_thread(open_one, number) for number in range(8)))
    for number, store in enumerate(opened, 1):
        if isinstance(store, SqliteSwitchStore):
            await appended(store, number // 2)
    for store in opened:
        await store.close()
    async with Shared(sqlite).switches() as store:
        assert await store.number() == 4


async def test_a_full_disk_is_read_from_and_written_again(disk: SmallDisk) -> None:
    shared = Shared(SqliteStorage(disk.directory))
    async with shared.switches() as store:
        await appended(store, 1)
        disk.fill()
        with pytest.raises(StoreReadOnly):
            await appended(store, *range(2, 5000))  # Those that fit into the log still do.
        disk.fill()  # What the store has freed meanwhile, too.
        newest = await store.load()
        assert newest is not None
        assert newest == revision(newest.number)
        with pytest.raises(StoreReadOnly):
            await store.replace("value", None, bytes(MAX_VALUE))
        assert await store.value("value") is None
        assert (await store.revisions(None, 1)) == [newest.revision]
        disk.clear()
        await appended(store, newest.number + 1)


async def test_a_file_that_cannot_be_opened_is_told_at_the_start(
    sqlite: SqliteStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    sqlite.path.write_bytes(b"not a database" * 10)
    with pytest.raises(ConfigError, match=r"store\.url: the file of sessions is damaged"):
        switch_store_at(sqlite.address)
    sqlite.path.unlink()
    sqlite.path.mkdir()
    with pytest.raises(ConfigError, match="is a directory"):
        switch_store_at(sqlite.address)
    sqlite.path.rmdir()
    switch_store = switch_store_at(sqlite.address)
    await switch_store.close()
    # Root may write everything; that it may not is what the system says of others.
    monkeypatch.setattr("os.access", lambda *_: False)
    with pytest.raises(ConfigError, match=os.strerror(errno.EACCES).lower()):
        switch_store_at(sqlite.address)


async def test_a_lock_is_told_in_time_and_readers_go_on(
    sqlite: SqliteStorage, shared: Shared
) -> None:
    async with shared.switches(timeout=SHORT) as store:
        await appended(store, 1)
        with sqlite.locked():
            with pytest.raises(StoreAway, match="locked by another process"):
                await store.append(revision(2))
            assert await store.load() == revision(1)
        await appended(store, 2)


async def test_an_older_copy_is_told_and_gone_on_from(
    sqlite: SqliteStorage, shared: Shared
) -> None:
    """A backup that is restored: the numbers go back, whoever listens is told."""
    backup = Shared(SqliteStorage(sqlite.path.parent / "backup"))
    sqlite.path.with_name("backup").mkdir()
    async with backup.switches() as store:
        await appended(store, 1)
    async with shared.switches() as store:
        await appended(store, 1, 2, 3)
        listener = Listener(store)
        await listener.hears_until(store, 3)
        for suffix in ("-wal", "-shm"):
            sqlite.path.with_name(sqlite.path.name + suffix).unlink()
        assert isinstance(backup.storage, SqliteStorage)
        backup.storage.path.rename(sqlite.path)
        await listener.hears_until(store, 1)
        await appended(store, 2)


@pytest.mark.parametrize("garbage", ["x'00' || 'text'", "7", f"zeroblob({MAX_REVISION * 8})"])
async def test_garbage_in_the_file_is_told(
    sqlite: SqliteStorage, shared: Shared, garbage: str
) -> None:
    async with shared.switches() as store:
        await appended(store, 1, 2, 3)
        await store.replace("salt", None, b"")
        await store.announce("one", b"1", 60)
        await store.announce("two", b"2", 60)
        sqlite.execute(f"UPDATE switch_revisions SET revision = {garbage} WHERE number = 2")
        sqlite.execute(f"UPDATE switch_revisions SET state = {garbage} WHERE number = 3")
        sqlite.execute(f"UPDATE switch_values SET value = {garbage}")
        sqlite.execute(f"UPDATE switch_replicas SET document = {garbage} WHERE replica = 'one'")
        for call in (
            store.load(),
            store.revision(2),
            store.revision(3),
            store.value("salt"),
            store.replace("salt", b"", b"new"),
        ):
            with pytest.raises(RecordUnreadable):
                await call
        assert await store.revision(1) == revision(1)
        # What can be read is not hidden by what cannot, and goes on.
        assert await store.revisions(None, 9) == [revision(3).revision, revision(1).revision]
        assert await store.announced() == {"two": b"2"}
        await appended(store, 4)
        assert await store.load() == revision(4)


async def test_tables_that_are_gone_are_made_again(sqlite: SqliteStorage, shared: Shared) -> None:
    async with shared.switches() as store:
        await appended(store, 1)
        for table in TABLES:
            sqlite.execute(f"DROP TABLE {table}")
        with pytest.raises(StoreAway):
            await store.load()
        assert await store.load() is None
        await appended(store, 1)


async def test_nobody_polls_while_nobody_listens(shared: Shared) -> None:
    async with shared.switches() as store:
        await appended(store, 1)
        before = asyncio.all_tasks()
        await store.number()
        assert asyncio.all_tasks() == before
        store.listen(lambda: None)
        store.listen(lambda: None)
        assert len(asyncio.all_tasks() - before) == 1
