"""What the server refuses is no end: it may take its client's own refresh, and the session goes on.

What somebody has ended stays ended, also where the server had refused it before.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from proxy.sessions.record import Record
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
from tests.support.rig import RawPeer, Segue, status_of
from tests.support.sockets import Socket, fields_of, handshake
from tests.support.storages import store_at
from tests.support.waiting import PATIENCE

LOGOUT = "/api/auth/logout/"
REFRESH = "/api/auth/token/refresh/"
SHORT = 0.3
CSRF = b"X-CSRF-Token: good"


async def guarded(server: Authority, _: RawPeer, received: Received) -> bytes | None:
    """Refreshes for nobody without the token that other sites' pages do not have."""
    if fields_of(received.head, b"x-csrf-token") != [b"good"]:
        return response(401, b'{"error": "invalid_client"}')
    return server.usual(received)


def asking(refresh: str) -> bytes:
    return json.dumps({"refresh": refresh}).encode()


async def logged_in(proxy: Segue) -> Client:
    client = Client(proxy)
    await client.log_in()
    return client


async def stored(directory: Path, token: str, proxy: Segue) -> Record:
    """The record that a token leads to."""
    assert proxy.server._data.sessions is not None
    digest = proxy.server._data.sessions._repository.sealer.digest(token)
    store = store_at(f"sqlite:{directory / 'sessions.sqlite3'}")
    record = await store.find(digest)
    await store.close()
    assert record is not None
    return record


@pytest.mark.parametrize("restarts", [False, True])
async def test_a_refresh_that_was_refused_for_what_came_with_it_logs_nobody_out(
    tmp_path: Path, restarts: bool
) -> None:
    """A page of another site has the browser send one, and that has no CSRF token."""
    async with authority(answers={REFRESH: guarded}) as server:
        async with proxied(server, tmp_path) as proxy:
            client = await logged_in(proxy)
            status, _, body = await client.send("POST", REFRESH, asking(client.refresh))
            assert (status, body) == (401, b'{"error": "invalid_client"}')
            before = await stored(tmp_path, client.refresh, proxy)
            assert (before.ended, before.refused is None) == (None, False)
            if not restarts:
                await goes_on(server, client, tmp_path)
        if restarts:
            async with proxied(server, tmp_path) as proxy:
                client.proxy = proxy
                await goes_on(server, client, tmp_path)


async def goes_on(server: Authority, client: Client, directory: Path) -> None:
    before = await stored(directory, client.refresh, client.proxy)
    server.access = SHORT
    status, _, body = await client.send("POST", REFRESH, asking(client.refresh), CSRF)
    assert status == 200
    assert server.presented() == [client.refresh] * 2
    pair = json.loads(body)
    after = await stored(directory, pair["refresh"], client.proxy)
    assert (after.session, after.closed) == (before.session, None), "it is the same session"
    client.access, client.refresh = pair["access"], pair["refresh"]
    # And Segue renews it again.
    server.answers.clear()
    await asyncio.sleep(SHORT)
    server.access = 3600
    assert await client.get() == 200
    assert server.presented()[-1] == client.refresh


async def test_it_goes_on_with_the_token_that_is_current_and_not_with_a_spent_one(
    tmp_path: Path,
) -> None:
    """Segue has renewed what the client holds, and then was refused for what it did not send."""
    async with authority(access=SHORT) as server, proxied(server, tmp_path) as proxy:
        client = await logged_in(proxy)
        await asyncio.sleep(SHORT)
        assert await client.get() == 200
        assert server.presented() == [client.refresh]
        server.answers[REFRESH] = guarded
        await asyncio.sleep(SHORT)
        assert [await client.get() for _ in range(2)] == [401] * 2
        assert len(server.presented()) == 2, "Segue asks once"
        server.access = 3600
        status, _, body = await client.send("POST", REFRESH, asking(client.refresh), CSRF)
        assert status == 200
        assert server.presented()[1] == server.presented()[2] != client.refresh
        client.access = json.loads(body)["access"]
        assert await client.get() == 200
        assert await refreshes(proxy) == {
            ("expiry", "renewed"): 1,
            ("expiry", "refused"): 1,
            ("client", "renewed"): 1,
        }


async def test_of_many_who_ask_again_at_once_one_reaches_the_server(tmp_path: Path) -> None:
    gate = Gate()
    async with authority(answers={REFRESH: guarded}) as server, proxied(server, tmp_path) as proxy:
        client = await logged_in(proxy)
        assert (await client.exchange())[0] == 401
        server.answers[REFRESH] = gate
        asked = [asyncio.create_task(client.exchange()) for _ in range(6)]
        await gate.reached.wait()
        async with asyncio.timeout(PATIENCE):
            while await proxy.metric("segue_session_waiters_total") < 5:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        gate.open.set()
        answers = await asyncio.gather(*asked)
        assert [status for status, _ in answers] == [200] * 6
        assert len({pair["refresh"] for _, pair in answers}) == 1
        assert len(server.presented()) == 2


async def test_a_websocket_stays_open_where_the_server_refuses_and_is_renewed_later(
    tmp_path: Path,
) -> None:
    async with authority(answers={REFRESH: guarded}) as server, proxied(server, tmp_path) as proxy:
        client = await logged_in(proxy)
        async with proxy.client() as peer:
            await peer.send(handshake(f"/ws/1/?token={client.access}".encode()))
            assert status_of(await peer.read_head()) == 101
            assert (await client.exchange())[0] == 401
            status, _, body = await client.send("POST", REFRESH, asking(client.refresh), CSRF)
            assert status == 200
            # It is the WebSocket of the session still: that one's end is its own.
            pair = json.loads(body)
            again = Client(proxy, pair["access"], pair["refresh"])
            assert (await again.send("POST", LOGOUT, asking(again.refresh)))[0] == 205
            assert await Socket(peer, is_client=True).close_frame() == (1008, "session ended")


async def ended_by_logout(server: Authority, proxy: Segue, client: Client) -> None:
    del proxy
    assert (await client.send("POST", LOGOUT, asking(client.refresh)))[0] == 205
    server.spent.clear()  # It keeps no list.


async def ended_by_operator(server: Authority, proxy: Segue, client: Client) -> None:
    del server
    sessions = proxy.server._data.sessions
    assert sessions is not None
    token = sessions._repository.read_token(client.refresh)
    assert token is not None
    found = await sessions._repository.find(*token.digests)
    assert found is not None
    assert await sessions.administration.end(found.record.session, "anna")


async def ended_by_reuse(server: Authority, proxy: Segue, client: Client) -> None:
    del server, proxy
    status, _, body = await client.send("POST", REFRESH, asking(client.refresh), CSRF)
    assert status == 200
    new = Client(client.proxy, json.loads(body)["access"], json.loads(body)["refresh"])
    assert await new.get() == 200
    assert (await client.exchange())[0] == 401


@pytest.mark.parametrize("was_refused", [False, True])
@pytest.mark.parametrize("end", [ended_by_logout, ended_by_operator, ended_by_reuse])
async def test_what_somebody_has_ended_stays_ended(
    tmp_path: Path, end: object, was_refused: bool
) -> None:
    async with authority(answers={REFRESH: guarded}) as server:
        settings = {"SESSIONS__REPLAY_WINDOW": "0"}
        async with proxied(server, tmp_path, **settings) as proxy:
            client = await logged_in(proxy)
            if was_refused:
                assert (await client.exchange())[0] == 401
                assert len(server.presented()) == 1
            assert callable(end)
            await end(server, proxy, client)
            presented = len(server.presented())
            for field in (CSRF, b"X-A: b"):
                status, _, _ = await client.send("POST", REFRESH, asking(client.refresh), field)
                assert status == 401
            assert len(server.presented()) == presented
            assert await client.get() == 401
            assert await proxy.metric("segue_sessions_unsaved") == 0
        async with proxied(server, tmp_path, **settings) as again:
            client.proxy = again
            status, _, _ = await client.send("POST", REFRESH, asking(client.refresh), CSRF)
            assert status == 401
            assert len(server.presented()) == presented


async def test_a_logout_of_a_session_that_was_refused_ends_it_with_the_current_tokens(
    tmp_path: Path,
) -> None:
    """Its access token has ended, and the server takes the logout for its refresh token alone."""

    async def lenient(server: Authority, _: RawPeer, received: Received) -> bytes | None:
        server.spent.add(json.loads(received.body)["refresh"])
        return response(205)

    async with authority(access=SHORT, answers={REFRESH: guarded, LOGOUT: lenient}) as server:
        async with proxied(server, tmp_path) as proxy:
            client = await logged_in(proxy)
            assert (await client.exchange())[0] == 401
            await asyncio.sleep(SHORT)
            assert (await client.send("POST", LOGOUT, asking(client.refresh)))[0] == 205
            assert len(server.presented()) == 1, "Segue does not ask again by itself"
            record = await stored(tmp_path, client.refresh, proxy)
            assert record.ended is not None
            status, _, _ = await client.send("POST", REFRESH, asking(client.refresh), CSRF)
            assert status == 401
            assert len(server.presented()) == 1


async def test_what_was_refused_takes_no_open_sessions_place(tmp_path: Path) -> None:
    settings = {"STORE__SESSIONS": "2", "SESSIONS__PER_USER": "null"}
    async with (
        authority(answers={REFRESH: guarded}) as server,
        proxied(server, tmp_path, **settings) as proxy,
    ):
        for number in range(5):
            server.user = str(number)
            assert (await (await logged_in(proxy)).exchange())[0] == 401
        client = await logged_in(proxy)
        assert await proxy.metric("segue_session_captures_total", result="opened") == 6
        assert await proxy.metric("segue_session_captures_total", result="refused") == 0
        status, _, _ = await client.send("POST", REFRESH, asking(client.refresh), CSRF)
        assert status == 200
