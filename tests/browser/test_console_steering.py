"""The console's acts on switches, and the way back: exceptions, undo, and who was faster."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import yaml
from playwright.async_api import Browser, Route, expect

from proxy.tokens.admin_token import hash_of, token_from
from tests.support.administered import ADMIN, TOKENS
from tests.support.operated import chromium, desk, operated
from tests.support.waiting import PATIENCE

pytestmark = pytest.mark.needs_chromium

expect.set_options(timeout=PATIENCE * 1000)

SWITCH = "modern/old-to-new"
LOWERING = token_from(bytes([7]) * 32)
ELSEWHERE = token_from(bytes([8]) * 32)


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as found:
        yield found


async def test_an_exception_is_made_changed_exported_and_dropped(
    tmp_path: Path, browser: Browser
) -> None:
    async with operated(tmp_path, traffic=False) as running, desk(browser) as tab:
        await tab.sign_in(f"{running.url}#/switches")
        page = tab.page
        row = page.get_by_role("region", name=SWITCH)
        dialog = page.get_by_role("dialog")
        await row.get_by_role("button", name="Exception…").click()
        await expect(dialog.get_by_label("Client versions")).to_be_focused()
        await dialog.get_by_label("Client versions").fill("==2.1.3")
        await expect(dialog.get_by_text("Its name has small letters")).to_be_visible()
        await dialog.get_by_label("Name").fill("broken-2-1-3")
        await dialog.get_by_role("radio", name="off", exact=True).check(force=True)
        await expect(dialog.get_by_text("less is rewritten")).to_be_visible()
        assert await tab.findings() == []
        await dialog.get_by_label("Reason").fill("2.1.3 drops frames")
        await dialog.get_by_role("button", name="Set off").click()
        await expect(row.get_by_text("broken-2-1-3")).to_be_visible()
        await expect(dialog).to_have_count(0)

        await row.get_by_role("button", name="Change broken-2-1-3…").click()
        await dialog.get_by_label("Client versions").fill("==2.1.4")
        await dialog.get_by_label("Reason").fill("it was 2.1.4")
        await dialog.get_by_role("button", name="Set off").click()
        await expect(row.get_by_text("==2.1.4")).to_be_visible()
        (found,) = (await running.ask(f"/switches/{SWITCH}"))["exceptions"]
        assert (found["name"], found["versions"], found["state"]) == (
            "broken-2-1-3",
            "==2.1.4",
            "off",
        )

        await page.get_by_role("button", name="Export as YAML…").click()
        text = await dialog.get_by_role("region", name="YAML").inner_text()
        exception = {
            "switch": SWITCH,
            "name": "broken-2-1-3",
            "versions": "==2.1.4",
            "state": "off",
        }
        assert yaml.safe_load(text) == {"switching": {"switches": {}, "exceptions": [exception]}}
        assert await tab.findings() == []
        await dialog.get_by_role("button", name="Close").click()

        await row.get_by_role("button", name="Drop broken-2-1-3…").click()
        await expect(dialog.get_by_text("then they have on, as all others")).to_be_visible()
        await dialog.get_by_label("Reason").fill("2.1.4 is fixed")
        await dialog.get_by_role("button", name="Drop broken-2-1-3").click()
        await expect(dialog).to_have_count(0)
        await expect(row.get_by_text("broken-2-1-3")).to_have_count(0)
        newest = (await running.ask("/revisions?limit=1"))["revisions"][0]
        assert (newest["kind"], newest["reason"]) == ("drop", "2.1.4 is fixed")


async def test_the_toast_undoes_what_was_done(tmp_path: Path, browser: Browser) -> None:
    async with operated(tmp_path, traffic=False) as running, desk(browser) as tab:
        await tab.sign_in(f"{running.url}#/switches")
        page = tab.page
        # The toast goes after some seconds: here time passes when the test says so.
        await page.clock.install()
        row = page.get_by_role("region", name=SWITCH)
        dialog = page.get_by_role("dialog")
        await row.get_by_role("button", name="Change state…").click()
        await dialog.get_by_role("radio", name="shadow", exact=True).check(force=True)
        await page.clock.run_for(1000)
        await dialog.get_by_label("Reason").fill("a look at it")
        await dialog.get_by_role("button", name="Set shadow").click()
        toast = page.get_by_role("status").filter(has_text="Revision 1 is in force")
        await toast.get_by_role("button", name="Undo").click()
        await dialog.get_by_label("Reason").fill("seen enough")
        await dialog.get_by_role("button", name="Undo revision 1").click()
        await expect(page.get_by_text("Revision 2 is in force on 1 of 1 replica.")).to_be_visible()
        assert (await running.ask(f"/switches/{SWITCH}"))["state"] == "on"
        await page.clock.run_for(10_000)
        await expect(page.get_by_text("Revision 2 is in force")).to_have_count(0)


async def test_undo_and_restore_say_who_was_faster_and_overwrite_nothing(
    tmp_path: Path, browser: Browser
) -> None:
    async with operated(tmp_path, traffic=False) as running, desk(browser) as tab:
        tab.expected.append("412 (Precondition Failed)")
        await running.ask(f"/switches/{SWITCH}", "PUT", state="shadow", reason="a look at it")
        await tab.sign_in(f"{running.url}#/history")
        page = tab.page
        dialog = page.get_by_role("dialog")
        await page.get_by_role("button", name="Undo 1…").click()
        await dialog.get_by_label("Reason").fill("seen enough")
        await running.ask(f"/switches/{SWITCH}", "PUT", state="off", reason="wait for the team")
        await dialog.get_by_role("button", name="Undo revision 1").click()
        await expect(dialog.get_by_role("heading", name="Not applied:")).to_be_visible()
        await expect(
            dialog.get_by_role("row", name=re.compile("wait for the team"))
        ).to_be_visible()
        assert await tab.findings() == []
        assert (await running.ask("/switches"))["revision"] == 2
        # From there it is asked anew, with what was typed; and what it would undo is another one.
        await dialog.get_by_role("button", name="Look at it again, from r2…").click()
        await expect(dialog.get_by_label("Reason")).to_have_value("seen enough")
        await expect(dialog.get_by_text("wait for the team")).to_be_visible()
        await dialog.get_by_role("button", name="Undo revision 2").click()
        await expect(dialog).to_have_count(0)
        assert (await running.ask(f"/switches/{SWITCH}"))["state"] == "shadow"

        await running.ask("/switches/all-off", "POST", reason="frames are wrong")
        await page.get_by_role("link", name="Switches").first.click()
        await page.get_by_role("button", name="Switches as set…").click()
        await dialog.get_by_label("Reason").fill("the server is fixed")
        await running.ask(f"/switches/{SWITCH}", "PUT", state="off", reason="not that one")
        await dialog.get_by_role("button", name="Set 2 switches again").click()
        await expect(dialog.get_by_role("row", name=re.compile("not that one"))).to_be_visible()
        await dialog.get_by_role("button", name=re.compile("Leave it as")).click()
        await expect(dialog).to_have_count(0)
        assert (await running.ask("/switches"))["all_off"]


async def test_a_dialog_builds_on_no_answer_that_was_under_way_before(
    tmp_path: Path, browser: Browser
) -> None:
    async with operated(tmp_path, traffic=False) as running, desk(browser) as tab:
        await tab.sign_in(f"{running.url}#/switches")
        page = tab.page
        await page.get_by_role("region", name=SWITCH).wait_for()
        old, go_on = asyncio.Event(), asyncio.Event()

        async def slow(route: Route) -> None:
            answer = await route.fetch()
            old.set()
            await go_on.wait()
            await route.fulfill(response=answer)

        await page.route("**/api/v1/revisions*", slow, times=1)
        await page.get_by_role("link", name="History").first.click()
        await page.evaluate("dispatchEvent(new Event('visibilitychange'))")
        async with asyncio.timeout(PATIENCE):
            await old.wait()
        await running.ask(f"/switches/{SWITCH}", "PUT", state="shadow", reason="a look at it")
        await page.keyboard.press("u")
        go_on.set()
        dialog = page.get_by_role("dialog")
        await expect(dialog.get_by_text("a look at it")).to_be_visible()
        await expect(dialog.get_by_role("button", name="Undo revision 1")).to_be_visible()


async def test_a_token_that_only_lowers_is_shown_what_it_may(
    tmp_path: Path, browser: Browser
) -> None:
    def limited(name: str, token: str, **limits: object) -> dict[str, object]:
        return {"name": name, "role": "operator", "hash": hash_of(token), **limits}

    tokens = [
        *TOKENS,
        limited("night", LOWERING, only_lowers=True),
        limited("elsewhere", ELSEWHERE, cohorts=["legacy"]),
    ]
    async with operated(tmp_path, traffic=False, tokens=tokens) as running:
        await running.ask(f"/switches/{SWITCH}", "PUT", state="shadow", reason="a look at it")
        async with desk(browser) as tab:
            await tab.sign_in(f"{running.url}#/switches", LOWERING)
            page = tab.page
            row = page.get_by_role("region", name=SWITCH)
            dialog = page.get_by_role("dialog")
            ramp = row.get_by_role("button", name="Ramp… only lowers")
            await expect(ramp).to_have_attribute("aria-disabled", "true")
            # An undo would raise.
            await page.keyboard.press("u")
            await expect(dialog).to_have_count(0)
            await row.get_by_role("button", name="Change state…").click()
            for state, can in (("off", True), ("shadow", True), ("canary", False), ("on", False)):
                radio = dialog.get_by_role("radio", name=state, exact=True)
                await (expect(radio).to_be_enabled() if can else expect(radio).to_be_disabled())
            assert await tab.findings() == []
            await dialog.get_by_role("radio", name="off", exact=True).check(force=True)
            await dialog.get_by_label("Reason").fill("it burns")
            await dialog.get_by_role("button", name="Set off").click()
            await expect(dialog).to_have_count(0)
            change = row.get_by_role("button", name="Change state… only lowers")
            await expect(change).to_have_attribute("aria-disabled", "true")
            await page.goto(f"{running.url}#/history/2")
            undo = page.get_by_role("button", name="Undo… only lowers")
            await expect(undo).to_have_attribute("aria-disabled", "true")
        assert (await running.ask(f"/switches/{SWITCH}"))["state"] == "off"
        async with desk(browser) as tab:
            await tab.sign_in(f"{running.url}#/switches", ELSEWHERE)
            row = tab.page.get_by_role("region", name=SWITCH)
            change = row.get_by_role("button", name="Change state… only legacy")
            await expect(change).to_have_attribute("aria-disabled", "true")
            other = tab.page.get_by_role("region", name="legacy/new-to-old")
            await expect(other.get_by_role("button", name="Change state…")).not_to_have_attribute(
                "aria-disabled", "true"
            )


async def test_history_goes_back_beyond_a_hundred_revisions(
    tmp_path: Path, browser: Browser
) -> None:
    async with operated(tmp_path, traffic=False) as running, desk(browser) as tab:
        for number in range(1, 128):
            state = "shadow" if number % 2 else "off"
            await running.ask(f"/switches/{SWITCH}", "PUT", state=state, reason=f"turn {number}")
        await tab.sign_in(f"{running.url}#/history", ADMIN)
        page = tab.page
        rows = page.get_by_role("region", name="Revisions").locator("[data-row]")
        await expect(rows).to_have_count(100)
        await page.get_by_role("button", name="Older ones").click()
        await expect(rows).to_have_count(127)
        await expect(page.get_by_text("There are no older ones that are kept.")).to_be_visible()
        # What comes meanwhile makes no gap.
        await running.ask(f"/switches/{SWITCH}", "PUT", state="off", reason="turn 128")
        await expect(rows).to_have_count(128)
        await rows.last.click()
        await expect(page.get_by_role("heading", name="Revision 1", exact=True)).to_be_visible()
        # An address of an old one is found by itself.
        await page.reload()
        await tab.sign_in(f"{running.url}#/history/3", ADMIN)
        await expect(page.get_by_role("heading", name="Revision 3", exact=True)).to_be_visible()
        await expect(page.get_by_text("turn 3", exact=True)).to_be_visible()
        await expect(rows).to_have_count(100)
        await page.goto(f"{running.url}#/history/9999")
        tab.expected.append("404 (Not Found)")
        await expect(page.get_by_text("There is no revision 9999")).to_be_visible()


async def test_reloads_stand_between_the_revisions(tmp_path: Path, browser: Browser) -> None:
    async with operated(tmp_path, traffic=False) as running, desk(browser) as tab:
        await running.ask(f"/switches/{SWITCH}", "PUT", state="shadow", reason="a look at it")
        await tab.sign_in(f"{running.url}#/history")
        page = tab.page
        await expect(page.get_by_role("heading", name="Revision 1")).to_be_visible()
        await running.ask("/reload", "POST")
        await expect(page.get_by_text("files read anew")).to_be_visible()
        config = tmp_path / "config.yaml"
        config.write_text(config.read_text() + "\nwrong: 1\n")
        await running.ask("/reload", "POST")
        await expect(page.get_by_text("a reload failed")).to_be_visible()
        await expect(page.get_by_text("files read anew")).to_be_visible()
        await expect(page.get_by_text("config.yaml:")).to_be_visible()
        assert await tab.findings() == []
