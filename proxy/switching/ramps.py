"""Ramps: the states that a switch is to go through by itself, and when it goes on.

A ramp is a part of what a switch is set to: whoever sets the switch otherwise has thereby ended it,
and a step is a change like all others, which is made once though several processes try.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import Final, NamedTuple

from proxy.switching.guards import Outcome, Verdict, height
from proxy.switching.setting import Setting, parse_setting

MOST_STEPS: Final = 20

LEAST_EVERY: Final = 10.0
MOST_EVERY: Final = 7 * 86400.0
"""Seconds between two steps."""


class RampStatus(StrEnum):
    """Where a ramp is."""

    RUNNING = "running"
    PAUSED = "paused"
    """Somebody has paused it: it takes no step until it is resumed."""
    STOPPED = "stopped"
    """The guard has taken a step back. Only a person raises the switch again."""
    FINISHED = "finished"
    """The last step is taken."""


@dataclass(frozen=True, slots=True)
class Ramp:
    """What a switch goes through.

    Attributes:
        steps: each is higher than the one before.
        every: seconds that each is in force at least.
        since: when the newest step was taken, or the ramp was resumed, in seconds since 1970.
        status: where it is.
        author, reason: who began it, and why.
        open_sockets: what open WebSockets do at each step, as `OpenSockets` has it; empty: as the
            configuration says.
    """

    steps: tuple[Setting, ...]
    every: float
    since: float
    status: RampStatus = RampStatus.RUNNING
    author: str = ""
    reason: str = ""
    open_sockets: str = ""

    def after(self, setting: Setting) -> Setting | None:
        """The step that is above a setting; None where there is none."""
        return next((each for each in self.steps if height(each) > height(setting)), None)


class Move(StrEnum):
    """What a ramp does now."""

    NONE = "none"
    """Nothing: it is over, or paused."""
    WAIT = "wait"
    """Its step has not been in force for long enough."""
    HOLD = "hold"
    """It would go on, and may not: `why` tells."""
    STEP = "step"
    """It goes on."""


class NextMove(NamedTuple):
    """What a ramp does, and why.

    Attributes:
        move: see there.
        to: the step that is next; None where there is none.
        at: when it is to be taken at the earliest, or since when it is held, in seconds since 1970.
        why: what it holds for, in words; empty for all other moves.
    """

    move: Move
    to: Setting | None = None
    at: float = 0.0
    why: tuple[str, ...] = ()


_NOTHING: Final = NextMove(Move.NONE)


def next_move(
    ramp: Ramp | None, setting: Setting, verdict: Verdict | None, now: float, closed: str
) -> NextMove:
    """Say what a ramp does.

    Args:
        ramp: of the switch; None where it has none.
        setting: that is in force.
        verdict: of its guard; None where the guard is off.
        now: in seconds since 1970.
        closed: why nothing may rise now, in words; empty where it may.
    """
    to = None if ramp is None else ramp.after(setting)
    if ramp is None or to is None or ramp.status is not RampStatus.RUNNING:
        return _NOTHING
    at = ramp.since + ramp.every
    if now < at:
        return NextMove(Move.WAIT, to, at)
    if verdict is not None and verdict.outcome is Outcome.FAIL:
        return NextMove(Move.HOLD, to, at, (f"the guard fails: {verdict.failure}",))
    if verdict is not None and verdict.outcome is Outcome.INCONCLUSIVE:
        return NextMove(Move.HOLD, to, at, verdict.missing)
    if closed:
        return NextMove(Move.HOLD, to, at, (closed,))
    return NextMove(Move.STEP, to, at)


def parse_step(text: str) -> Setting:
    """Read a step as it is written: a setting, or a share such as `10%` for a canary.

    Raises:
        ValueError: it is none.
    """
    return parse_setting(f"canary {text}" if text[:1].isdigit() else text)


def check_steps(steps: tuple[Setting, ...]) -> tuple[Setting, ...]:
    """Check the steps of a ramp; return them.

    Raises:
        ValueError: they are none, or do not rise.
    """
    if not 1 <= len(steps) <= MOST_STEPS:
        raise ValueError(f"expected 1 to {MOST_STEPS} steps")
    for before, after in pairwise(steps):
        if height(after) <= height(before):
            raise ValueError(f"expected steps that rise: {after} is not above {before}")
    return steps
