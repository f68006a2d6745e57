"""Figures over the last hour, kept by the process itself: a ring with a bound, for plots.

Somebody who opens the console at night sees at once what led there, without Prometheus. A point is
taken from totals that are looked at anyway; between two points a count becomes a rate.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Mapping
from typing import Final, NamedTuple

STEP: Final = 30.0
"""Seconds between two points, or a little more."""

POINTS: Final = 120
"""Points that are kept: an hour of them."""

MAX_SERIES: Final = 64
"""Values of one point: with 120 points and their names about 100 KiB, measured."""

Series = tuple[str, ...]
"""What is measured: its name, and its labels."""


class Point(NamedTuple):
    """Figures at a moment.

    Attributes:
        at: when, in seconds since 1970.
        seconds: since the point before: over which the rates are taken.
        names: what is measured; mostly those of the point before, and then the same object.
        numbers: in the same order.
        left_out: how many there were beyond the bound.
    """

    at: float
    seconds: float
    names: tuple[Series, ...]
    numbers: array[float]
    left_out: int

    @property
    def values(self) -> dict[Series, float]:
        """By what is measured."""
        return dict(zip(self.names, self.numbers, strict=True))


class LastHour:
    """Keeps the points. For one event loop."""

    def __init__(self) -> None:
        self._points: deque[Point] = deque(maxlen=POINTS)
        self._before: Mapping[Series, float] = {}
        self._taken: float | None = None

    def is_due(self, clock: float) -> bool:
        """Whether a point is to be taken.

        Args:
            clock: seconds, of a clock that never goes back.
        """
        return self._taken is None or clock - self._taken >= STEP

    def take(
        self,
        clock: float,
        at: float,
        counts: Mapping[Series, float],
        levels: Mapping[Series, float],
    ) -> None:
        """Take a point; the first only says where the counts begin.

        Args:
            clock: as in `is_due`.
            at: the same moment, in seconds since 1970.
            counts: totals that only grow: their rates are kept. One that has gone back has begun
                anew, and has no rate here.
            levels: values that are kept as they are.
        """
        if self._taken is not None and clock > self._taken:
            seconds = clock - self._taken
            values = dict(levels)
            for series, count in counts.items():
                more = count - self._before.get(series, 0)
                if more >= 0:
                    values[series] = more / seconds
            highest = sorted(values, key=lambda each: -values[each])[:MAX_SERIES]
            names = tuple(sorted(highest))
            if self._points and self._points[-1].names == names:
                names = self._points[-1].names
            numbers = array("d", [values[each] for each in names])
            self._points.append(Point(at, seconds, names, numbers, len(values) - len(names)))
        self._before, self._taken = dict(counts), clock

    @property
    def points(self) -> tuple[Point, ...]:
        """What is kept, the oldest first."""
        return tuple(self._points)
