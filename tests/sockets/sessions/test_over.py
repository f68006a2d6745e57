"""Sessions that are over by their age or idleness: Segue renews them no more, the server judges."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from tests.support.authority import (
    TOKEN_ERROR,
    Authority,
    Client,
    Received,
    authority,
    proxied,
    refreshes,
    response,
)
from tests.support.rig import RawPeer
from tests.support.sockets import handshake

LOGOUT = "/api/auth/logout/"
REFRESH = "/api/auth/token/refresh/"
SHORT = 0.3
OVER = [{"SESSIONS__IDLE": "300ms"}, {"SESSIONS__LIFETIME": "300ms"}]


@pytest.mark.parametrize("settings", OVER, ids=["idle", "lifetime"])
async def test_a_clients_own_refresh_of_a_session_that_is_over_is_judged_by_the_server(
    tmp_path: Path, settings: dict[str, str]
) -> None:
    async with authority(access=SHORT) as server:
        async with proxied(server, tmp_path, **settings) as proxy:
            client = Client(proxy)
            await client.log_in()
            await asyncio.sleep(SHORT)
            # Nothing is renewed without the client's asking for it.
            status, _, body = await client.send("GET", "/api/jobs/")
            assert (status, json.loads(body)) == (401, TOKEN_ERROR)
            assert server.presented() == []
            status, pair = await client.exchange()
            assert status == 200
            assert server.presented() == [client.refresh]
            assert await refreshes(proxy) == {("client", "renewed"): 1}
        # It is a session that goes on: with settings under which it is none that is over.
        async with proxied(server, tmp_path) as again:
            client = Client(again, pair["access"], pair["refresh"])
            status, latest = await client.exchange()
            assert status == 200
            client.access = latest["access"]
            server.access = 3600
            await asyncio.sleep(SHORT)
            assert await client.get() == 200
            assert server.presented()[1:] == [pair["refresh"], latest["refresh"]]


@pytest.mark.parametrize("settings", OVER, ids=["idle", "lifetime"])
async def test_what_the_server_refuses_of_a_session_that_is_over_is_told_to_its_client(
    tmp_path: Path, settings: dict[str, str]
) -> None:
    async def refuse(_: Authority, __: RawPeer, ___: Received) -> bytes | None:
        return response(401, b'{"detail": "So long"}')

    async with (
        authority(access=SHORT, answers={REFRESH: refuse}) as server,
        proxied(server, tmp_path, **settings) as proxy,
    ):
        client = Client(proxy)
        await client.log_in()
        await asyncio.sleep(SHORT)
        for number in (1, 2):
            assert await client.exchange() == (401, {"detail": "So long"})
            assert len(server.presented()) == number


@pytest.mark.parametrize("settings", OVER, ids=["idle", "lifetime"])
async def test_a_logout_of_a_session_that_is_over_is_one(
    tmp_path: Path, settings: dict[str, str]
) -> None:
    async with authority(access=SHORT) as server:
        async with proxied(server, tmp_path, **settings) as proxy:
            client = Client(proxy)
            await client.log_in()
            await asyncio.sleep(SHORT)
            server.access = 3600
            body = json.dumps({"refresh": client.refresh}).encode()
            assert (await client.send("POST", LOGOUT, body))[0] == 205
            (asked,) = server.at(LOGOUT)
            assert json.loads(asked.body)["refresh"] in server.spent - {client.refresh}
            # An end that somebody meant stays one.
            assert (await client.exchange())[0] == 401
        async with proxied(server, tmp_path) as again:
            client.proxy = again
            assert (await client.exchange())[0] == 401
        assert len(server.presented()) == 1


async def test_a_refresh_token_that_has_ended_by_its_own_time_is_judged_by_the_server(
    tmp_path: Path,
) -> None:
    async with authority(refresh=SHORT) as server, proxied(server, tmp_path) as proxy:
        client = Client(proxy)
        await client.log_in()
        await asyncio.sleep(SHORT)
        assert await client.exchange() == (401, TOKEN_ERROR)
        assert server.presented() == [client.refresh]


async def test_an_open_websocket_renews_no_session_that_is_over(tmp_path: Path) -> None:
    async with (
        authority(refresh=SHORT) as server,
        proxied(server, tmp_path, SESSIONS__LIFETIME="200ms") as proxy,
    ):
        client = Client(proxy)
        await client.log_in()
        async with proxy.client() as peer:
            await peer.send(handshake(f"/ws/jobs/?token={client.access}".encode()))
            assert (await peer.read_head()).startswith(b"HTTP/1.1 101")
            await asyncio.sleep(SHORT)
            sessions = proxy.server._data.sessions
            assert sessions is not None
            for _ in range(2):  # Rounds of the maintenance, whole.
                sessions._maintenance.tick()
                running = sessions._maintenance._round
                assert running is not None
                await running
            assert server.presented() == []
            assert await client.exchange() == (401, TOKEN_ERROR)
