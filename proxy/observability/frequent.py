"""Who comes most often, among any number of names and in bounded memory.

Counters of some names (Misra and Gries, 1982): where all are taken and one more comes, each is
less by one, so that room is made by those who are rare. Whoever has more than one part of `most` of
all that came has a counter, however late it came. No clock: numbers.
"""

from __future__ import annotations


class FrequentNames:
    """Counts names; a count is never too high, and too low by at most one part of `most` of all.

    Attributes:
        told_apart: how many names had a counter at the same time, at most.
    """

    __slots__ = ("_counts", "_most", "told_apart")

    def __init__(self, most: int) -> None:
        """Construct.

        Args:
            most: names that have a counter at the same time; 1 at least.
        """
        self._most = most
        self._counts: dict[str, int] = {}
        self.told_apart = 0

    def add(self, name: str) -> None:
        """A name has come once more."""
        counts = self._counts
        if name not in counts and len(counts) >= self._most:
            # As seldom as each counter has been raised once, in the mean.
            self._counts = counts = {key: each - 1 for key, each in counts.items() if each > 1}
            if len(counts) >= self._most:
                return
        counts[name] = counts.get(name, 0) + 1
        self.told_apart = max(self.told_apart, len(counts))

    def first(self) -> tuple[str, int]:
        """The name that has come most often, and how often at least; `add` was called before."""
        return max(self._counts.items(), key=lambda item: item[1])
