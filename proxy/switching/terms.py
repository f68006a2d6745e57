"""What is temporary: when it is over, what is left when it ends, and how it comes back."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace
from typing import Final

from proxy.switching.setting import Setting
from proxy.switching.table import NO_TERM, Earlier, OpenSockets, SwitchState, Table, Term

ANY: Final = (None, *OpenSockets)
"""What terms can say of open WebSockets."""


def is_due(term: Term, now: float) -> bool:
    """Whether what has this term ends by itself at that time, in seconds since 1970."""
    return term.restore and term.until is not None and now >= term.until


def due(table: Table, now: float) -> bool:
    """Whether something is to end by itself that has not ended."""
    return bool(policies_due(table, now))


def policies_due(table: Table, now: float) -> tuple[OpenSockets | None, ...]:
    """What is asked of open WebSockets by that which is to end by itself and has not ended."""
    found = {
        term.open_sockets
        for state in table.states.values()
        for _, term in terms(state)
        if is_due(term, now)
    }
    return tuple(each for each in ANY if each in found)


def overdue(table: Table, now: float) -> int:
    """How many settings and exceptions are for a time that is over."""
    return sum(
        term.until is not None and now >= term.until
        for state in table.states.values()
        for _, term in terms(state)
    )


def terms(state: SwitchState) -> Iterator[tuple[str, Term]]:
    """The terms of a switch, with the name of the exception; empty for that of the setting."""
    yield "", state.term
    for each in state.exceptions:
        yield each.name, each.term


def ends(state: SwitchState) -> list[float]:
    """When something of a switch ends by itself, in seconds since 1970, the earliest first."""
    found = {term.until for _, term in terms(state) if term.restore and term.until is not None}
    return sorted(found)


def earlier(setting: Setting, term: Term, before: Earlier | None) -> Earlier | None:
    """What is to be again when something else is set for a time.

    What is set for a time, again and again, goes back to what it was before the first time.

    Args:
        setting, term: what is in force.
        before: what that goes back to by itself.
    """
    return before if term.restore else Earlier(setting, Term(term.owner, term.until))


def copied_after(state: SwitchState, exception: str) -> SwitchState | None:
    """What `copied` of a switch is once something of it is changed for good.

    Args:
        state: of the switch.
        exception: which one is changed; empty for the setting.
    """
    copied = state.copied
    if copied is None or not exception or copied.named(exception) is not None:
        return None
    return copied


def settled(state: SwitchState) -> SwitchState:
    """A switch that is as the configuration says, where no more is left of what was set of it."""
    if state.copied is None or replace(state, revision=0, copied=None) != state.copied:
        return state
    return SwitchState(revision=state.revision)


def not_kept(before: SwitchState, after: SwitchState, exception: str, now: float) -> Term | None:
    """What was said of owner and time that a change does not keep; None for nothing.

    What is over is no loss, and what is set for a time brings back what was before.

    Args:
        before, after: the switch.
        exception: the one that is changed; empty for the setting.
        now: in seconds since 1970.
    """
    was = dict(terms(before)).get(exception, NO_TERM)
    term = dict(terms(after))[exception]
    if term.restore or (was.until is not None and now >= was.until):
        return None
    lost = Term(
        was.owner if term.owner != was.owner else "",
        was.until if term.until is None else None,
    )
    return None if lost == NO_TERM else lost


def expired(
    state: SwitchState, now: float, policies: Collection[OpenSockets | None] = ANY
) -> SwitchState:
    """What is left of a switch once what is due has ended; `setting` is None for nothing.

    Args:
        state: of the switch.
        now: in seconds since 1970.
        policies: only what asks one of these of open WebSockets ends.
    """

    def ends_now(term: Term) -> bool:
        return is_due(term, now) and term.open_sockets in policies

    kept = []
    for each in state.exceptions:
        if not ends_now(each.term):
            kept.append(each)
        elif each.before is not None:
            setting, term = each.before
            kept.append(replace(each, setting=setting, term=term, before=None))
    ended = replace(state, exceptions=tuple(kept))
    if ends_now(state.term):
        if state.before is None:
            return SwitchState(revision=state.revision)
        ended = replace(
            ended,
            setting=state.before.setting,
            term=state.before.term,
            before=None,
            ramp=None,
        )
    return settled(ended)


def lasting(state: SwitchState, now: float) -> SwitchState:
    """What a switch was, for good where its time is over: else it would end again at once."""
    exceptions = tuple(
        replace(each, term=Term(each.term.owner), before=None) if is_due(each.term, now) else each
        for each in state.exceptions
    )
    kept = replace(state, exceptions=exceptions)
    if is_due(state.term, now):
        kept = replace(kept, term=Term(state.term.owner), before=None)
    for exception, term in terms(state):
        if is_due(term, now):
            kept = replace(kept, copied=copied_after(kept, exception))
    return kept
