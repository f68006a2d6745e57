"""Two processes that share a store: whatever they are asked at once, each token is spent once."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest
import pytest_asyncio

from tests.backend import Account, Backend, register
from tests.integration.conftest import running
from tests.integration.fleet import crowd, ended, exchange, me, processes, settings
from tests.integration.hops import ServerHop, server_hop
from tests.operations.process import Process
from tests.store.storages import RedisServer, SqliteStorage

CROWD: Final = {"redis": 1000, "sqlite": 150}
"""Requests at once; all of them reach the server, which is what takes the time."""


@dataclass(frozen=True, slots=True)
class Servers:
    """One server in two processes: tokens live for a second at the one, for an hour at the other.

    A crowd takes longer to be served than tokens live that tests can wait for the end of.
    """

    brief: Backend
    steady: Backend


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    state_dir = tmp_path_factory.mktemp("fleet-server")
    with (
        running(Backend(state_dir, access_lifetime=1)) as brief,
        running(Backend(state_dir)) as steady,
    ):
        yield Servers(brief, steady)


@pytest_asyncio.fixture
async def hop(servers: Servers) -> AsyncIterator[ServerHop]:
    async with server_hop(servers.brief.url) as between:
        yield between


@pytest.fixture(params=["redis", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, int]:
    """The URL of a store, and how large the crowd is in front of it."""
    if request.param == "sqlite":
        address = SqliteStorage(tmp_path).address
    else:
        server = request.getfixturevalue("redis_server")
        assert isinstance(server, RedisServer)
        address = server.address
    return address, CROWD[request.param]


async def expired(hop: ServerHop, servers: Servers, process: Process) -> Account:
    """A user whose access token has ended; those that are issued from here on live long."""
    async with aiohttp.ClientSession() as http:
        account = await register(http, f"http://{process.address}")
    hop.server = servers.steady.url
    await ended(account.access)
    return account


async def refreshed(fleet: list[Process]) -> float:
    each = [
        await process.total("segue_session_refreshes_total", result="renewed") for process in fleet
    ]
    return sum(each)


async def test_a_thousand_requests_with_one_expired_token_cause_one_refresh(
    hop: ServerHop, servers: Servers, store: tuple[str, int]
) -> None:
    address, requests = store
    async with processes(2, settings(hop.url, address)) as fleet, crowd() as http:
        account = await expired(hop, servers, fleet[0])
        statuses = await asyncio.gather(
            *(me(http, fleet[number % 2], account.access) for number in range(requests))
        )
        assert Counter(statuses) == {200: requests}
        assert hop.presentations(account.refresh) == [200]
        assert len(hop.presented) == 1
        assert not hop.refused
        assert await refreshed(fleet) == 1


async def test_nobody_is_logged_out_where_clients_refresh_by_themselves_meanwhile(
    hop: ServerHop, servers: Servers, store: tuple[str, int]
) -> None:
    address = store[0]
    async with processes(2, settings(hop.url, address)) as fleet, crowd() as http:
        account = await expired(hop, servers, fleet[0])

        async def rush(access: str, refresh: str) -> dict[str, Any]:
            """Some use what they have, others exchange it, all at once; what these are given."""
            statuses, exchanged = await asyncio.gather(
                asyncio.gather(*(me(http, fleet[number % 2], access) for number in range(60))),
                asyncio.gather(
                    *(exchange(http, fleet[number % 2], refresh) for number in range(20))
                ),
            )
            assert Counter(statuses) == {200: 60}
            assert {status for status, _ in exchanged} == {200}
            given: dict[str, Any] = exchanged[0][1]
            assert all(pair == given for _, pair in exchanged)
            return given

        second = await rush(account.access, account.refresh)
        third = await rush(second["access"], second["refresh"])
        # Those who come late, with what was spent long ago, are not told to log out either.
        late = await rush(third["access"], account.refresh)
        assert late == third
        assert [each.token for each in hop.presented] == [account.refresh, second["refresh"]]
        assert not hop.refused
        assert await refreshed(fleet) == 2
