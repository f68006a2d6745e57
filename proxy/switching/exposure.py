"""Whether a change lowers: nobody has more rewritten after it than before, in any version.

Exceptions are ranges of versions, which may overlap, and the first that has a version counts. So it
is not told by their settings alone whether one change of them lowers: a wider range of an exception
that is `off` does, a narrower one raises. What a switch is for a version changes only at the
bounds of its exceptions: to look at each bound, just above it, and below all is to look everywhere.

What ends by itself counts as well: to make for good what was raised for a time has more rewritten
once that time is over. So a change lowers if it does now, and after each end of either side.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from proxy.switching.table import EMPTY, First, SwitchState, Table
from proxy.switching.terms import ends, expired
from proxy.versions.version import MAX_NUMBERS, Version

_MOST_BOUNDS: Final = 200
"""Bounds that are looked at: some milliseconds. Beyond them, a change of exceptions raises."""

_LOWEST: Final = Version(0, (), "0")


def lowers(table: Table, after: Table, first: First) -> bool:
    """Whether nobody has more rewritten under `after` than under `table`, now or later.

    While everything is off, what is set counts too: it is in force again when that ends.

    Args:
        table, after: to be compared.
        first: the state that the configuration gives each switch.
    """
    if table.all_off and not after.all_off:
        return False
    return all(
        lowers_for_good(
            table.wanted(name, first), after.wanted(name, first), EMPTY.wanted(name, first)
        )
        for name in {*table.states, *after.states}
    )


def lowers_for_good(before: SwitchState, after: SwitchState, configured: SwitchState) -> bool:
    """Whether a switch lowers, and still does after each end of what is set for a time.

    Args:
        before, after: to be compared.
        configured: what the configuration says of it.
    """
    if replace(before, revision=0) == replace(after, revision=0):
        return True
    return state_lowers(before, after) and all(
        state_lowers(left_at(before, now, configured), left_at(after, now, configured))
        for now in {*ends(before), *ends(after)}
    )


def left_at(state: SwitchState, now: float, configured: SwitchState) -> SwitchState:
    """What a switch is once what is due has ended; as configured where nothing of it is left."""
    ended = expired(state, now)
    return configured if ended.setting is None else ended


def state_lowers(before: SwitchState, after: SwitchState) -> bool:
    """Whether nobody has more rewritten by one switch, as it is at one moment."""
    looked_at = _looked_at(before, after)
    return looked_at is not None and all(
        after.for_version(version)[1].lowers(before.for_version(version)[1])
        for version in looked_at
    )


def state_takes(before: SwitchState, after: SwitchState) -> bool:
    """Whether somebody, in some version, has less rewritten; others may have more."""
    looked_at = _looked_at(before, after)
    return looked_at is not None and any(
        after.for_version(version)[1].exposed < before.for_version(version)[1].exposed
        for version in looked_at
    )


def _looked_at(before: SwitchState, after: SwitchState) -> Iterable[Version | None] | None:
    """Versions that stand for all; None where there are too many. None among them: any other."""
    if _exceptions(before) == _exceptions(after):
        return (None,)
    bounds = {
        comparator.version
        for state in (before, after)
        for each in state.exceptions
        for comparator in each.versions.comparators
    }
    if len(bounds) > _MOST_BOUNDS:
        return None
    return (None, _LOWEST, *bounds, *map(_just_above, bounds))


def _exceptions(state: SwitchState) -> list[object]:
    return [(each.versions, each.setting) for each in state.exceptions]


def _just_above(bound: Version) -> Version:
    """A version that is above a bound, and below all others that are."""
    return Version(bound.epoch, (*bound.release, *[0] * MAX_NUMBERS, 1), "")
