"""Which versions clients tell, in their own spelling: a bounded table.

Metrics bear cohorts, never versions, for clients choose their spelling. This table shows both, and
is bounded by what is seen most: where it is full, the rarest half of it becomes `other`.
"""

from __future__ import annotations

from dataclasses import dataclass
from heapq import nlargest
from typing import Final

from proxy.types import NONE
from proxy.versions.selection import Selection
from proxy.versions.sources import VersionSource

SHOWN: Final = 50
MAX_KEPT: Final = 512
"""Spellings that are counted apart; half of them stay when there are more."""

_UNTOLD: Final = frozenset({VersionSource.NONE, VersionSource.DEFAULT})


@dataclass(slots=True)
class SeenVersion:
    """One spelling of a version.

    Attributes:
        raw: as clients sent it.
        cohort: that its clients were given; `none` for none.
        readable: whether it could be read.
        requests: how many told it, WebSocket handshakes among them.
        last: when the newest one came.
    """

    raw: str
    cohort: str
    readable: bool
    requests: int
    last: float


class SeenVersions:
    """The versions that requests told, since the start of the process.

    Attributes:
        untold: requests that told none.
        other: requests whose versions are not kept apart any more.
    """

    def __init__(self) -> None:
        self.untold = 0
        self.other = 0
        self._seen: dict[tuple[str, str | None], SeenVersion] = {}

    def note(self, selection: Selection, now: float) -> None:
        """Count a request.

        Args:
            selection: what was decided for it.
            now: when it came, on any clock.
        """
        if selection.source in _UNTOLD:
            self.untold += 1
            return
        raw, cohort = selection.raw, selection.cohort
        seen = self._seen.get((raw, cohort))
        if seen is not None:
            seen.requests += 1
            seen.last = now
            return
        if len(self._seen) >= MAX_KEPT:
            self._thin_out()
        readable = selection.source is not VersionSource.UNREADABLE
        self._seen[raw, cohort] = SeenVersion(raw, cohort or NONE, readable, 1, now)

    def most(self, count: int = SHOWN) -> tuple[list[SeenVersion], int]:
        """Return the versions that were told most, and how many requests told another one."""
        shown = nlargest(count, self._seen.values(), key=_weight)
        total = sum(seen.requests for seen in self._seen.values())
        return shown, self.other + total - sum(seen.requests for seen in shown)

    def _thin_out(self) -> None:
        kept = nlargest(MAX_KEPT // 2, self._seen.items(), key=lambda item: _weight(item[1]))
        before = sum(seen.requests for seen in self._seen.values())
        self._seen = dict(kept)
        self.other += before - sum(seen.requests for seen in self._seen.values())


def _weight(seen: SeenVersion) -> tuple[int, float]:
    return seen.requests, seen.last
