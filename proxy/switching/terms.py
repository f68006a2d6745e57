"""What is temporary: when it is over, what is left when it ends, and how it comes back."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace
from typing import Final

from proxy.switching.table import NO_TERM, OpenSockets, SwitchState, Table, Term

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


def expired(
    state: SwitchState, now: float, policies: Collection[OpenSockets | None] = ANY
) -> SwitchState:
    """What is left of a switch once what is due has ended.

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
            kept.append(replace(each, setting=each.before, term=NO_TERM, before=None))
    ended = replace(state, exceptions=tuple(kept))
    if ends_now(state.term):
        ended = replace(ended, setting=state.before, term=NO_TERM, before=None)
    return ended


def lasting(state: SwitchState, now: float) -> SwitchState:
    """What a switch was, for good where its time is over: else it would end again at once."""
    exceptions = tuple(
        replace(each, term=Term(each.term.owner), before=None) if is_due(each.term, now) else each
        for each in state.exceptions
    )
    kept = replace(state, exceptions=exceptions)
    if is_due(state.term, now):
        kept = replace(kept, term=Term(state.term.owner), before=None)
    return kept
