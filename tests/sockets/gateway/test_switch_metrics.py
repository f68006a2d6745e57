"""What the metrics say of switches, over changes of the table and reloads."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from proxy.gateway import switch_metrics
from proxy.gateway.switch_metrics import GONE, MAX_SERIES
from tests.support.switches import SWITCH, Switched, switched
from tests.support.waiting import PATIENCE

DECISIONS = "segue_switch_decisions_total"


async def states(running: Switched, exception: str = "") -> dict[str, float]:
    """What is shown of the states of the switch."""
    return {
        dict(labels)["state"]: value
        for (name, labels), value in (await running.proxy.metrics()).items()
        if name == "segue_switch_state" and {("switch", SWITCH), ("exception", exception)} <= labels
    }


async def reloaded(running: Switched) -> None:
    reloads = running.proxy.server._reloads
    before = reloads.succeeded
    running.proxy.server.reload()
    async with asyncio.timeout(PATIENCE):
        while reloads.succeeded == before:  # noqa: ASYNC110 (it tells nobody)
            await asyncio.sleep(0.002)


async def test_one_state_of_a_switch_is_in_force(tmp_path: Path) -> None:
    async with switched(tmp_path) as running:
        others = dict.fromkeys(("off", "shadow", "canary", "on"), 0.0)
        assert await states(running) == {**others, "on": 1.0}
        percent = "segue_switch_percent"
        assert await running.proxy.metric(percent, switch=SWITCH) == 100
        for state in ("off", "shadow"):
            await running.turn(state)
            assert await states(running) == {**others, state: 1.0}
            assert await running.proxy.metric(percent, switch=SWITCH) == 0
        await running.turn("canary", percent=12.25)
        await running.turn("off", versions="==2.1.3", name="broken")
        assert await states(running) == {**others, "canary": 1.0}
        assert await states(running, "broken") == {**others, "off": 1.0}
        assert await running.proxy.metric(percent, switch=SWITCH, exception="") == 12.25
        assert await running.proxy.metric(percent, switch=SWITCH, exception="broken") == 0

        await running.ask("/switches/all-off", "POST", reason="a test")
        assert await states(running) == {**others, "off": 1.0}
        assert await states(running, "broken") == {}
        # The other switch has states of its own.
        assert await running.proxy.metric("segue_switch_state", state="off") == 2


async def test_decisions_only_grow_over_changes_and_reloads(tmp_path: Path) -> None:
    async with switched(tmp_path) as running:
        seen = 0.0

        async def total(**labels: str) -> float:
            nonlocal seen
            now = await running.proxy.metric(DECISIONS, switch=SWITCH)
            assert now >= seen
            seen = now
            return await running.proxy.metric(DECISIONS, switch=SWITCH, **labels)

        assert await total() == 0
        for _ in range(3):
            await running.open()
        assert await total(applied="true") == 3
        # Nobody asks between these two.
        await running.turn("shadow", open_sockets="keep")
        await running.turn("off", open_sockets="keep")
        assert await total(applied="true") == 3
        # Each change has decided about each of the open ones.
        assert await total(applied="shadow") == 3
        assert await total(applied="false") == 3
        await reloaded(running)
        await running.open()
        assert await total(applied="false") == 4
        await running.turn("on", versions="<2.2", name="older", open_sockets="keep")
        before = await total(applied="true", exception="older")
        await running.open()
        assert await total(applied="true", exception="older") == before + 1
        # Far more than are looked at.
        for _ in range(8):
            await reloaded(running)
        assert await total(applied="true", exception="") == 3
        assert await total(applied="true", exception="older") == before + 1


async def test_a_request_that_began_before_a_change_is_counted(tmp_path: Path) -> None:
    async with switched(tmp_path) as running:
        live = running.proxy.server._live
        before = live.current.switches
        await running.turn("off")
        before.decide("modern", None, lambda: b"")
        assert await running.proxy.metric(DECISIONS, switch=SWITCH, applied="true") == 1


async def test_what_was_counted_of_names_that_are_gone_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert MAX_SERIES == 1_000
    monkeypatch.setattr(switch_metrics, "MAX_SERIES", 10)
    async with switched(tmp_path) as running:
        await running.open()
        for number in range(12):
            name = f"e{number}"
            await running.turn("off", versions="==2.1", name=name, open_sockets="keep")
            target = f"/switches/{SWITCH}/exceptions/{name}?reason=over"
            await running.open()
            async with running.proxy.admin() as client:
                revision = running.proxy.server._live.current.switches.table.number
                headers = {"If-Match": f'"{revision}"'}
                async with client.delete(f"/api/v1{target}", headers=headers) as answer:
                    assert answer.status == 200, await answer.text()
            total = await running.proxy.metric(DECISIONS)
            again = await running.proxy.metric(DECISIONS)
            assert again == total
        found = [labels for name, labels in await running.proxy.metrics() if name == DECISIONS]
        # Those that are in force, or were lately, are never given up.
        assert len(found) <= 10 + 3
        gone = await running.proxy.metric(DECISIONS, switch=GONE, exception=GONE, applied="false")
        assert gone > 0
        # Each of the sockets was met with its exception by itself, and by those open then.
        assert await running.proxy.metric(DECISIONS, applied="false") >= 12


async def test_sockets_that_a_change_has_left_are_behind(tmp_path: Path) -> None:
    async with switched(tmp_path) as running:
        name = "segue_switch_sockets"

        async def behind() -> tuple[float, float]:
            metric = running.proxy.metric
            return (
                await metric(name, switch=SWITCH, behind="true"),
                await metric(name, switch=SWITCH, behind="false"),
            )

        assert await behind() == (0, 0)
        for version in ("2.0", "2.1", "1.0"):
            await running.open(version)
        assert await behind() == (0, 2)
        await running.turn("off", open_sockets="keep")
        assert await behind() == (2, 0)
        await running.open()
        assert await behind() == (2, 1)
        # Those of another cohort have nothing to catch up with.
        assert await running.proxy.metric(name, switch="legacy/new-to-old", behind="true") == 0
        await running.turn("shadow", open_sockets="next_message")
        assert await behind() == (0, 3)


async def test_users_of_a_canary_are_about_as_many_as_came(tmp_path: Path) -> None:
    async with switched(tmp_path) as running:
        name = "segue_switch_users"
        assert await running.proxy.metric(name) == 0
        await running.turn("canary", percent=50)
        for n in range(24):
            await running.open("2.1", b"User-Agent: %d" % n)
        inside = await running.proxy.metric(name, switch=SWITCH, inside="true")
        outside = await running.proxy.metric(name, switch=SWITCH, inside="false")
        assert inside
        assert outside
        assert 22 <= inside + outside <= 26
