"""One user does not fill the store for all: sessions per user, and tombstones that give way."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from proxy.sessions import endings, maintenance
from proxy.sessions.record import MAX_TEXT
from tests.support.authority import Authority, Client, authority, proxied
from tests.support.rig import Segue, status_of
from tests.support.sockets import Socket, handshake
from tests.support.storages import SqliteStorage
from tests.support.waiting import PATIENCE

LOGOUT = "/api/auth/logout/"
EVICTED = "segue_session_evictions_total"


async def logged_in(proxy: Segue, server: Authority, user: str = "7") -> Client:
    server.user = user
    client = Client(proxy)
    await client.log_in()
    return client


async def settled(proxy: Segue) -> None:
    """Wait until nothing is left to be done for sessions."""
    assert proxy.server._data.sessions is not None
    while under_way := proxy.server._data.sessions._renewals.under_way:
        await asyncio.wait(under_way)


async def until(proxy: Segue, holds: Callable[[str], bool]) -> None:
    """Wait for something in the log."""
    async with asyncio.timeout(PATIENCE):
        while not holds(proxy.log.getvalue()):  # noqa: ASYNC110 (it tells nobody)
            await asyncio.sleep(0.02)


async def test_one_login_more_ends_the_session_that_was_not_used_for_the_longest_time(
    tmp_path: Path,
) -> None:
    async with authority() as server, proxied(server, tmp_path, SESSIONS__PER_USER="2") as proxy:
        other = await logged_in(proxy, server, "8")
        first, second = [await logged_in(proxy, server) for _ in range(2)]
        assert await first.get() == 200  # A use: the other one is the older by now.
        await settled(proxy)
        assert await proxy.metric(EVICTED) == 0
        third = await logged_in(proxy, server)
        await settled(proxy)
        status, _, body = await second.send("GET", "/api/jobs/")
        assert (status, b'"token_not_valid"' in body) == (401, True)
        assert (await second.exchange())[0] == 401
        assert [await each.get() for each in (first, third, other)] == [200] * 3
        assert await proxy.metric(EVICTED) == 1
        lines = [json.loads(line) for line in proxy.log.getvalue().splitlines()]
        (line,) = (each for each in lines if each["event"] == "session ended")
        assert line["reason"] == endings.LIMIT


async def test_open_sockets_of_a_session_that_is_one_too_many_are_closed(tmp_path: Path) -> None:
    async with authority() as server, proxied(server, tmp_path, SESSIONS__PER_USER="1") as proxy:
        first = await logged_in(proxy, server)
        async with proxy.client() as peer:
            await peer.send(handshake(f"/ws/1/?token={first.access}".encode()))
            assert status_of(await peer.read_head()) == 101
            await logged_in(proxy, server)
            assert await Socket(peer, is_client=True).close_frame() == (1008, "session ended")


@pytest.mark.parametrize("user", ["", "u" * MAX_TEXT])
async def test_who_cannot_be_told_from_others_is_no_user(tmp_path: Path, user: str) -> None:
    async with authority() as server, proxied(server, tmp_path, SESSIONS__PER_USER="1") as proxy:
        clients = [await logged_in(proxy, server, user) for _ in range(3)]
        await settled(proxy)
        assert [await each.get() for each in clients] == [200] * 3


async def logged_in_at(proxy: Segue, host: bytes) -> Client:
    """Log the user 7 of whatever answers there in."""
    answer = await proxy.ask(
        b"POST /api/auth/login/ HTTP/1.1\r\nHost: " + host + b"\r\nConnection: close\r\n"
        b"Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
    )
    pair = json.loads(answer.partition(b"\r\n\r\n")[2])
    return Client(proxy, pair["access"], pair["refresh"])


async def test_what_other_hosts_call_the_same_is_another_user(tmp_path: Path) -> None:
    settings = {
        "SESSIONS__PER_USER": "1",
        "SESSIONS__HOSTS": "[app.example.com, ws.example.com]",
    }
    async with authority() as server, proxied(server, tmp_path, **settings) as proxy:
        first = await logged_in(proxy, server)
        for host in (b"shop.example.com", b"Shop.example.com:8080"):
            await logged_in_at(proxy, host)
            await settled(proxy)
        assert await proxy.metric(EVICTED) == 1, "the first of the shop's"
        assert await first.get() == 200
        await logged_in_at(proxy, b"ws.example.com")
        await settled(proxy)
        assert await proxy.metric(EVICTED) == 2
        assert await first.get() == 401


async def test_without_a_bound_nobody_is_ended(tmp_path: Path) -> None:
    async with authority() as server, proxied(server, tmp_path, SESSIONS__PER_USER="null") as proxy:
        clients = [await logged_in(proxy, server) for _ in range(3)]
        await settled(proxy)
        assert [await each.get() for each in clients] == [200] * 3


async def test_a_bound_that_cannot_be_enforced_now_is_at_the_next_login(tmp_path: Path) -> None:
    async with authority() as server, proxied(server, tmp_path, SESSIONS__PER_USER="1") as proxy:
        first = await logged_in(proxy, server)
        with SqliteStorage(tmp_path).away():
            await logged_in(proxy, server)  # Kept in memory.
            await settled(proxy)
        async with asyncio.timeout(PATIENCE):
            while await proxy.metric("segue_sessions_unsaved"):  # noqa: ASYNC110 (it tells nobody)
                await asyncio.sleep(0.05)
        assert await first.get() == 200
        third = await logged_in(proxy, server)
        await settled(proxy)
        assert await proxy.metric(EVICTED) == 2
        assert (await first.get(), await third.get()) == (401, 200)


async def test_logins_and_logouts_of_one_user_keep_no_other_from_a_session(tmp_path: Path) -> None:
    async with authority() as server, proxied(server, tmp_path, STORE__SESSIONS="5") as proxy:
        clients = []
        for _ in range(50):
            clients.append(await logged_in(proxy, server))
            assert (await clients[-1].send("POST", LOGOUT, b"{}"))[0] == 205
        opened = await proxy.metric("segue_session_captures_total", result="opened")
        other = await logged_in(proxy, server, "8")
        assert await proxy.metric("segue_session_captures_total", result="opened") == opened + 1
        assert await proxy.metric("segue_session_captures_total", result="refused") == 0
        server.revoked.add(other.access)
        assert await other.get() == 200, "it is renewed"
        assert (await clients[-1].exchange())[0] == 401, "the latest logout is known"


async def test_a_store_that_fills_up_is_told_before_it_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maintenance, "_ASK", 0.05)
    async with authority() as server, proxied(server, tmp_path, STORE__SESSIONS="10") as proxy:
        clients = [await logged_in(proxy, server, f"{number}") for number in range(9)]
        await until(proxy, lambda log: '"the session store is filling up"' in log)
        assert await proxy.metric("segue_sessions_capacity") == 10
        assert await proxy.metric("segue_sessions_open") == 9
        await logged_in(proxy, server, "10")
        assert await proxy.metric("segue_session_captures_total", result="refused") == 0
        for client in clients[:2]:
            assert (await client.send("POST", LOGOUT, b"{}"))[0] == 205
        await until(proxy, lambda log: '"the session store has room again"' in log)
        assert proxy.log.getvalue().count("filling up") == 1
