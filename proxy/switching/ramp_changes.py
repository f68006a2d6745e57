"""What ramps and guards do to a table of switches; see `changes`."""

from __future__ import annotations

from dataclasses import dataclass, replace

from proxy.switching.exposure import state_lowers
from proxy.switching.guards import LADDER, Finding, height, step_back
from proxy.switching.ramps import LEAST_EVERY, MOST_EVERY, Ramp, RampStatus, check_steps
from proxy.switching.refusal import ChangeRefused, Why
from proxy.switching.setting import Mode, Setting
from proxy.switching.switch_changes import (
    SetSwitch,
    check_expected,
    check_switch,
    turned,
    with_state,
)
from proxy.switching.table import NO_TERM, First, SwitchName, SwitchState, Table, Term


@dataclass(frozen=True, slots=True)
class StartRamp:
    """Have a switch rise by itself, from what it is now.

    The first of its steps that is not below that is taken at once.

    Attributes:
        switch: which.
        ramp: its steps, and when.
        expected: the revision of the switch that the change builds on; None where nobody said.
    """

    switch: SwitchName
    ramp: Ramp
    expected: int | None = None


@dataclass(frozen=True, slots=True)
class StepRamp:
    """Take the next step of a ramp.

    Attributes:
        switch: which.
        now: in seconds since 1970.
        expected: the revision of the switch that the change builds on.
    """

    switch: SwitchName
    now: float
    expected: int | None = None


@dataclass(frozen=True, slots=True)
class SetRampStatus:
    """Pause a ramp that runs, or have one go on that is paused, its time beginning anew.

    Attributes:
        switch: which.
        status: `paused` or `running`.
        now: in seconds since 1970.
    """

    switch: SwitchName
    status: RampStatus
    now: float


@dataclass(frozen=True, slots=True)
class StopRamp:
    """End a ramp; the switch stays what it is."""

    switch: SwitchName


@dataclass(frozen=True, slots=True)
class StepBack:
    """Take a switch one state back, because its guard fails, and end what raises it by itself.

    Attributes:
        switch: which.
        finding: why.
        expected: the revision of the switch whose samples failed.
        findings: what is said of each figure, that one included.
    """

    switch: SwitchName
    finding: Finding
    expected: int
    findings: tuple[Finding, ...] = ()


RampChange = StartRamp | StepRamp | SetRampStatus | StopRamp | StepBack


def ramped(table: Table, change: RampChange, first: First) -> Table:
    """Make the table that a change leads to, with the next number.

    Raises:
        ChangeRefused: it is not made.
    """
    before, after = _states(table, change, first)
    if isinstance(change, StartRamp | StepRamp):
        # To begin one is to raise, sooner or later.
        if table.all_off:
            text = "everything is off: restore first, and begin the ramp then"
            raise ChangeRefused(Why.CONFLICT, text)
        if change.expected is None:
            text = (
                f"this raises `{change.switch}`: say on which revision it builds (If-Match);"
                f" it is at {before.revision}"
            )
            raise ChangeRefused(Why.UNCONDITIONAL, text)
    if isinstance(change, StartRamp | StepRamp | StepBack):
        check_expected(before, change.switch, change.expected)
        after = replace(after, revision=table.number + 1)
    return with_state(table, change.switch, after)


def ramp_keeps_to_file(table: Table, change: RampChange, first: First) -> bool:
    """Whether a change may be made where the file is the authority: ramps rise up to what it says.

    Raises:
        ChangeRefused: it is not made, whatever it does.
    """
    if not isinstance(change, StartRamp | StepRamp):
        return True
    _, after = _states(table, change, first)
    assert after.ramp is not None
    last = replace(after, setting=after.ramp.steps[-1])
    return state_lowers(first[change.switch], last)


def _states(table: Table, change: RampChange, first: First) -> tuple[SwitchState, SwitchState]:
    """What a switch is before a change, and after it."""
    if isinstance(change, StartRamp):
        return _started(table, change, first)
    before = check_switch(table, change.switch, first)
    if isinstance(change, StepBack):
        return before, _stepped_back(before, change, first[change.switch])
    ramp = before.ramp
    if ramp is None:
        text = f"`{change.switch}` has no ramp; segue switch ramp {change.switch} begins one"
        raise ChangeRefused(Why.CONFLICT, text)
    assert before.setting is not None
    if isinstance(change, StopRamp):
        return before, replace(before, ramp=None)
    if isinstance(change, SetRampStatus):
        return before, replace(before, ramp=_with_status(ramp, change))
    to = ramp.after(before.setting)
    if ramp.status not in (RampStatus.RUNNING, RampStatus.PAUSED) or to is None:
        text = f"the ramp of `{change.switch}` is {ramp.status}: begin another one to go on"
        raise ChangeRefused(Why.CONFLICT, text)
    status = RampStatus.FINISHED if to == ramp.steps[-1] else ramp.status
    ramp = replace(ramp, since=change.now, status=status)
    return before, replace(before, setting=to, copied=None, ramp=ramp)


def _started(table: Table, change: StartRamp, first: First) -> tuple[SwitchState, SwitchState]:
    ramp = change.ramp
    try:
        check_steps(ramp.steps)
    except ValueError as error:
        raise ChangeRefused(Why.INVALID, str(error)) from None
    if not LEAST_EVERY <= ramp.every <= MOST_EVERY:
        text = f"expected {LEAST_EVERY:g} seconds to {MOST_EVERY / 86400:g} days between two steps"
        raise ChangeRefused(Why.INVALID, text)
    now = check_switch(table, change.switch, first)
    assert now.setting is not None
    begin = next((each for each in ramp.steps if height(each) >= height(now.setting)), None)
    if begin is None or now.setting == ramp.steps[-1]:
        text = f"`{change.switch}` is {now.setting}: no step of this ramp is above that"
        raise ChangeRefused(Why.CONFLICT, text)
    wanted = SetSwitch(change.switch, begin, term=_term(begin, ramp.author))
    before, after = turned(table, wanted, first)
    status = RampStatus.FINISHED if begin == ramp.steps[-1] else RampStatus.RUNNING
    return before, replace(after, ramp=replace(ramp, status=status))


def _term(setting: Setting, author: str) -> Term:
    return NO_TERM if setting.mode is Mode.ON else Term(author)


def _with_status(ramp: Ramp, change: SetRampStatus) -> Ramp:
    allowed = (RampStatus.RUNNING, RampStatus.PAUSED)
    if ramp.status not in allowed:
        text = f"the ramp of `{change.switch}` is {ramp.status}: begin another one to go on"
        raise ChangeRefused(Why.CONFLICT, text)
    if ramp.status is change.status:
        return ramp
    since = change.now if change.status is RampStatus.RUNNING else ramp.since
    return replace(ramp, status=change.status, since=since)


def _stepped_back(state: SwitchState, change: StepBack, configured: SwitchState) -> SwitchState:
    assert state.setting is not None
    ladder = LADDER if state.ramp is None else state.ramp.steps
    setting = step_back(state.setting, ladder)
    if setting == state.setting:
        raise ChangeRefused(Why.CONFLICT, f"`{change.switch}` is off: there is no state below")
    ramp = None if state.ramp is None else replace(state.ramp, status=RampStatus.STOPPED)
    term, earlier = state.term, state.before
    if term.restore:
        back = configured.setting if earlier is None else earlier.setting
        if back is None or not back.lowers(setting):
            # What ends by itself must not raise it again.
            term, earlier = Term(term.owner), None
    return replace(
        state,
        setting=setting,
        term=term,
        before=earlier,
        ramp=ramp,
        copied=state.copied if term.restore else None,
    )
