"""With which kinds the messages of each server came: which dialect it speaks.

What is counted is a sample: see `proxy.rewriting.SAMPLED`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

MAX_UPSTREAMS: Final = 500
"""Servers that are remembered; there are as many as configurations have named."""


class ReceivedKinds:
    """The counts of all servers."""

    def __init__(self) -> None:
        self._of: dict[str, dict[str, int]] = {}

    def of(self, upstream: str) -> dict[str, int]:
        """The counts of one server, to be counted up, by kind."""
        counts = self._of.get(upstream)
        if counts is None:
            if len(self._of) >= MAX_UPSTREAMS:
                del self._of[next(iter(self._of))]  # A dictionary keeps its order.
            counts = self._of[upstream] = {}
        return counts

    def totals(self) -> Iterator[tuple[tuple[str, str], int]]:
        """About how many messages there were, by server and kind."""
        for upstream, counts in self._of.items():
            for kind, count in counts.items():
                yield (upstream, kind), count
