"""What somebody may change of switches whose right is limited: judged by what a change does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from proxy.switching.exposure import left_at, lowers, state_lowers
from proxy.switching.ramps import RampStatus
from proxy.switching.table import EMPTY, UNTOUCHED, Earlier, First, SwitchName, Table, Term
from proxy.switching.terms import ends, is_due


@dataclass(frozen=True, slots=True)
class Limits:
    """How far somebody's right to change switches goes.

    Attributes:
        cohorts: whose switches they may change; None for all.
        only_lowers: whether they may only have less rewritten.
    """

    cohorts: tuple[str, ...] | None = None
    only_lowers: bool = False

    def covers(self, cohort: str) -> bool:
        """Whether a cohort is within them."""
        return self.cohorts is None or cohort in self.cohorts

    def __str__(self) -> str:
        return self._told(", ".join(self.cohorts or ()))

    def against(self, what: str) -> str:
        """Say in a line why something is refused: what it does, and what the limits are."""
        return f"{what}; who asks is limited to: {self._told(_listed(self.cohorts or ()))}"

    def _told(self, cohorts: str) -> str:
        parts = [] if self.cohorts is None else [f"cohorts {cohorts}"]
        return ", ".join([*parts, *(["only lowers"] if self.only_lowers else [])])


NO_LIMITS: Final = Limits()


RAISES: Final = "this raises"


def beyond(limits: Limits, before: Table, after: Table, first: First) -> str:
    """Say how a change goes beyond somebody's limits, and what these are; empty where it does not.

    What is asked for does not count, but what comes of it: an undo, or what ends by itself, may do
    what a change by name may not.

    Args:
        limits: theirs.
        before, after: the tables.
        first: the switches that there are, and the state that the configuration gives each.
    """
    changed = _changed(before, after, first)
    others = sorted({each.cohort for each in changed if not limits.covers(each.cohort)})
    if others:
        return limits.against(f"this changes switches of {_listed(others)}")
    if limits.only_lowers:
        if not lowers(before, after, first):
            return limits.against(RAISES)
        if any(_rises(after, each, first) - _rises(before, each, first) for each in changed):
            return limits.against("this would raise when it ends by itself")
        if any(_climbs(after, each) and not _climbs(before, each) for each in changed):
            return limits.against("this would raise step by step")
    return ""


_MOST: Final = 5


def _listed(cohorts: Sequence[str]) -> str:
    more = f" and {len(cohorts) - _MOST} more" if len(cohorts) > _MOST else ""
    return f"{', '.join(cohorts[:_MOST])}{more}"


def _changed(before: Table, after: Table, first: First) -> set[SwitchName]:
    """The switches that are not in the same state, or not at the same revision."""
    names = {*before.states, *after.states}
    if before.all_off != after.all_off:
        return names | set(first)
    return {
        name
        for name in names
        if before.states.get(name, UNTOUCHED) != after.states.get(name, UNTOUCHED)
    }


def _climbs(table: Table, name: SwitchName) -> bool:
    ramp = table.states.get(name, UNTOUCHED).ramp
    return ramp is not None and ramp.status is RampStatus.RUNNING


def _rises(table: Table, name: SwitchName, first: First) -> set[tuple[str, Term, Earlier | None]]:
    """What of a switch raises it when it ends by itself, and what it goes back to then."""
    state, found = table.wanted(name, first), set()
    for now in ends(state):
        ended = left_at(state, now, EMPTY.wanted(name, first))
        if not state_lowers(state, ended):
            parts = [("", state.term, state.before)]
            parts += [(each.name, each.term, each.before) for each in state.exceptions]
            found |= {each for each in parts if is_due(each[1], now)}
        state = ended
    return found
