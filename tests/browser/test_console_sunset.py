"""The console's Sunset and Upstreams: what may be deleted, who needs the rest, how servers are."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, expect

from tests.support.administered import VIEWER
from tests.support.operated import DESK, PHONE, chromium, desk, operated
from tests.support.sunsets import remember, stopped
from tests.support.waiting import PATIENCE

pytestmark = pytest.mark.needs_chromium

expect.set_options(timeout=PATIENCE * 1000)

NEEDED = "legacy/new-to-old"
SAFE = "modern/old-to-new"


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as found:
        yield found


async def test_a_verdict_is_read_filtered_and_reported(tmp_path: Path, browser: Browser) -> None:
    async with operated(tmp_path, traffic=False) as running, desk(browser) as tab:
        records = await stopped(running.proxy)
        remember(records, NEEDED, list(range(12, 43)), {"1.9.2": 40, "none": 9})
        remember(records, SAFE, [0] * 20 + list(range(1, 12)), {"2.1": 3})
        await running.ask(
            f"/switches/{SAFE}",
            "PUT",
            state="off",
            versions="==2.1.3",
            name="broken-2-1-3",
            reason="2.1.3 drops frames",
        )
        # A viewer may read all of it.
        await tab.sign_in(f"{running.url}#/sunset", VIEWER)
        page = tab.page
        await expect(page.get_by_text("1 of 2 may go.")).to_be_visible()
        needed = page.get_by_role("region", name=NEEDED, exact=True)
        safe = page.get_by_role("region", name=SAFE, exact=True)
        await expect(needed.get_by_text("Falling: about 16 users a day")).to_be_visible()
        await expect(needed.get_by_text("none told")).to_be_visible()
        await expect(safe.get_by_text("Nothing needed it for 19 days.")).to_be_visible()
        await expect(safe.get_by_text("no use")).to_be_visible()
        await expect(safe.get_by_role("link", name="broken-2-1-3")).to_be_visible()
        curve = needed.get_by_role("img", name="Users each day, from")
        await expect(curve).to_have_attribute("aria-label", re.compile(r"to 12 today; at most 4\d"))

        await page.get_by_role("button", name="safe 1").click()
        await expect(needed).to_have_count(0)
        assert page.url.endswith("#/sunset?verdict=safe")
        await safe.get_by_text("What to delete").click()
        await expect(safe.get_by_text("out of the cohort modern")).to_be_visible()

        await page.get_by_role("button", name="Report as Markdown…").click()
        dialog = page.get_by_role("dialog")
        async with page.expect_download() as waited:
            await dialog.get_by_role("button", name="Download").click()
        download = await waited.value
        text = Path(await download.path()).read_text(encoding="utf-8")
        assert re.fullmatch(r"sunset-\d{4}-\d\d-\d\d\.md", download.suggested_filename)
        assert "| modern/old-to-new | **yes**: safe to delete |" in text
        assert "1.9.2 (1,240), none (279)" in text
        shown = await dialog.get_by_role("region", name="Markdown").inner_text()
        assert shown.strip() == text.strip()


async def test_a_server_that_fails_is_told_of_and_the_keyboard_reaches_it(
    tmp_path: Path, browser: Browser
) -> None:
    async with operated(tmp_path, traffic=False) as running, desk(browser) as tab:
        await tab.sign_in(running.url)
        page = tab.page
        await page.keyboard.press(await digit_of(page, "Upstreams"))
        await expect(page.get_by_text("The server is well.")).to_be_visible()
        [server] = (await running.ask("/upstreams"))["upstreams"]
        row = page.get_by_role("region", name=server["target"])
        await expect(row.get_by_text("open WebSockets")).to_be_visible()
        await page.keyboard.press("j")
        await expect(row).to_be_focused()
        pool = running.proxy.server._data.fleet.pools[0]
        for _ in range(pool.health.rules.failures):
            pool.failed(pool.epoch, "it did not answer in time")
        await expect(page.get_by_text(f"{server['target']} fails.")).to_be_visible()
        await expect(page.get_by_text("There is no other: it is asked")).to_be_visible()
        await expect(row.get_by_text("it did not answer in time")).to_be_visible()


async def digit_of(page: Page, name: str) -> str:
    """The key of a page, as the navigation tells it."""
    link = page.get_by_role("navigation", name="Pages", exact=True).get_by_role("link", name=name)
    return (await link.locator(".key").inner_text()).strip()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
async def test_axe_finds_nothing_and_nothing_is_too_wide(
    tmp_path: Path, browser: Browser, scheme: str, size: dict[str, int]
) -> None:
    async with operated(tmp_path, traffic=False) as running, desk(browser, scheme, size) as tab:
        records = await stopped(running.proxy)
        remember(records, NEEDED, [12] * 31, {"1.9.2": 40})
        remember(records, SAFE, [0] * 20 + [4] * 11, {"2.1": 3})
        await tab.sign_in(f"{running.url}#/sunset")
        page = tab.page
        await expect(page.get_by_text("1 of 2 may go.")).to_be_visible()
        assert await tab.findings() == []
        await tab.until("() => document.documentElement.scrollWidth <= innerWidth")
        await page.get_by_role("button", name="Report as Markdown…").click()
        await expect(page.get_by_role("dialog")).to_be_visible()
        assert await tab.findings() == []
        await page.keyboard.press("Escape")
        if size == PHONE:
            await page.get_by_text("More", exact=True).click()
            assert await tab.findings() == []
            foot = page.get_by_role("navigation", name="Pages, at the foot")
            await foot.get_by_role("link", name="Upstreams").click()
        else:
            await page.get_by_role("link", name="Upstreams").first.click()
        await expect(page.get_by_text("The server is well.")).to_be_visible()
        assert await tab.findings() == []
        await tab.until("() => document.documentElement.scrollWidth <= innerWidth")


async def test_lost_and_refused_pages_say_so(tmp_path: Path, browser: Browser) -> None:
    async with operated(tmp_path, traffic=False) as running, desk(browser) as tab:
        tab.expected += ["503 (Service Unavailable)", "ERR_INTERNET_DISCONNECTED", "net::ERR"]
        problem = '{"status": 503, "title": "Away", "detail": "the store is away"}'
        page = tab.page
        for name in ("sunset", "upstreams"):
            await page.route(
                f"**/api/v1/{name}",
                lambda route: route.fulfill(
                    status=503, content_type="application/problem+json", body=problem
                ),
            )
        await tab.sign_in(f"{running.url}#/sunset")
        await expect(page.get_by_role("alert").get_by_text("the store is away")).to_be_visible()
        await page.get_by_role("link", name="Upstreams").first.click()
        await expect(page.get_by_role("alert").get_by_text("the store is away")).to_be_visible()
        await page.context.set_offline(True)
        await expect(page.get_by_role("heading", name="Not read yet")).to_be_visible()
