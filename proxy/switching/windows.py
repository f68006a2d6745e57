"""When switches may rise: hours of days of the week. What lowers is allowed at all times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

DAY: Final = 24 * 60
"""Minutes."""


class Moment(NamedTuple):
    """A moment, as the clocks of some place show it.

    Attributes:
        day: of the week, 0 for Monday.
        minute: of the day.
    """

    day: int
    minute: int


@dataclass(frozen=True, slots=True)
class RiseWindow:
    """Hours in which switches may rise.

    Attributes:
        days: of the week, 0 for Monday, on which they begin.
        begin, end: minutes of the day; up to the end of the next day's hours where `end` is not
            after `begin`.
        timezone: whose clocks count, by its name in the IANA database.
    """

    days: frozenset[int]
    begin: int
    end: int
    timezone: str = "UTC"

    def has(self, moment: Moment) -> bool:
        """Whether a moment is in it."""
        day, minute = moment
        if self.begin < self.end:
            return day in self.days and self.begin <= minute < self.end
        return (day in self.days and minute >= self.begin) or (
            (day - 1) % 7 in self.days and minute < self.end
        )

    def __str__(self) -> str:
        days = ", ".join(name for day, name in enumerate(DAYS) if day in self.days)
        return f"{days} {_clock(self.begin)}-{_clock(self.end)} {self.timezone}"


def closed(windows: Sequence[RiseWindow], moments: Sequence[Moment]) -> str:
    """Say why nothing may rise; empty where it may: in one of the windows, or where there is none.

    Args:
        windows: those.
        moments: now, as the clocks of each of them show it.
    """
    if not windows or any(map(RiseWindow.has, windows, moments)):
        return ""
    return f"switches rise only within switching.windows: {'; '.join(map(str, windows))}"


def parse_days(text: str) -> frozenset[int]:
    """Read days of the week, as `mon-fri` or `mon, wed`.

    Raises:
        ValueError: they are none.
    """
    found: set[int] = set()
    for part in text.lower().split(","):
        first, dash, last = (each.strip() for each in part.partition("-"))
        if first not in DAYS or (dash and last not in DAYS):
            raise ValueError('expected days such as "mon-fri" or "mon, wed"')
        begin, end = DAYS.index(first), DAYS.index(last if dash else first)
        found |= {day % 7 for day in range(begin, end + (7 if end < begin else 0) + 1)}
    return frozenset(found)


def parse_clock(text: str) -> int:
    """Read a time of the day, as `09:30`; return its minute, up to that of `24:00`.

    Raises:
        ValueError: it is none.
    """
    hours, colon, minutes = text.partition(":")
    is_read = colon and (hours + minutes).isdecimal() and (hours + minutes).isascii()
    if is_read and len(hours) <= 2 and len(minutes) == 2 and int(minutes) < 60:
        minute = int(hours) * 60 + int(minutes)
        if minute <= DAY:
            return minute
    raise ValueError('expected a time such as "09:30"')


def _clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"
