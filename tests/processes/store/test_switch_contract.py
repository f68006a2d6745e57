"""What every store of switches does, held against each of them on real storage."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator

import pytest

from proxy.control.switch_store.base import (
    KEPT,
    MAX_ANNOUNCED,
    MAX_DAY,
    MAX_DAY_NUMBER,
    MAX_DAY_ROWS,
    MAX_DAYS,
    MAX_NUMBER,
    MAX_PAGE,
    MAX_REVISION,
    MAX_STATE,
    MAX_TTL,
    MAX_VALUE,
    MAX_VALUES,
    Newest,
    StoredDay,
    StoredRevision,
    SwitchStore,
    newest_of,
    tag_of,
)
from proxy.errors import StoreAway, StoreFull
from tests.support.checkout import ROOT
from tests.support.records import record
from tests.support.storages import Storage
from tests.support.switch_storages import (
    Listener,
    Memory,
    Shared,
    SwitchStorage,
    appended,
    revision,
)
from tests.support.waiting import PATIENCE


@pytest.fixture
def memory() -> Memory:
    return Memory()


@pytest.fixture(params=["memory", "sqlite", "redis_server", "valkey_server"])
def storage(request: pytest.FixtureRequest) -> SwitchStorage:
    found = request.getfixturevalue(request.param)
    return Shared(found) if isinstance(found, Storage) else found


@pytest.fixture(params=["sqlite", "redis_server", "valkey_server"])
def shared(request: pytest.FixtureRequest) -> Shared:
    """One that outlives a process, and can be away."""
    return Shared(request.getfixturevalue(request.param))


@pytest.fixture
async def store(storage: SwitchStorage) -> AsyncIterator[SwitchStore]:
    async with storage.switches() as opened:
        yield opened


@pytest.fixture
async def other(storage: SwitchStorage) -> AsyncIterator[SwitchStore]:
    """A second store on the same storage, as another process has one."""
    async with storage.switches() as opened:
        yield opened


async def test_nothing_is_there_at_first(store: SwitchStore) -> None:
    assert await store.load() is None
    assert await store.number() == 0
    assert await store.newest() == Newest()
    assert await store.revision(1) is None
    assert await store.revision(0) is None
    assert await store.revisions(None, 10) == []
    assert await store.value("salt") is None
    assert await store.announced() == {}


async def test_what_is_appended_is_the_newest_for_everybody(
    store: SwitchStore, other: SwitchStore
) -> None:
    await appended(store, 1)
    await appended(other, 2)
    for reader in (store, other):
        assert await reader.load() == revision(2)
        assert await reader.number() == 2
        assert await reader.newest() == (2, tag_of(revision(2).revision))
        assert await reader.revision(1) == revision(1)
        assert await reader.revision(2) == revision(2)
        assert await reader.revision(3) is None


async def test_every_byte_comes_back(store: SwitchStore) -> None:
    every = bytes(range(256))
    new = StoredRevision(1, every, every[::-1])
    assert await store.append(new)
    assert await store.load() == new
    assert await store.append(StoredRevision(2, b"", b""))
    assert await store.load() == (2, b"", b"")
    assert await store.revisions(None, 10) == [b"", every]
    assert await store.replace("every", None, every)
    assert await store.value("every") == every
    await store.announce("every", every, 60)
    assert await store.announced() == {"every": every}


@pytest.mark.parametrize("number", [1, 2, 4, 5, MAX_NUMBER])
async def test_a_number_that_jumps_changes_nothing(store: SwitchStore, number: int) -> None:
    assert not await store.append(revision(2))
    await appended(store, 1, 2)
    assert not await store.append(revision(number, "jumps"))
    assert await store.load() == revision(2)
    assert await store.revisions(None, 10) == [revision(2).revision, revision(1).revision]


async def test_what_builds_on_another_revision_of_that_number_changes_nothing(
    store: SwitchStore, other: SwitchStore
) -> None:
    await appended(store, 1)
    lost = tag_of(revision(1, "that the store has lost").revision)
    assert not await other.append(revision(2, "on that one"), lost)
    assert await store.newest() == newest_of(revision(1))
    assert await other.append(revision(2), (await store.newest()).tag)
    assert await store.load() == revision(2)
    assert await store.append(StoredRevision(3, b"", b""))
    assert await other.newest() == (3, tag_of(b""))
    # The first of all builds on nothing.
    assert not await other.append(revision(1), "")


async def test_of_many_who_append_at_the_same_moment_one_wins(
    store: SwitchStore, other: SwitchStore
) -> None:
    for number in range(1, 11):
        new = [revision(number, f"of {name}") for name in range(8)]
        outcomes = await asyncio.gather(
            *((store, other)[name % 2].append(each) for name, each in enumerate(new))
        )
        (winner,) = [each for each, has_won in zip(new, outcomes, strict=True) if has_won]
        assert await store.load() == await other.load() == winner


async def test_the_newest_revisions_are_kept(store: SwitchStore) -> None:
    await appended(store, *range(1, KEPT + 3))
    assert await store.number() == KEPT + 2
    assert [await store.revision(number) for number in (1, 2, 3)] == [None, None, revision(3)]
    assert await store.revisions(4, 10) == [revision(3).revision]
    assert await store.revisions(3, 10) == []


async def test_revisions_are_listed_in_pages(store: SwitchStore) -> None:
    await appended(store, *range(1, MAX_PAGE + 11))
    everything = [revision(number).revision for number in range(MAX_PAGE + 10, 0, -1)]
    assert await store.revisions(None, 3) == everything[:3]
    assert await store.revisions(None, MAX_PAGE + 10) == everything[:MAX_PAGE]
    assert await store.revisions(11, MAX_PAGE) == everything[MAX_PAGE:]
    assert await store.revisions(MAX_NUMBER, 1) == everything[:1]
    assert await store.revisions(1, 1) == []
    assert await store.revisions(None, 0) == await store.revisions(None, -1) == []


async def test_what_is_over_its_bound_is_refused(store: SwitchStore) -> None:
    for new in (
        StoredRevision(0, b"", b""),
        StoredRevision(-1, b"", b""),
        StoredRevision(MAX_NUMBER + 1, b"", b""),
        StoredRevision(1, bytes(MAX_REVISION + 1), b""),
        StoredRevision(1, b"", bytes(MAX_STATE + 1)),
    ):
        with pytest.raises(ValueError, match="revision"):
            await store.append(new)
    assert await store.load() is None
    for name, value in (("n", bytes(MAX_VALUE + 1)), ("", b""), ("a b", b""), ("é" * 9, b"")):
        with pytest.raises(ValueError, match=r"value|name"):
            await store.replace(name, None, value)
        with pytest.raises(ValueError, match=r"value|name"):
            await store.announce(name, value, 60)
    for ttl in (0, -1, MAX_TTL + 1, float("nan")):
        with pytest.raises(ValueError, match="seconds"):
            await store.announce("n", b"", ttl)
    with pytest.raises(ValueError, match="name"):
        await store.value("n" * 201)
    assert await store.announced() == {}


async def test_what_is_as_large_as_it_may_be_is_kept(store: SwitchStore) -> None:
    largest = StoredRevision(1, bytes(MAX_REVISION), bytes(MAX_STATE))
    assert await store.append(largest)
    assert await store.load() == largest
    assert await store.replace("n" * 200, None, bytes(MAX_VALUE))
    assert await store.value("n" * 200) == bytes(MAX_VALUE)
    await store.announce("n" * 200, bytes(MAX_VALUE), MAX_TTL)
    assert await store.announced() == {"n" * 200: bytes(MAX_VALUE)}


async def test_a_value_is_compared_and_set(store: SwitchStore, other: SwitchStore) -> None:
    assert not await store.replace("salt", b"", b"x")
    assert await store.replace("salt", None, b"one")
    assert not await other.replace("salt", None, b"two")
    assert not await other.replace("salt", b"", b"two")
    assert await other.value("salt") == b"one"
    assert await other.replace("salt", b"one", b"two")
    assert await store.value("salt") == b"two"
    assert await store.value("Salt") is None
    # What is empty is there, all the same.
    assert await store.replace("salt", b"two", b"")
    assert await store.value("salt") == b""
    assert not await store.replace("salt", None, b"three")
    assert await store.replace("salt", b"", None)
    assert await store.value("salt") is None
    assert await store.replace("salt", None, None)


async def test_of_many_who_replace_a_value_one_wins(store: SwitchStore, other: SwitchStore) -> None:
    stores = (store, other)
    outcomes = await asyncio.gather(
        *(stores[n % 2].replace("key", None, str(n).encode()) for n in range(20))
    )
    (winner,) = [n for n, has_won in enumerate(outcomes) if has_won]
    assert await store.value("key") == await other.value("key") == str(winner).encode()


async def test_there_are_no_more_values_than_there_may_be(store: SwitchStore) -> None:
    for first in range(0, MAX_VALUES, 100):
        names = [f"value:{number}" for number in range(first, first + 100)]
        assert all(await asyncio.gather(*(store.replace(name, None, b"x") for name in names)))
    with pytest.raises(StoreFull):
        await store.replace("one-more", None, b"x")
    assert await store.value("one-more") is None
    assert await store.replace("value:7", b"x", b"y")
    assert await store.replace("value:7", b"y", None)
    assert await store.replace("one-more", None, b"x")


async def test_what_a_replica_says_is_heard_by_all(store: SwitchStore, other: SwitchStore) -> None:
    await store.announce("one", b"1", 60)
    await other.announce("two", b"2", 60)
    await other.announce("one", b"1 again", 60)
    assert await store.announced() == await other.announced() == {"one": b"1 again", "two": b"2"}


async def test_what_a_replica_said_is_forgotten(store: SwitchStore, other: SwitchStore) -> None:
    await other.announce("stays", b"", MAX_TTL)
    await store.announce("goes", b"", 0.001)
    while "goes" in await other.announced():  # noqa: ASYNC110 (nobody tells of an end)
        await asyncio.sleep(0.001)
    assert await store.announced() == {"stays": b""}
    await store.announce("goes", b"is back", 60)
    assert await other.announced() == {"stays": b"", "goes": b"is back"}


async def test_too_many_replicas_displace_those_that_end_first(store: SwitchStore) -> None:
    await store.announce("first", b"", 1000)
    await store.announce("second", b"", 2000)
    for number in range(MAX_ANNOUNCED - 1):
        await store.announce(f"replica:{number}", b"", MAX_TTL)
    announced = await store.announced()
    assert len(announced) == MAX_ANNOUNCED
    assert "first" not in announced
    assert "second" in announced


async def test_who_listens_is_told_of_each_change(store: SwitchStore, other: SwitchStore) -> None:
    listeners = [Listener(store), Listener(other), Listener(other)]
    for listener in listeners:
        await listener.hears()  # The time before is a gap.
    for number, writer in enumerate((store, other, store), 1):
        await appended(writer, number)
        for listener in listeners:
            await listener.hears()
            assert await store.number() == number


async def test_who_has_closed_is_told_nothing_more(
    storage: SwitchStorage, store: SwitchStore
) -> None:
    heard: list[int] = []
    async with storage.switches() as leaving:
        leaving.listen(lambda: heard.append(1))
        await Listener(leaving).hears()
    before = list(heard)
    listener = Listener(store)
    await appended(store, 1)
    await listener.hears_until(store, 1)
    assert heard == before


async def test_what_was_appended_outlives_the_process_that_wrote_it(shared: Shared) -> None:
    async with shared.switches() as store:
        await appended(store, 1)
        assert await store.replace("salt", None, b"salt")
    async with shared.switches() as store:
        assert await store.load() == revision(1)
        assert await store.value("salt") == b"salt"


async def test_of_two_processes_that_append_at_the_same_moment_one_wins(shared: Shared) -> None:
    """Two real processes take 30 numbers each; no number is taken twice, none is left out."""
    async with shared.switches() as store, asyncio.timeout(PATIENCE):
        listener = Listener(store)
        children = [appending(shared, "compete", name) for name in ("a", "b")]
        won = {
            name: [int(line) for line in (await asyncio.to_thread(child.communicate))[0].split()]
            for name, child in zip(("a", "b"), children, strict=True)
        }
        assert [child.returncode for child in children] == [0, 0]
        await listener.hears_until(store, 60)
        assert sorted(won["a"] + won["b"]) == list(range(1, 61))
        for name, numbers in won.items():
            for number in numbers:
                assert await store.revision(number) == revision(number, name)


async def test_a_process_that_is_killed_loses_nothing_that_was_appended(shared: Shared) -> None:
    """`kill -9` of a process that only appends; one that was on its way may be there too."""
    async with shared.switches() as store:
        with appending(shared, "aloud", "a") as child:
            assert child.stdout is not None
            said = [int(child.stdout.readline()) for _ in range(20)]
            child.kill()
            said += [int(line) for line in child.stdout.read().split()]
        newest = await store.load()
        assert newest is not None
        assert newest.number in (said[-1], said[-1] + 1)
        assert newest == revision(newest.number, "a")
        await appended(store, newest.number + 1)


def appending(shared: Shared, mode: str, name: str) -> subprocess.Popen[str]:
    command = [
        *(sys.executable, "-m", "tests.support.switch_appending"),
        *(mode, shared.storage.address, name),
    ]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


async def test_a_store_that_is_away_is_told_and_found_again(shared: Shared) -> None:
    async with shared.switches() as store, shared.switches() as other:
        listener = Listener(store)
        await appended(store, 1)
        await listener.hears_until(store, 1)
        with shared.storage.away():
            for call in (
                store.load(),
                store.append(revision(2)),
                store.number(),
                store.revision(1),
                store.revisions(None, 1),
                store.value("salt"),
                store.replace("salt", None, b""),
                store.announce("one", b"", 60),
                store.announced(),
            ):
                with pytest.raises(StoreAway):
                    await call
        assert await store.load() == revision(1)
        await appended(other, 2)
        await listener.hears_until(store, 2)
        # Who was told nothing in the meantime is told of what comes now.
        await appended(other, 3)
        await listener.hears_until(store, 3)


async def test_switches_and_sessions_do_not_meet(shared: Shared) -> None:
    async with shared.switches() as switches, shared.storage.opened() as sessions:
        saved = await sessions.save(record())
        await appended(switches, 1)
        assert await sessions.load(record().session) == saved
        assert await sessions.count() == 1
        assert await switches.load() == revision(1)
        assert await sessions.purge(record().purge_after) == 1
        assert await switches.load() == revision(1)


def day(number: int, name: str, text: str = "") -> StoredDay:
    return StoredDay(number, name, f"{number} {name} {text}".encode())


async def kept(store: SwitchStore) -> list[StoredDay]:
    return await store.days(0, MAX_DAY_NUMBER)


async def test_days_are_kept_and_replaced(store: SwitchStore, other: SwitchStore) -> None:
    assert await kept(store) == []
    assert await store.write_day(day(20, "b"), again=False)
    assert await store.write_day(day(20, "a"), again=False)
    assert await store.write_day(day(9, "b"), again=False)
    assert await other.write_day(day(20, "b", "later"), again=True)
    assert await kept(other) == [day(9, "b"), day(20, "a"), day(20, "b", "later")]
    assert await store.days(10, 20) == [day(20, "a"), day(20, "b", "later")]
    assert await store.days(10, 19) == []


async def test_a_day_that_has_gone_is_not_written_again(store: SwitchStore) -> None:
    assert not await store.write_day(day(20, "a"), again=True)
    assert await kept(store) == []


async def test_days_are_folded_in_one_step(store: SwitchStore, other: SwitchStore) -> None:
    for each in (day(20, "a"), day(20, "b"), day(21, "a")):
        await store.write_day(each, again=False)
    assert await other.fold_days([day(20, "a"), day(20, "b")], day(20, "sum"))
    assert await kept(store) == [day(20, "sum"), day(21, "a")]
    # Once more, with the sum among them.
    await store.write_day(day(20, "c"), again=False)
    assert await other.fold_days([day(20, "c"), day(20, "sum")], day(20, "sum", "two"))
    assert await kept(store) == [day(20, "sum", "two"), day(21, "a")]
    # And a day that was written by a clock that was ahead goes into another one.
    assert await other.fold_days([day(20, "sum", "two"), day(21, "a")], day(20, "sum"))
    assert await kept(store) == [day(20, "sum")]


async def test_nothing_is_folded_that_has_changed(store: SwitchStore) -> None:
    await store.write_day(day(20, "a"), again=False)
    await store.write_day(day(20, "sum"), again=False)
    before = await kept(store)
    assert not await store.fold_days([day(20, "a", "other")], day(20, "sums"))
    assert not await store.fold_days([day(20, "a"), day(20, "b")], day(20, "sums"))
    assert not await store.fold_days([day(20, "a")], day(20, "sum", "lost"))
    assert await kept(store) == before


async def test_the_oldest_day_goes(store: SwitchStore) -> None:
    for number in range(100, 100 + MAX_DAYS):
        await store.write_day(day(number, "a"), again=False)
    await store.write_day(day(100, "b"), again=False)
    await store.write_day(day(900, "a"), again=False)
    found = await kept(store)
    assert [found[0].number, found[-1].number, len(found)] == [101, 900, MAX_DAYS]
    # One that would be the oldest goes at once.
    assert await store.write_day(day(50, "a"), again=False)
    assert (await kept(store))[0].number == 101


async def test_days_are_bounded(store: SwitchStore) -> None:
    for number in range(MAX_DAY_ROWS):
        await store.write_day(day(5, f"a{number}"), again=False)
    with pytest.raises(StoreFull):
        await store.write_day(day(5, "one more"[:3]), again=False)
    assert await store.write_day(day(5, "a0", "new"), again=True)
    assert len(await kept(store)) == MAX_DAY_ROWS
    largest = StoredDay(5, "a0", b"x" * MAX_DAY)
    assert await store.write_day(largest, again=False)
    assert largest in await kept(store)
    for wrong in (
        StoredDay(5, "a0", b"x" * (MAX_DAY + 1)),
        StoredDay(5, "a0", b""),
        StoredDay(-1, "a0", b"x"),
        StoredDay(MAX_DAY_NUMBER + 1, "a0", b"x"),
        StoredDay(5, "a b", b"x"),
    ):
        with pytest.raises(ValueError, match=r"day|name"):
            await store.write_day(wrong, again=False)
    with pytest.raises(ValueError, match="folded"):
        await store.fold_days([], day(5, "sum"))
