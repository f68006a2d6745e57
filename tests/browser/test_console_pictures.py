"""The pictures of docs/console.md, of a running Segue; `TESTS_PICTURES=docs/images` keeps them."""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, expect

from proxy.observability.last_hour import Series
from tests.support.checkout import ROOT
from tests.support.jobs import NEW, OLD
from tests.support.operated import DESK, PHONE, chromium, desk, operated
from tests.support.waiting import PATIENCE

pytestmark = pytest.mark.needs_chromium

expect.set_options(timeout=PATIENCE * 1000)

SWITCH = "modern/old-to-new"
PAGE = (ROOT / "docs/console.md").read_text(encoding="utf-8")
NAMED = set(re.findall(r"\(images/(console-[\w-]+\.png)\)", PAGE))


async def taken(page: Page, folder: Path, name: str) -> None:
    """Take a picture that the page has."""
    if name in NAMED:
        await page.screenshot(path=folder / name)


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as found:
        yield found


async def test_pictures_of_the_page_are_those_of_the_console(
    tmp_path: Path, browser: Browser
) -> None:
    folder = Path(os.environ.get("TESTS_PICTURES", tmp_path / "pictures"))
    folder.mkdir(parents=True, exist_ok=True)
    async with operated(tmp_path) as running:
        await running.until_heard(NEW, "status")
        await running.until_heard(OLD, "jobStatus")
        for state, percent, reason in (
            ("shadow", None, "what would it do"),
            ("canary", 1, "shadow is clean"),
            ("canary", 50, "no complaints at 1%"),
        ):
            share = {} if percent is None else {"percent": percent}
            await running.ask(f"/switches/{SWITCH}", "PUT", state=state, reason=reason, **share)
        exception = {"versions": "==2.1.3", "name": "broken-2-1-3"}
        await running.ask(
            f"/switches/{SWITCH}", "PUT", state="off", reason="2.1.3 drops frames", **exception
        )
        # An hour, of which the newest points are those that it has taken itself.
        kept = running.proxy.server._data.last_hour
        counts: dict[Series, float] = {
            ("messages", "modern"): 0.0,
            ("messages", "legacy"): 0.0,
            ("failed",): 0.0,
        }
        now = (await running.ask("/status"))["configuration"]["since"]
        kept._taken = None
        for point in range(115):
            counts[("messages", "modern")] += 30 * (38 + point % 7 + point / 20)
            counts[("messages", "legacy")] += 30 * (27 + point % 4)
            counts[("unmapped",)] = counts[("messages", "modern")] / 400
            levels: dict[Series, float] = {
                ("sockets", each, "4"): 3.0 for each in ("modern", "legacy")
            }
            kept.take(1e6 + 30 * point, now - 3500 + 30 * point, counts, levels)
        for name, scheme, size in (
            ("light", "light", DESK),
            ("dark", "dark", DESK),
            ("phone", "dark", PHONE),
        ):
            async with desk(browser, scheme, size) as tab:
                await tab.sign_in(running.url)
                page = tab.page
                await expect(page.locator(".plot canvas").first).to_be_visible()
                await expect(page.locator(".changes li").first).to_be_visible()
                await taken(page, folder, f"console-overview-{name}.png")
                await page.goto(f"{running.url}#/switches")
                await expect(page.get_by_text("broken-2-1-3")).to_be_visible()
                await expect(page.get_by_text("no complaints at 1%")).to_have_count(0)
                await taken(page, folder, f"console-switches-{name}.png")
                row = page.get_by_role("region", name=SWITCH)
                await row.get_by_role("button", name="Change state…").click()
                dialog = page.get_by_role("dialog")
                await dialog.get_by_role("radio", name="on", exact=True).check(force=True)
                await dialog.get_by_label("Reason").fill("a quiet week at 50%")
                await expect(dialog.get_by_text("more is rewritten")).to_be_visible()
                await taken(page, folder, f"console-change-{name}.png")
                await page.keyboard.press("Escape")
                await page.goto(f"{running.url}#/history")
                await expect(page.get_by_role("heading", name="Revision 4")).to_be_visible()
                await taken(page, folder, f"console-history-{name}.png")
    assert {each.name for each in folder.iterdir()} == NAMED
    assert {each.name for each in (ROOT / "docs/images").glob("*.png")} == NAMED
