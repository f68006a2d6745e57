"""A store that is away, comes back, and has lost what it was told last."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest

from proxy.errors import StoreAway
from proxy.sessions.lease import holding
from proxy.tokens.sealing import new_key
from tests.support.authority import Authority, Client, Received, authority, proxied, refreshes
from tests.support.rig import RawPeer, Segue
from tests.support.storages import SqliteStorage
from tests.support.waiting import PATIENCE

REFRESH = "/api/auth/token/refresh/"
SHORT = 0.3


async def logged_in(proxy: Segue) -> Client:
    client = Client(proxy)
    await client.log_in()
    return client


async def readiness(proxy: Segue) -> tuple[int, object]:
    url = f"http://{proxy.server.admin_address}/readyz"
    async with aiohttp.ClientSession() as http, http.get(url) as response:
        return response.status, await response.json()


async def back(proxy: Segue) -> None:
    """Wait until Segue has noticed that its store is there, and put back what it knows."""
    async with asyncio.timeout(PATIENCE):
        while not await there(proxy):  # noqa: ASYNC110 (it tells nobody)
            await asyncio.sleep(0.05)


async def there(proxy: Segue) -> bool:
    unsaved = await proxy.metric("segue_sessions_unsaved")
    return bool(await proxy.metric("segue_store_up")) and not unsaved


@asynccontextmanager
async def moved(storage: SqliteStorage, proxy: Segue) -> AsyncIterator[None]:
    """The store is away for as long as this lasts, and Segue is told when it is back."""
    with storage.away():
        yield
    await back(proxy)


def settings_of_a_fleet() -> dict[str, str]:
    return {"STORE__KEYS": new_key(), "SESSIONS__WAIT": "2s"}


async def test_while_the_store_is_away_valid_tokens_work_and_nobody_is_logged_out(
    tmp_path: Path,
) -> None:
    storage = SqliteStorage(tmp_path)
    async with authority() as server, proxied(server, tmp_path, **settings_of_a_fleet()) as proxy:
        valid = await logged_in(proxy)
        server.access = SHORT
        ended = await logged_in(proxy)
        await asyncio.sleep(SHORT)
        async with moved(storage, proxy):
            assert [await valid.get() for _ in range(3)] == [200] * 3
            status, head, _ = await ended.send("GET", "/api/jobs/")
            assert status == 503
            assert b"Retry-After" in head
            assert server.presented() == [], "presented without a record of it"
            assert await readiness(proxy) == (200, {"status": "ready", "store": "away"})
            assert await proxy.metric("segue_store_up") == 0
        assert await readiness(proxy) == (200, {"status": "ready"})
        async with asyncio.timeout(PATIENCE):
            while await ended.get() != 200:  # noqa: ASYNC110 (as a client would)
                await asyncio.sleep(0.05)
        assert (await refreshes(proxy))["expiry", "renewed"] == 1


async def test_a_login_while_the_store_is_away_is_written_when_it_is_back(tmp_path: Path) -> None:
    storage = SqliteStorage(tmp_path)
    settings = settings_of_a_fleet()
    async with authority() as server:
        async with proxied(server, tmp_path, **settings) as proxy:
            await logged_in(proxy)
            async with moved(storage, proxy):
                client = await logged_in(proxy)
                assert await client.get() == 200
                assert await proxy.metric("segue_sessions_unsaved") == 1
            server.revoked.add(client.access)
            assert await client.get() == 200
        async with proxied(server, tmp_path, **settings) as again:
            client.proxy = again
            assert await client.get() == 200


async def test_a_record_that_nobody_can_read_concerns_its_own_session_alone(tmp_path: Path) -> None:
    storage = SqliteStorage(tmp_path)
    settings = settings_of_a_fleet()
    async with authority() as server:
        async with proxied(server, tmp_path, **settings) as proxy:
            damaged = await logged_in(proxy)
        storage.execute("UPDATE sessions SET body = x'01ff'")
        async with proxied(server, tmp_path, **settings) as proxy:
            server.access = SHORT
            sound = await logged_in(proxy)
            await asyncio.sleep(SHORT)
            server.access = 3600
            damaged.proxy = proxy
            assert await damaged.get() == 200, "a valid token goes on as it is"
            # At once: the store is not taken for one that is away.
            assert await sound.get() == 200
            assert await readiness(proxy) == (200, {"status": "ready"})
            assert await proxy.metric("segue_session_records_unreadable_total") == 1
            assert await proxy.metric("segue_store_up") == 1


async def test_tokens_that_were_issued_while_the_store_went_are_not_lost(tmp_path: Path) -> None:
    storage = SqliteStorage(tmp_path)
    settings = settings_of_a_fleet()
    async with authority(access=SHORT) as server:
        async with proxied(server, tmp_path, **settings) as proxy:
            client = await logged_in(proxy)
            await asyncio.sleep(SHORT)
            server.access = 3600
            elsewhere = storage.path.with_suffix(".moved")

            async def go(server: Authority, _: RawPeer, received: Received) -> bytes | None:
                del server.answers[REFRESH]
                storage.path.rename(elsewhere)  # Between the presenting and the answer.
                return server.usual(received)

            server.answers[REFRESH] = go
            assert await client.get() == 200
            assert await proxy.metric("segue_sessions_unsaved") == 1
            elsewhere.rename(storage.path)
            await back(proxy)
        async with proxied(server, tmp_path, **settings) as again:
            client.proxy = again
            assert await client.get() == 200
        assert server.presented() == [client.refresh]


async def test_a_lease_is_given_back_though_the_call_before_failed(tmp_path: Path) -> None:
    async with authority() as server, proxied(server, tmp_path) as proxy:
        client = await logged_in(proxy)
        assert proxy.server._data.sessions is not None
        repository = proxy.server._data.sessions._repository
        cached = repository.cache.tokens[client.access].cached

        async def fail() -> None:
            raise StoreAway("once")

        with pytest.raises(StoreAway):
            async with holding(repository, cached, "one"):
                await repository.asked(fail)
        assert await repository.store.acquire(cached.record.session, "another", 1.0) is not None


async def test_tokens_that_were_delivered_while_nothing_could_be_written_are_not_forgotten(
    tmp_path: Path,
) -> None:
    storage = SqliteStorage(tmp_path)
    settings = settings_of_a_fleet() | {"STORE__TIMEOUT": "300ms"}
    async with (
        authority(access=1.5) as server,
        proxied(server, tmp_path, **settings) as proxy,
    ):
        client = await logged_in(proxy)
        await asyncio.sleep(1.5)
        assert await client.get() == 200
        # Another process writes from the moment at which the server answers: what is asked is
        # answered, and nothing can be told.
        with sqlite3.connect(storage.path, isolation_level=None) as writer:

            async def lock(server: Authority, _: RawPeer, received: Received) -> bytes | None:
                server.answers.clear()
                writer.execute("BEGIN IMMEDIATE")
                return server.usual(received)

            server.answers[REFRESH] = lock
            status, pair = await client.exchange()
            assert status == 200
            writer.execute("ROLLBACK")
        await back(proxy)
        delivered = Client(proxy, pair["access"], pair["refresh"])
        await asyncio.sleep(1.5)
        server.access = 3600
        # The lease could not be given back either: it has to run out.
        async with asyncio.timeout(PATIENCE):
            while await delivered.get() != 200:  # noqa: ASYNC110 (as a client would)
                await asyncio.sleep(0.05)
        assert (await delivered.exchange())[0] == 200
        # Whatever the client presents, the server sees each token once.
        assert len(set(server.presented())) == len(server.presented())


async def test_a_store_that_came_back_with_older_records_is_put_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.sessions.service.TRUST", 0.0)
    storage = SqliteStorage(tmp_path)
    settings = settings_of_a_fleet()
    async with authority(access=SHORT) as server:
        async with proxied(server, tmp_path, **settings) as proxy:
            client = await logged_in(proxy)
            async with storage.opened() as store:
                (before,) = (await store.sessions(user=None, after="", limit=1)).records
                await asyncio.sleep(SHORT)
                server.access = 3600
                assert await client.get() == 200
                # As if the last writes had been lost.
                (after,) = (await store.sessions(user=None, after="", limit=1)).records
                older = replace(before, revision=after.revision)
                assert await store.save(older) is not None
            assert await client.get() == 200
        async with proxied(server, tmp_path, **settings) as again:
            client.proxy = again
            assert await client.get() == 200
        assert server.presented() == [client.refresh]


async def test_what_ends_or_exchanges_a_session_waits_for_the_store(tmp_path: Path) -> None:
    storage = SqliteStorage(tmp_path)
    fleet = settings_of_a_fleet()
    async with authority() as server, proxied(server, tmp_path, **fleet) as proxy:
        client = await logged_in(proxy)
        async with moved(storage, proxy):
            body = b"{}"
            assert (await client.send("POST", "/api/auth/logout/", body))[0] == 503
            assert (await client.exchange())[0] == 503
            assert await client.get() == 200
        assert [each.path for each in server.received] == ["/api/auth/login/", "/api/jobs/"]
        assert (await client.exchange())[0] == 200
        assert (await client.send("POST", "/api/auth/logout/", b"{}"))[0] == 205


async def test_a_full_store_refuses_sessions_and_no_logins(tmp_path: Path) -> None:
    fleet = {**settings_of_a_fleet(), "STORE__SESSIONS": "1"}
    async with authority() as server, proxied(server, tmp_path, **fleet) as proxy:
        first, second = await logged_in(proxy), await logged_in(proxy)
        for client in (first, second):
            server.revoked.add(client.access)
        assert (await first.get(), await second.get()) == (200, 401)
        assert await proxy.metric("segue_session_captures_total", result="refused") == 1


async def test_a_process_without_the_key_knows_nobody(tmp_path: Path) -> None:
    async with authority() as server:
        async with proxied(server, tmp_path, STORE__KEYS=new_key()) as proxy:
            client = await logged_in(proxy)
        async with proxied(server, tmp_path, STORE__KEYS=new_key()) as proxy:
            client.proxy = proxy
            assert await client.get() == 200
            server.revoked.add(client.access)
            assert await client.get() == 401
            assert server.presented() == []


async def test_after_a_rotation_of_keys_everybody_is_known(tmp_path: Path) -> None:
    old, new = new_key(), new_key()
    async with authority() as server:
        async with proxied(server, tmp_path, STORE__KEYS=old) as proxy:
            client = await logged_in(proxy)
        async with proxied(server, tmp_path, STORE__KEYS=f"{new} {old}") as proxy:
            client.proxy = proxy
            server.revoked.add(client.access)
            assert await client.get() == 200
            assert (await client.exchange())[0] == 200
            assert len(set(server.presented())) == len(server.presented()) == 2
