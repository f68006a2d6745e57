"""Guards and ramps of a running Segue: what its own traffic makes of a switch."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

import pytest

from proxy.switching.guards import Figure, Outcome
from proxy.switching.ramps import Move, RampStatus
from tests.support.guarded import ANN, BAD, GOOD, MAPPED, NAME, guarded
from tests.support.waiting import PATIENCE

SMALL = "min_messages: 50, min_users: 2, added_latency: null"


async def test_a_mapping_that_fails_is_taken_back_on_open_sockets_too(tmp_path: Path) -> None:
    async with guarded(tmp_path, SMALL) as proxy:
        await proxy.set("canary 50%")
        await proxy.users(40)
        before = await proxy.send(1, GOOD)
        inside = before.count(MAPPED)
        assert 0 < inside < 40
        await proxy.comes_to("canary 10%", GOOD, BAD)
        revision = await proxy.newest()
        assert (revision.author, revision.kind, revision.role) == ("guard", "guard", "")
        finding = revision.finding
        assert finding is not None
        assert finding.figure is Figure.FAILED
        assert finding.lower > finding.bound == 0.01
        assert finding.of >= 50
        assert revision.reason.startswith("failed messages: ")
        assert f"({finding.failed} of {finding.of}; " in revision.reason
        assert revision.reason.endswith(f"about {inside} users")
        # At once, not when they come back: who is left is in the smaller canary.
        await proxy.proxy.server._switches.rollover.finished()
        assert (await proxy.send(1, GOOD)).count(MAPPED) < inside
        assert proxy.guards.judged[NAME].latched or (await proxy.judged()).latched


async def test_samples_begin_anew_with_each_revision_and_the_last_step_is_off(
    tmp_path: Path,
) -> None:
    async with guarded(tmp_path, f"{SMALL}, min_users: 0".replace("min_users: 2, ", "")) as proxy:
        await proxy.set("shadow")
        await proxy.users(3)
        await proxy.comes_to("off", BAD)
        assert (await proxy.newest()).after[str(NAME)].setting == "off"
        await proxy.guards.look(time.time())
        assert NAME not in proxy.guards.judged
        await proxy.set("canary 100%")
        await proxy.users(3)
        proxy.now = time.time()
        verdict = (await proxy.judged()).verdict
        assert verdict is not None
        assert verdict.messages == 0


async def test_a_healthy_mapping_stays_and_passes(tmp_path: Path) -> None:
    async with guarded(tmp_path, SMALL) as proxy:
        proxy.now = time.time()
        await proxy.set("canary 100%")
        await proxy.judged()
        await proxy.users(4)
        await proxy.send(180, GOOD)
        verdict = (await proxy.judged()).verdict
        assert verdict is not None
        assert (verdict.outcome, verdict.missing) == (Outcome.PASS, ())
        assert verdict.users == 4
        assert verdict.messages >= 4 * 180 - 8  # As many as came since the first look.
        assert proxy.state == "canary 100%"


async def test_one_that_only_observes_says_what_it_would_have_done_once(tmp_path: Path) -> None:
    async with guarded(tmp_path, f"mode: observe, {SMALL}") as proxy:
        await proxy.set("canary 100%")
        await proxy.users(4)
        async with asyncio.timeout(PATIENCE):
            while not proxy.guards.observed:
                await proxy.send(5, BAD)
                proxy.guards.changed()
        await proxy.guards.look(time.time())
        assert proxy.state == "canary 100%"
        assert proxy.guards.observed == 1
        lines = [json.loads(line) for line in proxy.proxy.log.getvalue().splitlines()]
        (line,) = [each for each in lines if each["event"] == "guard would take back"]
        assert line["switch"] == "modern/frames"
        assert line["finding"].startswith("failed messages: 100%")


async def test_a_ramp_goes_on_while_its_guard_passes(tmp_path: Path) -> None:
    async with guarded(tmp_path, f"{SMALL}, min_users: 0".replace("min_users: 2, ", "")) as proxy:
        begin = proxy.now = time.time()
        await proxy.ramp("shadow,50%,on", 600.0, begin)
        assert proxy.state == "shadow"
        await proxy.users(8)
        assert (await proxy.judged()).move.move is Move.WAIT
        proxy.now = begin + 601
        held = (await proxy.judged()).move
        assert (held.move, held.at) == (Move.HOLD, begin + 600)
        assert held.why == ("0 of 50 messages",)
        await proxy.send(120, GOOD)
        async with asyncio.timeout(PATIENCE):
            while proxy.state == "shadow":
                await proxy.send(1, GOOD)
                await proxy.guards.look(proxy.now)
        revision = await proxy.newest()
        assert (revision.author, revision.kind) == ("ramp", "ramp-step")
        assert proxy.state == "canary 50%"
        # What a person does ends it.
        await proxy.set("canary 20%")
        assert proxy.board.current.base.states[NAME].ramp is None


async def test_a_failing_guard_stops_the_ramp(tmp_path: Path) -> None:
    async with guarded(tmp_path, SMALL) as proxy:
        await proxy.ramp("1%,100%,on", 600.0, time.time())
        await proxy.set("off")
        await proxy.ramp("1%,100%", 600.0, time.time())
        await proxy.set("canary 100%")
        await proxy.ramp("50%,100%,on", 600.0, time.time())
        await proxy.users(6)
        await proxy.comes_to("canary 50%", BAD)
        ramp = proxy.board.current.base.states[NAME].ramp
        assert ramp is not None
        assert ramp.status is RampStatus.STOPPED


@pytest.mark.parametrize("other", ["set", "undo", "all-off"])
async def test_what_people_do_ends_a_ramp(tmp_path: Path, other: str) -> None:
    async with guarded(tmp_path, SMALL) as proxy:
        await proxy.ramp("1%,on", 600.0, time.time())
        if other == "set":
            await proxy.set("shadow")
        elif other == "undo":
            number = proxy.board.current.stored.number
            await proxy.board.undo(None, number, ANN, "a test")
        else:
            await proxy.ask("/switches/all-off", "POST", reason="a test")
        assert proxy.board.current.base.states[NAME].ramp is None


async def test_states_rise_only_in_their_hours_and_fall_at_all_times(tmp_path: Path) -> None:
    never = "  windows: [{days: mon, hours: '00:00-00:00'}]".replace(
        "mon", ("tue", "wed", "thu", "fri", "sat", "sun", "mon")[(time.gmtime().tm_wday + 1) % 7]
    )
    async with guarded(tmp_path, SMALL, never) as proxy, proxy.proxy.admin() as client:
        asked = {"state": "on", "reason": "a test"}
        headers = {"If-Match": '"0"'}
        target = f"/api/v1/switches/{NAME}"
        async with client.put(target, json=asked, headers=headers) as answer:
            assert answer.status == 409
            detail = (await answer.json())["detail"]
        assert detail.startswith("this raises, and switches rise only within switching.windows: ")
        async with client.put(target, json={**asked, "state": "off"}) as answer:
            assert answer.status == 200
