"""Flow 1 of the reference client: a build is watched live, from frames alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, expect

from tests.support.client_page import access_of, new_job, say, served, signed_up, until
from tests.support.operated import Desk, chromium, desk
from tests.support.waiting import PATIENCE

pytestmark = pytest.mark.needs_chromium

expect.set_options(timeout=PATIENCE * 1000)


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as found:
        yield found


def expects_breaks(tab: Desk) -> None:
    """A browser says on its console what becomes of WebSockets that break."""
    tab.expected.append("WebSocket connection to")


async def shown_once(page: Page, *texts: str) -> None:
    """Each is in the transcript, once."""
    for text in texts:
        await expect(page.get_by_role("log").get_by_text(text, exact=True)).to_have_count(1)


@pytest.mark.parametrize("dialect", ["old", "new"])
async def test_a_build_is_shown_from_frames_alone(
    tmp_path: Path, browser: Browser, dialect: str
) -> None:
    async with served(tmp_path, dialect=dialect) as running, desk(browser) as tab:
        page = tab.page
        await signed_up(page, running.url)
        await new_job(page)
        before = len(running.hop.requests)
        await page.get_by_label("Message", exact=True).fill("Für Köche")
        await page.keyboard.press("Enter")
        await expect(page.get_by_text("done", exact=True)).to_be_visible()
        await shown_once(page, "Für Köche")
        await expect(page.get_by_role("log").get_by_role("listitem")).to_have_count(2)
        await expect(page.get_by_label("Steps").get_by_role("listitem")).to_have_count(3)
        await expect(page.get_by_role("heading", name="Rezeptkästchen").first).to_be_visible()
        await expect(page.get_by_label("Message", exact=True)).to_be_disabled()
        # The last frame has been shown, and nothing has been asked of the server since the first.
        assert running.hop.requests[before:] == []

        await page.reload()  # History on load.
        await expect(page.get_by_role("log").get_by_role("listitem")).to_have_count(2)
        await expect(page.get_by_label("Steps").get_by_role("listitem")).to_have_count(3)
        await expect(page.get_by_role("heading", name="Rezeptkästchen").first).to_be_visible()


async def test_a_broken_socket_comes_back_and_misses_nothing(
    tmp_path: Path, browser: Browser
) -> None:
    async with served(tmp_path) as running, desk(browser) as tab:
        page, hop = tab.page, running.hop
        expects_breaks(tab)
        await signed_up(page, running.url)
        job = await new_job(page)
        access = await access_of(page)
        await say(running.backend.url, access, job, "before")
        await shown_once(page, "before")

        hop.lets_sockets_in = False
        hop.cut()
        await expect(page.get_by_text("Disconnected, trying again")).to_be_visible()
        await say(running.backend.url, access, job, "meanwhile")
        tries = hop.of("GET /ws/")
        await until(lambda: hop.of("GET /ws/") > tries)
        asked = len(hop.asked())

        # What comes as a frame while REST is on its way is told by both.
        gate = hop.holds[f"GET /api/jobs/{job}/"] = asyncio.Event()
        hop.lets_sockets_in = True
        await until(lambda: len(hop.asked()) == asked + 2)
        await say(running.backend.url, access, job, "at once")
        await shown_once(page, "at once")
        gate.set()
        await shown_once(page, "meanwhile", "before", "at once")
        await say(running.backend.url, access, job, "after")
        await shown_once(page, "before", "meanwhile", "at once", "after")
        found = page.get_by_role("log").get_by_role("listitem").locator(".text")
        assert await found.all_inner_texts() == ["before", "meanwhile", "at once", "after"]
        # Caught up once: the job, and its app.
        assert sorted(hop.asked()[asked:]) == [
            f"GET /api/apps/by-job/{job}/",
            f"GET /api/jobs/{job}/",
        ]


@pytest.mark.parametrize("code", [1008, 4001, 4003])
async def test_some_ends_are_final(tmp_path: Path, browser: Browser, code: int) -> None:
    async with served(tmp_path) as running, desk(browser) as tab:
        page, hop = tab.page, running.hop
        await page.clock.install()
        await signed_up(page, running.url)
        await new_job(page)
        hop.close(code)
        await expect(page.get_by_text(f"Ended: close code {code}")).to_be_visible()
        shakes = hop.of("GET /ws/")
        await page.clock.fast_forward("10:00")
        await page.goto(f"{running.url}#/jobs")  # Whatever was due has been sent before this.
        await expect(page.get_by_role("list", name="Jobs").get_by_role("link")).to_have_count(1)
        assert hop.of("GET /ws/") == shakes


async def test_waits_are_doubled_bounded_and_spread(tmp_path: Path, browser: Browser) -> None:
    script = """async () => {
        const {delay} = await import("./connection.js");
        const waits = (chance) => [0, 1, 2, 5, 6, 50].map((n) => delay(n, () => chance));
        return [0, 0.999999].map(waits);
    }"""
    async with served(tmp_path) as running, desk(browser) as tab:
        await tab.page.goto(running.url)
        least, most = await tab.page.evaluate(script)
        assert least == [0.25, 0.5, 1, 8, 15, 15]
        assert [round(each, 3) for each in most] == [0.5, 1, 2, 16, 30, 30]


async def test_an_unknown_job_says_so(tmp_path: Path, browser: Browser) -> None:
    async with served(tmp_path) as running, desk(browser) as tab:
        expects_breaks(tab)
        tab.expected.append("404 (Not Found)")
        await signed_up(tab.page, running.url)
        await tab.page.goto(f"{running.url}#/jobs/00000000-0000-4000-8000-000000000000")
        await expect(tab.page.get_by_role("heading", name="There is no such job")).to_be_visible()
