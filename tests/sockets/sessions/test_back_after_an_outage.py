"""Refreshes that failed in an outage are tried again as soon as the server is heard of."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from proxy.sessions.clock import Clock
from tests.support.authority import Authority, Client, Received, authority, proxied, response
from tests.support.cut import Wire
from tests.support.rig import RawPeer, Segue
from tests.support.waiting import PATIENCE

REFRESH = "/api/auth/token/refresh/"
LATER = 3600.0
"""The access token has ended by then, and the refresh token has not."""


class Times:
    """The clocks of the sessions of each Segue that starts from here on; one of them stands."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ahead = 0.0
        self.steady = 1000.0
        clock = Clock(lambda: time.time() + self.ahead, lambda: self.steady)
        monkeypatch.setattr("proxy.sessions.opening.SYSTEM_CLOCK", clock)


class Door:
    """Leads to a server while it is open; otherwise connections are refused."""

    def __init__(self, server: Authority) -> None:
        self._wire = Wire(int(server.url.rpartition(":")[2]))
        self._listening: asyncio.Server | None = None
        self.port = 0

    async def open(self) -> None:
        self._listening = await asyncio.start_server(self._wire.carry, "127.0.0.1", self.port)
        self.port = self._listening.sockets[0].getsockname()[1]

    def shut(self) -> None:
        assert self._listening is not None
        self._listening.close()
        with self._wire.cut():
            pass


@asynccontextmanager
async def behind_a_door(tmp_path: Path, **env: str) -> AsyncIterator[tuple[Segue, Door]]:
    async with authority(access=LATER) as server:
        door = Door(server)
        await door.open()
        url, server.url = server.url, f"http://127.0.0.1:{door.port}"
        async with proxied(server, tmp_path, **env) as proxy:
            server.url = url
            yield proxy, door
            door.shut()


async def fail_four_times(client: Client, times: Times) -> None:
    """So often that the pause is 8 seconds; one of them is over."""
    times.ahead = LATER + 1
    for seconds in (1, 2, 4, 1):
        assert await client.get() == 503
        times.steady += seconds


@pytest.mark.parametrize("sign", ["an answer", "a probe"])
async def test_a_server_that_is_heard_of_ends_the_pause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sign: str
) -> None:
    times = Times(monkeypatch)
    probed = {
        "UPSTREAM__HEALTH__PATH": "/healthz",
        "UPSTREAM__HEALTH__STATUS": "[401]",
        "UPSTREAM__HEALTH__INTERVAL": "100ms",
    }
    async with behind_a_door(tmp_path, **(probed if sign == "a probe" else {})) as (proxy, door):
        client = Client(proxy)
        await client.log_in()
        door.shut()
        await fail_four_times(client, times)
        signs = proxy.server._data.fleet.signs
        before = signs.answers
        assert await client.get() == 503
        await door.open()
        if sign == "an answer":
            assert (await client.send("GET", "/api/jobs/", access=""))[0] == 401
        async with asyncio.timeout(PATIENCE):
            while signs.answers == before:  # noqa: ASYNC110 (it tells nobody)
                await asyncio.sleep(0.01)
        assert await client.get() == 200


async def test_a_server_that_cannot_refresh_and_answers_all_else_is_not_pressed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = Times(monkeypatch)

    async def overloaded(_: Authority, __: RawPeer, ___: Received) -> bytes:
        return response(503)

    async with authority(access=LATER, answers={REFRESH: overloaded}) as server:
        async with proxied(server, tmp_path) as proxy:
            client = Client(proxy)
            await client.log_in()
            times.ahead = LATER + 1
            for seconds in (1, 2, 4, 1):
                assert await client.get() == 503
                assert (await client.send("GET", "/api/jobs/", access=""))[0] == 401
                times.steady += seconds
            assert len(server.presented()) == 4
            assert await client.get() == 503
            assert len(server.presented()) == 4
