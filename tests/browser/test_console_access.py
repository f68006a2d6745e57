"""Who gets into the console, how, and that no page of another site does anything with it."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from playwright.async_api import Browser, expect
from pytest_aiohttp import AiohttpServer

from tests.support.administered import OPERATOR, UNKNOWN
from tests.support.operated import chromium, desk, operated
from tests.support.waiting import PATIENCE

pytestmark = pytest.mark.needs_chromium

expect.set_options(timeout=PATIENCE * 1000)

NGINX = """
daemon off; pid {folder}/pid; error_log stderr;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
    uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
    server {{
        listen 127.0.0.1:{port};
        location /ops/segue/ {{
            proxy_pass http://{admin}/;
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-User anna;
            proxy_http_version 1.1;
            proxy_buffering off;
        }}
    }}
}}
"""


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as found:
        yield found


async def test_a_token_is_in_no_address_and_goes_with_the_page(
    tmp_path: Path, browser: Browser
) -> None:
    async with operated(tmp_path, traffic=False) as running, desk(browser) as tab:
        page = tab.page
        addresses: list[str] = []
        page.on("request", lambda request: addresses.append(request.url))
        tab.expected.append("401 (Unauthorized)")
        await page.goto(running.url)
        await page.get_by_label("Token", exact=True).fill(UNKNOWN)
        await page.get_by_role("button", name="Sign in").click()
        await expect(page.get_by_role("alert")).to_contain_text("this token is not known")

        await tab.sign_in(running.url)
        kept = "JSON.stringify([sessionStorage, localStorage, document.cookie])"
        assert OPERATOR not in await page.evaluate(kept)
        await page.reload()
        await page.get_by_label("Token", exact=True).wait_for()

        await page.get_by_label("Keep it in this tab").check()
        await page.get_by_label("Token", exact=True).fill(OPERATOR)
        await page.get_by_role("button", name="Sign in").click()
        await page.get_by_role("link", name="Overview").first.wait_for()
        await page.reload()
        await page.get_by_role("link", name="Overview").first.wait_for()
        await page.locator(".who summary").click()
        await page.get_by_role("button", name="Sign out").click()
        await page.get_by_label("Token", exact=True).wait_for()
        assert OPERATOR not in await page.evaluate(kept)
        assert not [each for each in addresses if "segue_" in each or OPERATOR in each]


async def test_a_token_that_is_revoked_ends_at_the_form(tmp_path: Path, browser: Browser) -> None:
    async with operated(tmp_path, traffic=False) as running, desk(browser) as tab:
        await tab.sign_in(running.url)
        config = tmp_path / "config.yaml"
        text = config.read_text()
        gone = [each for each in text.splitlines() if each.startswith("admin:")]
        config.write_text(text.replace(gone[0], "admin: {}"))
        await running.ask("/reload", "POST")
        await tab.page.get_by_label("Token", exact=True).wait_for()


@asynccontextmanager
async def nginx(folder: Path, admin: str, port: int) -> AsyncIterator[None]:
    """Run nginx in front of an admin listener, as an authenticating proxy with a prefix."""
    folder.mkdir()
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder, admin=admin, port=port))
    path = shutil.which("nginx")
    assert path is not None
    process = await asyncio.create_subprocess_exec(path, "-c", folder / "nginx.conf")
    try:
        async with asyncio.timeout(PATIENCE):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                except ConnectionRefusedError:
                    assert process.returncode is None
                    await asyncio.sleep(0.05)
                else:
                    writer.close()
                    break
        yield
    finally:
        process.terminate()
        await process.wait()


@pytest.mark.needs_nginx
async def test_behind_an_authenticating_proxy_and_a_prefix_nobody_signs_in(
    tmp_path: Path, browser: Browser, unused_tcp_port: int
) -> None:
    proxied: dict[str, Any] = {
        "trusted_proxies": ["127.0.0.1"],
        "trusted_user_header": "X-Forwarded-User",
        "users": {"anna": "operator"},
    }
    async with (
        operated(tmp_path, traffic=False, **proxied) as running,
        nginx(tmp_path / "nginx", running.proxy.server.admin_address, unused_tcp_port),
        desk(browser) as tab,
    ):
        page = tab.page
        # Without the last slash too.
        await page.goto(f"http://127.0.0.1:{unused_tcp_port}/ops/segue/console")
        await expect(page.get_by_text("anna", exact=True)).to_be_visible()
        assert page.url.partition("#")[0].endswith("/ops/segue/console/")
        await page.get_by_role("link", name="Switches").first.click()
        row = page.get_by_role("region", name="modern/old-to-new")
        await row.get_by_role("button", name="Change state…").click()
        dialog = page.get_by_role("dialog")
        await dialog.get_by_role("radio", name="shadow", exact=True).check(force=True)
        await dialog.get_by_label("Reason").fill("a look at it")
        await dialog.get_by_role("button", name="Set shadow").click()
        await expect(row.get_by_text("a look at it")).to_be_visible()
        newest = (await running.ask("/revisions?limit=1"))["revisions"][0]
        assert newest["author"] == "anna (proxy)"


CROSS = """
async ([target, kind]) => {
    try {
        const response = await fetch(target, {method: "POST", mode: kind, credentials: "include",
            body: JSON.stringify({reason: "because"}),
            headers: kind === "cors" ? {"Content-Type": "application/json"} : {}});
        return response.type;
    } catch (error) {
        return "not readable";
    }
}
"""


async def test_a_page_of_another_site_does_nothing_and_frames_nothing(
    tmp_path: Path, browser: Browser, aiohttp_server: AiohttpServer
) -> None:
    # The proxy vouches for the browser of the user, whatever page it is that asks.
    vouched: dict[str, Any] = {
        "trusted_proxies": ["127.0.0.1"],
        "trusted_user_header": "User-Agent",
        "users": {"anna": "admin"},
    }

    async def empty(_: web.Request) -> web.Response:
        return web.Response(text="<!doctype html><title>Another</title>", content_type="text/html")

    app = web.Application()
    app.router.add_get("/", empty)
    other = str((await aiohttp_server(app)).make_url("/"))
    async with (
        operated(tmp_path, traffic=False, **vouched) as running,
        desk(browser, user_agent="anna") as tab,
    ):
        tab.expected += [
            "CORS",
            "net::ERR",
            "403 (Forbidden)",
            "frame-ancestors",
            "Framing",
            "favicon.ico",
        ]
        await tab.page.goto(other)
        target = f"http://{running.proxy.server.admin_address}/api/v1/switches/all-off"
        assert await tab.page.evaluate(CROSS, [target, "cors"]) == "not readable"
        assert await tab.page.evaluate(CROSS, [target, "no-cors"]) == "opaque"
        # A form is what needs no script.
        await tab.page.evaluate(
            """(target) => { const form = document.createElement("form"); form.method = "POST";
                form.action = target; form.enctype = "text/plain"; form.target = "_blank";
                document.body.append(form); form.submit(); }""",
            target,
        )
        await tab.page.evaluate(
            """(url) => new Promise((done) => { const frame = document.createElement("iframe");
                frame.onload = done; frame.src = url; document.body.append(frame); })""",
            running.url,
        )
        assert all("console" not in frame.url for frame in tab.page.frames)
        assert not (await running.ask("/switches"))["all_off"]
        # The page itself may, with no more than that.
        await tab.page.goto(running.url)
        await expect(tab.page.get_by_role("link", name="Overview").first).to_be_visible()
