"""Whether a server is to be asked: a state machine without a clock, one for each server.

What requests meet with decides (passive health, a circuit breaker):

    HEALTHY ──enough failures in a row──▶ EJECTED ──the back-off is over──▶ HALF_OPEN
      ▲                                      ▲                                  │
      │                                      └────it failed: longer back-off────┤
      └─────────────────── an answer, from whichever state ─────────────────────┘

A server that is EJECTED gets nothing until its back-off is over, then one request: the trial. None
is ejected while it is the only one that is HEALTHY: a failing server is better than none. Where
none is left that may be asked, all of them are (`Fleet`).

Beside it, a probe may say that the server is unhealthy (active health); then it gets nothing until
enough probes in a row say otherwise. Both have to agree, except that a server that was unhealthy
and has recovered has no back-off left to wait for.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class HealthState(Enum):
    """What requests have met with; see above."""

    HEALTHY = "healthy"
    EJECTED = "ejected"
    HALF_OPEN = "half-open"


@dataclass(frozen=True, slots=True)
class EjectionRules:
    """When a server is ejected, and for how long.

    Attributes:
        failures: how many in a row eject a server.
        backoff: seconds for which it is ejected at first; doubled with each trial that fails.
        longest: seconds for which it is ejected at most.
    """

    failures: int
    backoff: float
    longest: float


@dataclass(slots=True)
class SignsOfLife:
    """What has been heard of servers: for whoever waits for them to be back.

    Attributes:
        answers: to requests, but those by which a server says that it cannot serve; and probes that
            it has passed.
        recoveries: how often one that had failed was well again.
    """

    answers: int = 0
    recoveries: int = 0


class Health:
    """The health of one server. Times are seconds of any clock that does not go back.

    Attributes:
        rules: may be exchanged while it lives.
        state: what requests have met with.
        failures: in a row, since the last answer.
        until: when the newest back-off ends.
        epoch: the number of back-offs so far. A request carries that of its beginning, so that
            what it meets with says nothing of a server that was ejected meanwhile.
        troubled: whether an answer would change anything: asked for each one, so it is kept apart.
        unhealthy: whether probes say so.
    """

    __slots__ = (
        "_doublings",
        "_passes",
        "epoch",
        "failures",
        "rules",
        "state",
        "troubled",
        "unhealthy",
        "until",
    )

    def __init__(self, rules: EjectionRules) -> None:
        self.rules = rules
        self.state = HealthState.HEALTHY
        self.failures = 0
        self.until = 0.0
        self.epoch = 0
        self.troubled = False
        self.unhealthy = False
        self._doublings = 0
        self._passes = 0  # Probes in a row that say other than `unhealthy` does.

    @property
    def is_healthy(self) -> bool:
        """Whether the server gets requests, without any doubt."""
        return self.state is HealthState.HEALTHY and not self.unhealthy

    def admits(self, now: float) -> bool:
        """Whether the server may be sent a request."""
        if self.unhealthy or self.state is HealthState.HALF_OPEN:
            return False
        return self.state is HealthState.HEALTHY or now >= self.until

    def begin(self, now: float) -> None:
        """A request is about to be sent: the trial, if the back-off is over."""
        if self.state is HealthState.EJECTED and now >= self.until:
            self.state = HealthState.HALF_OPEN

    def succeeded(self) -> bool:
        """The server has answered. Returns whether it has recovered by that."""
        back = self.state is not HealthState.HEALTHY and not self.unhealthy
        self.failures = 0
        self._doublings = 0
        self.state = HealthState.HEALTHY
        self.troubled = False
        return back

    def failed(self, now: float, epoch: int, *, spare: bool) -> bool:
        """The server could not be reached, or did not answer.

        Args:
            now: the time.
            epoch: that of the beginning of the request.
            spare: whether another server is healthy.

        Returns:
            Whether the server is ejected, from now on.
        """
        if epoch != self.epoch or (self.state is HealthState.EJECTED and now < self.until):
            return False
        self.troubled = True
        if self.state is HealthState.HEALTHY:
            self.failures += 1
            if self.failures < self.rules.failures or not spare:
                return False
        self.state = HealthState.EJECTED
        self.failures = 0
        self.until = now + min(self.rules.backoff * 2.0**self._doublings, self.rules.longest)
        self._doublings = min(self._doublings + 1, 64)
        self.epoch += 1
        return True

    def abandoned(self, epoch: int) -> None:
        """A request ended before it said anything: if it was the trial, another may be it."""
        if self.state is HealthState.HALF_OPEN and epoch == self.epoch:
            self.state = HealthState.EJECTED

    def probed(self, *, passed: bool, healthy: int, unhealthy: int) -> bool:
        """A probe has ended.

        Args:
            passed: what it says.
            healthy, unhealthy: how many in a row it takes to change what is thought of the server.

        Returns:
            Whether that has changed.
        """
        if passed is not self.unhealthy:
            self._passes = 0
            return False
        self._passes += 1
        if self._passes < (healthy if self.unhealthy else unhealthy):
            return False
        self._passes = 0
        self.unhealthy = not self.unhealthy
        if not self.unhealthy:
            self.succeeded()
        return True

    def stop_probing(self) -> None:
        """Nobody probes any more: what probes said does not count."""
        self.unhealthy = False
        self._passes = 0
