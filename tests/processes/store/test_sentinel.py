"""Sessions and switches behind real sentinels, which make the replica the primary."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import pytest

from proxy.control.switch_store.base import SwitchStore
from proxy.errors import StoreAway
from proxy.sessions.record import Record
from proxy.sessions.store.base import Store
from tests.support.records import record, session_of
from tests.support.sentinels import Sentinels
from tests.support.storages import store_at
from tests.support.switch_storages import Listener, appended, revision, switch_store_at
from tests.support.waiting import PATIENCE

_T = TypeVar("_T")


@pytest.fixture(params=["", "correct-horse"])
def sentinels(
    request: pytest.FixtureRequest, tmp_path: Path, require: Callable[[str], str]
) -> Iterator[Sentinels]:
    """With a password for the servers, the sentinels have none."""
    found = Sentinels(require("redis-server"), tmp_path, request.param)
    try:
        found.start()
        yield found
    finally:
        found.stop()


async def in_time(call: Callable[[], Awaitable[_T]]) -> _T:
    """What a call returns, as soon as the store is there."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                return await call()
            except StoreAway:
                await asyncio.sleep(0.05)


async def append_next(store: SwitchStore) -> int:
    """Append one more, whatever is there; its number."""
    number = await store.number() + 1
    assert await store.append(revision(number))
    return number


async def renamed(store: Store, user: str) -> Record:
    """Save a session with another user, whoever it was before."""
    stored = await store.load(session_of(1))
    assert stored is not None
    saved = await store.save(replace(stored, user=user))
    assert saved is not None
    return saved


async def test_sessions_and_switches_go_on_after_failovers(sentinels: Sentinels) -> None:
    sessions = store_at(sentinels.address)
    switches, other = (switch_store_at(sentinels.address) for _ in range(2))
    try:
        listener = Listener(switches)
        stored = await sessions.save(record())
        assert stored is not None
        await appended(other, 1)
        await listener.hears_until(switches, 1)
        for user in ("eve", "ada"):  # Over, and back to the server that was killed first.
            await asyncio.to_thread(sentinels.await_replica)
            number = await switches.number()
            await asyncio.to_thread(sentinels.fail_over)
            assert await in_time(lambda: sessions.load(session_of(1))) == stored
            assert await in_time(switches.number) == number
            stored = await in_time(partial(renamed, sessions, user))
            # A connection to hear of it is there again, too.
            number = await in_time(lambda: append_next(other))
            await listener.hears_until(switches, number)
            await asyncio.to_thread(sentinels.bring_back)
    finally:
        for store in (sessions, switches, other):
            await store.close()


async def test_sentinels_that_know_no_such_primary_are_told(sentinels: Sentinels) -> None:
    address = sentinels.address.replace("/main/", "/other/")
    store = store_at(address)
    try:
        with pytest.raises(
            StoreAway, match="no sentinel that answers knows such a primary"
        ) as told:
            await store.count()
        assert "correct-horse" not in str(told.value)
    finally:
        await store.close()


async def test_sentinels_may_have_the_password_of_the_servers(
    tmp_path: Path, require: Callable[[str], str]
) -> None:
    guarded = Sentinels(require("redis-server"), tmp_path, "correct-horse", guarded=True)
    try:
        guarded.start()
        store = switch_store_at(guarded.address)
        await appended(store, 1)
        await store.close()
        stranger = switch_store_at(guarded.address.replace("correct-horse", "hunter2"))
        with pytest.raises(StoreAway, match="no sentinel that answers") as told:
            await stranger.load()
        assert "hunter2" not in str(told.value)
        await stranger.close()
    finally:
        guarded.stop()


async def test_no_sentinel_at_all_is_told() -> None:
    store = switch_store_at("redis+sentinel://:hunter2@127.0.0.1:1,127.0.0.1:2/main")
    try:
        with pytest.raises(StoreAway, match="the switch store cannot be reached") as told:
            await store.load()
        assert "hunter2" not in str(told.value)
    finally:
        await store.close()
