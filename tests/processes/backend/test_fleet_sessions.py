"""Two processes that share a store: whatever they are asked at once, each token is spent once."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any, Final

import pytest

from tests.support.fleet import Servers, crowd, exchange, expired, me, processes, settings
from tests.support.hops import ServerHop
from tests.support.process import Process
from tests.support.storages import RedisServer, SqliteStorage

CROWD: Final = 1000
"""Requests at once."""

PATIENT: Final = {"SEGUE_SESSIONS__TIMEOUT": "300s", "SEGUE_STORE__TIMEOUT": "60s"}
"""How long server and store need for a crowd is a matter of the machine, too."""


@pytest.fixture(params=["redis", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a store."""
    if request.param == "sqlite":
        return SqliteStorage(tmp_path).address
    server = request.getfixturevalue("redis_server")
    assert isinstance(server, RedisServer)
    return server.address


async def refreshed(fleet: list[Process]) -> float:
    each = [
        await process.total("segue_session_refreshes_total", result="renewed") for process in fleet
    ]
    return sum(each)


async def test_a_thousand_requests_with_one_expired_token_cause_one_refresh(
    hop: ServerHop, servers: Servers, store: str
) -> None:
    async with processes(2, settings(hop.url, store, **PATIENT)) as fleet, crowd() as http:
        (account,) = await expired(hop, servers, fleet[0])
        statuses = await asyncio.gather(
            *(me(http, fleet[number % 2], account.access) for number in range(CROWD))
        )
        assert Counter(statuses) == {200: CROWD}
        assert hop.presentations(account.refresh) == [200]
        assert len(hop.presented) == 1
        assert not hop.refused
        assert await refreshed(fleet) == 1


async def test_nobody_is_logged_out_where_clients_refresh_by_themselves_meanwhile(
    hop: ServerHop, servers: Servers, store: str
) -> None:
    async with processes(2, settings(hop.url, store, **PATIENT)) as fleet, crowd() as http:
        (account,) = await expired(hop, servers, fleet[0])

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
            # One of Segue's own may be under way, and each process asks for its own clients.
            pairs: dict[str, Any] = {pair["refresh"]: pair for _, pair in exchanged}
            assert len(pairs) <= len(fleet)
            for each in hop.presented:
                pairs.pop(each.token, None)
            (newest,) = pairs.values()
            return dict(newest)

        second = await rush(account.access, account.refresh)
        third = await rush(second["access"], second["refresh"])
        # Those who come late, with what was spent long ago, are not told to log out either.
        await rush(third["access"], account.refresh)
        presented = [each.token for each in hop.presented]
        assert len(set(presented)) == len(presented) <= 3 * (1 + len(fleet))
        assert not hop.refused
        assert await refreshed(fleet) == len(presented)
