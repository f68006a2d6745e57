"""A switch in shadow: what is counted of it, over all the times that it was in one."""

from __future__ import annotations

from typing import NamedTuple

from proxy.gateway.shadow_account import ShadowAccount
from proxy.mapping.engine.program import Program


class ShadowTarget(NamedTuple):
    """What would be sent if a switch were on.

    Attributes:
        switch: `COHORT/MAPPING`.
        program: all that would be applied then, in its place in the chain.
    """

    switch: str
    program: Program


class ShadowedSwitch:
    """A switch whose messages are compared.

    Attributes:
        switch: its name.
        mapping: that of its mapping.
        account: since it began.
        before: what earlier accounts had come to, by outcome; and their seconds.
        ended: whether nothing is compared any more.
    """

    __slots__ = ("account", "before", "ended", "mapping", "seconds_before", "switch")

    def __init__(self, switch: str, now: float) -> None:
        self.switch = switch
        self.mapping = switch.rpartition("/")[2]
        self.account = ShadowAccount(now)
        self.before: dict[str, int] = dict.fromkeys(self.account.outcomes(), 0)
        self.seconds_before = 0.0
        self.ended = False

    def begin(self, now: float) -> None:
        """Count from nothing; what was counted stays in the totals."""
        self.before = self.totals()
        self.seconds_before = self.seconds
        self.account = ShadowAccount(now)
        self.ended = False

    def totals(self) -> dict[str, int]:
        """What all accounts have come to, by outcome."""
        return {what: self.before[what] + n for what, n in self.account.outcomes().items()}

    @property
    def seconds(self) -> float:
        """Of CPU, of all accounts."""
        return self.seconds_before + self.account.seconds


Targets = tuple[tuple[ShadowedSwitch, Program], ...]
"""The switches that a message is compared for, and what would be applied if each were on."""
