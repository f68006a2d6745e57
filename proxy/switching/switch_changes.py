"""What can be done to one switch by name: to set it, exceptions too, and to end what was set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import isfinite
from typing import Final

from proxy.switching.exposure import lowers_for_good
from proxy.switching.refusal import ChangeRefused, Why
from proxy.switching.setting import Setting
from proxy.switching.table import (
    MAX_EXCEPTIONS,
    MAX_SWITCHES,
    NO_TERM,
    UNTOUCHED,
    First,
    SwitchName,
    SwitchState,
    Table,
    Term,
    VersionException,
)
from proxy.switching.terms import copied_after, earlier, settled
from proxy.types import check_label
from proxy.versions.version import Range


@dataclass(frozen=True, slots=True)
class SetSwitch:
    """Set a switch, or what it is for some versions.

    Attributes:
        switch: which.
        setting: to what.
        versions: for these alone: an exception, or another setting of the one of that `name`.
        name: of the exception.
        term: whose it is, and until when.
        expected: the revision of the switch that the change builds on; None where nobody said.
    """

    switch: SwitchName
    setting: Setting
    versions: Range | None = None
    name: str = ""
    term: Term = NO_TERM
    expected: int | None = None


@dataclass(frozen=True, slots=True)
class DropException:
    """Take an exception away."""

    switch: SwitchName
    name: str
    expected: int | None = None


@dataclass(frozen=True, slots=True)
class RestoreSwitch:
    """End what was set of a switch, exceptions too: it is as the configuration says again."""

    switch: SwitchName
    expected: int | None = None


_MOST_TEXT: Final = 200


SwitchOrder = SetSwitch | DropException | RestoreSwitch


def switched(table: Table, change: SwitchOrder, first: First) -> Table:
    """Make the table that a change leads to, with the next number; whatever it is, it ends a ramp.

    Raises:
        ChangeRefused: it is not made.
    """
    if isinstance(change, RestoreSwitch):
        before, state = _restored(table, change, first)
        after = SwitchState(revision=table.number + 1)
    else:
        before, state = turned(table, change, first)
        after = settled(replace(state, revision=table.number + 1, ramp=None))
    _check_switch(table, change, before, state, first)
    return with_state(table, change.switch, after)


def turned(
    table: Table, change: SetSwitch | DropException, first: First
) -> tuple[SwitchState, SwitchState]:
    """What a switch is before a change, and after it; see `changed`.

    Raises:
        ChangeRefused: it is not made, whatever is in force.
    """
    _check_known(change.switch, first)
    state = table.wanted(change.switch, first)
    if table.states.get(change.switch, UNTOUCHED).setting is None:
        state = replace(state, copied=first[change.switch])
    is_for_a_time = isinstance(change, SetSwitch) and change.term.restore
    copied = state.copied if is_for_a_time else copied_after(state, change.name)
    if isinstance(change, DropException):
        return state, replace(_dropped(state, change), copied=copied)
    _check_term(change.term)
    if change.versions is None and not change.name:
        setting, before = state.for_version(None)[1], None
        if is_for_a_time:
            before = earlier(setting, state.term, state.before)
        return state, replace(
            state, setting=change.setting, term=change.term, before=before, copied=copied
        )
    if change.versions is None or not change.name:
        raise ChangeRefused(Why.INVALID, "an exception has both versions and a name")
    try:
        check_label(change.name)
    except ValueError as error:
        raise ChangeRefused(Why.INVALID, f"the name of an exception: {error}") from None
    return state, replace(_excepted(state, change, change.versions), copied=copied)


def _restored(table: Table, change: RestoreSwitch, first: First) -> tuple[SwitchState, SwitchState]:
    """What a switch is before what was set of it ends, and after it."""
    _check_known(change.switch, first)
    before = table.wanted(change.switch, first)
    if table.states.get(change.switch, UNTOUCHED).setting is None:
        text = f"`{change.switch}` is as the configuration says: nothing to restore"
        raise ChangeRefused(Why.CONFLICT, text)
    return before, first[change.switch]


def _excepted(state: SwitchState, change: SetSwitch, versions: Range) -> SwitchState:
    known = state.named(change.name)
    made = VersionException(change.name, versions, change.setting, change.term)
    if known is not None:
        if change.term.restore:
            made = replace(made, before=earlier(known.setting, known.term, known.before))
            if made.before is not None and versions != known.versions:
                text = (
                    f"the exception `{change.name}` is to be what it was again: its versions"
                    f" ({known.versions}) cannot change for a time"
                )
                raise ChangeRefused(Why.INVALID, text)
        exceptions = tuple(made if each is known else each for each in state.exceptions)
    elif len(state.exceptions) >= MAX_EXCEPTIONS:
        text = f"`{change.switch}` has {MAX_EXCEPTIONS} exceptions already; take one away first"
        raise ChangeRefused(Why.CONFLICT, text)
    else:
        exceptions = (*state.exceptions, made)
    return replace(state, exceptions=exceptions)


def _dropped(state: SwitchState, change: DropException) -> SwitchState:
    found = state.named(change.name)
    if found is None:
        names = ", ".join(each.name for each in state.exceptions) or "none"
        text = f"`{change.switch}` has no exception `{change.name}`; it has: {names}"
        raise ChangeRefused(Why.UNKNOWN, text)
    return replace(state, exceptions=tuple(each for each in state.exceptions if each is not found))


def _check_term(term: Term) -> None:
    if term.until is None:
        if term.restore:
            raise ChangeRefused(Why.INVALID, "what ends by itself needs a time at which it does")
    elif not isfinite(term.until):
        raise ChangeRefused(Why.INVALID, "a time is a number of seconds since 1970")


def _check_known(switch: SwitchName, first: First) -> None:
    if switch not in first:
        known = ", ".join(map(str, sorted(first)))
        shown = known if len(known) <= _MOST_TEXT else f"{known[:_MOST_TEXT]}..."
        raise ChangeRefused(
            Why.UNKNOWN, f"there is no switch `{switch}`; there are: {shown or 'none'}"
        )


def _check_switch(
    table: Table,
    change: SetSwitch | DropException | RestoreSwitch,
    before: SwitchState,
    after: SwitchState,
    first: First,
) -> None:
    if not lowers_for_good(before, after, first[change.switch]):
        if table.all_off:
            text = "everything is off: restore first, and set it then"
            raise ChangeRefused(Why.CONFLICT, text)
        if change.expected is None:
            raise ChangeRefused(
                Why.UNCONDITIONAL,
                f"this raises `{change.switch}`: say on which revision it builds (If-Match);"
                f" it is at {before.revision}",
            )
    check_expected(before, change.switch, change.expected)


def check_switch(table: Table, switch: SwitchName, first: First) -> SwitchState:
    """What a switch is set to, with what the configuration said of it where nobody has set it.

    Raises:
        ChangeRefused: there is none of this name.
    """
    _check_known(switch, first)
    return table.wanted(switch, first)


def check_expected(state: SwitchState, switch: SwitchName, expected: int | None) -> None:
    """Refuse what builds on another revision of a switch than it is at.

    Raises:
        ChangeRefused: it does.
    """
    if expected not in (None, state.revision):
        raise ChangeRefused(
            Why.CHANGED,
            f"`{switch}` was changed meanwhile: it is at revision {state.revision}, not {expected}",
        )


def with_state(table: Table, switch: SwitchName, state: SwitchState) -> Table:
    """A table with another state of a switch, and the next number.

    Raises:
        ChangeRefused: too many would be set.
    """
    states = {**table.states, switch: state}
    if len(states) > MAX_SWITCHES:
        raise ChangeRefused(Why.CONFLICT, f"more than {MAX_SWITCHES} switches are set")
    return replace(table, number=table.number + 1, states=kept(states))


def kept(states: Mapping[SwitchName, SwitchState]) -> dict[SwitchName, SwitchState]:
    """In the order of their names."""
    # One that says nothing stays: its revision is what the next change builds on.
    return dict(sorted(states.items()))
