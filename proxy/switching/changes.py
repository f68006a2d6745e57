"""What can be done to a table of switches: each change makes another table, or says why not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from math import isfinite
from typing import Final

from proxy.switching.exposure import lowers, lowers_for_good, state_lowers
from proxy.switching.setting import Setting
from proxy.switching.table import (
    EMPTY,
    MAX_EXCEPTIONS,
    MAX_SWITCHES,
    NO_TERM,
    UNTOUCHED,
    First,
    OpenSockets,
    SwitchName,
    SwitchState,
    Table,
    Term,
    VersionException,
    for_file,
)
from proxy.switching.terms import (
    copied_after,
    earlier,
    expired,
    is_due,
    lasting,
    settled,
    terms,
)
from proxy.types import check_label
from proxy.versions.version import Range


class Why(StrEnum):
    """The kind of a refusal."""

    UNKNOWN = "unknown"
    """What the change names is not there."""
    INVALID = "invalid"
    """The change makes no sense."""
    CONFLICT = "conflict"
    """It does not go with what is in force."""
    CHANGED = "changed"
    """Somebody changed the same meanwhile (412)."""
    UNCONDITIONAL = "unconditional"
    """It raises, and does not say on what it builds (428)."""
    AUTHORITY = "authority"
    """The configuration file is the authority."""
    LIMITED = "limited"
    """It goes beyond what who asks may (403)."""


class ChangeRefused(Exception):
    """A change that is not made. The text says what is wrong, and what to do."""

    def __init__(self, why: Why, text: str) -> None:
        super().__init__(text)
        self.why = why


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


Change = SetSwitch | DropException | RestoreSwitch | AllOff | Restore | Undo | Follow | Expire

_MOST_TEXT: Final = 200


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
        case SetSwitch() | DropException():
            before, state = turned(table, change, first)
            _check_switch(table, change, before, state, first)
            return _with(table, change.switch, settled(replace(state, revision=number)))
        case RestoreSwitch():
            before, state = _restored(table, change, first)
            _check_switch(table, change, before, state, first)
            return _with(table, change.switch, SwitchState(revision=number))
        case AllOff():
            return replace(table, number=number, all_off=True)
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
            return replace(for_file(table, change.digest), number=number, all_off=all_off)
    states = {}
    for name, state in table.states.items():
        ended = expired(state, change.now, (change.open_sockets,))
        states[name] = state if ended == state else replace(ended, revision=number)
    return replace(table, number=number, states=_kept(states))


def keeps_to_file(table: Table, change: Change, first: First) -> bool:
    """Whether operators may make a change where the file is the authority.

    They may step down from what it says, and take that back again: to turn a switch has to leave
    nobody with more rewritten than before, and what ends something that was set may raise as far as
    the file says, and no further.

    Raises:
        ChangeRefused: it is not made, whatever it does.
    """
    match change:
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
    _check_expected(before, change.switch, change.expected)


def _check_expected(state: SwitchState, switch: SwitchName, expected: int | None) -> None:
    if expected not in (None, state.revision):
        raise ChangeRefused(
            Why.CHANGED,
            f"`{switch}` was changed meanwhile: it is at revision {state.revision}, not {expected}",
        )


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


def _with(table: Table, switch: SwitchName, state: SwitchState) -> Table:
    states = {**table.states, switch: state}
    if len(states) > MAX_SWITCHES:
        raise ChangeRefused(Why.CONFLICT, f"more than {MAX_SWITCHES} switches are set")
    return replace(table, number=table.number + 1, states=_kept(states))


def _kept(states: Mapping[SwitchName, SwitchState]) -> dict[SwitchName, SwitchState]:
    # One that says nothing stays: its revision is what the next change builds on.
    return dict(sorted(states.items()))


def _back(table: Table, change: Undo, number: int) -> Table:
    """The earlier table; what differs in it is at the new revision."""
    states = {}
    for name in {*table.states, *change.earlier.states}:
        state = lasting(change.earlier.states.get(name, UNTOUCHED), change.now)
        is_alike = replace(state, revision=0) == _facts(table, name)
        states[name] = replace(state, revision=table.revision(name) if is_alike else number)
    return replace(table, number=number, states=_kept(states), all_off=change.earlier.all_off)
