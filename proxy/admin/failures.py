"""How many failed authentications of one client are answered and logged each for itself."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

MOST: Final = 10
"""Failures of one client in `SECONDS`; as many at once."""

SECONDS: Final = 60.0

MOST_CLIENTS: Final = 1024
"""Clients that are remembered; of more, those are forgotten that failed longest ago."""


class FailureLimit:
    """Counts failures by client, as a bucket that leaks (GCRA).

    Only those who fail are asked about here: a right credential is let in however often somebody
    else has failed at the same address.
    """

    def __init__(self) -> None:
        self._full: OrderedDict[str, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._full)

    def failed(self, client: str, now: float) -> float:
        """Count a failure; 0 where it is within the limit, otherwise the seconds to wait.

        Args:
            client: who counts as one; see `proxy.downstream.limits.client_bucket`.
            now: seconds, of a clock that goes forward.
        """
        interval = SECONDS / MOST
        empty = max(self._full.pop(client, now), now)
        over = empty + interval - now - SECONDS
        self._full[client] = empty if over > 0 else empty + interval
        if len(self._full) > MOST_CLIENTS:
            self._full.popitem(last=False)
        return max(over, 0.0)
