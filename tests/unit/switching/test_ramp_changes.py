"""What ramps and guards do to a table, and what ends a ramp."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import pytest
from hypothesis import given
from hypothesis import settings as profile
from hypothesis import strategies as st

from proxy.switching.changes import (
    AllOff,
    Change,
    Expire,
    Follow,
    Restore,
    Undo,
    changed,
    keeps_to_file,
)
from proxy.switching.exposure import lowers
from proxy.switching.guards import LADDER, Figure, Finding, Outcome
from proxy.switching.history import read_table, write_table
from proxy.switching.ramp_changes import (
    SetRampStatus,
    StartRamp,
    StepBack,
    StepRamp,
    StopRamp,
)
from proxy.switching.ramps import Ramp, RampStatus
from proxy.switching.refusal import ChangeRefused, Why
from proxy.switching.setting import OFF, ON, Mode, Setting
from proxy.switching.switch_changes import (
    RestoreSwitch,
    SetSwitch,
)
from proxy.switching.table import (
    ALL_ON,
    EMPTY,
    MAX_SWITCHES,
    SwitchName,
    SwitchState,
    Table,
    Term,
)
from proxy.versions.version import parse_range

ONE: Final = SwitchName("modern", "one")
TWO: Final = SwitchName("modern", "two")
FIRST: Final = {ONE: SwitchState(OFF), TWO: ALL_ON}
SHADOW: Final = Setting(Mode.SHADOW)
TEN: Final = Setting(Mode.CANARY, 1000)
HALF: Final = Setting(Mode.CANARY, 5000)
RAMP: Final = Ramp(
    LADDER,
    every=600.0,
    since=1000.0,
    author="ann",
    reason="a rollout",
    open_sockets="next_message",
)
BROKEN: Final = Finding(Figure.FAILED, Outcome.FAIL, 0.1, 0.05, 0.2, 0.01, 100, 1000, 0.01)


def then(table: Table, *changes: Change) -> Table:
    for change in changes:
        table = changed(table, change, FIRST)
        assert read_table(write_table(table)) == table
    return table


def refusal(table: Table, change: Change) -> Why:
    with pytest.raises(ChangeRefused) as refused:
        changed(table, change, FIRST)
    assert str(refused.value)
    return refused.value.why


STARTED: Final = then(EMPTY, StartRamp(ONE, RAMP, 0))
AT_TEN: Final = then(STARTED, StepRamp(ONE, 1600.0, 1), StepRamp(ONE, 2200.0, 2))


def ramp_of(table: Table, switch: SwitchName = ONE) -> Ramp:
    ramp = table.states[switch].ramp
    assert ramp is not None
    return ramp


def test_it_begins_with_the_first_step_that_is_not_below() -> None:
    state = STARTED.states[ONE]
    assert (state.setting, state.ramp, state.revision) == (SHADOW, RAMP, 1)
    assert state.term == Term("ann")
    at_ten = then(EMPTY, SetSwitch(ONE, TEN, expected=0), StartRamp(ONE, RAMP, 1))
    assert (at_ten.states[ONE].setting, at_ten.states[ONE].revision) == (TEN, 2)
    at_five = then(
        EMPTY, SetSwitch(ONE, Setting(Mode.CANARY, 500), expected=0), StartRamp(ONE, RAMP, 1)
    )
    assert at_five.states[ONE].setting == TEN


def test_it_goes_up_to_its_end() -> None:
    assert (AT_TEN.states[ONE].setting, ramp_of(AT_TEN).since) == (TEN, 2200.0)
    end = then(AT_TEN, StepRamp(ONE, 2800.0, 3), StepRamp(ONE, 3400.0, 4))
    assert end.states[ONE].setting == ON
    assert ramp_of(end).status is RampStatus.FINISHED
    assert refusal(end, StepRamp(ONE, 4000.0, 5)) is Why.CONFLICT
    assert refusal(end, SetRampStatus(ONE, RampStatus.PAUSED, 4000.0)) is Why.CONFLICT


def test_one_step_is_a_ramp_that_has_ended() -> None:
    ramp = replace(RAMP, steps=(ON,), open_sockets="")
    assert ramp_of(then(EMPTY, StartRamp(ONE, ramp, 0))).status is RampStatus.FINISHED


def test_a_step_builds_on_the_revision_before() -> None:
    assert refusal(AT_TEN, StepRamp(ONE, 2800.0, 2)) is Why.CHANGED
    assert refusal(AT_TEN, StepRamp(ONE, 2800.0)) is Why.UNCONDITIONAL
    assert refusal(EMPTY, StartRamp(ONE, RAMP)) is Why.UNCONDITIONAL
    assert refusal(STARTED, StartRamp(ONE, RAMP, 0)) is Why.CHANGED


@pytest.mark.parametrize(
    ("ramp", "switch", "why"),
    [
        (replace(RAMP, steps=()), ONE, Why.INVALID),
        (replace(RAMP, steps=(ON, TEN)), ONE, Why.INVALID),
        (replace(RAMP, every=9.9), ONE, Why.INVALID),
        (replace(RAMP, every=8 * 86400.0), ONE, Why.INVALID),
        (RAMP, TWO, Why.CONFLICT),
        (replace(RAMP, steps=(TEN,)), TWO, Why.CONFLICT),
        (RAMP, SwitchName("modern", "gone"), Why.UNKNOWN),
    ],
)
def test_what_is_no_ramp(ramp: Ramp, switch: SwitchName, why: Why) -> None:
    assert refusal(EMPTY, StartRamp(switch, ramp, 0)) is why


def test_nothing_rises_while_everything_is_off() -> None:
    off = then(EMPTY, AllOff())
    assert refusal(off, StartRamp(ONE, RAMP, 0)) is Why.CONFLICT


def test_without_a_ramp_there_is_nothing_to_go_on_with() -> None:
    for change in (
        StepRamp(ONE, 1.0, 0),
        StopRamp(ONE),
        SetRampStatus(ONE, RampStatus.PAUSED, 1.0),
    ):
        assert refusal(EMPTY, change) is Why.CONFLICT
        assert refusal(EMPTY, replace(change, switch=SwitchName("a", "b"))) is Why.UNKNOWN


def test_a_pause_keeps_revision_and_samples_and_its_end_begins_the_time_anew() -> None:
    paused = then(AT_TEN, SetRampStatus(ONE, RampStatus.PAUSED, 2300.0))
    assert (ramp_of(paused).status, ramp_of(paused).since) == (RampStatus.PAUSED, 2200.0)
    assert paused.revision(ONE) == AT_TEN.revision(ONE)
    assert then(paused, SetRampStatus(ONE, RampStatus.PAUSED, 2400.0)).states == paused.states
    resumed = then(paused, SetRampStatus(ONE, RampStatus.RUNNING, 9000.0))
    assert (ramp_of(resumed).status, ramp_of(resumed).since) == (RampStatus.RUNNING, 9000.0)
    # Whoever asks for the next step of a paused ramp gets one, and no more.
    stepped = then(paused, StepRamp(ONE, 2500.0, 3))
    assert (stepped.states[ONE].setting, ramp_of(stepped).status) == (HALF, RampStatus.PAUSED)


def test_the_end_of_a_ramp_leaves_the_switch_as_it_is() -> None:
    ended = then(AT_TEN, StopRamp(ONE))
    assert ended.states[ONE] == replace(AT_TEN.states[ONE], ramp=None)


@pytest.mark.parametrize(
    "change",
    [
        SetSwitch(ONE, SHADOW),
        SetSwitch(ONE, TEN),
        SetSwitch(ONE, OFF, parse_range("==2.1"), "broken"),
        RestoreSwitch(ONE),
        AllOff(),
        Undo(STARTED, now=9000.0),
        Undo(EMPTY, now=9000.0),
        Follow("other"),
    ],
)
def test_what_people_do_ends_it(change: Change) -> None:
    assert all(state.ramp is None for state in then(AT_TEN, change).states.values())


def test_what_is_done_to_others_ends_nothing() -> None:
    turned = then(AT_TEN, SetSwitch(TWO, OFF))
    assert turned.states[ONE] == AT_TEN.states[ONE]
    back = then(turned, Undo(AT_TEN, turned.number, now=9000.0))
    assert back.states[ONE] == AT_TEN.states[ONE]


def test_everything_off_is_a_revision_of_the_switches_whose_ramps_it_ends() -> None:
    off = then(AT_TEN, AllOff())
    assert off.revision(ONE) == off.number
    assert then(off, Restore(off.number)).states[ONE].ramp is None


def test_what_ends_by_itself_ends_the_ramp_with_the_setting() -> None:
    temporary = then(
        EMPTY, SetSwitch(ONE, SHADOW, term=Term("ann", 50.0, restore=True), expected=0)
    )
    state = replace(temporary.states[ONE], ramp=RAMP)
    kept = replace(temporary, states={ONE: state})
    assert then(kept, Expire(60.0)).states[ONE].ramp is None
    term = Term("ann", 50.0, restore=True)
    for_good = then(
        EMPTY,
        SetSwitch(ONE, SHADOW, expected=0),
        SetSwitch(ONE, TEN, term=term, expected=1),
    )
    state = replace(for_good.states[ONE], ramp=RAMP)
    assert then(replace(for_good, states={ONE: state}), Expire(60.0)).states[ONE].ramp is None


def test_a_guard_takes_one_step_back_and_stops_the_ramp() -> None:
    back = then(AT_TEN, StepBack(ONE, BROKEN, 3))
    state = back.states[ONE]
    assert (state.setting, state.revision) == (Setting(Mode.CANARY, 100), 4)
    assert ramp_of(back).status is RampStatus.STOPPED
    assert refusal(back, StepRamp(ONE, 9000.0, 4)) is Why.CONFLICT
    for status in RampStatus.RUNNING, RampStatus.PAUSED:
        assert refusal(back, SetRampStatus(ONE, status, 9000.0)) is Why.CONFLICT
    lower = then(back, StepBack(ONE, BROKEN, 4), StepBack(ONE, BROKEN, 5))
    assert lower.states[ONE].setting == OFF
    assert refusal(lower, StepBack(ONE, BROKEN, 6)) is Why.CONFLICT
    # Only who begins another one.
    assert ramp_of(then(lower, StartRamp(ONE, RAMP, 6))).status is RampStatus.RUNNING


def test_of_several_guards_that_see_the_same_one_acts() -> None:
    back = then(AT_TEN, StepBack(ONE, BROKEN, 3))
    assert refusal(back, StepBack(ONE, BROKEN, 3)) is Why.CHANGED


def test_it_goes_down_the_steps_of_its_own_ramp() -> None:
    quarter = Setting(Mode.CANARY, 2500)
    ramp = replace(RAMP, steps=(quarter, ON))
    on = then(EMPTY, StartRamp(ONE, ramp, 0), StepRamp(ONE, 1600.0, 1))
    assert then(on, StepBack(ONE, BROKEN, 2)).states[ONE].setting == quarter


def test_a_switch_that_only_the_file_has_set_is_taken_back_too() -> None:
    back = then(EMPTY, StepBack(TWO, BROKEN, 0))
    assert back.states[TWO].setting == HALF


@pytest.mark.parametrize(
    ("before", "restores"),
    [(OFF, True), (SHADOW, True), (HALF, False), (ON, False)],
)
def test_what_ends_by_itself_does_not_raise_what_a_guard_took_back(
    before: Setting, restores: bool
) -> None:
    term = Term("ann", 50.0, restore=True)
    table = then(
        EMPTY, SetSwitch(ONE, before, expected=0), SetSwitch(ONE, TEN, term=term, expected=1)
    )
    state = then(table, StepBack(ONE, BROKEN, 2)).states[ONE]
    assert state.term == (term if restores else Term("ann"))
    assert (state.before is not None) is restores


def test_what_ends_by_itself_to_what_the_file_says() -> None:
    term = Term("ann", 50.0, restore=True)
    one = then(EMPTY, SetSwitch(ONE, TEN, term=term, expected=0), StepBack(ONE, BROKEN, 1))
    assert one.states[ONE].term == term
    assert then(one, Expire(60.0)).states[ONE].setting is None
    two = then(EMPTY, SetSwitch(TWO, TEN, term=term, expected=0), StepBack(TWO, BROKEN, 1))
    assert two.states[TWO].term == Term("ann")
    assert then(two, Expire(60.0)).states[TWO].setting == Setting(Mode.CANARY, 100)


def test_where_the_file_has_the_say_ramps_rise_up_to_what_it_says() -> None:
    down = then(EMPTY, SetSwitch(TWO, OFF))
    assert keeps_to_file(down, StartRamp(TWO, RAMP, 1), FIRST)
    assert not keeps_to_file(EMPTY, StartRamp(ONE, RAMP, 0), FIRST)
    up = then(down, StartRamp(TWO, RAMP, 1))
    assert keeps_to_file(up, StepRamp(TWO, 1600.0, 2), FIRST)
    for change in (StopRamp(TWO), StepBack(TWO, BROKEN, 2)):
        assert keeps_to_file(up, change, FIRST)


def test_there_is_an_end_to_switches() -> None:
    states = {SwitchName("c", f"m{number}"): ALL_ON for number in range(MAX_SWITCHES)}
    with pytest.raises(ChangeRefused):
        changed(Table(1, states), StartRamp(ONE, RAMP, 0), FIRST)


steps = st.sampled_from(["step", "back", "pause", "resume", "set", "undo", "off", "restore"])


@profile(max_examples=100, deadline=None)
@given(st.lists(steps, max_size=25))
def test_nothing_but_a_step_raises_and_a_guard_always_lowers(actions: list[str]) -> None:
    table, tables = STARTED, [EMPTY, STARTED]
    for action in actions:
        state = table.wanted(ONE, FIRST)
        changes: dict[str, Change] = {
            "step": StepRamp(ONE, 5000.0, state.revision),
            "back": StepBack(ONE, BROKEN, state.revision),
            "pause": SetRampStatus(ONE, RampStatus.PAUSED, 5000.0),
            "resume": SetRampStatus(ONE, RampStatus.RUNNING, 5000.0),
            "set": StartRamp(ONE, RAMP, state.revision),
            "undo": Undo(tables[-2], table.number, now=5000.0),
            "off": AllOff(),
            "restore": Restore(table.number),
        }
        try:
            after = changed(table, changes[action], FIRST)
        except ChangeRefused:
            continue
        assert read_table(write_table(after)) == after
        if action in ("back", "pause", "resume", "off"):
            assert lowers(table, after, FIRST)
        if action == "step":
            assert state.ramp is not None
            assert state.ramp.status in (RampStatus.RUNNING, RampStatus.PAUSED)
        ramp = after.states.get(ONE, SwitchState()).ramp
        if action == "off":
            assert ramp is None
        if action == "undo" and ramp is not None:
            assert ramp == state.ramp  # It was not touched.
        if action == "back" and ramp is not None:
            assert ramp.status is RampStatus.STOPPED
        table = after
        tables.append(after)
