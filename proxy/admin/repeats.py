"""Which reads were logged just now: a page that polls would fill the log with like lines."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

SECONDS: Final = 600.0
"""For which further reads of the same, by the same, are only worth a line for debugging."""

MOST: Final = 1024
"""Reads that are remembered; of more, those are forgotten that were told longest ago."""


class RepeatedReads:
    """Counts, by who asks and what for, the reads that were not told of."""

    def __init__(self) -> None:
        self._told: OrderedDict[tuple[str, str], tuple[float, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._told)

    def again(self, author: str, path: str, now: float) -> int | None:
        """Count a read.

        Args:
            author: who asks.
            path: what for.
            now: seconds, of a clock that goes forward.

        Returns:
            Where it is to be told of: how many there were since the one that was told before it;
            None where one was told a short while ago.
        """
        at, untold = self._told.get((author, path), (now - SECONDS, 0))
        if now - at < SECONDS:
            self._told[author, path] = at, untold + 1
            return None
        self._told[author, path] = now, 0
        self._told.move_to_end((author, path))
        if len(self._told) > MOST:
            self._told.popitem(last=False)
        return untold
