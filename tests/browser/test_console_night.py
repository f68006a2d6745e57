"""The console in the dark: a guard trips, and whoever cannot see colours, motion or a mouse."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, Route, expect

from tests.support.administered import OPERATOR
from tests.support.checkout import ROOT
from tests.support.jobs import NEW
from tests.support.operated import Desk, chromium, desk, operated
from tests.support.waiting import PATIENCE

pytestmark = pytest.mark.needs_chromium

expect.set_options(timeout=PATIENCE * 1000)

SWITCH = "modern/old-to-new"
PAGES = ("overview", "switches", "history")

GUARDED = """
switching:
  switches: {modern/old-to-new: "off"}
  guard: {min_messages: 20, min_users: 0, window: 10m}
"""


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as found:
        yield found


def broken_mappings(directory: Path) -> None:
    """Put mappings there of which a rule is wrong about what the server sends: texts, not lists."""
    shutil.copytree(ROOT / "mappings", directory / "mappings")
    for each in (directory / "mappings").glob("*.yaml"):
        # Who has misunderstood it has no way back that would tell.
        lines = each.read_text().splitlines(keepends=True)
        each.write_text("".join(line for line in lines if not line.startswith("inverse:")))
    place = directory / "mappings/old-to-new.yaml"
    text = place.read_text()
    rule = "      - set: {kind: status}\n"
    assert text.count(rule) == 1
    wrong = rule + "      - convert: {message: {from: integer, to: string}}\n"
    head, _, tail = text.replace(rule, wrong).partition("    examples:\n")
    # Nor do its examples.
    examples, _, rest = tail.partition("\n  - name: agent-dialogue")
    del examples
    example = '      - {in: {kind: jobStatus, message: 1}, out: {kind: status, message: "1"}}\n'
    place.write_text(f"{head}    examples:\n{example}\n  - name: agent-dialogue{rest}")


async def test_the_guard_of_a_broken_mapping_trips_before_the_readers_eyes(
    tmp_path: Path, browser: Browser
) -> None:
    broken_mappings(tmp_path)
    async with operated(tmp_path, more=GUARDED) as running, desk(browser) as tab:
        await running.until_heard(NEW, "jobStatus")
        await tab.sign_in(f"{running.url}#/switches")
        page = tab.page
        row = page.get_by_role("region", name=SWITCH)
        await row.get_by_role("button", name="Change state…").click()
        dialog = page.get_by_role("dialog")
        await dialog.get_by_role("radio", name="on", exact=True).check(force=True)
        await dialog.get_by_label("Reason").fill("2.4 is out")
        await dialog.get_by_role("button", name="Set on").click()
        await expect(dialog).to_have_count(0)
        # Nobody touches anything from here on.
        await expect(row.get_by_text("A guard has set it")).to_be_visible()
        await expect(row.get_by_text("Set by guard")).to_be_visible()
        assert (await running.ask("/revisions/2"))["kind"] == "guard"

        # It may go on from there: each state that the guard finds has the same mapping.
        await page.goto(f"{running.url}#/history/2")
        await expect(page.get_by_role("heading", name="Revision 2")).to_be_visible()
        await expect(page.get_by_text("taken back by the guard")).to_be_visible()
        said = page.get_by_text("of messages failed; the bound is 1%.")
        await expect(said).to_be_visible()
        await expect(page.get_by_role("img", name="the bound is 1%")).to_be_visible()
        for figure in ("failed (fail)", "unmapped (", "protocol closes ("):
            await expect(page.get_by_role("rowheader", name=figure)).to_be_visible()
        assert await tab.findings() == []
        await page.get_by_role("link", name="Overview").first.click()
        plot = page.get_by_role("img", name="Failed and unmapped:")
        await expect(plot).to_have_attribute("aria-label", re.compile("bound of failed 1%"))


async def shown(tab: Desk, url: str, name: str) -> None:
    await tab.page.goto(f"{url}#/{name}")
    await expect(tab.page.locator("main .panel").first).to_be_visible()


async def test_forced_colours_leave_what_is_meant(tmp_path: Path, browser: Browser) -> None:
    async with operated(tmp_path) as running:
        await running.until_heard(NEW, "status")
        await running.ask(f"/switches/{SWITCH}", "PUT", state="shadow", reason="a look at it")
        async with desk(browser, forced_colors="active") as tab:
            await tab.sign_in(running.url)
            for name in PAGES:
                await shown(tab, running.url, name)
                assert await tab.findings() == []
            await shown(tab, running.url, "switches")
            row = tab.page.get_by_role("region", name=SWITCH)
            # The state that it has is told from the others by colours that belong together.
            seen = await row.locator(".track span").evaluate_all(
                """all => all.map((each) => ["forcedColorAdjust", "borderTopWidth"].map(
                    (name) => getComputedStyle(each)[name]))"""
            )
            other = ["auto", "0px"]
            assert seen == [other, ["none", "2px"], other, other]
            colours = "e => [getComputedStyle(e).color, getComputedStyle(e).backgroundColor]"
            for inverse in (row.locator(".track .is"), row.get_by_role("button", name="Change")):
                ink, ground = await inverse.first.evaluate(colours)
                assert ink != ground
            borders = await row.locator(".badge").first.evaluate(
                """(badge) => ["borderTopStyle", "borderTopWidth"].map((name) =>
                    getComputedStyle(badge)[name])"""
            )
            assert borders == ["dashed", "1px"]


async def test_nothing_moves_where_somebody_asks_for_that(tmp_path: Path, browser: Browser) -> None:
    async with operated(tmp_path) as running:
        await running.until_heard(NEW, "status")
        async with desk(browser, reduced_motion="reduce") as tab:
            await tab.sign_in(running.url)
            for name in PAGES:
                await shown(tab, running.url, name)
                moving = await tab.page.evaluate(
                    """() => [...document.querySelectorAll("*")].filter((each) => {
                        const style = getComputedStyle(each);
                        return [style.transitionDuration, style.animationDuration].some((all) =>
                            all.split(", ").some((one) => parseFloat(one) > 0));
                    }).map((each) => each.outerHTML.slice(0, 80))"""
                )
                assert moving == []


async def tabbed_to(page: Page, name: str) -> None:
    """Go on with the keyboard until something of this name has the focus."""
    found = page.locator(":focus")
    for _ in range(60):
        if name in await found.evaluate("e => e.getAttribute('aria-label') || e.innerText || ''"):
            return
        await page.keyboard.press("Tab")
    raise AssertionError(f"nothing called {name} can be reached")


async def test_the_keyboard_alone_signs_in_changes_a_switch_and_undoes_it(
    tmp_path: Path, browser: Browser
) -> None:
    async with operated(tmp_path, traffic=False) as running, desk(browser) as tab:
        tab.expected.append("401 (Unauthorized)")
        page, press = tab.page, tab.page.keyboard.press
        await page.goto(running.url)
        await page.get_by_label("Token", exact=True).wait_for()
        await press("Tab")
        await page.keyboard.type(OPERATOR)
        await press("Enter")
        await page.get_by_role("link", name="Overview").first.wait_for()
        # The first stop is the link over the navigation.
        await press("Tab")
        await expect(page.get_by_role("link", name="To the page")).to_be_focused()
        await press("Enter")
        await expect(page.locator("main")).to_be_focused()
        await press("2")
        await page.get_by_role("region", name=SWITCH).wait_for()
        await press("j")
        await press("j")
        await expect(page.get_by_role("region", name=SWITCH)).to_be_focused()
        await press("Tab")
        await tabbed_to(page, "Change state…")
        await press("Enter")
        dialog = page.get_by_role("dialog")
        await dialog.wait_for()
        await press("ArrowLeft")
        await press("ArrowLeft")
        await expect(dialog.get_by_role("radio", name="shadow", exact=True)).to_be_checked()
        while not await dialog.get_by_label("Reason").evaluate("e => e === document.activeElement"):
            await press("Tab")
        await page.keyboard.type("a look at it")
        await tabbed_to(page, "Set shadow")
        await press("Enter")
        await expect(dialog).to_have_count(0)
        state = f"/switches/{SWITCH}"
        assert (await running.ask(state))["state"] == "shadow"
        await press("u")
        await expect(dialog.get_by_label("Reason")).to_be_focused()
        await page.keyboard.type("seen enough")
        await tabbed_to(page, "Undo revision 1")
        await press("Enter")
        await expect(dialog).to_have_count(0)
        assert (await running.ask(state))["state"] == "on"


async def test_times_are_in_the_readers_zone_and_in_utc_under_the_focus(
    tmp_path: Path, browser: Browser
) -> None:
    async with operated(tmp_path, traffic=False) as running:
        await running.ask(f"/switches/{SWITCH}", "PUT", state="shadow", reason="a look at it")
        async with desk(browser, timezone_id="Asia/Tokyo") as tab:
            await tab.sign_in(f"{running.url}#/history/1")
            moment = tab.page.get_by_role("region", name="One revision").locator("time").first
            await moment.wait_for()
            at = (await running.ask("/revisions/1"))["at"]
            there, utc = await tab.page.evaluate(
                """(at) => [{timeZone: "Asia/Tokyo"}, {timeZone: "UTC"}].map((zone) =>
                    new Date(at * 1000).toLocaleTimeString("en-GB", zone))""",
                at,
            )
            assert there != utc
            assert there in await moment.inner_text()
            tip = "e => getComputedStyle(e, '::after').content"
            assert await moment.evaluate(tip) == "none"
            await moment.focus()
            await tab.page.keyboard.press("Shift+Tab")
            await tab.page.keyboard.press("Tab")
            assert utc in await moment.evaluate(tip)
            await tab.page.locator("h1").click()
            await moment.hover()
            assert utc in await moment.evaluate(tip)


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_axe_finds_nothing_while_it_loads_fails_or_is_cut_off(
    tmp_path: Path, browser: Browser, scheme: str
) -> None:
    async with operated(tmp_path, traffic=False) as running, desk(browser, scheme) as tab:
        tab.expected += ["ERR_INTERNET_DISCONNECTED", "net::ERR", "503 (Service Unavailable)"]
        page = tab.page

        seen = asyncio.Event()

        async def hold(route: Route) -> None:
            await seen.wait()
            await route.abort()

        kept = "**/api/v1/{flow,switches,revisions*}"
        await page.route(kept, hold)
        await tab.sign_in(running.url)
        for name in PAGES:
            await page.goto(f"{running.url}#/{name}")
            await expect(page.get_by_role("status").get_by_text("Loading").first).to_be_attached()
            await expect(page.locator(".loading .line").first).to_be_visible()
            assert await tab.findings() == []
        seen.set()
        await page.unroute_all(behavior="wait")
        problem = json.dumps({"status": 503, "title": "Away", "detail": "the store is away"})
        await page.route(
            kept,
            lambda route: route.fulfill(
                status=503, content_type="application/problem+json", body=problem
            ),
        )
        await page.reload()
        await tab.sign_in(running.url)
        for name in PAGES:
            await page.goto(f"{running.url}#/{name}")
            await expect(page.get_by_role("alert").get_by_text("the store is away")).to_be_visible()
            assert await tab.findings() == []
        await page.unroute(kept)
        await page.reload()
        await tab.sign_in(running.url)
        for name in PAGES:
            await shown(tab, running.url, name)
        await page.context.set_offline(True)
        await expect(page.get_by_text("Disconnected.", exact=True)).to_be_visible()
        for name in PAGES:
            await page.goto(f"{running.url}#/{name}")
            assert await tab.findings() == []
        await page.context.set_offline(False)
        await expect(page.get_by_text("Live", exact=True)).to_be_visible()


async def test_more_than_eight_switches_are_a_line_each_where_nothing_is_to_be_seen(
    tmp_path: Path, browser: Browser
) -> None:
    cohorts = "".join(
        f'  - {{name: c{number}, versions: "=={number}", websocket: {{to_client: [old-to-new]}}}}\n'
        for number in range(30, 38)
    )
    async with (
        operated(tmp_path, traffic=False, cohorts=cohorts) as running,
        desk(browser) as tab,
    ):
        await running.ask(f"/switches/{SWITCH}", "PUT", state="shadow", reason="a look at it")
        await tab.sign_in(f"{running.url}#/switches")
        page = tab.page
        rows = page.locator("section.switch")
        await expect(rows).to_have_count(10)
        # The one that is not as the file says comes first, and is open.
        await expect(rows.first).to_have_attribute("aria-label", SWITCH)
        await expect(page.locator(".cells")).to_have_count(1)
        row = page.get_by_role("region", name="c33/old-to-new")
        await expect(row.get_by_text("0 of 0/s rewritten")).to_be_visible()
        assert await tab.findings() == []
        await row.get_by_role("link", name="Show c33/old-to-new").click()
        await expect(row.locator(".cells")).to_have_count(1)
        await expect(row).to_be_focused()
