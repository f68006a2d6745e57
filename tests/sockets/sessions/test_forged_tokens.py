"""A flood of tokens that somebody made up keeps no user from anything."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from proxy.sessions.possession import Possession
from proxy.sessions.service import Sessions
from tests.support.authority import Client, authority, proxied, token
from tests.support.rig import Segue

FORGED = 3000
HOUR = 3600.0
PATIENT = {"STORE__TIMEOUT": "60s"}
"""The machine may be slow; what is told is told of a store that is not."""


def sessions_of(proxy: Segue) -> Sessions:
    assert proxy.server._data.sessions is not None
    return proxy.server._data.sessions


def flood(proxy: Segue, ends: float) -> list[asyncio.Task[object]]:
    """Look up tokens that nobody knows, all at once."""
    now, sessions = time.time(), sessions_of(proxy)
    settings = sessions._settings()
    return [
        asyncio.create_task(
            sessions.look_up(token("forged", number, now - 1, now + ends), Possession(), settings)
        )
        for number in range(FORGED)
    ]


async def test_forged_tokens_do_not_make_the_store_count_as_away(tmp_path: Path) -> None:
    async with authority() as server, proxied(server, tmp_path, **PATIENT) as proxy:
        client = Client(proxy)
        await client.log_in()
        looked_up = flood(proxy, HOUR)
        assert await client.get() == 200
        found = await asyncio.gather(*looked_up)
        assert found == [None] * FORGED, "valid by what they say: the server judges them"
        assert await proxy.metric("segue_store_up") == 1
        assert not sessions_of(proxy)._repository.in_doubt
        assert await proxy.metric("segue_session_lookups_shed_total") > 0
        newcomer = Client(proxy)
        await newcomer.log_in()
        assert await newcomer.get() == 200
        assert await proxy.metric("segue_sessions_unsaved") == 0


async def test_forged_tokens_that_have_ended_are_told_to_come_back(tmp_path: Path) -> None:
    async with authority() as server, proxied(server, tmp_path, **PATIENT) as proxy:
        outcomes = await asyncio.gather(*flood(proxy, -HOUR), return_exceptions=True)
        labels = {getattr(each, "label", "looked up") for each in outcomes}
        assert labels == {"looked up", "store_busy"}
        assert await proxy.metric("segue_store_up") == 1


async def test_a_save_does_not_wait_behind_look_ups(tmp_path: Path) -> None:
    async with authority() as server, proxied(server, tmp_path, **PATIENT) as proxy:
        client = Client(proxy)
        await client.log_in()
        repository = sessions_of(proxy)._repository
        cached = repository.cache.tokens[client.access].cached
        looked_up = flood(proxy, HOUR)
        await asyncio.sleep(0)  # All of them wait by now, or are refused.
        assert await repository.update(cached, lambda current: current) is True
        saved = await repository.told(repository.store.save, cached.record)
        assert saved is not None
        assert not all(each.done() for each in looked_up), "the save was before the last of them"
        await asyncio.gather(*looked_up)
