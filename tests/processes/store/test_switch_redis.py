"""Switches in a server: it is cut off, hangs, restarts, and holds what no store has written."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import redis
from redis.asyncio import Connection

from proxy.control.switch_store.base import MAX_NUMBER, MAX_REVISION, MAX_VALUE
from proxy.errors import RecordUnreadable, StoreAway, StoreReadOnly
from proxy.storage.redis_subscription import RedisSubscription
from tests.conftest import LOOPS
from tests.support.storages import RedisServer
from tests.support.switch_storages import Listener, Shared, appended, revision
from tests.support.waiting import PATIENCE


@pytest.fixture
def shared(redis_server: RedisServer) -> Shared:
    return Shared(redis_server)


@contextmanager
def connected(server: RedisServer, **options: Any) -> Iterator[redis.Redis]:
    """A client of the test's own."""
    with redis.Redis(port=server.port, **options) as client:
        yield client


async def until(is_so: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not is_so():  # noqa: ASYNC110 (nobody tells of it)
            await asyncio.sleep(0.01)


def subscribers(client: redis.Redis) -> int:
    return int(client.pubsub_numsub("segue:switches")[0][1])


@pytest.mark.asyncio(loop_factories=[*LOOPS])
async def test_a_subscriber_that_is_cut_off_subscribes_again_and_is_told(
    redis_server: RedisServer, shared: Shared
) -> None:
    async with shared.switches() as store, shared.switches() as other:
        listener = Listener(store)
        with connected(redis_server) as client:
            for number in range(1, 6):
                await until(lambda: subscribers(client) == 1)
                client.client_kill_filter(_type="pubsub")
                # Nobody hears of this one but by the gap.
                await appended(other, number)
                await listener.hears_until(store, number)
            await until(lambda: subscribers(client) == 1)


async def test_a_server_that_hangs_is_noticed_and_found_again(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing ends a connection that nobody answers on; its silence does."""
    monkeypatch.setattr("proxy.storage.redis_subscription._QUIET", 0.01)
    made: list[Connection] = []
    heard: list[int] = []

    def connect() -> Connection:
        made.append(Connection(port=redis_server.port, protocol=2))
        return made[-1]

    subscription = RedisSubscription(connect, "news", lambda: heard.append(1), timeout=0.2)
    try:
        await until(lambda: heard)
        with redis_server.hanging():
            await until(lambda: len(made) > 2)
            before = len(heard)
        await until(lambda: len(heard) > before)
    finally:
        await subscription.close()


async def test_it_ends_though_the_client_swallows_a_cancellation(redis_server: RedisServer) -> None:
    """Seen over TLS, once in a few hundred: `close` waited for ever."""
    heard: list[int] = []

    class Swallowing(Connection):
        swallowed = 0

        async def read_response(self, *args: Any, **options: Any) -> Any:
            try:
                return await super().read_response(*args, **options)
            except asyncio.CancelledError:
                type(self).swallowed += 1
                if self.swallowed > 1:
                    raise
                return None

    subscription = RedisSubscription(
        lambda: Swallowing(port=redis_server.port, protocol=2),
        "news",
        lambda: heard.append(1),
        timeout=60,
    )
    await until(lambda: heard)
    async with asyncio.timeout(PATIENCE):
        await subscription.close()
    assert Swallowing.swallowed == 2


async def test_all_agree_after_a_restart(redis_server: RedisServer, shared: Shared) -> None:
    async with shared.switches() as one, shared.switches() as two:
        listeners = [Listener(one), Listener(two)]
        await appended(one, 1)
        for listener, store in zip(listeners, (one, two), strict=True):
            await listener.hears_until(store, 1)
        with redis_server.away():
            with pytest.raises(StoreAway, match="the switch store cannot be reached"):
                await one.append(revision(2))
        await appended(two, 2)
        for listener, store in zip(listeners, (one, two), strict=True):
            await listener.hears_until(store, 2)


async def test_no_connection_is_left(redis_server: RedisServer, shared: Shared) -> None:
    with connected(redis_server) as client:
        before = len(client.client_list())
        async with shared.switches() as store:
            listeners = [Listener(store), Listener(store)]
            await appended(store, 1)
            for listener in listeners:
                await listener.hears_until(store, 1)
            await until(lambda: subscribers(client) == 1)
        await until(lambda: len(client.client_list()) == before)


async def test_a_store_is_closed_while_its_server_hangs_or_is_away(
    redis_server: RedisServer, shared: Shared
) -> None:
    async with shared.switches() as store:
        await Listener(store).hears()
        with redis_server.hanging():
            await store.close()
    with redis_server.away():
        async with shared.switches() as store:
            await Listener(store).hears()


async def test_a_full_server_is_read_only(redis_server: RedisServer, shared: Shared) -> None:
    async with shared.switches() as store:
        await appended(store, 1)
        with connected(redis_server) as client:
            client.config_set("maxmemory", "1")
            with pytest.raises(StoreReadOnly, match="the switch store has no memory left"):
                await store.append(revision(2))
            with pytest.raises(StoreReadOnly):
                await store.replace("salt", None, b"")
            assert await store.load() == revision(1)
            client.config_set("maxmemory", "0")
        await appended(store, 2)


async def test_keys_are_named_as_the_rights_say_and_end_with_nothing(
    redis_server: RedisServer, shared: Shared
) -> None:
    async with shared.switches() as store:
        await appended(store, 1)
        await store.replace("salt", None, b"")
        await store.announce("one", b"", 60)
    with connected(redis_server) as client:
        keys = list(client.scan_iter())
        assert all(key.startswith(b"segue:switches:") for key in keys)
        assert {client.ttl(key) for key in keys} == {-1}


async def test_garbage_under_the_keys_is_told(redis_server: RedisServer, shared: Shared) -> None:
    async with shared.switches() as store:
        await appended(store, 1, 2, 3, 4)
        await store.replace("salt", None, b"")
        await store.announce("one", b"1", 60)
        await store.announce("two", b"2", 60)
        with connected(redis_server) as client:
            client.hset("segue:switches:revisions", "2", bytes(MAX_REVISION + 1))
            client.hdel("segue:switches:revisions", "3")
            client.hdel("segue:switches:states", "4")
            client.hset("segue:switches:values", "salt", bytes(MAX_VALUE + 1))
            client.hset("segue:switches:replicas", "one", bytes(MAX_VALUE + 1))
            client.zadd("segue:switches:until", {b"\xff": 2e9, b"gone": 2e9})
        for call in (
            store.load(),
            store.revision(2),
            store.revision(3),
            store.revision(4),
            store.value("salt"),
            store.replace("salt", b"", b"new"),
            store.replace("salt", None, b"new"),
        ):
            with pytest.raises(RecordUnreadable):
                await call
        assert await store.revisions(None, 9) == [revision(4).revision, revision(1).revision]
        assert await store.announced() == {"two": b"2"}
        # It goes on from there.
        await appended(store, 5)
        assert await store.load() == revision(5)


@pytest.mark.parametrize("member", [b"five", b"-7", b"5.5", str(MAX_NUMBER + 1).encode(), b"\xff"])
async def test_a_newest_number_that_is_none_is_told(
    redis_server: RedisServer, shared: Shared, member: bytes
) -> None:
    async with shared.switches() as store:
        await appended(store, 1)
        with connected(redis_server) as client:
            client.zadd("segue:switches:numbers", {member: 5})
            for call in (store.number(), store.load()):
                with pytest.raises(RecordUnreadable):
                    await call
            assert not await store.append(revision(2))
            client.zrem("segue:switches:numbers", member)
        await appended(store, 2)


async def test_keys_of_another_kind_are_told(redis_server: RedisServer, shared: Shared) -> None:
    names = ("numbers", "revisions", "states", "values", "replicas", "until")
    with connected(redis_server) as client:
        for name in names:
            client.set(f"segue:switches:{name}", "text")
    async with shared.switches() as store:
        for call in (
            store.load(),
            store.number(),
            store.append(revision(1)),
            store.revisions(None, 1),
            store.value("salt"),
            store.replace("salt", None, b""),
            store.announce("one", b"", 60),
            store.announced(),
        ):
            with pytest.raises(StoreAway, match="refused a call"):
                await call


async def test_what_anybody_publishes_is_no_more_than_a_hint(
    redis_server: RedisServer, shared: Shared
) -> None:
    async with shared.switches() as store:
        listener = Listener(store)
        await appended(store, 1)
        await listener.hears_until(store, 1)
        with connected(redis_server) as client:
            await until(lambda: subscribers(client) == 1)
            for message in (b"", b"7", b"\xff" * (1 << 20), b"\r\n-ERR\r\n"):
                client.publish("segue:switches", message)
                await listener.hears()
        assert await store.load() == revision(1)
        await appended(store, 2)
        await listener.hears_until(store, 2)


async def test_an_announcement_from_before_the_clock_was_set_back_is_forgotten(
    redis_server: RedisServer, shared: Shared
) -> None:
    async with shared.switches() as store:
        await store.announce("one", b"", 3600)
        await store.announce("two", b"", 60)
        with connected(redis_server) as client:
            client.zincrby("segue:switches:until", 7200, "one")
        assert await store.announced() == {"two": b""}
