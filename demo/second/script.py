"""What is done to the switch in the second act, in its order, and what clients must get for it.

Written by hand: what each step must lead to is not asked of the proxy.
"""

from __future__ import annotations

from enum import Enum
from typing import Final, NamedTuple

SWITCH: Final = "modern/old-to-new"
PERCENT: Final = 50.0


class Gets(Enum):
    """What the clients of the cohort must get."""

    OLD = "the server's bytes"
    NEW = "new frames"
    SOME = "new frames or the server's bytes, by user"
    SAME = "what the canary gave them"


class Step(NamedTuple):
    """One change.

    Attributes:
        state: what the switch is then, as the admin API and the table say it.
        gets: what clients get then.
        reason: why, as the revision keeps it.
        undoes: whether it is made by `undo`.
        to_start: whether that goes back to what there was before the first step, and not just to
            the revision before.
        is_turned: False for what is there before anything is done.
    """

    state: str
    gets: Gets
    reason: str
    undoes: bool = False
    to_start: bool = False
    is_turned: bool = True

    @property
    def title(self) -> str:
        """What is done, in a few words."""
        if not self.is_turned:
            return f"{self.state}, by the configuration"
        if not self.undoes:
            return self.state
        return f"undo to the start: {self.state}" if self.to_start else f"undo: {self.state}"


SHADOW: Final = "shadow"
CANARY: Final = f"canary {PERCENT:g}%"

STEPS: Final = (
    Step("on", Gets.NEW, "", is_turned=False),
    Step("off", Gets.OLD, "begin with what the old server sends"),
    Step(SHADOW, Gets.OLD, "count what it would do, and send the original"),
    Step(CANARY, Gets.SOME, "half of the users first"),
    Step("on", Gets.NEW, "all others too"),
    Step(CANARY, Gets.SAME, "that was too soon: as it was before", undoes=True),
    Step("on", Gets.NEW, "as the configuration says", undoes=True, to_start=True),
)
