"""Sessions and switches behind real sentinels, which make the replica the primary."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import pytest
import trustme

from proxy.control.switch_store.base import SwitchStore
from proxy.control.switch_store.redis import RedisSwitchStore
from proxy.errors import StoreAway
from proxy.sessions.record import Record
from proxy.sessions.store.base import Store
from tests.support.records import record, session_of
from tests.support.sentinels import Sentinels
from tests.support.storages import TIMEOUT, RedisServer, free_port, store_at
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


async def test_tls_to_sentinels_and_servers_is_checked(
    tmp_path: Path, require: Callable[[str], str]
) -> None:
    authority, stranger = trustme.CA(), trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    files = {name: tmp_path / f"{name}.pem" for name in ("chain", "key", "known", "unknown")}
    certificate.cert_chain_pems[0].write_to_path(files["chain"])
    certificate.private_key_pem.write_to_path(files["key"])
    authority.cert_pem.write_to_path(files["known"])
    stranger.cert_pem.write_to_path(files["unknown"])
    tls = {
        "tls-cert-file": files["chain"],
        "tls-key-file": files["key"],
        "tls-ca-cert-file": files["known"],
        "tls-auth-clients": "no",
    }
    program, asked, served = require("redis-server"), free_port(), free_port()
    options = [text for name, value in tls.items() for text in (f"--{name}", str(value))]
    server = RedisServer(program, tmp_path, "--tls-port", str(served), *options)
    file = tmp_path / "sentinel.conf"
    lines = [f"{name} {value}" for name, value in tls.items()]
    lines += [f"port 0\ntls-port {asked}\ntls-replication yes\nlogfile sentinel.log"]
    lines += [f"dir {tmp_path}\nbind 127.0.0.1\nsentinel monitor main 127.0.0.1 {served} 1\n"]
    file.write_text("\n".join(lines))
    sentinel = subprocess.Popen([program, file, "--sentinel"])
    url = f"rediss+sentinel://127.0.0.1:{asked}/main"
    try:
        store = tls_store(url, files["known"])
        assert await in_time(store.number) == 0
        await appended(store, 1)
        listener = Listener(store)
        await listener.hears_until(store, 1)
        await appended(store, 2)
        await listener.hears()
        await store.close()
        for address, ca_file in (
            (url, files["unknown"]),
            (url.replace("rediss", "redis"), None),
        ):
            store = tls_store(address, ca_file)
            store.listen(lambda: None)
            for _ in range(5):
                with pytest.raises(StoreAway, match="cannot be reached"):
                    await store.load()
            # What tries to hear of changes does not give up for it.
            names = {task.get_name() for task in asyncio.all_tasks()}
            assert "redis: hear segue:switches" in names
            await store.close()
    finally:
        for process in (sentinel, server.process):
            process.kill()
            process.wait()


def tls_store(url: str, ca_file: Path | None) -> SwitchStore:
    return RedisSwitchStore(
        url, timeout=TIMEOUT, connections=2, ca_file=None if ca_file is None else str(ca_file)
    )
