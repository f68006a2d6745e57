"""Warnings that one fault could repeat with every message.

A few of each kind are written in a while, the others are counted, and how many there were is told.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from structlog.typing import FilteringBoundLogger

MOST: Final = 5
"""Lines of one kind in `PERIOD` seconds."""

PERIOD: Final = 10.0

_KINDS: Final = 1_000
"""Kinds that are told apart in a period; whatever comes beyond them is one kind together."""


@dataclass(slots=True)
class _Period:
    """What came of one kind since its first line."""

    ends: float
    of: str
    kind: dict[str, object]
    written: int = 0
    suppressed: int = field(default=0)


class LimitedWarnings:
    """Writes warnings, no more than `MOST` of each kind in `PERIOD` seconds."""

    def __init__(self, log: FilteringBoundLogger, clock: Callable[[], float]) -> None:
        """Construct.

        Args:
            log: where they go.
            clock: in seconds; does not go back.
        """
        self._log = log
        self._clock = clock
        self._periods: dict[tuple[str, ...], _Period] = {}

    def write(self, event: str, kind: dict[str, str], **fields: object) -> None:
        """Write a warning, unless there were enough of its kind.

        Args:
            event: what happened.
            kind: fields of the line that make it one of a kind; their values come from the
                configuration or from fixed sets.
            fields: what else the line says.
        """
        now = self._clock()
        key = (event, *kind.values())
        period = self._periods.get(key)
        if period is not None and now >= period.ends:
            self._end(key, period)
            period = None
        if period is None:
            told: dict[str, object] = dict(kind)
            if len(self._periods) >= _KINDS:
                key, told = (event,), {}
            period = self._periods.setdefault(key, _Period(now + PERIOD, event, told))
        if period.written < MOST:
            period.written += 1
            self._log.warning(event, **kind, **fields)
        else:
            period.suppressed += 1

    def check(self, now: float) -> None:
        """Tell what was kept back in periods that are over; called about once a second."""
        for key, period in [item for item in self._periods.items() if now >= item[1].ends]:
            self._end(key, period)

    def close(self) -> None:
        """Tell what was kept back so far."""
        for key, period in list(self._periods.items()):
            self._end(key, period)

    def _end(self, key: tuple[str, ...], period: _Period) -> None:
        del self._periods[key]
        if period.suppressed:
            self._log.warning(
                "warnings suppressed",
                of=period.of,
                **period.kind,
                suppressed=period.suppressed,
                seconds=PERIOD,
            )
