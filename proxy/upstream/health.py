"""Whether a server is to be asked: a state machine without a clock, one for each server.

What requests meet with decides (passive health):

    IN ──enough failures in a row──▶ OUT ──the back-off is over──▶ TRIAL
    ▲                                 ▲                              │
    │                                 └──it failed: longer back-off──┤
    └──────────────────── an answer, from whichever state ───────────┘

A server that is OUT gets nothing until its back-off is over, then one request: the trial. A server
is never put OUT while it is the only one that is IN: a failing server is better than none.

Beside it, a probe may say that the server is sick (active health); then it gets nothing until
enough probes in a row say otherwise. Both have to agree, except that a server that was sick and is
well again has no back-off left to wait for.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class State(Enum):
    """What requests have met with; see above."""

    IN = "in"
    OUT = "out"
    TRIAL = "trial"


@dataclass(frozen=True, slots=True)
class Rules:
    """When a server goes out, and for how long.

    Attributes:
        failures: how many in a row put a server out.
        backoff: seconds for which it is out at first; doubled with each trial that fails.
        longest: seconds for which it is out at most.
    """

    failures: int
    backoff: float
    longest: float


class Health:
    """The health of one server. Times are seconds of any clock that does not go back.

    Attributes:
        rules: may be exchanged while it lives.
        state: what requests have met with.
        failures: in a row, since the last answer.
        until: when the newest back-off ends.
        epoch: the number of back-offs so far. A request carries that of its beginning, so that
            what it meets with says nothing of a server that was put out meanwhile.
        troubled: whether an answer would change anything: asked for each one, so it is kept apart.
        sick: whether probes say so.
    """

    __slots__ = (
        "_doublings",
        "_passes",
        "epoch",
        "failures",
        "rules",
        "sick",
        "state",
        "troubled",
        "until",
    )

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.state = State.IN
        self.failures = 0
        self.until = 0.0
        self.epoch = 0
        self.troubled = False
        self.sick = False
        self._doublings = 0
        self._passes = 0  # Probes in a row that say other than `sick` does.

    @property
    def is_in(self) -> bool:
        """Whether the server gets requests, without any doubt."""
        return self.state is State.IN and not self.sick

    def admits(self, now: float) -> bool:
        """Whether the server may be sent a request."""
        if self.sick or self.state is State.TRIAL:
            return False
        return self.state is State.IN or now >= self.until

    def begin(self, now: float) -> None:
        """A request is about to be sent: the trial, if the back-off is over."""
        if self.state is State.OUT and now >= self.until:
            self.state = State.TRIAL

    def succeeded(self) -> bool:
        """The server has answered. Returns whether that brings it back in."""
        back = self.state is not State.IN and not self.sick
        self.failures = 0
        self._doublings = 0
        self.state = State.IN
        self.troubled = False
        return back

    def failed(self, now: float, epoch: int, *, spare: bool) -> bool:
        """The server could not be reached, or did not answer.

        Args:
            now: the time.
            epoch: that of the beginning of the request.
            spare: whether another server is in.

        Returns:
            Whether the server is put out, from now on.
        """
        if epoch != self.epoch or (self.state is State.OUT and now < self.until):
            return False
        self.troubled = True
        if self.state is State.IN:
            self.failures += 1
            if self.failures < self.rules.failures or not spare:
                return False
        self.state = State.OUT
        self.failures = 0
        self.until = now + min(self.rules.backoff * 2.0**self._doublings, self.rules.longest)
        self._doublings = min(self._doublings + 1, 64)
        self.epoch += 1
        return True

    def abandoned(self, epoch: int) -> None:
        """A request ended before it said anything: if it was the trial, another may be it."""
        if self.state is State.TRIAL and epoch == self.epoch:
            self.state = State.OUT

    def probed(self, *, passed: bool, healthy: int, unhealthy: int) -> bool:
        """A probe has ended.

        Args:
            passed: what it says.
            healthy, unhealthy: how many in a row it takes to change what is thought of the server.

        Returns:
            Whether that has changed.
        """
        if passed is not self.sick:
            self._passes = 0
            return False
        self._passes += 1
        if self._passes < (healthy if self.sick else unhealthy):
            return False
        self._passes = 0
        self.sick = not self.sick
        if not self.sick:
            self.succeeded()
        return True

    def stop_probing(self) -> None:
        """Nobody probes any more: what probes said does not count."""
        self.sick = False
        self._passes = 0
