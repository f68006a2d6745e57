"""The time, for sessions: one that tokens and records speak of, and one that nobody sets back."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple


class Clock(NamedTuple):
    """Two clocks, which are always asked together with what they are for.

    Attributes:
        now: seconds since 1970, for what tokens and records say. A machine may set it back, and no
            two machines agree on it.
        steady: seconds of a clock that only goes forward, for pauses and bounds of this process.
    """

    now: Callable[[], float]
    steady: Callable[[], float]


SYSTEM_CLOCK = Clock(time.time, time.monotonic)
"""This machine's."""
