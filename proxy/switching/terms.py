"""What is temporary: when it is over, what is left when it ends, and how it comes back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from proxy.switching.table import NO_TERM, SwitchState, Table, Term


def is_due(term: Term, now: float) -> bool:
    """Whether what has this term ends by itself at that time, in seconds since 1970."""
    return term.restore and term.until is not None and now >= term.until


def due(table: Table, now: float) -> bool:
    """Whether something is to end by itself that has not ended."""
    return any(is_due(term, now) for state in table.states.values() for _, term in terms(state))


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


def expired(state: SwitchState, now: float) -> SwitchState:
    """What is left of a switch once what is due has ended."""
    kept = []
    for each in state.exceptions:
        if not is_due(each.term, now):
            kept.append(each)
        elif each.before is not None:
            kept.append(replace(each, setting=each.before, term=NO_TERM, before=None))
    ended = replace(state, exceptions=tuple(kept))
    if is_due(state.term, now):
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
