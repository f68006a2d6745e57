"""The console in a browser: the migration is seen, and steered, as an operator does it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, expect

from tests.support.administered import ADMIN, OPERATOR, VIEWER
from tests.support.jobs import NEW, OLD
from tests.support.operated import DESK, PHONE, Desk, chromium, desk, operated
from tests.support.waiting import PATIENCE

pytestmark = pytest.mark.needs_chromium

expect.set_options(timeout=PATIENCE * 1000)

SWITCH = "modern/old-to-new"


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as found:
        yield found


async def change(tab: Desk, state: str, reason: str, sockets: str = "Keep") -> None:
    """Turn the switch by the dialog, as somebody with a mouse does."""
    row = tab.page.get_by_role("region", name=SWITCH)
    await row.get_by_role("button", name="Change state…").click()
    dialog = tab.page.get_by_role("dialog")
    await dialog.get_by_role("radio", name=state, exact=True).check(force=True)
    await dialog.get_by_role("radio", name=sockets).check()
    await dialog.get_by_label("Reason").fill(reason)
    await dialog.get_by_role("button", name=f"Set {state}").click()


async def test_a_switch_is_set_clients_change_dialect_and_undo_changes_it_back(
    tmp_path: Path, browser: Browser
) -> None:
    async with operated(tmp_path) as running, desk(browser) as tab:
        await running.until_heard(NEW, "status")
        await running.until_heard(OLD, "jobStatus")
        await tab.sign_in(running.url)
        page = tab.page
        await expect(page.get_by_text("All is well.")).to_be_visible()
        # The picture has what flows: both cohorts, their switches, and the server.
        flow = page.get_by_role("img", name="The flow; the table after it has the same figures")
        for text in ("modern", "legacy", SWITCH, "rewritten"):
            await expect(flow.get_by_text(text).first).to_be_visible()

        await page.get_by_role("link", name="Switches").first.click()
        await change(tab, "off", "wrong order of frames", "From the next message")
        toast = page.get_by_role("status").get_by_text("Revision 1 is in force on 1 of 1 replica.")
        await expect(toast).to_be_visible()
        await expect(page.get_by_role("dialog")).to_have_count(0)
        await running.until_heard(NEW, "jobStatus")
        row = page.get_by_role("region", name=SWITCH)
        await expect(row.get_by_text("wrong order of frames")).to_be_visible()

        await page.get_by_role("link", name="History").first.click()
        await expect(page.get_by_role("heading", name="Revision 1")).to_be_visible()
        await page.get_by_role("button", name="Undo 1…").click()
        dialog = page.get_by_role("dialog")
        await expect(dialog.get_by_text("wrong order of frames")).to_be_visible()
        await dialog.get_by_label("Reason").fill("the order was right")
        await dialog.get_by_role("button", name="Undo revision 1").click()
        await expect(page.get_by_role("heading", name="Revision 2")).to_be_visible()
        await running.until_heard(NEW, "status")
        newest = (await running.ask("/revisions?limit=1"))["revisions"][0]
        assert (newest["kind"], newest["reason"]) == ("undo", "the order was right")
        assert newest["author"] == "operator-token (token)"


async def test_the_keyboard_alone_signs_in_and_turns_a_switch(
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
        await press("2")
        await expect(page.get_by_role("heading", name="Switches", level=1)).to_be_visible()
        await page.get_by_role("region", name=SWITCH).wait_for()
        await press("j")
        await press("j")
        await expect(page.get_by_role("region", name=SWITCH)).to_be_focused()
        await press("c")
        dialog = page.get_by_role("dialog")
        await expect(dialog.get_by_role("radio", name="on", exact=True)).to_be_focused()
        await press("ArrowLeft")  # To the canary, whose share comes next.
        await press("Tab")
        await expect(dialog.get_by_label("Share")).to_be_focused()
        await press("ControlOrMeta+a")
        await page.keyboard.type("25")
        while not await dialog.get_by_label("Reason").evaluate("e => e === document.activeElement"):
            await press("Tab")
        await page.keyboard.type("first quarter")
        await press("Tab")
        await press("Tab")
        await expect(dialog.get_by_role("button", name="Set canary 25%")).to_be_focused()
        await press("Enter")
        await expect(dialog).to_have_count(0)
        # The focus is where it was, and a key in a field is a letter.
        await expect(page.get_by_role("region", name=SWITCH)).to_be_focused()
        shown = await running.ask(f"/switches/{SWITCH}")
        assert (shown["state"], shown["percent"]) == ("canary", 25.0)
        await press("u")
        await dialog.wait_for()
        await press("Escape")
        await expect(dialog).to_have_count(0)
        assert (await running.ask("/switches"))["revision"] == 1


async def test_who_comes_second_sees_what_the_first_did_and_overwrites_nothing(
    tmp_path: Path, browser: Browser
) -> None:
    async with (
        operated(tmp_path, traffic=False) as running,
        desk(browser) as one,
        desk(browser) as other,
    ):
        one.expected.append("412 (Precondition Failed)")
        await one.sign_in(f"{running.url}#/switches", OPERATOR)
        await other.sign_in(f"{running.url}#/switches", ADMIN)
        row = one.page.get_by_role("region", name=SWITCH)
        await row.get_by_role("button", name="Change state…").click()
        dialog = one.page.get_by_role("dialog")
        await dialog.get_by_role("radio", name="shadow", exact=True).check(force=True)
        await dialog.get_by_label("Reason").fill("a look at it")
        # The dry run, which would itself find that somebody was faster, is over.
        await expect(dialog.get_by_text("is rewritten")).to_be_visible()
        await change(other, "off", "wait for the client team")
        await expect(other.page.get_by_role("dialog")).to_have_count(0)

        await dialog.get_by_role("button", name="Set shadow").click()
        await expect(
            dialog.get_by_text("Not applied: admin-token changed it first")
        ).to_be_visible()
        await expect(dialog.get_by_text("wait for the client team")).to_be_visible()
        assert (await running.ask(f"/switches/{SWITCH}"))["state"] == "off"
        # Nothing of the choice is lost: from there it can be made again.
        await dialog.get_by_role("button", name="Change it again, from r1…").click()
        await expect(dialog.get_by_label("Reason")).to_have_value("a look at it")
        await dialog.get_by_role("button", name="Set shadow").click()
        await expect(dialog).to_have_count(0)
        assert (await running.ask(f"/switches/{SWITCH}"))["state"] == "shadow"


async def test_everything_off_asks_twice_and_comes_back_in_one_step(
    tmp_path: Path, browser: Browser
) -> None:
    async with operated(tmp_path) as running, desk(browser) as tab:
        await running.until_heard(NEW, "status")
        await tab.sign_in(running.url)
        page = tab.page
        await page.get_by_role("button", name="Everything off…").first.click()
        dialog = page.get_by_role("dialog")
        await dialog.get_by_role("button", name="Go on…").click(force=True)  # Without a reason.
        await expect(dialog.get_by_label("Type off to confirm")).to_have_count(0)
        await dialog.get_by_label("Reason").fill("frames are wrong since noon")
        await dialog.get_by_role("button", name="Go on…").click()
        last = dialog.get_by_role("button", name="Turn everything off")
        await last.click(force=True)
        assert not (await running.ask("/switches"))["all_off"]
        await dialog.get_by_label("Type off to confirm").fill("off")
        await last.click()
        await expect(page.get_by_text("Everything is off.").first).to_be_visible()
        await running.until_heard(NEW, "jobStatus")
        await page.get_by_role("link", name="Switches").first.click()
        await page.get_by_role("button", name="Switches as set…").click()
        await dialog.get_by_label("Reason").fill("the server is fixed")
        await dialog.get_by_role("button", name="Set 2 switches again").click()
        await expect(dialog).to_have_count(0)
        await running.until_heard(NEW, "status")
        await page.get_by_role("link", name="Overview").first.click()
        await expect(page.get_by_text("All is well.")).to_be_visible()


async def test_a_page_that_lost_the_process_says_so_and_comes_back_by_itself(
    tmp_path: Path, browser: Browser
) -> None:
    async with operated(tmp_path, traffic=False) as running, desk(browser) as tab:
        tab.expected += ["ERR_INTERNET_DISCONNECTED", "net::ERR"]
        await tab.sign_in(f"{running.url}#/switches")
        page = tab.page
        row = page.get_by_role("region", name=SWITCH)
        await row.wait_for()
        await page.context.set_offline(True)
        await expect(page.get_by_text("Disconnected.", exact=True)).to_be_visible()
        await expect(page.get_by_text("As of")).to_be_visible()
        # What a screen reader is told as it changes does not count seconds.
        told = page.get_by_role("status").filter(has_text="Disconnected")
        await expect(told).to_have_text("Disconnected. Changes wait until it is back.")
        await expect(row).to_be_visible()  # What was known stays.
        button = row.get_by_role("button", name="Change state…")
        await expect(button).to_have_attribute("aria-disabled", "true")
        await expect(button).to_have_text(re.compile("disconnected"))
        # A page that was not seen before has nothing to show, and says so.
        await page.get_by_role("link", name="Overview").first.click()
        await expect(page.get_by_role("heading", name="Not read yet")).to_be_visible()
        await page.get_by_role("link", name="Switches").first.click()
        # What happens meanwhile is read when the process is back.
        await running.ask(f"/switches/{SWITCH}", "PUT", state="shadow", reason="meanwhile")
        await page.context.set_offline(False)
        await expect(page.get_by_text("Live", exact=True)).to_be_visible()
        await expect(row.get_by_text("meanwhile")).to_be_visible()
        await expect(button).not_to_have_attribute("aria-disabled", "true")


async def test_what_failed_to_be_read_is_told_and_the_rest_is_shown(
    tmp_path: Path, browser: Browser
) -> None:
    async with operated(tmp_path, traffic=False) as running, desk(browser) as tab:
        tab.expected.append("503 (Service Unavailable)")
        await tab.sign_in(running.url)
        page = tab.page
        problem = '{"status": 503, "title": "Away", "detail": "the store of switches is away"}'
        await page.route(
            "**/api/v1/revisions*",
            lambda route: route.fulfill(
                status=503, content_type="application/problem+json", body=problem
            ),
        )
        await page.reload()
        await tab.sign_in(f"{running.url}#/history")
        await expect(page.get_by_role("alert").get_by_text("the store of switches")).to_be_visible()
        await page.get_by_role("link", name="Switches").first.click()
        await expect(page.get_by_role("region", name=SWITCH)).to_be_visible()


async def test_a_viewer_sees_everything_and_changes_nothing(
    tmp_path: Path, browser: Browser
) -> None:
    async with operated(tmp_path, traffic=False) as running, desk(browser) as tab:
        tab.expected.append("403 (Forbidden)")
        await tab.sign_in(f"{running.url}#/switches", VIEWER)
        page = tab.page
        row = page.get_by_role("region", name=SWITCH)
        button = row.get_by_role("button", name="Change state… needs operator")
        await expect(button).to_have_attribute("aria-disabled", "true")
        await button.click(force=True)
        await row.focus()
        await page.keyboard.press("c")
        await page.keyboard.press("u")
        await expect(page.get_by_role("dialog")).to_have_count(0)
        for off in await page.get_by_role("button", name="Everything off").all():
            if await off.is_visible():
                await expect(off).to_have_attribute("aria-disabled", "true")
        # Nor by what the page itself has: the API decides.
        status = await page.evaluate(
            """async (token) => (await fetch("../api/v1/switches/all-off", {method: "POST",
                body: JSON.stringify({reason: "because"}), headers: {
                "Authorization": `Bearer ${token}`, "Content-Type": "application/json"}
                })).status""",
            VIEWER,
        )
        assert status == 403
        assert (await running.ask("/switches"))["revision"] == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
async def test_axe_finds_nothing_on_any_page(
    tmp_path: Path, browser: Browser, scheme: str, size: dict[str, int]
) -> None:
    async with operated(tmp_path) as running, desk(browser, scheme, size) as tab:
        await running.until_heard(NEW, "status")
        await running.until_heard(OLD, "jobStatus")
        page = tab.page
        tab.expected.append("401 (Unauthorized)")
        await page.goto(running.url)
        await page.get_by_label("Token", exact=True).wait_for()
        assert await tab.findings() == []
        await tab.sign_in(f"{running.url}#/history")
        await expect(page.get_by_text("Nothing was changed yet")).to_be_visible()
        assert await tab.findings() == []
        await running.ask(
            f"/switches/{SWITCH}", "PUT", state="canary", percent=10, reason="first users"
        )
        await running.ask(
            f"/switches/{SWITCH}",
            "PUT",
            state="off",
            versions="==2.1.3",
            name="broken-2-1-3",
            reason="2.1.3 drops frames",
        )
        await expect(page.get_by_role("heading", name="Revision 2")).to_be_visible()
        assert await tab.findings() == []
        await page.goto(f"{running.url}#/overview")
        await expect(page.get_by_text("1 switch is on the way.")).to_be_visible()
        await expect(page.get_by_role("heading", name="Latest changes")).to_be_visible()
        assert await tab.findings() == []
        await page.goto(f"{running.url}#/switches")
        row = page.get_by_role("region", name=SWITCH)
        await expect(row.get_by_text("broken-2-1-3")).to_be_visible()
        assert await tab.findings() == []
        await row.get_by_role("button", name="Change state…").click()
        dialog = page.get_by_role("dialog")
        await dialog.get_by_role("radio", name="on", exact=True).check(force=True)
        await expect(dialog.get_by_text("more is rewritten")).to_be_visible()
        assert await tab.findings() == []
        await page.keyboard.press("Escape")
        await page.get_by_role("button", name="Everything off…").last.click()
        await dialog.get_by_label("Reason").fill("a test")
        assert await tab.findings() == []
        await dialog.get_by_role("button", name="Go on…").click()
        await dialog.get_by_label("Type off to confirm").wait_for()
        assert await tab.findings() == []


async def test_nothing_is_wider_than_a_phone_and_a_page_at_twice_its_size(
    tmp_path: Path, browser: Browser
) -> None:
    async with operated(tmp_path) as running:
        await running.until_heard(NEW, "status")
        await running.ask(f"/switches/{SWITCH}", "PUT", state="shadow", reason="a look at it")
        for size in (PHONE, {"width": 720, "height": 450}, {"width": 320, "height": 640}):
            async with desk(browser, size=size) as tab:
                await tab.sign_in(running.url)
                for name in ("overview", "switches", "history"):
                    await tab.page.goto(f"{running.url}#/{name}")
                    await expect(tab.page.locator("main .panel").first).to_be_visible()
                    await tab.until("() => document.documentElement.scrollWidth <= innerWidth")
                    # A page that is turned to begins at its beginning, and not under the bar.
                    top, bar = await tab.page.evaluate(
                        """() => [document.querySelector("main").getBoundingClientRect().top,
                            document.querySelector(".top").getBoundingClientRect().bottom]"""
                    )
                    assert top >= bar


async def test_the_last_hour_is_there_at_once(tmp_path: Path, browser: Browser) -> None:
    async with operated(tmp_path) as running:
        await running.until_heard(NEW, "status")
        kept = running.proxy.server._data.last_hour
        loop = asyncio.get_running_loop()
        begin = loop.time() + 1e4  # Later than all that it takes by itself.
        for point in range(100):  # As if it had run for an hour.
            kept.take(begin + point * 30, 1.8e9 + point * 30, {("messages", "modern"): point}, {})
        async with desk(browser) as tab:
            await tab.sign_in(running.url)
            await expect(tab.page.locator(".plot canvas").first).to_be_visible()
            plot = tab.page.get_by_role("img", name="Messages:")
            await expect(plot).to_have_attribute("aria-label", "Messages: modern 0.033")


async def test_a_ramp_is_begun_paused_and_stopped(tmp_path: Path, browser: Browser) -> None:
    async with operated(tmp_path, traffic=False) as running, desk(browser) as tab:
        await running.ask(f"/switches/{SWITCH}", "PUT", state="off", reason="from the start")
        await tab.sign_in(f"{running.url}#/switches")
        row = tab.page.get_by_role("region", name=SWITCH)
        dialog = tab.page.get_by_role("dialog")
        await row.get_by_role("button", name="Ramp…").click()
        await dialog.get_by_label("Steps").fill("shadow, 5%, on")
        await dialog.get_by_label("Reason").fill("2.4 is out")
        assert await tab.findings() == []
        await dialog.get_by_role("button", name="Begin a ramp of 3 steps").click()
        await expect(row.get_by_text("Ramp running")).to_be_visible()
        shown = await running.ask(f"/switches/{SWITCH}")
        assert (shown["state"], shown["ramp"]["steps"]) == ("shadow", ["shadow", "canary 5%", "on"])
        for act, words, then in (
            ("Pause…", "Pause the ramp", "Ramp paused"),
            ("Resume…", "Resume the ramp", "Ramp running"),
        ):
            await row.get_by_role("button", name=act).click()
            await dialog.get_by_label("Reason").fill("a look at it")
            await dialog.get_by_role("button", name=words).click()
            await expect(row.get_by_text(then)).to_be_visible()
        assert await tab.findings() == []
        await row.get_by_role("button", name="Stop…").click()
        await dialog.get_by_label("Reason").fill("not today")
        await dialog.get_by_role("button", name="Stop the ramp").click()
        await expect(row.get_by_text("Ramp running")).to_have_count(0)
        assert (await running.ask(f"/switches/{SWITCH}"))["ramp"] is None


async def test_what_others_have_written_is_text_and_nothing_else(
    tmp_path: Path, browser: Browser
) -> None:
    markup = '<img src=x onerror="document.title=1"><script>document.title=2</script>'
    async with operated(tmp_path, traffic=False) as running, desk(browser) as tab:
        await running.ask(f"/switches/{SWITCH}", "PUT", state="shadow", reason=markup)
        for name in ("overview", "switches", "history"):
            await tab.sign_in(f"{running.url}#/{name}")
            await expect(tab.page.get_by_text(markup).first).to_be_visible()
            assert await tab.page.locator("main img, main script").count() == 0
            await tab.page.reload()
