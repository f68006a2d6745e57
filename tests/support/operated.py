"""A Segue with the demo backend, live traffic of both dialects, and operators at browsers."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import aiohttp
from playwright.async_api import Browser, ConsoleMessage, Page, async_playwright

from tests.support.administered import OPERATOR, TOKENS
from tests.support.backend import Backend
from tests.support.checkout import ROOT
from tests.support.jobs import FRAMES, NEW, OLD, Job, messages, watching
from tests.support.rig import Segue, segue
from tests.support.waiting import PATIENCE

ARGUMENTS: Final = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
AXE: Final = ROOT / "tests/support/vendored/axe-core/axe.min.js"

DESK: Final = {"width": 1440, "height": 900}
PHONE: Final = {"width": 390, "height": 844}

_CONFIG: Final = """
admin: {admin}
sessions: {{enabled: true}}
cohorts:
{cohorts}  - name: modern
    versions: ">=2"
    websocket: {{to_client: [old-to-new]}}
  - name: legacy
    versions: "<2"
    websocket: {{to_client: [new-to-old]}}
"""

_KEPT_OPEN: Final = 2
"""WebSockets of each dialect that stay open, behind that of the newest job."""

_AXE_RUN: Final = """
async () => {
    const found = await axe.run(document, {resultTypes: ["violations"]});
    return found.violations.map((each) =>
        `${each.id}: ${each.help}: ${each.nodes.map((node) => node.html).join(" | ")}`);
}
"""


@dataclass
class Operated:
    """A running Segue, and what the clients behind it have heard last."""

    proxy: Segue
    heard: dict[str, list[str]] = field(default_factory=dict)
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Of the console."""
        return f"http://{self.proxy.server.admin_address}/console/"

    async def ask(self, target: str, method: str = "GET", **body: Any) -> Any:
        """Ask the admin API as an admin of this machine; the answer has to be a success."""
        async with self.proxy.admin() as client:
            fields = {}
            if method == "PUT":
                async with client.get(f"/api/v1{target}") as shown:
                    fields = {"If-Match": shown.headers["ETag"]}
            asked = None if method == "GET" else body
            async with client.request(
                method, f"/api/v1{target}", headers=fields, json=asked
            ) as answer:
                assert answer.status < 300, await answer.text()
                return await answer.json()

    async def until_heard(self, offered: str, kind: str) -> None:
        """Wait until a client hears a kind of message in its newest job."""
        async with asyncio.timeout(PATIENCE):
            while kind not in self.heard.get(offered, ()):
                for task in self._tasks:
                    if task.done():
                        task.result()
                await asyncio.sleep(0.05)

    async def talk(self, offered: str) -> None:
        """Create jobs and watch them, one after the other, until somebody ends it."""
        async with AsyncExitStack() as opened, aiohttp.ClientSession() as http:
            sockets: list[AsyncExitStack] = []
            while True:
                job = await Job.create(http, self.proxy.url)
                own = await opened.enter_async_context(AsyncExitStack())
                socket = await own.enter_async_context(watching(self.proxy.url, job.path, offered))
                await socket.send(json.dumps({"kind": "chat", "content": "For cooks"}))
                found = await messages(socket, FRAMES)
                self.heard[offered] = [json.loads(each)["kind"] for each in found]
                sockets.append(own)
                if len(sockets) > _KEPT_OPEN:
                    await sockets.pop(0).aclose()
                await asyncio.sleep(0.1)


@asynccontextmanager
async def operated(
    directory: Path, *, traffic: bool = True, cohorts: str = "", more: str = "", **admin: Any
) -> AsyncIterator[Operated]:
    """Run it; with one token for each role, unless the section `admin` says otherwise.

    Args:
        directory: for its files; its folder `mappings` has those of the product, unless it is
            there.
        traffic: whether clients of both dialects are at work.
        cohorts: more of them, before the two, as lines of YAML.
        more: of the configuration.
        admin: what its section says.
    """
    config = directory / "config.yaml"
    section = json.dumps({"tokens": TOKENS, **admin})
    config.write_text(_CONFIG.format(admin=section, cohorts=cohorts) + more)
    mappings = directory / "mappings"
    if not mappings.exists():
        shutil.copytree(ROOT / "mappings", mappings)
    async with (
        Backend(directory / "backend") as backend,
        segue(backend.url, {"SEGUE_SESSIONS__ENABLED": "true"}, config) as proxy,
    ):
        running = Operated(proxy)
        if traffic:
            running._tasks += [asyncio.create_task(running.talk(each)) for each in (NEW, OLD)]
        try:
            yield running
        finally:
            for task in running._tasks:
                task.cancel()
            await asyncio.gather(*running._tasks, return_exceptions=True)


class Desk:
    """An operator's browser tab: what it says on its console is a fault, unless it is expected.

    Attributes:
        page: the tab.
        expected: texts in messages of the console that are no fault.
    """

    def __init__(self, page: Page) -> None:
        self.page = page
        self.expected: list[str] = []
        self._said: list[str] = []
        page.on("console", self._note)
        page.on("pageerror", lambda error: self._said.append(f"{error}"))

    def _note(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self._said.append(f"{message.text} {message.location.get('url', '')}")

    def check(self) -> None:
        """Nothing was said that is not expected: errors, or breaches of the page's policy."""
        wrong = [text for text in self._said if not any(each in text for each in self.expected)]
        assert wrong == [], wrong

    async def sign_in(self, url: str, token: str = OPERATOR) -> None:
        """Sign in with a token, and see the overview."""
        # A browser says so of each 401, and whoever has no credential gets one.
        self.expected.append("401 (Unauthorized)")
        await self.page.goto(url)
        await self.page.get_by_label("Token", exact=True).fill(token)
        await self.page.get_by_role("button", name="Sign in").click()
        await self.page.get_by_role("link", name="Overview").first.wait_for()

    async def findings(self) -> list[str]:
        """What axe-core finds on the page as it is."""
        await self.page.evaluate(AXE.read_text(encoding="utf-8"))
        found: list[str] = await self.page.evaluate(_AXE_RUN)
        return found

    async def until(self, holds: str, *arguments: object) -> None:
        """Wait until a script holds."""
        await self.page.wait_for_function(holds, arg=list(arguments), timeout=PATIENCE * 1000)


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """Debian's Chromium, without a profile."""
    path = shutil.which("chromium")
    assert path is not None
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=path, args=ARGUMENTS, timeout=PATIENCE * 1000
        )
        try:
            yield browser
        finally:
            await browser.close()


@asynccontextmanager
async def desk(
    browser: Browser, scheme: Any = "light", size: Any = DESK, **more: Any
) -> AsyncIterator[Desk]:
    """Open a tab that shares nothing with others; in the end, nothing was wrong in it."""
    context = await browser.new_context(color_scheme=scheme, viewport=size, **more)
    context.set_default_timeout(PATIENCE * 1000)
    try:
        found = Desk(await context.new_page())
        yield found
        found.check()
    finally:
        await context.close()
