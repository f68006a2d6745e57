"""Whether a change lowers: nobody has more rewritten after it than before, in any version.

Exceptions are ranges of versions, which may overlap, and the first that has a version counts. So it
is not told by their settings alone whether one change of them lowers: a wider range of an exception
that is `off` does, a narrower one raises. What a switch is for a version changes only at the
bounds of its exceptions: to look at each bound, just above it, and below all is to look everywhere.
"""

from __future__ import annotations

from typing import Final

from proxy.switching.table import First, SwitchState, Table
from proxy.versions.version import MAX_NUMBERS, Version

_MOST_BOUNDS: Final = 200
"""Bounds that are looked at: some milliseconds. Beyond them, a change of exceptions raises."""

_LOWEST: Final = Version(0, (), "0")


def lowers(table: Table, after: Table, first: First) -> bool:
    """Whether nobody has more rewritten under `after` than under `table`.

    Args:
        table, after: to be compared.
        first: the state that the configuration gives each switch.
    """
    if after.all_off:
        return True
    if table.all_off:
        return False
    return all(
        state_lowers(table.wanted(name, first), after.wanted(name, first))
        for name in {*table.states, *after.states}
    )


def state_lowers(before: SwitchState, after: SwitchState) -> bool:
    """The same of one switch, while not everything is off."""
    if _exceptions(before) == _exceptions(after):
        return after.for_version(None)[1].lowers(before.for_version(None)[1])
    bounds = {
        comparator.version
        for state in (before, after)
        for each in state.exceptions
        for comparator in each.versions.comparators
    }
    if len(bounds) > _MOST_BOUNDS:
        return False
    return all(
        after.for_version(version)[1].lowers(before.for_version(version)[1])
        for version in (None, _LOWEST, *bounds, *map(_just_above, bounds))
    )


def _exceptions(state: SwitchState) -> list[object]:
    return [(each.versions, each.setting) for each in state.exceptions]


def _just_above(bound: Version) -> Version:
    """A version that is above a bound, and below all others that are."""
    return Version(bound.epoch, (*bound.release, *[0] * MAX_NUMBERS, 1), "")
