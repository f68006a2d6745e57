"""What is particular to a server: it hangs, restarts, forgets scripts, wants passwords and TLS."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import redis
import trustme

from proxy.control.switch_store.base import SwitchStore
from proxy.control.switch_store.redis import RedisSwitchStore
from proxy.errors import RecordUnreadable, StoreAway, StoreBusy, StoreReadOnly
from proxy.sessions.store import scripts
from proxy.sessions.store.base import Store
from proxy.sessions.store.redis import RedisStore
from tests.conftest import LOOPS
from tests.support.checkout import ROOT
from tests.support.records import NOW, record, session_of
from tests.support.storages import LIMIT, SHORT, TIMEOUT, RedisServer, free_port
from tests.support.switch_storages import Listener, appended

DOCS = ROOT / "docs" / "store.md"


@contextmanager
def connected(server: RedisServer, **options: Any) -> Iterator[redis.Redis]:
    """A client of the test's own."""
    with redis.Redis(port=server.port, **options) as client:
        yield client


@asynccontextmanager
async def store_at(url: str, **options: Any) -> AsyncIterator[Store]:
    defaults = {"limit": LIMIT, "timeout": TIMEOUT, "connections": 4}
    store = RedisStore(url, **(defaults | options))
    try:
        yield store
    finally:
        await store.close()


@asynccontextmanager
async def switches_at(url: str) -> AsyncIterator[SwitchStore]:
    store = RedisSwitchStore(url, timeout=TIMEOUT, connections=2)
    try:
        yield store
    finally:
        await store.close()


async def test_calls_that_wait_for_others_do_not_take_the_server_for_away(
    redis_server: RedisServer,
) -> None:
    store = RedisStore(redis_server.address, limit=LIMIT, timeout=0.5, connections=1)
    client = store._client
    async with client._free:  # Somebody else has the only connection all the time.
        waiting = asyncio.create_task(store.count())
        await asyncio.sleep(0)
        await client._run(scripts.COUNT, (), again=True)
        with pytest.raises(StoreBusy):
            await waiting
        with pytest.raises(StoreAway) as given_up:
            await store.count()
        assert not isinstance(given_up.value, StoreBusy), "nobody was answered meanwhile"
    assert await store.count() == 0
    await store.close()


async def test_a_server_that_hangs_is_given_up_in_time(redis_server: RedisServer) -> None:
    async with redis_server.opened() as patient, redis_server.opened(timeout=SHORT) as store:
        first = await patient.save(record())
        assert first is not None
        await store.ping()
        with redis_server.hanging():
            # More calls than connections: those that wait for one are given up too.
            calls = [store.load(first.session) for _ in range(12)]
            outcomes = await asyncio.gather(*calls, return_exceptions=True)
            assert {str(outcome) for outcome in outcomes} == {
                "the session store did not answer in time"
            }
        # The answers that came too late are nobody's: the next call gets its own.
        assert await patient.load(session_of(2)) is None
        assert await store.load(first.session) == first


async def test_a_call_that_is_cancelled_leaves_no_answer_to_the_next(
    redis_server: RedisServer,
) -> None:
    async with store_at(redis_server.address, connections=1) as store:
        first = await store.save(record())
        assert first is not None
        for _ in range(20):
            call = asyncio.create_task(store.load(first.session))
            await asyncio.sleep(0)
            call.cancel()
            assert await store.count() == 1


@pytest.mark.asyncio(loop_factories=[*LOOPS])
async def test_a_restart_costs_nothing_but_the_calls_that_met_it(
    redis_server: RedisServer,
) -> None:
    async with redis_server.opened() as store:
        first = await store.save(record())
        await asyncio.gather(*(store.ping() for _ in range(10)))
        with redis_server.away():
            pass
        # Every connection that was open is dead, and the scripts are forgotten.
        outcomes = await asyncio.gather(*(store.load(session_of(1)) for _ in range(10)))
        assert outcomes == [first] * 10


async def test_a_server_that_is_killed_under_load_keeps_what_it_said_it_had(
    redis_server: RedisServer,
) -> None:
    async with redis_server.opened() as store:
        latest = {number: await store.save(record(number)) for number in range(8)}
        running = asyncio.Event()

        async def write(number: int) -> None:
            while True:
                stored = latest[number]
                assert stored is not None
                latest[number] = await store.save(stored) or await store.load(stored.session)
                running.set()

        for _ in range(3):
            running.clear()
            writers = [asyncio.create_task(write(number)) for number in latest]
            await running.wait()
            with redis_server.away():
                outcomes = await asyncio.gather(*writers, return_exceptions=True)
                assert {type(outcome) for outcome in outcomes} == {StoreAway}
            for number, cached in latest.items():
                stored = await store.load(session_of(number))
                assert stored is not None
                assert cached is not None
                # The save whose answer was lost may have been carried out.
                assert stored.revision in (cached.revision, cached.revision + 1)
                latest[number] = stored


async def test_a_store_is_closed_while_its_server_hangs(redis_server: RedisServer) -> None:
    async with redis_server.opened() as store:
        await store.ping()
        with redis_server.hanging():
            await store.close()


async def test_scripts_that_the_server_forgot_are_sent_again(redis_server: RedisServer) -> None:
    async with redis_server.opened() as store:
        first = await store.save(record())
        assert first is not None
        with connected(redis_server) as client:
            client.script_flush()
        assert await store.save(replace(first, user="eve")) is not None


async def test_no_more_connections_than_allowed(redis_server: RedisServer) -> None:
    async with store_at(redis_server.address, connections=3) as store:
        await asyncio.gather(*(store.ping() for _ in range(50)))
        with connected(redis_server) as client:
            assert len(client.client_list()) <= 3 + 1


async def test_fences_grow_past_those_that_the_server_lost(redis_server: RedisServer) -> None:
    async with redis_server.opened() as store:
        await store.save(record())
        before = None
        for _ in range(20):
            before = await store.acquire(session_of(1), "a", 60)
        assert before is not None
        # A server without its last second comes back with an older record and no lease.
        redis_server.empty()
        await store.save(record())
        after = await store.acquire(session_of(1), "b", 60)
        assert after is not None
        assert after > before
        stored = await store.load(session_of(1))
        assert stored is not None
        assert await store.save(stored, fence=before) is None


async def test_nothing_ends_by_itself_and_a_purge_leaves_nothing(
    redis_server: RedisServer,
) -> None:
    async with redis_server.opened() as store:
        for number in range(3):
            await store.save(record(number))
        with connected(redis_server) as client:
            keys = list(client.scan_iter())
            assert {client.ttl(key) for key in keys} == {-1}
            assert all(key.startswith(b"segue:") for key in keys)
            await store.purge(record().purge_after)
            assert list(client.scan_iter()) == []


async def test_a_damaged_record_is_told(redis_server: RedisServer) -> None:
    async with redis_server.opened() as store:
        await store.save(record())
        with connected(redis_server) as client:
            client.hset(f"segue:session:{session_of(1)}", "body", b"\x01\xff")
        with pytest.raises(RecordUnreadable, match="damaged record"):
            await store.load(session_of(1))
        await store.save(record(2))
        page = await store.sessions(user=None, after="", limit=9)
        assert page.records == [await store.load(session_of(2))]
        assert (page.unreadable, page.after) == ([session_of(1)], "")
        with connected(redis_server) as client:
            client.delete(f"segue:session:{session_of(2)}")
        page = await store.sessions(user=None, after="", limit=2)
        assert page == ([], [session_of(1), session_of(2)], session_of(2))


@contextmanager
def server_with(
    require: Callable[[str], str], directory: Path, *options: str
) -> Iterator[RedisServer]:
    server = RedisServer(require("redis-server"), directory, *options)
    try:
        yield server
    finally:
        server.stop()


async def test_a_password_is_used_and_a_wrong_one_told_but_not_repeated(
    tmp_path: Path, require: Callable[[str], str]
) -> None:
    with server_with(require, tmp_path, "--requirepass", "correct horse") as server:
        place = server.address.removeprefix("redis://")
        async with store_at(f"redis://:correct%20horse@{place}") as store:
            await store.save(record())
            assert await store.count() == 1
        for user in (":hunter2@", "nobody:hunter2@", ""):
            async with store_at(f"redis://{user}{place}") as store:
                with pytest.raises(StoreAway, match="refuses user or password") as raised:
                    await store.count()
                assert "hunter2" not in str(raised.value)
                assert raised.value.__suppress_context__


def permit(client: redis.Redis, *rules: str) -> None:
    client.execute_command("ACL", "SETUSER", "segue", *rules)  # type: ignore[no-untyped-call]


async def test_a_user_needs_no_more_rights_than_the_docs_say(
    tmp_path: Path, require: Callable[[str], str]
) -> None:
    (rights,) = re.findall(r"needs\s+`(~segue[^`]*)`", DOCS.read_text(encoding="utf-8"))
    with server_with(require, tmp_path) as server:
        with connected(server) as client:
            permit(client, "on", ">secret", *rights.split())
        async with store_at(f"redis://segue:secret@127.0.0.1:{server.port}") as store:
            first = await store.save(record())
            assert first is not None
            assert await store.find(first.handles[0].digest) == first
            await store.touch(first.session, NOW + 1, "", "")
            fence = await store.acquire(first.session, "a", 60)
            assert await store.extend(first.session, "a", 60)
            await store.release(first.session, "a")
            assert (await store.sessions(user="ada", after="", limit=1)).records != []
            assert await store.save(replace(first, handles=()), fence=fence) is not None
            assert await store.purge(first.purge_after) == 1
        async with switches_at(f"redis://segue:secret@127.0.0.1:{server.port}") as switches:
            listener = Listener(switches)
            await appended(switches, 1)
            await listener.hears_until(switches, 1)
            assert await switches.load() == await switches.revision(1)
            assert len(await switches.revisions(None, 1)) == 1
            assert await switches.replace("salt", None, b"")
            assert await switches.value("salt") == b""
            await switches.announce("one", b"", 60)
            assert await switches.announced() == {"one": b""}
        with connected(server) as client:
            permit(client, "-@scripting")
        async with store_at(f"redis://segue:secret@127.0.0.1:{server.port}") as store:
            with pytest.raises(StoreAway, match="does not permit"):
                await store.load(first.session)


async def test_a_replica_and_a_full_server_are_told(
    tmp_path: Path, require: Callable[[str], str]
) -> None:
    with server_with(require, tmp_path) as server:
        async with store_at(server.address) as store:
            first = await store.save(record())
            with connected(server) as client:
                client.config_set("maxmemory", "1")
                with pytest.raises(StoreReadOnly, match="has no memory left"):
                    await store.save(record(2))
                with pytest.raises(StoreReadOnly):
                    await store.writable()
                assert await store.load(session_of(1)) == first
                client.config_set("maxmemory", "0")
                await store.writable()
                client.slaveof("127.0.0.1", 1)
                with pytest.raises(StoreReadOnly, match="is a replica"):
                    await store.touch(session_of(1), NOW + 1, "", "")
                client.slaveof()
            assert await store.load(session_of(1)) == first


async def test_tls_is_checked(tmp_path: Path, require: Callable[[str], str]) -> None:
    authority, stranger = trustme.CA(), trustme.CA()
    certificate = authority.issue_cert("localhost")
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    cached, unknown = tmp_path / "known.pem", tmp_path / "unknown.pem"
    certificate.cert_chain_pems[0].write_to_path(chain)
    certificate.private_key_pem.write_to_path(key)
    authority.cert_pem.write_to_path(cached)
    stranger.cert_pem.write_to_path(unknown)
    with server_with(require, tmp_path) as server:
        with connected(server) as client:
            client.config_set("tls-cert-file", str(chain))
            client.config_set("tls-key-file", str(key))
            client.config_set("tls-auth-clients", "no")
            tls_port = free_port()
            client.config_set("tls-port", str(tls_port))
        async with store_at(f"rediss://localhost:{tls_port}", ca_file=str(cached)) as store:
            await store.save(record())
            assert await store.count() == 1
        for host, file in (("localhost", unknown), ("127.0.0.1", cached)):
            async with store_at(f"rediss://{host}:{tls_port}", ca_file=str(file)) as store:
                with pytest.raises(StoreAway, match="cannot be reached: its certificate is not"):
                    await store.count()
    # It has gone, and its port with it.
    async with store_at(f"redis://127.0.0.1:{server.port}") as store:
        with pytest.raises(StoreAway, match="cannot be reached: the connection was refused"):
            await store.count()
    async with store_at("redis://store.invalid:6379") as store:
        with pytest.raises(StoreAway, match="cannot be reached: the name of its host"):
            await store.count()
