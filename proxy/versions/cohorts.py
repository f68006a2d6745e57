"""Cohorts: named ranges of versions, in an order; which of them nobody can be in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from proxy.versions.version import MAX_NUMBERS, Range, Version


class Cohort(NamedTuple):
    """A named range; the name is what bindings and metrics carry."""

    name: str
    versions: Range


class Cohorts:
    """The cohorts in the order of the config: the first that contains a version wins."""

    __slots__ = ("_cohorts",)

    def __init__(self, cohorts: Sequence[Cohort]) -> None:
        self._cohorts = tuple(cohorts)

    def find(self, version: Version) -> str | None:
        """The name of the first cohort that contains `version`."""
        for name, versions in self._cohorts:
            if version in versions:
                return name
        return None

    def never_met(self, name: str, versions: Range) -> str:
        """Why no version is in a range and in the cohort of this name; empty where some version is.

        Exact, as `unreachable` is. Nothing is said of a cohort that is not there.
        """
        own = next((each.versions for each in self._cohorts if each.name == name), None)
        samples = _samples([versions, *(each.versions for each in self._cohorts)])
        if own is None or any(each in versions and self.find(each) == name for each in samples):
            return ""
        return f"no version of the cohort {name} ({own}) is in {versions}"

    def unreachable(self) -> list[tuple[int, str]]:
        """The cohorts that no version can reach: their indices, and the reason in words.

        Exact, not a heuristic: between two neighbouring bounds all versions fall alike, so that
        each bound, the point just above it and the least version of all stand for every version.
        """
        samples = _samples(each.versions for each in self._cohorts)
        taken: dict[Version, str] = {}
        found = []
        for index, (name, versions) in enumerate(self._cohorts):
            contained = [sample for sample in samples if sample in versions]
            if not contained:
                found.append((index, "the range contains no version"))
            elif all(sample in taken for sample in contained):
                earlier = " and ".join(
                    dict.fromkeys(repr(taken[sample]) for sample in sorted(contained))
                )
                found.append(
                    (index, f"never reached: {earlier}, listed before it, has all its versions")
                )
            for sample in contained:
                taken.setdefault(sample, name)
        return found


def _samples(ranges: Iterable[Range]) -> list[Version]:
    """Versions that stand for all, as far as these ranges tell them apart."""
    least = Version(0, (), "0")
    bounds = {least}.union(bound for each in ranges for _, bound in each.comparators)
    return [*bounds, *map(_just_above, bounds)]


def _just_above(version: Version) -> Version:
    # Longer than any version that is read, so nothing that is read lies between the two.
    return Version(version.epoch, (*version.release, *[0] * MAX_NUMBERS, 1), "")
