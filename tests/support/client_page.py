"""The reference client in a browser: in front of a real Segue and the demo backend."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestServer
from playwright.async_api import Page, expect

from proxy.static_files import CLIENT, SECURITY_FIELDS, Assets, answered
from tests.support.backend import Backend
from tests.support.counted import Counted, counted
from tests.support.rig import Segue, segue
from tests.support.waiting import PATIENCE

SETTINGS: Final = {"SEGUE_SESSIONS__ENABLED": "true"}

PASSWORD: Final = "correct horse"


@dataclass
class Served:
    """The client, and all that it needs.

    Attributes:
        url: of the page.
        proxy, backend: behind it.
        hop: between the two.
    """

    url: str
    proxy: Segue
    backend: Backend
    hop: Counted


@asynccontextmanager
async def other_origin(config: dict[str, Any]) -> AsyncIterator[str]:
    """Serve the files from an origin of their own, as whoever deploys a front end does.

    Args:
        config: what they are told; its `base`, where the API is, is in their policy too.
    """
    assets = Assets(CLIENT)

    async def answer(request: web.Request) -> web.Response:
        base = config["base"]
        policy = SECURITY_FIELDS["Content-Security-Policy"]
        sockets = base.replace("http", "ws", 1)
        fields = {
            **SECURITY_FIELDS,
            "Content-Security-Policy": f"{policy}; connect-src 'self' {base} {sockets}",
        }
        name = request.match_info["name"] or "index.html"
        if name == "config.json":
            return web.json_response(config, headers=fields)
        asset = await assets.named(name)
        assert asset is not None, name
        status, more, body = answered(asset, [], [])
        return web.Response(status=status, headers={**fields, **more}, body=body)

    app = web.Application()
    app.router.add_get("/{name:.*}", answer)
    server = TestServer(app)
    await server.start_server()
    try:
        yield str(server.make_url("/")).rstrip("/")
    finally:
        await server.close()


@asynccontextmanager
async def served(
    directory: Path, config: Mapping[str, object] | None = None, **options: object
) -> AsyncIterator[Served]:
    """Run it.

    Args:
        directory: for the server's files.
        config: what the client is told.
        options: of the demo backend.
    """
    told: dict[str, Any] = {**(config or {})}
    async with (
        other_origin(told) as origin,
        Backend(directory / "backend", cors_origins=origin, **options) as backend,
        counted(backend.url) as hop,
        segue(
            hop.url, {"SEGUE_SESSIONS__ENABLED": "true", "SEGUE_CORS__ORIGINS": f'["{origin}"]'}
        ) as proxy,
    ):
        told["base"] = proxy.url
        yield Served(f"{origin}/", proxy, backend, hop)


async def signed_up(page: Page, url: str) -> str:
    """Register somebody by the form; the address."""
    email = f"{uuid4().hex}@example.org"
    await page.goto(url)
    await page.get_by_role("button", name="I have no account yet").click()
    await page.get_by_label("E-mail").fill(email)
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Register").click()
    await expect(page.get_by_role("button", name="Sign out")).to_be_visible()
    return email


async def new_job(page: Page, prompt: str = "A recipe box") -> str:
    """Make a job by the form, and see it live; its id."""
    await page.get_by_label("What is to be built").fill(prompt)
    await page.get_by_role("button", name="Create the job").click()
    await expect(page.get_by_text("Live", exact=True)).to_be_visible()
    return page.url.rpartition("/")[2]


async def access_of(page: Page) -> str:
    """The token of whoever is signed in."""
    kept = "JSON.parse(localStorage.getItem('segue-client.session')).access"
    return str(await page.evaluate(kept))


async def say(server: str, access: str, job: str, content: str, **more: Any) -> None:
    """Add to a transcript as the server's own tools do: everybody who watches gets a frame."""
    body = {"job_id": job, "role": "assistant", "sender": "Analyst", "content": content, **more}
    async with (
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {access}"}) as http,
        http.post(f"{server}/api/job-messages/", json={"metadata": {}, **body}) as answer,
    ):
        assert answer.status == 201, await answer.text()


async def until(holds: Any) -> None:
    """Wait until it holds."""
    async with asyncio.timeout(PATIENCE):
        while not holds():  # noqa: ASYNC110 (it tells nobody)
            await asyncio.sleep(0.02)
