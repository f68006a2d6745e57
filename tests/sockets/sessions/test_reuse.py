"""Refresh tokens that come back though their client has used newer ones: somebody has a copy."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from proxy.sessions import rules
from tests.support.authority import Authority, Client, authority, proxied
from tests.support.rig import Segue, status_of
from tests.support.sockets import Socket, fields_of, handshake

LOGOUT = "/api/auth/logout/"


async def logged_in(proxy: Segue) -> Client:
    client = Client(proxy)
    await client.log_in()
    return client


async def superseded(proxy: Segue) -> tuple[Client, Client]:
    """A client with tokens that were superseded by those of another one."""
    old = await logged_in(proxy)
    status, pair = await old.exchange()
    assert status == 200
    new = Client(proxy, pair["access"], pair["refresh"], old.fields)
    assert await new.get() == 200
    return old, new


async def test_a_superseded_refresh_token_that_comes_back_ends_the_session(tmp_path: Path) -> None:
    async with (
        authority() as server,
        proxied(server, tmp_path, SESSIONS__REPLAY_WINDOW="0") as proxy,
    ):
        old, new = await superseded(proxy)
        presented = server.presented()
        async with proxy.client() as peer:
            await peer.send(handshake(f"/ws/1/?token={new.access}".encode()))
            assert status_of(await peer.read_head()) == 101
            assert (await old.exchange())[0] == 401
            assert await Socket(peer, is_client=True).close_frame() == (1008, "session ended")
        # Whoever of the two is the thief.
        assert await new.get() == 401
        assert (await new.exchange())[0] == 401
        assert server.presented() == presented
        assert await proxy.metric("segue_session_reuses_total") == 1
        lines = [json.loads(line) for line in proxy.log.getvalue().splitlines()]
        (line,) = [line for line in lines if line["event"] == "refresh token reused"]
        assert (line["level"], line["user"], len(line["session"])) == ("warning", "7", 32)
        assert old.refresh not in proxy.log.getvalue()


async def test_a_superseded_refresh_token_that_is_to_log_out_is_one_that_comes_back(
    tmp_path: Path,
) -> None:
    async with (
        authority() as server,
        proxied(server, tmp_path, SESSIONS__REPLAY_WINDOW="0") as proxy,
    ):
        old, new = await superseded(proxy)
        body = json.dumps({"refresh": old.refresh}).encode()
        assert (await old.send("POST", LOGOUT, body, access=""))[0] == 401
        assert server.at(LOGOUT) == []
        assert await new.get() == 401
        assert await proxy.metric("segue_session_reuses_total") == 1


@pytest.mark.parametrize("restarts", [False, True])
async def test_however_often_a_thief_has_refreshed_the_owners_token_is_known(
    tmp_path: Path, restarts: bool
) -> None:
    settings = {"SESSIONS__REPLAY_WINDOW": "0"}
    async with authority() as server:
        async with proxied(server, tmp_path, **settings) as proxy:
            owner = await logged_in(proxy)
            thief = Client(proxy, owner.access, owner.refresh)
            older = await often(thief, 40)
            if not restarts:
                await comes_back(server, owner, thief, older)
        if restarts:
            async with proxied(server, tmp_path, **settings) as proxy:
                owner.proxy = thief.proxy = proxy
                for each in older:
                    each.proxy = proxy
                await comes_back(server, owner, thief, older)


async def often(client: Client, times: int) -> list[Client]:
    """Have a client refresh by itself; who holds what it held in between."""
    older = []
    for _ in range(times):
        older.append(Client(client.proxy, client.access, client.refresh))
        status, pair = await client.exchange()
        assert status == 200
        client.access, client.refresh = pair["access"], pair["refresh"]
    return older


async def comes_back(server: Authority, owner: Client, thief: Client, older: list[Client]) -> None:
    presented = len(server.presented())
    server.spent.clear()  # It keeps no list of them, and would take all of them.
    assert (await owner.exchange())[0] == 401
    # The end is one for every token that was ever given, whoever has it.
    for each in (thief, owner, *older[::7], older[-1]):
        assert (await each.exchange())[0] == 401
        assert await each.get() == 401
    assert (len(server.presented()), server.at("/api/jobs/")) == (presented, [])
    assert await owner.proxy.metric("segue_session_reuses_total") == 1


async def test_a_logout_is_one_for_every_token_that_was_ever_given(tmp_path: Path) -> None:
    async with authority() as server, proxied(server, tmp_path) as proxy:
        client = await logged_in(proxy)
        older = await often(client, 20)
        body = json.dumps({"refresh": client.refresh}).encode()
        assert (await client.send("POST", LOGOUT, body))[0] == 205
        server.spent.clear()
        reached = len(server.received)
        for each in older:
            assert await each.get() == 401
            assert (await each.exchange())[0] == 401
        assert len(server.received) == reached


async def test_a_session_with_no_room_for_more_refreshes_ends_for_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rules, "MAX_PAST", 60)
    async with authority() as server, proxied(server, tmp_path) as proxy:
        owner = await logged_in(proxy)
        thief = Client(proxy, owner.access, owner.refresh)
        status = 200
        for _ in range(60):
            status, pair = await thief.exchange()
            if status != 200:
                break
            thief.access, thief.refresh = pair["access"], pair["refresh"]
        assert status == 401
        presented = server.presented()
        assert len(presented) == 29, "two tokens each, and it would be one too many"
        assert await thief.get() == 401
        assert await owner.get() == 401
        assert (await owner.exchange())[0] == 401
        assert server.presented() == presented
        lines = [json.loads(line) for line in proxy.log.getvalue().splitlines()]
        (line,) = [line for line in lines if line["event"] == "session ended"]
        assert (line["level"], line["reason"]) == ("warning", "refreshes")


async def test_a_refresh_token_that_comes_back_within_the_replay_window_ends_nothing(
    tmp_path: Path,
) -> None:
    async with authority() as server, proxied(server, tmp_path) as proxy:
        old, new = await superseded(proxy)
        assert (await old.exchange())[0] == 200
        assert await new.get() == 200


async def test_no_refresh_token_that_comes_back_ends_a_session_where_that_is_set(
    tmp_path: Path,
) -> None:
    settings = {"SESSIONS__REPLAY_WINDOW": "0", "SESSIONS__REUSE_DETECTION": "false"}
    async with authority() as server, proxied(server, tmp_path, **settings) as proxy:
        old, new = await superseded(proxy)
        assert (await old.exchange())[0] == 401
        assert await new.get() == 200
        assert await proxy.metric("segue_session_reuses_total") == 0


async def test_a_client_that_got_no_newer_refresh_token_may_go_on_with_the_one_it_has(
    tmp_path: Path,
) -> None:
    """The server has taken it long ago, for Segue; but its client knows of no other one."""
    async with (
        authority() as server,
        proxied(server, tmp_path, SESSIONS__REPLAY_WINDOW="0") as proxy,
    ):
        client = await logged_in(proxy)
        for _ in range(3):
            assert (await client.exchange())[0] == 200  # Its answers are lost.
            assert await client.get() == 200
        assert client.refresh in server.spent
        assert await proxy.metric("segue_session_reuses_total") == 0


async def test_with_a_cookie_binding_a_refresh_token_alone_is_no_reason_to_end_a_session(
    tmp_path: Path,
) -> None:
    settings = {"SESSIONS__REPLAY_WINDOW": "0", "SESSIONS__BINDING": "cookie"}
    async with authority() as server, proxied(server, tmp_path, **settings) as proxy:
        owner = Client(proxy)
        (cookie,) = fields_of(await owner.log_in(), b"set-cookie")
        owner.fields = (b"Cookie: " + cookie.split(b";")[0],)
        _, pair = await owner.exchange()
        new = Client(proxy, pair["access"], pair["refresh"], owner.fields)
        assert await new.get() == 200
        assert (await Client(proxy, refresh=owner.refresh).exchange())[0] == 401
        assert await new.get() == 200
        assert (await owner.exchange())[0] == 401
        assert await new.get() == 401
