"""A real browser whose page opens a WebSocket at each render, with a bound and without."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from pytest_aiohttp import AiohttpServer

from tests.support.browser import browser_page, in_page
from tests.support.rendering import RenderingServer
from tests.support.rig import segue
from tests.support.waiting import PATIENCE

pytestmark = pytest.mark.needs_chromium

BOUND = {
    "SEGUE_WEBSOCKET__PER_SESSION": json.dumps([{"path": "/ws/jobs/{}/", "most": 4, "pace": 20.0}])
}
EVENTS = 5


async def until_open(server: RenderingServer, count: int) -> None:
    async with asyncio.timeout(PATIENCE):
        while len(server.open) != count:
            server.changed.clear()
            await server.changed.wait()


async def test_without_a_bound_each_event_doubles_the_sockets_at_the_server(
    tmp_path: Path, aiohttp_server: AiohttpServer
) -> None:
    server = RenderingServer()
    url = str((await aiohttp_server(server.app())).make_url("")).rstrip("/")
    async with segue(url) as proxy, browser_page(proxy.url, tmp_path / "profile") as page:
        for number in range(EVENTS + 1):
            if number:
                await server.send()
            await page.wait_for_function(
                "([shown, opened]) => seen.shown === shown && seen.opened === opened",
                arg=[number, 2**number],
            )
            await until_open(server, 2**number)


async def test_with_a_bound_few_stay_and_the_client_neither_loses_an_event_nor_comes_back(
    tmp_path: Path, aiohttp_server: AiohttpServer
) -> None:
    server = RenderingServer()
    url = str((await aiohttp_server(server.app())).make_url("")).rstrip("/")
    async with (
        segue(url, BOUND) as proxy,
        browser_page(proxy.url, tmp_path / "profile") as page,
    ):
        for number in range(EVENTS + 1):
            if number:
                await server.send()
            await page.wait_for_function(
                "number => seen.shown === number && seen.opened === seen.renders", arg=number
            )
        await until_open(server, 4)
        # As many are live, and they are the newest: one more event is shown by them.
        await server.send()
        await page.wait_for_function(f"seen.shown === {EVENTS + 1}")
        await page.wait_for_function("seen.opened === seen.renders")
        await until_open(server, 4)
        seen = await in_page(page, "() => seen")
        assert seen["reconnects"] == 0
        assert seen["closed"].keys() == {"1000"}
        made_room = await proxy.metric("segue_limits_hit_total", limit="websockets_per_session")
        assert made_room == seen["opened"] - 4 > 0
        assert server.closed.keys() == {1001}
