"""Ramps: what they do, when, and what is written of their steps."""

from __future__ import annotations

from dataclasses import replace

import pytest

from proxy.switching.guards import Figures, GuardRules, Samples, Verdict, judge
from proxy.switching.ramps import (
    MOST_STEPS,
    Move,
    NextMove,
    Ramp,
    RampStatus,
    check_steps,
    next_move,
    parse_step,
)
from proxy.switching.setting import OFF, ON, Mode, Setting

STEPS = tuple(map(parse_step, ("shadow", "1%", "10%", "50%", "on")))
TEN = Setting(Mode.CANARY, 1000)
RAMP = Ramp(STEPS, every=600.0, since=1000.0)


def verdict(**counted: int) -> Verdict:
    return judge(GuardRules(), Samples(0, Figures(**counted), users=100))


PASS = verdict(messages=5000)
FAIL = verdict(messages=5000, failed=500)
TOO_LITTLE = verdict(messages=10)


def move(
    ramp: Ramp | None = RAMP,
    setting: Setting = TEN,
    said: Verdict | None = PASS,
    now: float = 1600.0,
    closed: str = "",
) -> NextMove:
    return next_move(ramp, setting, said, now, closed)


def test_it_goes_on_once_its_time_is_over_and_the_guard_passes() -> None:
    assert move() == NextMove(Move.STEP, STEPS[3], 1600.0)
    assert move(now=1599.9) == NextMove(Move.WAIT, STEPS[3], 1600.0)
    # Nobody judges: the time alone counts.
    assert move(said=None).move is Move.STEP


def test_it_holds_and_says_for_what() -> None:
    held = move(said=TOO_LITTLE)
    assert (held.move, held.to, held.at) == (Move.HOLD, STEPS[3], 1600.0)
    assert held.why == ("10 of 200 messages",)
    failing = move(said=FAIL)
    assert failing.move is Move.HOLD
    assert failing.why[0].startswith("the guard fails: failed messages: 10%")
    assert move(closed="at night") == NextMove(Move.HOLD, STEPS[3], 1600.0, ("at night",))


@pytest.mark.parametrize("status", [RampStatus.PAUSED, RampStatus.STOPPED, RampStatus.FINISHED])
def test_one_that_does_not_run_does_nothing(status: RampStatus) -> None:
    assert move(replace(RAMP, status=status)).move is Move.NONE


def test_none_and_the_last_step_have_nothing_to_do() -> None:
    assert move(None).move is Move.NONE
    assert move(setting=ON).move is Move.NONE


def test_the_next_step_is_above_what_is_in_force() -> None:
    assert RAMP.after(OFF) == STEPS[0]
    assert RAMP.after(Setting(Mode.CANARY, 5)) == STEPS[1]
    assert RAMP.after(ON) is None


def test_steps_are_read_as_they_are_written() -> None:
    assert [str(each) for each in STEPS] == [
        "shadow",
        "canary 1%",
        "canary 10%",
        "canary 50%",
        "on",
    ]
    assert parse_step("canary 2.5%") == parse_step("2.5%") == Setting(Mode.CANARY, 250)
    for text in ("", "10", "101%", "up"):
        with pytest.raises(ValueError, match="expected off, shadow, on, or a canary"):
            parse_step(text)


def test_steps_rise() -> None:
    assert check_steps(STEPS) == STEPS
    with pytest.raises(ValueError, match="canary 10% is not above canary 10%"):
        check_steps((TEN, TEN))
    with pytest.raises(ValueError, match="shadow is not above on"):
        check_steps((ON, STEPS[0]))
    many = tuple(Setting(Mode.CANARY, share) for share in range(1, MOST_STEPS + 2))
    assert check_steps(many[:-1])
    for steps in ((), many):
        with pytest.raises(ValueError, match="expected 1 to 20 steps"):
            check_steps(steps)
