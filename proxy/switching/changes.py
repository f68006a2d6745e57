"""What can be done to a table of switches: each change makes another table, or says why not."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from proxy.switching.exposure import lowers, state_lowers
from proxy.switching.ramp_changes import (
    RampChange,
    SetRampStatus,
    StartRamp,
    StepBack,
    StepRamp,
    StopRamp,
    ramp_keeps_to_file,
    ramped,
)
from proxy.switching.refusal import ChangeRefused, Why
from proxy.switching.switch_changes import (
    DropException,
    RestoreSwitch,
    SetSwitch,
    SwitchOrder,
    kept,
    switched,
    turned,
)
from proxy.switching.table import (
    EMPTY,
    UNTOUCHED,
    First,
    OpenSockets,
    SwitchName,
    SwitchState,
    Table,
    for_file,
)
from proxy.switching.terms import expired, is_due, lasting, terms


@dataclass(frozen=True, slots=True)
class AllOff:
    """Have everything pass as it is; the states stay for `Restore`."""


@dataclass(frozen=True, slots=True)
class Restore:
    """End `AllOff`: what was in force before is again. Where not everything is off, it is so.

    Attributes:
        expected: the number of the table.
    """

    expected: int | None = None


@dataclass(frozen=True, slots=True)
class Undo:
    """Go back to an earlier table. What was set there for a time that is over comes back for good.

    Attributes:
        earlier: that one.
        expected: the number of the table.
        now: in seconds since 1970.
    """

    earlier: Table
    expected: int | None = None
    now: float = field(kw_only=True)

    @property
    def outlived(self) -> tuple[str, ...]:
        """What comes back for good: switches, and their exceptions, as `modern/x (exception b)`."""
        return tuple(
            f"{name} (exception {exception})" if exception else str(name)
            for name, state in sorted(self.earlier.states.items())
            for exception, term in terms(state)
            if is_due(term, self.now)
        )


@dataclass(frozen=True, slots=True)
class Follow:
    """Take up another configuration, where the file is the authority.

    What overrode the one before is kept for whoever serves that still, or again.

    Attributes:
        digest: of the configuration.
        is_new: whether it is new to all replicas: another one does not end that everything is off.
    """

    digest: str
    is_new: bool = True


@dataclass(frozen=True, slots=True)
class Expire:
    """End what is to end by itself, and is due, as far as it asks the same of open WebSockets.

    Attributes:
        now: in seconds since 1970.
        open_sockets: what it asks of them; None: nothing was said.
    """

    now: float
    open_sockets: OpenSockets | None = None


Change = SwitchOrder | RampChange | AllOff | Restore | Undo | Follow | Expire


def changed(table: Table, change: Change, first: First) -> Table:
    """Make the table that a change leads to, with the next number.

    Args:
        table: what is in force.
        change: to be made.
        first: the switches that there are, and the state that the configuration gives each.

    Raises:
        ChangeRefused: it is not made.
    """
    number = table.number + 1
    match change:
        case SetSwitch() | DropException() | RestoreSwitch():
            return switched(table, change, first)
        case StartRamp() | StepRamp() | SetRampStatus() | StopRamp() | StepBack():
            return ramped(table, change, first)
        case AllOff():
            return replace(without_ramps(table), number=number, all_off=True)
        case Restore():
            if table.all_off:
                _check_number(table, change.expected)
            return replace(table, number=number, all_off=False)
        case Undo():
            back = _back(table, change, number)
            if change.expected is not None or not lowers(table, back, first):
                _check_number(table, change.expected)
            return back
        case Follow():
            all_off = table.all_off and not change.is_new
            after = without_ramps(for_file(table, change.digest))
            return replace(after, number=number, all_off=all_off)
    states = {}
    for name, state in table.states.items():
        ended = expired(state, change.now, (change.open_sockets,))
        states[name] = state if ended == state else replace(ended, revision=number)
    return replace(table, number=number, states=kept(states))


def keeps_to_file(table: Table, change: Change, first: First) -> bool:
    """Whether operators may make a change where the file is the authority.

    They may step down from what it says, and take that back again: to turn a switch has to leave
    nobody with more rewritten than before, and what ends something that was set may raise as far as
    the file says, and no further.

    Raises:
        ChangeRefused: it is not made, whatever it does.
    """
    match change:
        case StartRamp() | StepRamp() | SetRampStatus() | StopRamp() | StepBack():
            return ramp_keeps_to_file(table, change, first)
        case SetSwitch():
            return state_lowers(*turned(table, change, first))
        case DropException():
            before, after = turned(table, change, first)
            return _is_within_file(before, after, first[change.switch])
        case Undo():
            # Whatever is off as a whole: what it is set to counts again when that ends.
            return all(
                _is_within_file(
                    table.wanted(name, first),
                    change.earlier.wanted(name, first),
                    EMPTY.wanted(name, first),
                )
                for name in touched(table, change.earlier)
            )
    return True


def _is_within_file(before: SwitchState, after: SwitchState, configured: SwitchState) -> bool:
    return state_lowers(before, after) or state_lowers(configured, after)


def touched(before: Table, after: Table) -> tuple[SwitchName, ...]:
    """The switches that two tables do not have in the same state, in the order of their names."""
    names = {*before.states, *after.states}
    return tuple(sorted(name for name in names if _facts(before, name) != _facts(after, name)))


def _facts(table: Table, name: SwitchName) -> SwitchState:
    return replace(table.states.get(name, UNTOUCHED), revision=0)


def _check_number(table: Table, expected: int | None) -> None:
    if expected is None:
        text = (
            f"this raises: say on which revision it builds (If-Match); the newest is {table.number}"
        )
        raise ChangeRefused(Why.UNCONDITIONAL, text)
    if expected != table.number:
        text = (
            f"there was a change meanwhile: the newest revision is {table.number}, not {expected}"
        )
        raise ChangeRefused(Why.CHANGED, text)


def without_ramps(table: Table) -> Table:
    """A table in which no switch goes on by itself; those that did are at its next revision."""
    number = table.number + 1
    states = {
        name: state if state.ramp is None else replace(state, ramp=None, revision=number)
        for name, state in table.states.items()
    }
    return replace(table, states=states)


def _back(table: Table, change: Undo, number: int) -> Table:
    """The earlier table; what differs in it is at the new revision."""
    states = {}
    for name in {*table.states, *change.earlier.states}:
        state = lasting(change.earlier.states.get(name, UNTOUCHED), change.now)
        if replace(state, revision=0) == _facts(table, name):
            states[name] = replace(state, revision=table.revision(name))
        else:
            # A ramp that has ended does not go on as if nothing had been meanwhile.
            states[name] = replace(state, revision=number, ramp=None)
    return replace(table, number=number, states=kept(states), all_off=change.earlier.all_off)
