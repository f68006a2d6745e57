"""A session file on a disk that is full: read, not written, and written when there is room."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from proxy.errors import StoreReadOnly
from proxy.sessions.store.base import Store
from proxy.storage.reserve import SIZE
from tests.support.full_disk import ROOM, Mounted, SmallDisk, may_mount, mounted, small_disk
from tests.support.records import NOW, record, session_of
from tests.support.storages import SqliteStorage


@pytest.fixture(params=["mounted", "limited"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(request.param, tmp_path) as found:
        yield found


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Mounted]:
    if not may_mount(tmp_path):
        pytest.skip("may not mount a file system")
    with mounted(tmp_path) as real:
        yield real


def wal_of(storage: SqliteStorage) -> Path:
    return storage.path.with_name(f"{storage.path.name}-wal")


def reserve_of(storage: SqliteStorage) -> Path:
    return storage.path.with_name(f"{storage.path.name}-reserve")


async def until_it_fails(store: Store) -> None:
    """Add sessions; those that fit into what is left in the log still do."""
    for number in range(2, 5000):
        await store.save(record(number))


async def test_a_full_disk_is_told_apart_read_from_and_written_again(disk: SmallDisk) -> None:
    storage = SqliteStorage(disk.directory)
    async with storage.opened() as store:
        first = await store.save(record())
        assert first is not None
        disk.fill()
        with pytest.raises(StoreReadOnly):
            await until_it_fails(store)
        changed = replace(first, user="eve")
        for _ in range(2):
            with pytest.raises(StoreReadOnly, match=r"written|disk is full"):
                await store.writable()
        disk.fill()  # What the store has freed meanwhile, too.
        with pytest.raises(StoreReadOnly):
            await store.acquire(session_of(1), "me", 5)
        assert await store.load(session_of(1)) == first
        assert await store.find(first.handles[0].digest) == first
        assert (await store.sessions(user=None, after="", limit=1)).records == [first]
        disk.clear()
        await store.writable()
        saved = await store.save(changed)
        assert saved == replace(changed, revision=2)
        assert await store.acquire(session_of(1), "me", 5) is not None
        assert reserve_of(storage).stat().st_size == SIZE
    async with storage.opened() as again:
        assert await again.load(session_of(1)) == saved


async def test_a_log_that_fills_the_disk_is_emptied_by_itself(small: Mounted) -> None:
    storage = SqliteStorage(small.directory)
    # Emptying the log is tried for a part of that time.
    async with storage.opened(timeout=10) as store:
        # A reader keeps every checkpoint from emptying the log, which so fills the disk.
        reader = sqlite3.connect(storage.path, isolation_level=None)
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM sessions").fetchone()
        saved = await store.save(record())
        assert saved is not None
        with pytest.raises(StoreReadOnly):
            await until_it_fails(store)
        assert wal_of(storage).stat().st_size > (ROOM - SIZE) / 2
        assert await store.load(session_of(1)) == saved
        reader.execute("COMMIT")
        reader.close()
        await store.writable()
        assert wal_of(storage).stat().st_size < SIZE
        assert await store.save(replace(saved, user="eve")) is not None


async def test_a_log_that_has_filled_the_disk_fails_no_call(small: Mounted) -> None:
    storage = SqliteStorage(small.directory)
    async with storage.opened() as store:
        small.fill(but=500 << 10)  # Less than the log may have before it is brought into the file.
        for number in range(40):
            assert await store.save(record(number)) is not None
        for number in range(40):
            stored = await store.load(session_of(number))
            assert stored is not None
            for _ in range(20):
                stored = await store.save(replace(stored, used=NOW + 1))
                assert stored is not None


async def test_a_file_on_a_full_disk_is_opened_and_read(small: Mounted) -> None:
    storage = SqliteStorage(small.directory)
    async with storage.opened() as store:
        first = await store.save(record())
    small.fill()
    async with storage.opened() as store:
        assert await store.load(session_of(1)) == first
