"""What every store does, held against each of them on real storage."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from proxy.errors import StoreAway, StoreFull
from proxy.sessions.past_tokens import packed
from proxy.sessions.record import MAX_PAST, MAX_RECORD, Attempt, Eviction, HandleKind, Record
from proxy.sessions.store.base import MAX_BATCH, SessionUse, Store
from proxy.tokens.sealing import Sealer, new_key
from tests.support.checkout import ROOT
from tests.support.records import NOW, digest_of, handle, record, session_of
from tests.support.storages import SHORT, Storage


@pytest.fixture
async def store(storage: Storage) -> AsyncIterator[Store]:
    async with storage.opened() as opened:
        yield opened


@pytest.fixture
async def other(storage: Storage) -> AsyncIterator[Store]:
    """A second store on the same storage, as another process has one."""
    async with storage.opened() as opened:
        yield opened


async def saved(store: Store, each: Record, *, fence: int | None = None) -> Record:
    written = await store.save(each, fence=fence)
    assert written is not None
    return written


async def test_what_is_saved_is_found_by_name_and_by_each_handle(
    store: Store, other: Store
) -> None:
    whole = record(
        attempt=Attempt(digest_of("spent"), NOW, 2),
        handles=(handle("a"), handle("b", 2, HandleKind.COOKIE)),
        spent=(digest_of("s"),),
        user="Ädä",
        version="2.1",
        cohort="modern",
    )
    first = await saved(store, whole)
    assert first == replace(whole, revision=1)
    for reader in (store, other):
        assert await reader.load(whole.session) == first
        assert await reader.find(digest_of("a")) == first
        assert await reader.find(digest_of("b")) == first
        assert await reader.find(digest_of("unknown"), digest_of("b")) == first


async def test_what_is_unknown_is_not_found(store: Store) -> None:
    assert await store.load(session_of(1)) is None
    assert await store.find(digest_of("a")) is None
    assert await store.find() is None
    assert (await store.sessions(user=None, after="", limit=10)).records == []
    assert await store.count() == 0


async def test_of_two_writers_one_wins(store: Store, other: Store) -> None:
    first = await saved(store, record())
    outcomes = await asyncio.gather(
        store.save(replace(first, user="one")), other.save(replace(first, user="two"))
    )
    (winner,) = [outcome for outcome in outcomes if outcome is not None]
    assert winner.revision == 2
    assert await store.load(first.session) == await other.load(first.session) == winner


async def test_of_many_who_open_one_session_one_wins(store: Store, other: Store) -> None:
    calls = [each.save(record(user=str(n))) for n in range(20) for each in (store, other)]
    outcomes = await asyncio.gather(*calls)
    assert sum(outcome is not None for outcome in outcomes) == 1


async def test_a_revision_that_is_not_the_stored_one_changes_nothing(store: Store) -> None:
    first = await saved(store, record())
    second = await saved(store, replace(first, user="two"))
    for revision in (0, 1, 3):
        late = replace(second, revision=revision, user="late", handles=(handle("late"),))
        assert await store.save(late) is None
    assert await store.save(replace(record(2), revision=1)) is None
    assert await store.load(first.session) == second
    assert await store.load(session_of(2)) is None
    assert await store.find(digest_of("late")) is None


async def test_the_index_follows_the_record(store: Store, other: Store) -> None:
    first = await saved(store, record(handles=(handle("a"), handle("b"))))
    second = await saved(other, replace(first, handles=(handle("b"), handle("c"))))
    assert await store.find(digest_of("a")) is None
    assert await store.find(digest_of("b")) == second
    assert await store.find(digest_of("c")) == second
    none_left = await saved(store, replace(second, handles=()))
    assert await other.find(digest_of("b")) is None
    assert await other.load(first.session) == none_left


async def test_a_handle_leads_to_the_session_that_was_saved_with_it_last(store: Store) -> None:
    first = await saved(store, record(1, handles=(handle("shared"),)))
    second = await saved(store, record(2, handles=(handle("shared"),)))
    assert await store.find(digest_of("shared")) == second
    await saved(store, replace(first, handles=()))
    assert await store.find(digest_of("shared")) == second


async def test_an_end_is_final(store: Store, other: Store) -> None:
    first = await saved(store, record())
    ended = await saved(other, replace(first, ended=NOW + 5, access=b"", refresh=b""))
    assert await store.save(replace(first, user="late")) is None
    assert await store.save(replace(ended, ended=None)) is None
    assert await store.find(first.handles[0].digest) == ended
    again = await saved(store, replace(ended, ended=NOW + 9, purge_after=NOW + 99))
    assert again.ended == NOW + 5
    assert again.purge_after == NOW + 99


async def test_an_end_is_not_undone_by_a_use(store: Store) -> None:
    first = await saved(store, record())
    ended = await saved(store, replace(first, ended=NOW + 5))
    await store.touch(first.session, NOW + 60, "9.9", "modern")
    assert await store.load(first.session) == ended


async def test_ended_sessions_are_neither_counted_nor_listed(store: Store) -> None:
    first = await saved(store, record(1))
    await saved(store, record(2))
    assert await store.count() == 2
    await saved(store, replace(first, ended=NOW))
    assert await store.count() == 1
    listed = (await store.sessions(user=None, after="", limit=10)).records
    assert [each.session for each in listed] == [session_of(2)]
    assert (await store.sessions(user="ada", after="", limit=10)).records == listed


async def test_a_use_is_noted_without_a_revision(store: Store, other: Store) -> None:
    first = await saved(store, record())
    await other.touch(first.session, NOW + 60.25, "2.1", "modern")
    used = replace(first, used=NOW + 60.25, version="2.1", cohort="modern")
    assert await store.load(first.session) == used
    await store.touch(first.session, NOW + 30, "1.0", "legacy")
    assert await store.load(first.session) == used
    # Whoever read it before the use writes all the same, and the use stays.
    second = await saved(store, replace(first, user="eve"))
    assert second == replace(used, revision=2, user="eve")
    assert await other.load(first.session) == second


async def test_a_use_makes_no_session(store: Store) -> None:
    await store.touch(session_of(1), NOW, "1.0", "legacy")
    assert await store.load(session_of(1)) is None
    assert await store.count() == 0


async def test_a_lease_is_held_by_one(store: Store, other: Store) -> None:
    first = await saved(store, record())
    fences = await asyncio.gather(
        *(each.acquire(first.session, str(n), 60) for n in range(5) for each in (store, other))
    )
    # Each of the five asked twice, and whoever has it may take it again.
    (owner,) = {n // 2 for n, fence in enumerate(fences) if fence is not None}
    assert await other.acquire(first.session, "somebody", 60) is None
    assert not await other.extend(first.session, "somebody", 60)
    assert await other.extend(first.session, str(owner), 60)


async def test_a_lease_is_given_back_by_its_owner_only(store: Store, other: Store) -> None:
    session = (await saved(store, record())).session
    one = await store.acquire(session, "a", 60)
    await other.release(session, "b")
    assert await other.acquire(session, "b", 60) is None
    await store.release(session, "a")
    assert not await store.extend(session, "a", 60)
    two = await other.acquire(session, "b", 60)
    assert one is not None
    assert two is not None
    assert two > one


async def test_a_lease_ends_by_itself(store: Store, other: Store) -> None:
    session = (await saved(store, record())).session
    one = await store.acquire(session, "a", 0.001)
    two = await next_lease(other, session, "b")
    assert one is not None
    assert two > one
    assert not await store.extend(session, "a", 60)


async def test_there_is_no_lease_of_an_unknown_session(store: Store) -> None:
    assert await store.acquire(session_of(1), "a", 60) is None
    assert not await store.extend(session_of(1), "a", 60)
    await store.release(session_of(1), "a")


async def test_fences_grow_for_whoever_takes_the_lease(store: Store) -> None:
    session = (await saved(store, record())).session
    fences = [await store.acquire(session, "a", 60) or 0 for _ in range(50)]
    assert fences == sorted(set(fences))


async def test_the_late_holder_of_an_expired_lease_cannot_write(store: Store, other: Store) -> None:
    first = await saved(store, record())
    late = await store.acquire(first.session, "a", 0.001)
    assert late is not None
    fence = await next_lease(other, first.session, "b")
    # The revision is still the one that both have read: it is the fence that refuses.
    assert await store.save(replace(first, user="late"), fence=late) is None
    assert await other.save(replace(first, user="in time"), fence=fence) is not None


async def test_a_lease_that_was_given_back_fences_too(store: Store, other: Store) -> None:
    first = await saved(store, record())
    late = await store.acquire(first.session, "a", 0.001)
    await next_lease(other, first.session, "b")
    await other.release(first.session, "b")
    assert await store.save(replace(first, user="late"), fence=late) is None
    assert await store.save(replace(first, user="without a lease")) is not None


async def test_a_lease_from_before_the_clock_was_set_back_is_over(
    storage: Storage, store: Store, other: Store
) -> None:
    first = await saved(store, record())
    late = await store.acquire(first.session, "a", 60)
    storage.move_lease(first.session, by=7200)
    fence = await other.acquire(first.session, "b", 60)
    assert late is not None
    assert fence is not None
    assert not await store.extend(first.session, "a", 60)
    assert await store.save(replace(first, user="late"), fence=late) is None


async def next_lease(store: Store, session: str, owner: str) -> int:
    """The fence of a lease that is free within a moment."""
    while True:
        fence = await store.acquire(session, owner, 60)
        if fence is not None:
            return fence


async def test_sessions_are_listed_in_pages(store: Store) -> None:
    for number in (5, 3, 1, 4, 2):
        await saved(store, record(number, user="ada" if number % 2 else "eve"))
    everybody = [session_of(number) for number in (1, 2, 3, 4, 5)]
    assert await names(store, user=None, limit=10) == everybody
    assert await names(store, user=None, limit=2) == everybody[:2]
    assert await names(store, user=None, limit=2, after=everybody[1]) == everybody[2:4]
    assert await names(store, user="ada", limit=2) == [everybody[0], everybody[2]]
    assert await names(store, user="ada", limit=9, after=everybody[0]) == everybody[2::2]
    assert await names(store, user="nobody", limit=9) == []
    assert await names(store, user="", limit=9) == []


async def names(store: Store, *, user: str | None, limit: int, after: str = "") -> list[str]:
    page = await store.sessions(user=user, after=after, limit=limit)
    return [each.session for each in page.records]


async def test_a_session_whose_user_changes_is_listed_for_the_new_one(store: Store) -> None:
    first = await saved(store, record(user=""))
    await saved(store, replace(first, user="ada"))
    assert await names(store, user="", limit=9) == []
    assert await names(store, user="ada", limit=9) == [first.session]


async def test_what_is_over_is_purged_whole(store: Store, other: Store) -> None:
    kept = await saved(store, record(1, purge_after=NOW + 10))
    ended = await saved(store, record(2, purge_after=NOW + 5))
    await saved(store, replace(ended, ended=NOW))
    await saved(store, record(3, purge_after=NOW + 5))
    assert await store.purge(NOW + 4) == 0
    assert await other.purge(NOW + 5) == 2
    assert await store.load(session_of(2)) is None
    assert await store.find(*(each.digest for each in ended.handles)) is None
    assert await store.find(kept.handles[0].digest) == kept
    assert await store.count() == 1
    assert await names(store, user="ada", limit=9) == [session_of(1)]
    # A name that is free again is a new session.
    assert await saved(store, record(2)) == replace(record(2), revision=1)


async def test_more_than_one_batch_is_purged(store: Store) -> None:
    many = MAX_BATCH + 1
    await asyncio.gather(*(store.save(record(number, handles=())) for number in range(many)))
    assert await store.purge(record().purge_after) == many
    assert await store.count() == 0


async def test_a_purge_leaves_a_handle_to_whom_it_leads_now(store: Store) -> None:
    await saved(store, record(1, handles=(handle("shared"),), purge_after=NOW))
    second = await saved(store, record(2, handles=(handle("shared"),)))
    assert await store.purge(NOW) == 1
    assert await store.find(digest_of("shared")) == second


async def test_the_bound_holds_for_new_sessions_only(storage: Storage) -> None:
    async with storage.opened(limit=2) as store:
        first = await saved(store, record(1))
        second = await saved(store, record(2))
        with pytest.raises(StoreFull):
            await store.save(record(3))
        assert await store.find(*(each.digest for each in record(3).handles)) is None
        await saved(store, replace(first, user="eve"))
        await saved(store, replace(second, ended=NOW))
        await saved(store, record(3))
        assert await store.count() == 2


async def test_logins_and_logouts_of_one_user_keep_no_other_from_a_session(
    storage: Storage,
) -> None:
    async with storage.opened(limit=5) as store:
        kept = await saved(store, record(1, user="bob"))
        kept = await saved(store, replace(kept, ended=NOW - 9, eviction=Eviction.FIRST))
        for number in range(2, 52):
            each = await saved(store, record(number, user="eve"))
            await saved(store, replace(each, ended=NOW + number, eviction=Eviction.FIRST))
        assert await store.load(kept.session) == kept, "a user's own tombstones go first"
        assert await store.find(digest_of("2/access")) is None
        assert await store.find(digest_of("51/access")) is not None
        for number in range(60, 65):
            await saved(store, record(number, user=f"user {number}"))
        assert await store.count() == 5
        assert await store.load(kept.session) is None, "of others the oldest"


async def test_an_end_that_the_server_does_not_know_of_never_gives_way(storage: Storage) -> None:
    async with storage.opened(limit=2) as store:
        for number in (1, 2, 3):
            each = await saved(store, record(number, user=""))
            await saved(
                store,
                replace(
                    each,
                    ended=NOW + number,
                    eviction=Eviction.FIRST if number == 2 else Eviction.NEVER,
                ),
            )
        assert await store.load(session_of(2)) is None
        fourth, fifth = await saved(store, record(4)), await saved(store, record(5))
        for each in (fourth, fifth):
            await saved(store, replace(each, ended=NOW))
        assert await store.count() == 0
        with pytest.raises(StoreFull):
            await store.save(record(6))
        for number in (1, 3, 4, 5):
            assert await store.load(session_of(number)) is not None, "beyond their own bound"
        assert await store.purge(NOW + 86400) == 4
        await saved(store, record(6))


async def test_of_those_that_may_go_the_server_knows_of_the_first(storage: Storage) -> None:
    async with storage.opened(limit=3) as store:
        ends = [(1, Eviction.LAST), (2, Eviction.FIRST), (3, Eviction.FIRST)]
        for number, eviction in ends:
            each = await saved(store, record(number, user=""))
            await saved(store, replace(each, ended=NOW + number, eviction=eviction))
        gone = []
        for number in (4, 5, 6):
            await saved(store, record(number, user=f"{number}"))
            gone += [each for each, _ in ends if await store.load(session_of(each)) is None]
            each = await saved(store, replace(await loaded(store, number), ended=NOW))
        assert gone == [2, 2, 3, 1, 2, 3]


async def loaded(store: Store, number: int) -> Record:
    found = await store.load(session_of(number))
    assert found is not None
    return found


async def test_a_tombstone_takes_no_place_of_another(storage: Storage) -> None:
    # Of a process that remembers what gave way, or of a store that came back without it.
    async with storage.opened(limit=1) as store:
        first = await saved(store, record(1))
        await saved(store, replace(first, ended=NOW, eviction=Eviction.FIRST))
        with pytest.raises(StoreFull):
            await store.save(record(2, ended=NOW + 1, eviction=Eviction.FIRST))
        await saved(store, record(3, ended=NOW + 1))
        assert await store.load(first.session) is None


async def test_what_does_not_give_way_any_more_stays(storage: Storage) -> None:
    async with storage.opened(limit=1) as store:
        first = await saved(store, record(1))
        first = await saved(store, replace(first, ended=NOW, eviction=Eviction.FIRST))
        first = await saved(store, replace(first, user="eve", eviction=Eviction.NEVER))
        await saved(store, record(2, user="eve"))
        assert await store.load(first.session) == first


async def test_when_a_users_sessions_were_used_is_told(store: Store, other: Store) -> None:
    for number, used in ((1, 30), (2, 10), (3, 40), (4, 20)):
        await saved(store, record(number, used=NOW + used, host=f"h{number}.example"))
    await saved(store, record(5, user="eve"))
    ended, refused = [await saved(store, record(number, used=NOW + 1)) for number in (6, 7)]
    await saved(store, replace(ended, ended=NOW))
    await saved(store, replace(refused, refused=NOW))
    await other.touch(session_of(2), NOW + 99, "", "")
    times = {1: 30, 2: 99, 3: 40, 4: 20}
    expected = [
        SessionUse(session_of(number), NOW + when, f"h{number}.example")
        for number, when in times.items()
    ]
    assert await other.uses("ada", 10) == expected
    assert await store.uses("ada", 3) == expected[:3]
    assert await store.uses("eve", 10) == [SessionUse(session_of(5), NOW, "")]
    assert await store.uses("nobody", 10) == []


async def test_what_was_superseded_leads_to_its_session_too(store: Store, other: Store) -> None:
    many = [digest_of(f"past {number}") for number in range(MAX_PAST)]
    past = packed((digest, True, NOW) for digest in many)
    first = await saved(store, record(past=past))
    for digest in (many[0], many[700], many[-1]):
        assert await other.find(digest) == first
    # It goes with what is forgotten of it, and with the session.
    second = await saved(other, replace(first, past=past[37:]))
    assert await store.find(many[0]) is None
    assert await store.find(many[1]) == second
    await saved(store, replace(second, purge_after=NOW))
    assert await store.purge(NOW) == 1
    assert await store.find(many[1]) is None
    assert await other.find(second.handles[0].digest) is None


async def test_what_the_server_has_refused_is_no_open_session_and_may_be_one_again(
    storage: Storage,
) -> None:
    async with storage.opened(limit=2) as store:
        first = await saved(store, record(1))
        second = await saved(store, record(2, user="eve"))
        refused = replace(first, refused=NOW + 5, eviction=Eviction.FIRST)
        closed = await saved(store, refused)
        assert (closed.ended, closed.refused) == (None, NOW + 5)
        assert await store.load(first.session) == await store.find(*first.digests) == closed
        assert await store.count() == 1
        assert (await store.sessions(user=None, after="", limit=10)).records == [second]
        await store.touch(first.session, NOW + 60, "9.9", "modern")
        assert await store.load(first.session) == closed
        # It takes no open session's place, and is open beyond the bound where it goes on.
        third = await saved(store, record(3))
        with pytest.raises(StoreFull):
            await store.save(record(4))
        again = await saved(store, replace(closed, refused=None, eviction=Eviction.NEVER))
        assert await store.count() == 3
        listed = (await store.sessions(user="ada", after="", limit=10)).records
        assert listed == [again, third]
        # Nothing makes it give way any more; ended, it has the time of that.
        for number in (5, 6):
            await store.save(record(number, ended=NOW, eviction=Eviction.NEVER))
        assert await store.load(again.session) == again
        closed = await saved(store, replace(again, refused=NOW + 7, eviction=Eviction.FIRST))
        gone = await saved(store, replace(closed, refused=None, ended=NOW + 9))
        assert gone.ended == NOW + 9
        assert await store.save(replace(gone, ended=None)) is None
        assert await store.save(replace(gone, ended=None, refused=NOW)) is None
        assert await store.count() == 2


async def test_what_was_refused_gives_way_as_what_has_ended(storage: Storage) -> None:
    async with storage.opened(limit=1) as store:
        first = await saved(store, record(1))
        await saved(store, replace(first, refused=NOW, eviction=Eviction.FIRST))
        second = await saved(store, record(2))
        assert await store.load(first.session) is None
        assert await store.load(second.session) == second


async def test_what_is_no_record_is_refused(store: Store) -> None:
    with pytest.raises(ValueError, match="too large"):
        await store.save(record(access=bytes(MAX_RECORD)))
    first = await saved(store, record())
    with pytest.raises(ValueError, match="too long"):
        await store.touch(first.session, NOW, "x" * 200, "")
    assert await store.load(first.session) == first


async def test_away_is_told_and_back_needs_no_restart(storage: Storage) -> None:
    async with storage.opened(timeout=SHORT) as store:
        first = await saved(store, record())
        await store.ping()
        with storage.away():
            for call in (
                store.ping(),
                store.load(first.session),
                store.find(first.handles[0].digest),
                store.save(replace(first, user="eve")),
                store.touch(first.session, NOW + 1, "", ""),
                store.acquire(first.session, "a", 60),
                store.extend(first.session, "a", 60),
                store.release(first.session, "a"),
                store.sessions(user=None, after="", limit=1),
                store.count(),
                store.purge(NOW),
            ):
                with pytest.raises(StoreAway):
                    await call
        await store.ping()
        assert await store.load(first.session) == first
        assert await saved(store, first) == replace(first, revision=2)


async def test_what_was_saved_outlives_the_process_that_wrote_it(storage: Storage) -> None:
    async with storage.opened() as store:
        first = await saved(store, record())
    async with storage.opened() as store:
        assert await store.load(first.session) == first


async def test_processes_that_count_in_one_record_lose_no_count(storage: Storage) -> None:
    """Two real processes add 50 each, by compare-and-set; then two more under a lease."""
    async with storage.opened() as store:
        await saved(store, record(refreshes=0))
        for mode in ("compare", "lease"):
            children = [
                subprocess.Popen(
                    [sys.executable, "-m", "tests.support.counting", mode, storage.address, str(n)],
                    cwd=ROOT,
                )
                for n in range(2)
            ]
            for child in children:
                assert await asyncio.to_thread(child.wait) == 0
        final = await store.load(session_of(1))
        assert final is not None
        assert final.refreshes == 200
        assert final.revision == 201


@pytest.mark.parametrize("lines", [1, 20])
async def test_a_process_that_is_killed_loses_nothing_that_was_saved(
    storage: Storage, lines: int
) -> None:
    """`kill -9` of a process that only writes; a write that was on its way may be there too."""
    async with storage.opened() as store:
        await saved(store, record())
        command = [sys.executable, "-m", "tests.support.counting", "aloud", storage.address, ""]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            for _ in range(lines):
                child.stdout.readline()
            child.kill()
            said = [int(line) for line in child.stdout.read().split()]
        stored = await store.load(session_of(1))
        assert stored is not None
        last = said[-1] if said else lines + 1
        assert stored.revision in (last, last + 1)
        assert await saved(store, stored) == replace(stored, revision=stored.revision + 1)


async def test_nothing_on_the_disk_shows_a_token(storage: Storage) -> None:
    sealer = Sealer([new_key()])
    tokens = ["eyJ.access.first", "eyJ.refresh.first", "eyJ.access.second", "eyJ.refresh.second"]
    async with storage.opened() as store:
        stored: Record | None = record(handles=())
        for access, refresh in (tokens[:2], tokens[2:]):
            assert stored is not None
            handles = [
                replace(handle(""), digest=sealer.digest(token)) for token in (access, refresh)
            ]
            stored = await store.save(
                replace(
                    stored,
                    access=sealer.seal(access),
                    refresh=sealer.seal(refresh),
                    handles=(*stored.handles, *handles),
                    attempt=Attempt(sealer.digest(refresh), NOW, 1),
                )
            )
    everything = storage.everything()
    assert session_of(1).encode() in everything
    for token in tokens:
        assert token.encode() not in everything
        assert token.encode().hex().encode() not in everything


async def test_sessions_live_through_a_rotation_of_keys(store: Store) -> None:
    old, new = new_key(), new_key()
    before, during, after = Sealer([old]), Sealer([new, old]), Sealer([new])

    def digests(sealer: Sealer) -> tuple[bytes, ...]:
        return sealer.digests("the token")

    opened = await saved(
        store,
        record(
            access=before.seal("the token"),
            handles=(replace(handle(""), digest=before.digest("the token")),),
        ),
    )
    found = await store.find(*digests(during))
    assert found == opened
    assert during.unseal(found.access) == "the token"
    # A refresh writes under the first key what it writes.
    renewed = await saved(
        store,
        replace(
            found,
            access=during.seal("the next"),
            handles=(*found.handles, replace(handle("", 2), digest=during.digest("the next"))),
        ),
    )
    assert await store.find(*digests(during)) == renewed
    # Without the old key the old token leads nowhere, the new one still does.
    assert await store.find(*digests(after)) is None
    found = await store.find(*after.digests("the next"))
    assert found == renewed
    assert after.unseal(found.access) == "the next"
