"""What only a browser can show: preflights, and a version as the only subprotocol."""

from __future__ import annotations

from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from playwright.async_api import Page
from pytest_aiohttp import AiohttpServer

from tests.support.backend import Backend
from tests.support.browser import browser_page, in_page
from tests.support.jobs import NEW_ORDER, OLD_ORDER, Job
from tests.support.rig import Segue, segue

pytestmark = pytest.mark.needs_chromium

FETCH = """
async ([url, headers]) => {
    try {
        const response = await fetch(url, {headers});
        return [response.status, await response.json()];
    } catch (error) {
        return ["not readable", String(error)];
    }
}
"""

# The first frame that a client gets for its chat message, and all that follow it.
WATCH = """
([url, subprotocols, count]) => new Promise((resolve, reject) => {
    const socket = subprotocols === null ? new WebSocket(url) : new WebSocket(url, subprotocols);
    const kinds = [];
    socket.onopen = () => socket.send(JSON.stringify({kind: "chat", content: "Für Köche"}));
    socket.onerror = () => reject(new Error("the WebSocket failed"));
    socket.onmessage = (message) => {
        kinds.push(JSON.parse(message.data).kind);
        if (kinds.length === count) {
            socket.onclose = (event) => resolve([socket.protocol, kinds, event.wasClean]);
            socket.close(1000);
        }
    };
})
"""


@pytest.fixture
async def other_origin(aiohttp_server: AiohttpServer) -> str:
    """The origin of an empty page."""

    async def empty(_: web.Request) -> web.Response:
        return web.Response(text="<!doctype html><title>A client</title>", content_type="text/html")

    app = web.Application()
    app.router.add_get("/", empty)
    return str((await aiohttp_server(app)).make_url("")).rstrip("/")


async def test_a_page_of_another_origin_fetches_with_its_version_and_gets_its_dialect(
    tmp_path: Path, http: aiohttp.ClientSession, other_origin: str
) -> None:
    async with (
        Backend(tmp_path / "backend", cors_origins=other_origin) as backend,
        segue(backend.url, {"SEGUE_CORS__ORIGINS": f'["{other_origin}"]'}) as proxy,
        browser_page(f"{other_origin}/", tmp_path / "profile") as page,
    ):
        await fetch_with_a_version(page, proxy, backend, http)
        for subprotocols, protocol, kinds in (
            (["client-version.2.1.0"], "client-version.2.1.0", NEW_ORDER),
            (["client-version.1.4"], "client-version.1.4", OLD_ORDER),
            (None, "", OLD_ORDER),
        ):
            job = await Job.create(http, proxy.url)
            url = proxy.url.replace("http", "ws", 1) + job.path
            answer = await in_page(page, WATCH, url, subprotocols, len(kinds))
            assert answer == [protocol, kinds, True]
        assert await proxy.metric("segue_version_sources_total", source="subprotocol") == 2

        # The server goes; what Segue says by itself can be read by the page.
        await backend.stop()
        # With these fields the page asks first whether it may, which the server cannot say now.
        for headers in ({}, {"Authorization": "Bearer a", "X-Client-Version": "2.1.0"}):
            status, problem = await in_page(page, FETCH, f"{proxy.url}/api/auth/me/", headers)
            assert status == 502
            assert problem["title"] == "Bad gateway"


async def fetch_with_a_version(
    page: Page, proxy: Segue, backend: Backend, http: aiohttp.ClientSession
) -> None:
    job = await Job.create(http, proxy.url)
    headers = {**job.account.headers, "X-Client-Version": "2.1.0"}
    # The server itself does not know the header, so that its answer to the preflight forbids it.
    status, _ = await in_page(page, FETCH, f"{backend.url}/api/auth/me/", headers)
    assert status == "not readable"
    status, user = await in_page(page, FETCH, f"{proxy.url}/api/auth/me/", headers)
    assert status == 200
    assert user["email"] == job.account.email
    assert await proxy.metric("segue_version_sources_total", source="header") == 1
