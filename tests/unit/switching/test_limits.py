"""How far a limited right to change switches goes: by what comes of a change."""

from __future__ import annotations

from dataclasses import replace

import pytest

from proxy.switching.changes import (
    AllOff,
    Change,
    Restore,
    Undo,
    changed,
)
from proxy.switching.limits import NO_LIMITS, Limits, beyond
from proxy.switching.ramp_changes import SetRampStatus, StartRamp, StopRamp
from proxy.switching.ramps import Ramp, RampStatus
from proxy.switching.setting import OFF, ON, Mode, Setting
from proxy.switching.switch_changes import (
    DropException,
    SetSwitch,
)
from proxy.switching.table import (
    ALL_ON,
    EMPTY,
    SwitchName,
    SwitchState,
    Table,
    Term,
    VersionException,
)
from proxy.versions.version import parse_range

MODERN, LEGACY = SwitchName("modern", "one"), SwitchName("legacy", "one")
FIRST = {MODERN: ALL_ON, LEGACY: ALL_ON}
OWN = Limits(("modern",))
DOWN = Limits(only_lowers=True)
CANARY = Setting(Mode.CANARY, 1000)
OTHERS = "this changes switches of legacy; who asks is limited to: cohorts modern"
RAISES = "this raises; who asks is limited to: only lowers"
LATER = "this would raise when it ends by itself; who asks is limited to: only lowers"


def told(limits: Limits, change: Change, table: Table = EMPTY) -> str:
    return beyond(limits, table, changed(table, change, FIRST), FIRST)


def at(table: Table, change: Change) -> Table:
    return changed(table, change, FIRST)


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        (NO_LIMITS, ""),
        (OWN, "cohorts modern"),
        (DOWN, "only lowers"),
        (Limits(("a", "b"), only_lowers=True), "cohorts a, b, only lowers"),
    ],
)
def test_limits_are_written_for_people(limits: Limits, expected: str) -> None:
    assert str(limits) == expected
    assert limits.covers("a") is (limits.cohorts is None or "a" in limits.cohorts)


def test_without_limits_everything_may_be_done() -> None:
    table = Table(1, {LEGACY: SwitchState(OFF, revision=1)})
    assert told(NO_LIMITS, AllOff()) == ""
    assert told(NO_LIMITS, SetSwitch(LEGACY, ON, expected=1), table) == ""


def test_only_switches_of_the_own_cohorts_may_be_changed() -> None:
    assert told(OWN, SetSwitch(MODERN, OFF)) == ""
    assert told(OWN, SetSwitch(LEGACY, OFF)) == OTHERS
    # To say again what is so already is a change too: others build on its number.
    same = at(EMPTY, SetSwitch(LEGACY, ON, expected=0))
    assert told(OWN, SetSwitch(LEGACY, ON, expected=1), same) == OTHERS


def test_what_touches_everything_is_for_whoever_has_all_cohorts() -> None:
    both = Limits(("modern", "legacy"))
    assert told(OWN, AllOff()) == OTHERS
    assert told(both, AllOff()) == ""
    off = at(EMPTY, AllOff())
    assert told(OWN, Restore(1), off) == OTHERS
    assert told(both, Restore(1), off) == ""
    # A switch that is set, and that no cohort names any more, counts.
    gone = Table(1, {SwitchName("gone", "one"): SwitchState(OFF, revision=1)})
    assert "switches of gone;" in told(both, AllOff(), gone)


def test_an_undo_may_touch_nothing_else() -> None:
    one = at(EMPTY, SetSwitch(MODERN, OFF))
    two = at(one, SetSwitch(LEGACY, OFF))
    three = at(two, SetSwitch(MODERN, ON, expected=1))
    assert told(OWN, Undo(two, 3, now=0), three) == ""
    assert told(OWN, Undo(one, 3, now=0), three) == OTHERS
    assert told(OWN, Undo(EMPTY, 3, now=0), three) == OTHERS
    assert told(OWN, Undo(replace(three, all_off=True), now=0), three) == OTHERS


def test_whoever_may_only_lower_takes_steps_down() -> None:
    assert told(DOWN, SetSwitch(MODERN, CANARY)) == ""
    assert told(DOWN, AllOff()) == ""
    canary = at(EMPTY, SetSwitch(MODERN, CANARY))
    assert told(DOWN, SetSwitch(MODERN, OFF), canary) == ""
    assert told(DOWN, SetSwitch(MODERN, Setting(Mode.CANARY, 1001), expected=1), canary) == RAISES
    assert told(DOWN, Undo(EMPTY, 1, now=0), canary) == RAISES
    off = at(canary, AllOff())
    assert told(DOWN, Restore(2), off) == RAISES
    assert told(DOWN, Undo(canary, 2, now=0), off) == RAISES


def test_an_exception_that_lowers_is_a_step_down() -> None:
    broken = parse_range("==2.1.3")
    assert told(DOWN, SetSwitch(MODERN, OFF, broken, "broken")) == ""
    excepted = at(EMPTY, SetSwitch(MODERN, OFF, broken, "broken"))
    assert told(DOWN, SetSwitch(MODERN, CANARY), excepted) == ""
    raised = SetSwitch(MODERN, CANARY, broken, "broken", expected=1)
    assert told(DOWN, raised, excepted) == RAISES
    assert told(DOWN, DropException(MODERN, "broken", 1), excepted) == RAISES


def test_what_raises_by_ending_is_no_step_down() -> None:
    term = Term("ci", 10, restore=True)
    assert told(DOWN, SetSwitch(MODERN, OFF, term=term)) == LATER
    assert told(DOWN, SetSwitch(MODERN, OFF, term=replace(term, restore=False))) == ""
    # What somebody else has said of its end may stay.
    ending = at(EMPTY, SetSwitch(MODERN, OFF, term=term))
    assert told(DOWN, SetSwitch(LEGACY, OFF), ending) == ""
    # An exception that somebody keeps off is not to end because of an undo.
    exception = VersionException("broken", parse_range("==2.1.3"), OFF, term)
    ends = Table(1, {MODERN: SwitchState(ON, (exception,), revision=1)})
    kept = Table(2, {MODERN: SwitchState(ON, (replace(exception, term=Term("ann")),), revision=2)})
    assert told(DOWN, Undo(ends, 2, now=0), kept) == RAISES


def test_a_switch_with_a_temporary_exception_can_be_lowered() -> None:
    term, broken = Term("ann", 100, restore=True), parse_range("==2.1.3")
    excepted = at(EMPTY, SetSwitch(MODERN, OFF, broken, "broken", term))
    for lower in (OFF, Setting(Mode.SHADOW), CANARY):
        assert told(DOWN, SetSwitch(MODERN, lower), excepted) == ""
    # The exception is to be a canary again, which is more than the rest has then.
    canary = at(EMPTY, SetSwitch(MODERN, CANARY, broken, "broken"))
    ending = at(canary, SetSwitch(MODERN, OFF, broken, "broken", term, expected=1))
    assert told(DOWN, SetSwitch(MODERN, OFF), ending) == ""


def test_an_end_that_others_hid_raises_where_nothing_hides_it_any_more() -> None:
    term, broken = Term("ann", 100, restore=True), parse_range("==2.1.3")
    hidden = at(EMPTY, SetSwitch(MODERN, Setting(Mode.SHADOW), parse_range("<3"), "wide"))
    hidden = at(hidden, SetSwitch(MODERN, OFF, broken, "broken", term))
    assert told(DOWN, SetSwitch(MODERN, OFF, parse_range("<3"), "wide"), hidden) == ""
    shown = SetSwitch(MODERN, OFF, parse_range("<2"), "wide", expected=2)
    assert told(DOWN, shown, hidden) == RAISES
    alone = at(EMPTY, SetSwitch(MODERN, Setting(Mode.SHADOW), broken, "wide"))
    alone = at(alone, SetSwitch(MODERN, OFF, broken, "broken", term))
    assert told(DOWN, DropException(MODERN, "wide", 2), alone) == RAISES


def test_ends_are_looked_at_one_after_the_other() -> None:
    # The setting goes up at 100; only then does the end of the exception raise.
    first, then = Term("ann", 100, restore=True), Term("ann", 200, restore=True)
    ending = at(EMPTY, SetSwitch(MODERN, OFF, term=first))
    excepted = SetSwitch(MODERN, OFF, parse_range("==2.1.3"), "broken", then)
    assert told(DOWN, excepted, ending) == LATER


@pytest.mark.parametrize(
    "change",
    [
        SetSwitch(MODERN, CANARY, expected=2),
        SetSwitch(MODERN, CANARY, term=Term("low", 50), expected=2),
        SetSwitch(MODERN, CANARY, term=Term("low", 101, restore=True), expected=2),
        SetSwitch(MODERN, Setting(Mode.CANARY, 1), expected=2),
    ],
)
def test_what_was_raised_for_a_time_is_not_to_stay_longer(change: SetSwitch) -> None:
    off = at(EMPTY, SetSwitch(MODERN, OFF))
    term = Term("ann", 100, restore=True)
    raised = at(off, SetSwitch(MODERN, CANARY, term=term, expected=1))
    assert told(DOWN, change, raised) == RAISES
    # Likewise an exception, and one that ends with its time.
    broken = parse_range("==2.1.3")
    excepted = at(off, SetSwitch(MODERN, CANARY, broken, "broken", term, expected=1))
    change = replace(change, versions=broken, name="broken")
    assert told(DOWN, change, excepted) == RAISES
    assert told(DOWN, SetSwitch(MODERN, OFF), raised) == ""
    assert told(DOWN, SetSwitch(MODERN, OFF, broken, "broken"), excepted) == ""
    sooner = SetSwitch(MODERN, CANARY, term=replace(term, until=99))
    assert told(DOWN, sooner, raised) == ""


def test_what_is_set_beneath_everything_off_counts() -> None:
    on = at(EMPTY, AllOff())
    lowered = at(at(on, SetSwitch(MODERN, OFF)), SetSwitch(LEGACY, OFF))
    assert told(DOWN, Undo(on, 3, now=0), lowered) == RAISES
    assert told(DOWN, Undo(lowered, now=0), on) == ""


def test_many_cohorts_are_told_by_some() -> None:
    first = {SwitchName(f"c{n}", "one"): ALL_ON for n in range(8)}
    limits = Limits(tuple(f"own{n}" for n in range(7)), only_lowers=True)
    found = beyond(limits, EMPTY, changed(EMPTY, AllOff(), first), first)
    assert found == (
        "this changes switches of c0, c1, c2, c3, c4 and 3 more; who asks is limited to:"
        " cohorts own0, own1, own2, own3, own4 and 2 more, only lowers"
    )


def test_who_may_only_lower_begins_no_ramp_and_may_pause_and_end_one() -> None:
    on, first = Setting(Mode.ON), {MODERN: SwitchState(Setting(Mode.SHADOW))}
    ramp = Ramp((Setting(Mode.SHADOW), on), every=60.0, since=0.0)
    begun = changed(EMPTY, StartRamp(MODERN, ramp, 0), first)
    limits = Limits(only_lowers=True)
    assert "step by step" in beyond(limits, EMPTY, begun, first)
    paused = changed(begun, SetRampStatus(MODERN, RampStatus.PAUSED, 1.0), first)
    assert beyond(limits, begun, paused, first) == ""
    resumed = changed(paused, SetRampStatus(MODERN, RampStatus.RUNNING, 2.0), first)
    assert "step by step" in beyond(limits, paused, resumed, first)
    assert beyond(limits, begun, changed(begun, StopRamp(MODERN), first), first) == ""
