"""Refreshes that come to nothing: the server away, silent or strange, the store, and time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from aiohttp import web

from proxy.sessions import presenting
from proxy.sessions.refresh_call import MAX_ANSWER
from tests.support.authority import (
    Authority,
    Client,
    Gate,
    Received,
    authority,
    proxied,
    refreshes,
    response,
)
from tests.support.issuer import LOGIN, Issuer, Seen, browser, in_front, issuing
from tests.support.rig import RawPeer, Segue
from tests.support.sockets import fields_of
from tests.support.storages import store_at
from tests.support.waiting import PATIENCE

LOGOUT = "/api/auth/logout/"
REFRESH = "/api/auth/token/refresh/"
SHORT = 0.3


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Failures are forgotten quickly."""
    monkeypatch.setattr(presenting, "_FIRST_PAUSE", 0.05)
    monkeypatch.setattr(presenting, "_UNKNOWN_PAUSE", 0.05)
    monkeypatch.setattr(presenting, "_SECOND_LOOKS", (0.0, 0.01, 0.01, 0.01))


async def logged_in(proxy: Segue) -> Client:
    client = Client(proxy)
    await client.log_in()
    return client


async def lose(_: Authority, __: RawPeer, ___: Received) -> bytes | None:
    return None


async def test_a_server_that_is_away_is_sent_nothing_and_costs_no_try(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        running = AsyncExitStack()
        server = await running.enter_async_context(authority())
        proxy = await stack.enter_async_context(proxied(server, tmp_path))
        client = await logged_in(proxy)
        await running.aclose()
        for _ in range(3):
            assert (await client.exchange())[0] == 503
        assert await refreshes(proxy) == {("client", "unavailable"): 3}
        store = store_at(f"sqlite:{tmp_path / 'sessions.sqlite3'}")
        (record,) = (await store.sessions(user=None, after="", limit=1)).records
        await store.close()
        assert record.attempt is None
        assert server.presented() == []


async def test_an_answer_that_is_too_large_is_asked_for_once(tmp_path: Path) -> None:
    """Its tokens may stand in cookies, which come before what is too large."""

    class Talkative(Issuer):
        def refresh_of(self, seen: Seen) -> str:
            return seen.cookies["rt"]

        def answer(self, pair: Mapping[str, str]) -> web.Response:
            much = b"x" * (MAX_ANSWER + 1) if self.issued > 1 else b"{}"
            told = web.Response(body=much, content_type="text/html")
            told.set_cookie("at", pair["access"])
            told.set_cookie("rt", pair["refresh"])
            return told

    issuer, places = Talkative(), "{cookies: {access: at, refresh: rt}}"
    async with (
        issuing(issuer),
        in_front(issuer, tmp_path, places) as proxy,
        browser(proxy) as client,
    ):
        async with client.post(LOGIN, json={}) as answer:
            assert answer.status == 200
        async with client.post(REFRESH) as answer:
            assert answer.status == 503
        assert len(issuer.at(REFRESH)) == 1


async def test_a_refusal_that_is_too_large_is_one(tmp_path: Path) -> None:
    async def refuse(_: Authority, __: RawPeer, ___: Received) -> bytes | None:
        return response(401, b" " * (MAX_ANSWER + 1))

    async with authority(answers={REFRESH: refuse}) as server, proxied(server, tmp_path) as proxy:
        client = await logged_in(proxy)
        status, said = await client.exchange()
        assert (status, said["code"]) == (401, "token_not_valid")
        assert server.presented() == [client.refresh]
        server.answers.clear()
        assert (await client.exchange())[0] == 200, "it may still go on"


@pytest.mark.usefixtures("soon")
async def test_an_own_refresh_whose_answers_were_lost_ends_with_the_access_token(
    tmp_path: Path,
) -> None:
    async with authority(access=3.0, answers={REFRESH: lose}) as server:
        async with proxied(server, tmp_path) as proxy:
            client = await logged_in(proxy)
            begun = asyncio.get_running_loop().time()
            for _ in range(3):
                assert (await client.exchange())[0] == 503
                await asyncio.sleep(0.06)
            # Nobody knows whether it was taken: it is not presented a third time.
            assert server.presented() == [client.refresh] * 2
            await asyncio.sleep(max(begun + 3.0 - asyncio.get_running_loop().time(), 0))
            async with asyncio.timeout(PATIENCE):
                while (answer := await client.exchange())[0] == 503:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
            assert (answer[0], answer[1]["code"]) == (401, "token_not_valid")
            assert server.presented() == [client.refresh] * 2


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 101 Odd\r\nUpgrade: x\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Le", b"no"]
)
async def test_what_is_no_answer_is_none(tmp_path: Path, answer: bytes) -> None:
    async def odd(_: Authority, peer: RawPeer, __: Received) -> bytes | None:
        await peer.send(answer)
        return None

    async with authority(answers={REFRESH: odd}) as server, proxied(server, tmp_path) as proxy:
        client = await logged_in(proxy)
        assert (await client.exchange())[0] == 503
        assert await refreshes(proxy) == {("client", "unknown"): 1}


async def test_a_server_that_says_nothing_is_not_waited_for(tmp_path: Path) -> None:
    gate = Gate()
    async with (
        authority(answers={REFRESH: gate}) as server,
        proxied(server, tmp_path, SESSIONS__TIMEOUT="100ms") as proxy,
    ):
        client = await logged_in(proxy)
        assert (await client.exchange())[0] == 503
        assert await refreshes(proxy) == {("client", "unknown"): 1}
        gate.open.set()


async def test_who_does_not_wait_for_it_leaves_the_answer_to_the_next(tmp_path: Path) -> None:
    async def slow(server: Authority, peer: RawPeer, received: Received) -> bytes | None:
        answer = await gate(server, peer, received)
        assert answer is not None
        return response(200, answer.partition(b"\r\n\r\n")[2], b"Set-Cookie: seen=1")

    gate = Gate()
    async with authority(answers={REFRESH: slow}) as server:
        async with proxied(server, tmp_path, SESSIONS__WAIT="200ms") as proxy:
            client = await logged_in(proxy)
            assert (await client.exchange())[0] == 503
            gate.open.set()
            body = json.dumps({"refresh": client.refresh}).encode()
            async with asyncio.timeout(PATIENCE):
                while (answer := await client.send("POST", REFRESH, body))[0] == 503:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
            assert answer[0] == 200
            assert fields_of(answer[1], b"set-cookie") == [b"seen=1"]
            assert server.presented() == [client.refresh]


async def test_a_fault_of_segues_own_is_an_answer_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> None:
        raise RuntimeError(f"with a secret: {client.refresh}")

    async with authority() as server, proxied(server, tmp_path) as proxy:
        client = await logged_in(proxy)
        monkeypatch.setattr(presenting, "present", fail)
        assert (await client.exchange())[0] == 503
        assert '"kind": "RuntimeError"' in proxy.log.getvalue()
        assert client.refresh not in proxy.log.getvalue()


async def test_a_session_that_ends_while_its_lease_is_waited_for_is_not_renewed(
    tmp_path: Path,
) -> None:
    async with (
        authority() as server,
        proxied(server, tmp_path) as one,
        proxied(server, tmp_path) as other,
    ):
        client = await logged_in(one)
        store = store_at(f"sqlite:{tmp_path / 'sessions.sqlite3'}")
        (record,) = (await store.sessions(user=None, after="", limit=1)).records
        assert await store.acquire(record.session, "somebody", 60.0) is not None
        asked = asyncio.create_task(client.exchange())
        async with asyncio.timeout(PATIENCE):
            while not await one.metric("segue_session_lease_waits_total"):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        sessions = other.server._data.sessions
        assert sessions is not None
        assert await sessions.administration.end(record.session, "anna")
        await store.release(record.session, "somebody")
        await store.close()
        status, said = await asked
        assert (status, said["code"]) == (401, "token_not_valid")
        assert server.presented() == []


async def test_a_refresh_token_that_ended_before_it_was_used_leads_nowhere(tmp_path: Path) -> None:
    """Segue has renewed it since; without Segue it would be as dead."""
    async with authority(access=SHORT, refresh=1.5) as server:
        async with proxied(server, tmp_path) as proxy:
            client = await logged_in(proxy)
            await asyncio.sleep(SHORT)
            server.access = server.refresh = 3600
            assert await client.get() == 200
            await asyncio.sleep(1.5)
            assert (await client.exchange())[0] == 401
            assert len(server.presented()) == 1
            # And a logout with it is one by the access token that comes along.
            body = json.dumps({"refresh": client.refresh}).encode()
            assert (await client.send("POST", LOGOUT, body))[0] == 205
            assert await client.get() == 401


async def test_a_logout_with_what_is_no_token_is_one_by_the_access_token(tmp_path: Path) -> None:
    async with authority() as server, proxied(server, tmp_path) as proxy:
        client = await logged_in(proxy)
        assert (await client.send("POST", LOGOUT, b'{"refresh": "opaque"}'))[0] == 205
        assert json.loads(server.at(LOGOUT)[0].body)["refresh"] == client.refresh
        assert await client.get() == 401
