"""A store that can be read and not written: sessions go on, and nothing flaps."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from proxy.sessions import maintenance
from proxy.tokens.sealing import new_key
from tests.support.authority import Client, authority, proxied
from tests.support.full_disk import SmallDisk, limited, may_mount, mounted
from tests.support.rig import Segue
from tests.support.waiting import PATIENCE

SHORT = 0.3


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """A real one where one may be mounted, else what looks like it."""
    with (mounted if may_mount(tmp_path) else limited)(tmp_path) as small:
        yield small


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tries follow each other with each tick; how many there have to be stays."""
    monkeypatch.setattr(maintenance, "_TRY", 0.0)


async def until(proxy: Segue, metric: str, value: float) -> None:
    async with asyncio.timeout(PATIENCE):
        while await proxy.metric(metric) != value:  # noqa: ASYNC110 (it tells nobody)
            await asyncio.sleep(0.05)


async def store_of(proxy: Segue) -> str | None:
    url = f"http://{proxy.server.admin_address}/readyz"
    async with aiohttp.ClientSession() as http, http.get(url) as response:
        assert response.status == 200
        word: str | None = (await response.json()).get("store")
        return word


async def logged_in(proxy: Segue) -> Client:
    client = Client(proxy)
    await client.log_in()
    return client


async def test_on_a_full_disk_sessions_are_read_and_what_is_new_is_kept_until_there_is_room(
    disk: SmallDisk,
) -> None:
    keys = {"STORE__KEYS": new_key()}
    async with authority() as server:
        async with proxied(server, disk.directory, **keys) as proxy:
            known = await logged_in(proxy)
            server.access = SHORT
            ended = await logged_in(proxy)
            # Who fills the disk is somebody else: of too many sessions of a user the oldest end.
            server.access, server.user = 3600, "8"
        # Nothing is remembered: what is known of sessions is on the disk.
        async with proxied(server, disk.directory, **keys) as proxy:
            disk.fill()
            known.proxy = ended.proxy = proxy
            async with asyncio.timeout(PATIENCE):
                while not await proxy.metric("segue_store_read_only"):
                    await logged_in(proxy)
            assert await store_of(proxy) == "read-only"
            assert await proxy.metric("segue_store_up") == 1
            # What could not be written first may have been a note of use and no tokens.
            newest = await logged_in(proxy)
            assert await proxy.metric("segue_sessions_unsaved") >= 1
            assert [await client.get() for client in (known, newest)] == [200, 200]
            await asyncio.sleep(SHORT)
            status, head, _ = await ended.send("GET", "/api/jobs/")
            assert (status, b"Retry-After" in head) == (503, True)
            assert server.presented() == [], "presented without a record of it"
            disk.fill()  # What has been freed meanwhile, too.
            for _ in range(3):
                assert await proxy.metric("segue_store_read_only") == 1
                await asyncio.sleep(0.5)
            disk.clear()
            await until(proxy, "segue_store_read_only", 0)
            await until(proxy, "segue_sessions_unsaved", 0)
            assert await store_of(proxy) is None
            log = proxy.log
            async with asyncio.timeout(PATIENCE):
                while await ended.get() != 200:  # noqa: ASYNC110 (as a client would)
                    await asyncio.sleep(0.05)
        async with proxied(server, disk.directory, **keys) as proxy:
            server.revoked.add(newest.access)
            newest.proxy = proxy
            assert await newest.get() == 200, "it was written"
    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    told = [line for line in lines if "session store" in line["event"]]
    assert [line["event"] for line in told] == [
        "the session store is read-only",
        "the session store can be written again",
    ]
    assert "disk is full" in told[0]["reason"] or "cannot be written" in told[0]["reason"]
