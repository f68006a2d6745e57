"""When a process does next what it does for a session, without a clock of its own."""

from __future__ import annotations

from enum import Enum, auto
from typing import Final

from proxy.upstream.health import SignsOfLife

LONGEST_PAUSE: Final = 30.0
"""Seconds between two tries of a refresh that fails, at most."""


class Sign(Enum):
    """What says that a server which failed a refresh is back.

    While one that cannot be connected to, or breaks off, answers anything at all, it is. One that
    has answered the refresh, and that it cannot serve, goes on answering other requests, perhaps,
    while the refresh is what it has trouble with: it is back when it has recovered from failures
    in a row.
    """

    ANSWER = auto()
    RECOVERY = auto()


class Pace:
    """When this process does next what it does for a session; times are of the steady clock.

    Attributes:
        checked: when the store was asked last.
        note_at: when its use is to be noted next.
        resume: not before then is a refresh tried again that has failed, unless there is a sign of
            life of who has failed.
        failures: how many have failed since the last success.
        throttled_until: not before then is a refresh tried again because the server refuses the
            token.
        throttle_passes: whether that was for a reason that passes.
    """

    __slots__ = (
        "_after",
        "_early",
        "_heard",
        "checked",
        "failures",
        "note_at",
        "resume",
        "throttle_passes",
        "throttled_until",
    )

    def __init__(self, now: float) -> None:
        self.checked = now
        self.note_at = 0.0
        self.resume = 0.0
        self.failures = 0
        self.throttled_until = 0.0
        self.throttle_passes = False
        self._after: Sign | None = None
        self._heard = 0
        self._early = 0.0

    def fail(self, now: float, first: float, after: Sign | None, signs: SignsOfLife) -> None:
        """A refresh has failed: let a moment pass before it is tried again.

        Args:
            now: of the steady clock.
            first: seconds for the first time; doubled with each that follows.
            after: the sign of life after which that is enough, however many have failed; None
                where the server has no part in it.
            signs: those that there were so far.
        """
        self.resume = now + min(first * 2.0**self.failures, LONGEST_PAUSE)
        self.failures = min(self.failures + 1, 10)
        self._early, self._after = now + first, after
        self._heard = _count(after, signs)

    def may_refresh(self, now: float, signs: SignsOfLife) -> bool:
        """Whether a refresh may be tried now."""
        if now >= self.resume:
            return True
        return (
            self._after is not None
            and now >= self._early
            and _count(self._after, signs) != self._heard
        )

    def recover(self) -> None:
        """What failed is well again, or there are newer tokens: nothing keeps from a refresh."""
        self.failures = 0
        self.resume = 0.0


def _count(sign: Sign | None, signs: SignsOfLife) -> int:
    return signs.answers if sign is Sign.ANSWER else signs.recoveries
