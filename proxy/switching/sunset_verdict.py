"""Whether a mapping of a cohort can go: what the days of the whole fleet say."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final, NamedTuple

from proxy.switching.sunset_days import DAY, SLOT, SLOTS, Day, watched
from proxy.switching.table import SwitchName

ENOUGH: Final = 0.95
"""The part of a time that has to be watched, so that something can be said of all of it."""


class Verdict(StrEnum):
    """What is said of a mapping of a cohort."""

    NEEDED = "needed"
    """A message needed it within the last day."""
    IDLE = "idle"
    """None did for a day or longer, and not for as long as it takes."""
    SAFE = "safe"
    """None did for as long as it takes, and nearly all of that time was watched."""
    UNKNOWN = "unknown"
    """Too little was watched to say so."""


class Judgement(NamedTuple):
    """A verdict, and what it stands on.

    Attributes:
        verdict: see there.
        last: when a message last needed the mapping, in seconds since 1970; None where that has not
            been seen.
        idle_days: whole days since then; None where it has not been seen.
        watched: the part of the time that was watched: since `last`, or as far back as it takes,
            whichever is shorter; from 0 to 1.
        since: from when on that is.
    """

    verdict: Verdict
    last: float | None
    idle_days: int | None
    watched: float
    since: float


def judge(days: Mapping[int, Day], name: SwitchName, now: float, idle: float) -> Judgement:
    """Say whether a mapping can go.

    Args:
        days: of the whole fleet, by their numbers.
        name: of its switch.
        now: seconds since 1970.
        idle: seconds for which nothing has to have needed it.
    """
    needs = [part.last for day in days.values() if (part := day.mappings.get(name)) is not None]
    # A clock that was ahead has told of a need to come: that there was one is certain.
    last = min(max(needs, default=0.0), now) or None
    since = max(now - idle, last or 0.0)
    share = watched_part(days, name, since, now)
    if last is not None and now - last < DAY:
        verdict = Verdict.NEEDED
    elif share < ENOUGH:
        verdict = Verdict.UNKNOWN
    elif last is not None and now - last < idle:
        verdict = Verdict.IDLE
    else:
        verdict = Verdict.SAFE
    days_ago = None if last is None else int((now - last) // DAY)
    return Judgement(verdict, last, days_ago, share, since)


def watched_part(days: Mapping[int, Day], name: SwitchName, since: float, now: float) -> float:
    """How much of a time was watched, of the slots that lie in it; 1 where none does."""
    first, end = -int(-since // SLOT), int(now // SLOT)
    if end <= first:
        return 1.0
    seen = 0
    for number in range(first // SLOTS, (end - 1) // SLOTS + 1):
        day = days.get(number)
        part = None if day is None else day.mappings.get(name)
        if part is not None:
            begin = max(first - number * SLOTS, 0)
            size = min(end - number * SLOTS, SLOTS) - begin
            seen += (watched(part) >> begin & (1 << size) - 1).bit_count()
    return seen / (end - first)
