"""The numbers of sessions on the metrics page."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from proxy.sessions import maintenance
from tests.support.authority import Client, authority, proxied, refreshes
from tests.support.rig import Segue
from tests.support.storages import SqliteStorage, store_at
from tests.support.waiting import PATIENCE

AGE = "segue_session_age_seconds"
DAY = 86400
SHORT = 0.3
"""Seconds that an access token lives where it is to end."""


async def logged_in(proxy: Segue) -> Client:
    client = Client(proxy)
    await client.log_in()
    return client


async def shown(proxy: Segue, count: int) -> None:
    """Wait until the page says that so many sessions are open."""
    async with asyncio.timeout(PATIENCE):
        while await proxy.metric("segue_sessions_open") != count:  # noqa: ASYNC110 (it tells nobody)
            await asyncio.sleep(0.05)


async def test_open_sessions_are_those_in_the_store_without_the_ended_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maintenance, "_ASK", 0.05)
    async with authority() as server, proxied(server, tmp_path) as proxy:
        await logged_in(proxy)
        leaving = await logged_in(proxy)
        await shown(proxy, 2)
        assert await proxy.metric("segue_session_captures_total", result="opened") == 2
        assert (await leaving.send("POST", "/api/auth/logout/", b"{}"))[0] == 205
        await shown(proxy, 1)
        assert await proxy.metric(f"{AGE}_count", event="ended") == 1


async def test_a_renewal_after_two_days_counts_as_older_than_a_day(tmp_path: Path) -> None:
    async with authority(access=SHORT) as server, proxied(server, tmp_path) as proxy:
        old, new = await logged_in(proxy), await logged_in(proxy)
        store = store_at(SqliteStorage(tmp_path).address)
        record, *_ = (await store.sessions(user=None, after="", limit=1)).records
        aged = replace(record, created=record.created - 2 * DAY)
        assert await store.save(aged) is not None
        await store.close()
        await asyncio.sleep(SHORT)
        assert [await old.get(), await new.get()] == [200, 200]
        counted = {
            bound: await proxy.metric(f"{AGE}_bucket", event="renewed", le=bound)
            for bound in ("60", str(DAY), str(2 * DAY), str(3 * DAY), "+Inf")
        }
        assert counted == {"60": 1, "86400": 1, "172800": 1, "259200": 2, "+Inf": 2}
        assert await proxy.metric(f"{AGE}_sum", event="renewed") >= 2 * DAY


async def test_every_kind_of_refresh_is_on_the_page_before_it_happens(tmp_path: Path) -> None:
    async with authority() as server, proxied(server, tmp_path) as proxy:
        assert await proxy.metric("segue_session_refreshes_total") == 0
        page = (await proxy.metrics()).keys()
        shown = [dict(labels) for name, labels in page if name == "segue_session_refreshes_total"]
        assert {each["trigger"] for each in shown} == {
            *("expiry", "rejected", "handshake", "client", "logout", "socket")
        }
        assert {each["result"] for each in shown} == {
            *("renewed", "refused", "lost", "unavailable", "unknown", "store_away")
        }
        client = await logged_in(proxy)
        assert (await client.exchange())[0] == 200
        assert (await refreshes(proxy))["client", "renewed"] == 1
        assert await proxy.metric("segue_session_refreshes_total") == 1
