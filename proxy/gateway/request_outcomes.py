"""What became of requests, by what was decided for their clients; for the guards of switches.

Plain integers, kept with the decision: a request costs 0.4 µs more. The same decision comes again
with each catalogue; what it has counted stays.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Final

from proxy.mapping.decision import Applied, Decision, RequestCounts
from proxy.observability.access_log import RequestInfo
from proxy.switching.setting import Mode
from proxy.switching.table import SwitchName

MAX_DECIDED: Final = 2_000
"""Decisions whose requests are told apart; n canaries can make 2^n of them. No guard hears of the
requests of others."""

_CLIENT_ERRORS: Final = (400, 422)
"""What a server says of a request that it cannot read: of others, clients are to blame anyway."""


class RequestOutcomes:
    """Counts them."""

    def __init__(self) -> None:
        self._counts: dict[tuple[Applied, ...], RequestCounts] = {}

    def observe(self, decision: Decision, info: RequestInfo, now: float) -> None:
        """Count a request that was answered, or a handshake.

        Args:
            decision: what was decided for its client.
            info: what is known of it.
            now: on the clock of `time.perf_counter`.
        """
        counts = decision.requests
        if counts is None:
            if not decision.applied:
                return
            counts = decision.requests = self._counts_of(decision.applied)
        counts.requests += 1
        counts.errors += info.status >= 500 or info.status in _CLIENT_ERRORS
        counts.added.observe(now - info.started - info.waited)

    def _counts_of(self, applied: tuple[Applied, ...]) -> RequestCounts:
        counts = self._counts.get(applied)
        if counts is None:
            counts = RequestCounts()
            if len(self._counts) < MAX_DECIDED:
                self._counts[applied] = counts
        return counts

    def totals(self, switch: SwitchName, slow: float) -> tuple[int, int, int, int, int]:
        """Of those to whom the mapping is applied: requests, slow ones, errors; and of others.

        Args:
            switch: which.
            slow: seconds; a request counts as slow from the next bound of the histogram on.

        Returns:
            Requests, slow ones and errors of the former, requests and errors of the latter.
        """
        requests = slower = errors = others = other_errors = 0
        for applied, counts in self._counts.items():
            mode = next((each.mode for each in applied if each.switch == switch), None)
            if mode is Mode.ON:
                requests += counts.requests
                errors += counts.errors
                bounds = counts.added.bounds
                slower += sum(counts.added.counts[bisect_left(bounds, slow) + 1 :])
            elif mode is Mode.OFF:
                others += counts.requests
                other_errors += counts.errors
        return requests, slower, errors, others, other_errors
