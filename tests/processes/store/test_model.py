"""Any sequence of operations, through two stores, leaves what a model of twenty lines says."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from proxy.errors import StoreFull
from proxy.sessions.past_tokens import packed
from proxy.sessions.record import Eviction, Record
from proxy.sessions.store.base import SessionUse
from tests.support.records import NOW, digest_of, handle, record, session_of
from tests.support.storages import RedisServer, SqliteStorage, Storage, store_at

T = TypeVar("T")

LIMIT = 2
NUMBERS = st.integers(0, 4)
WHICH = st.integers(0, 1)
OWNERS = st.sampled_from(["a", "b"])
TIMES = st.sampled_from([NOW, NOW + 1, NOW + 2.5])
USERS = st.sampled_from(["", "ada", "eve"])
NAMES = st.sampled_from(["h0", "h1", "h2", "h3"])


class Stores(RuleBasedStateMachine):
    storage: Storage

    @initialize()
    def begin(self) -> None:
        self.runner = asyncio.Runner()
        self.stores = [store_at(self.storage.address, limit=LIMIT) for _ in range(2)]
        self.records: dict[str, Record] = {}
        self.owners: dict[str, str | None] = {}
        self.fences: dict[str, int] = {}
        self.handles: dict[bytes, str] = {}

    def teardown(self) -> None:
        if hasattr(self, "runner"):
            for store in self.stores:
                self.run(store.close())
            self.runner.close()

    def run(self, call: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(call)

    @rule(
        which=WHICH,
        number=NUMBERS,
        behind=st.sampled_from([0, 0, 0, 1, -1]),
        user=USERS,
        used=TIMES,
        closes=st.sampled_from(["", "refused", "ended"]),
        past=st.sets(NAMES, max_size=2),
        eviction=st.sampled_from(Eviction),
        names=st.sets(NAMES, max_size=3),
        late_by=st.sampled_from([None, None, 0, 1]),
        purge_after=TIMES,
    )
    def save(
        self,
        which: int,
        number: int,
        behind: int,
        user: str,
        used: float,
        closes: str,
        past: set[str],
        eviction: Eviction,
        names: set[str],
        late_by: int | None,
        purge_after: float,
    ) -> None:
        session = session_of(number)
        old = self.records.get(session)
        fence = None if late_by is None else self.fences.get(session, 0) - late_by
        new = record(
            number,
            revision=max((0 if old is None else old.revision) - behind, 0),
            user=user,
            used=used,
            version=f"{used}",
            ended=used if closes == "ended" else None,
            refused=used if closes == "refused" else None,
            handles=tuple(handle(name) for name in sorted(names)),
            past=packed((digest_of(name), True, NOW) for name in sorted(past - names)),
            purge_after=purge_after,
            eviction=eviction,
        )
        expected = self.expected(new, old, fence)
        if expected is not None and old is None and not self.make_place(expected):
            with pytest.raises(StoreFull):
                self.run(self.stores[which].save(new, fence=fence))
            return
        assert self.run(self.stores[which].save(new, fence=fence)) == expected
        if expected is not None:
            self.records[session] = expected
            self.fences.setdefault(session, 0)
            self.owners.setdefault(session, None)
            self.handles = {
                digest: held
                for digest, held in self.handles.items()
                if held != session or digest in new.digests
            }
            self.handles |= dict.fromkeys(new.digests, session)

    def make_place(self, new: Record) -> bool:
        """Whether one record more may be kept; a tombstone goes for it if need be."""
        closed = [each for each in self.records.values() if each.closed is not None]
        if new.closed is None and len(self.records) - len(closed) >= LIMIT:
            return False
        if len(closed) < LIMIT:
            return True
        if new.closed is not None and new.eviction:
            return False
        evictable = [each for each in closed if each.eviction]
        theirs = [each for each in evictable if each.user == new.user != ""]
        chosen = theirs or evictable
        if not chosen:
            return len(self.records) < 2 * LIMIT
        order = sorted((-each.eviction, each.closed or 0.0, each.session) for each in chosen)
        self.remove({order[0][-1]})
        return True

    def remove(self, sessions: set[str]) -> None:
        for session in sessions:
            del self.records[session], self.fences[session], self.owners[session]
        self.handles = {
            digest: session for digest, session in self.handles.items() if session not in sessions
        }

    def expected(self, new: Record, old: Record | None, fence: int | None) -> Record | None:
        if new.revision != (0 if old is None else old.revision):
            return None
        if old is None:
            return replace(new, revision=1)
        if fence is not None and fence < self.fences[old.session]:
            return None
        if old.ended is not None and new.ended is None:
            return None
        following = replace(new, revision=old.revision + 1)
        if old.ended is not None:
            following = replace(following, ended=old.ended)
        if old.used > new.used:
            following = replace(following, used=old.used, version=old.version, cohort=old.cohort)
        return following

    @rule(which=WHICH, number=NUMBERS, used=TIMES)
    def touch(self, which: int, number: int, used: float) -> None:
        session = session_of(number)
        self.run(self.stores[which].touch(session, used, "touched", "modern"))
        old = self.records.get(session)
        if old is not None and old.closed is None and old.used < used:
            self.records[session] = replace(old, used=used, version="touched", cohort="modern")

    @rule(which=WHICH, number=NUMBERS, owner=OWNERS)
    def acquire(self, which: int, number: int, owner: str) -> None:
        session = session_of(number)
        fence = self.run(self.stores[which].acquire(session, owner, 600))
        if session in self.records and self.owners[session] in (None, owner):
            assert fence is not None
            assert fence > self.fences[session]
            self.fences[session], self.owners[session] = fence, owner
        else:
            assert fence is None

    @rule(which=WHICH, number=NUMBERS, owner=OWNERS)
    def extend(self, which: int, number: int, owner: str) -> None:
        session = session_of(number)
        held = self.run(self.stores[which].extend(session, owner, 600))
        assert held == (self.owners.get(session) == owner)

    @rule(which=WHICH, number=NUMBERS, owner=OWNERS)
    def release(self, which: int, number: int, owner: str) -> None:
        session = session_of(number)
        self.run(self.stores[which].release(session, owner))
        if self.owners.get(session) == owner:
            self.owners[session] = None

    @rule(which=WHICH, now=TIMES)
    def purge(self, which: int, now: float) -> None:
        over = {name for name, each in self.records.items() if each.purge_after <= now}
        assert self.run(self.stores[which].purge(now)) == len(over)
        self.remove(over)

    @rule(which=WHICH)
    def reopen(self, which: int) -> None:
        self.run(self.stores[which].close())
        self.stores[which] = store_at(self.storage.address, limit=LIMIT)

    @invariant()
    def everything_is_as_in_the_model(self) -> None:
        if not hasattr(self, "runner"):
            return
        self.run(self.compare())

    async def compare(self) -> None:
        store = self.stores[0]
        names = [session_of(number) for number in range(5)]
        digests = [digest_of(f"h{number}") for number in range(4)]
        users = ["", "ada", "eve"]
        loaded, found, count, listed, of_users, uses = await asyncio.gather(
            asyncio.gather(*(store.load(name) for name in names)),
            asyncio.gather(*(store.find(digest) for digest in digests)),
            store.count(),
            store.sessions(user=None, after="", limit=10),
            asyncio.gather(*(store.sessions(user=u, after=names[1], limit=2) for u in users)),
            asyncio.gather(*(store.uses(u, 10) for u in users)),
        )
        assert loaded == [self.records.get(name) for name in names]
        assert found == [self.records.get(self.handles.get(digest, "")) for digest in digests]
        still_open = [each for _, each in sorted(self.records.items()) if each.closed is None]
        assert (count, listed.records, listed.after) == (len(still_open), still_open, "")
        for user, page, used in zip(users, of_users, uses, strict=True):
            theirs = [each for each in still_open if each.user == user]
            expected = [each for each in theirs if each.session > names[1]][:2]
            assert (page.records, page.unreadable) == (expected, [])
            assert used == [SessionUse(each.session, each.used, "") for each in theirs]
            assert page.after == (expected[-1].session if len(expected) == 2 else "")


PROFILE = settings(max_examples=20, stateful_step_count=20)


def test_sqlite_does_what_the_model_does(tmp_path: Path) -> None:
    class OnSqlite(Stores):
        @initialize()
        def begin(self) -> None:
            self.storage = SqliteStorage(Path(tempfile.mkdtemp(dir=tmp_path)))
            super().begin()

    run_state_machine_as_test(OnSqlite, settings=PROFILE)


def test_redis_does_what_the_model_does(redis_server: RedisServer) -> None:
    class OnRedis(Stores):
        storage = redis_server

        @initialize()
        def begin(self) -> None:
            self.storage.empty()
            super().begin()

    run_state_machine_as_test(OnRedis, settings=PROFILE)
