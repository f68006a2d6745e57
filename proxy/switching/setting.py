"""What a switch is set to: `off`, `shadow`, `canary N%` or `on`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

WHOLE: Final = 10_000
"""All users, in hundredths of a percent."""

_CANARY: Final = re.compile(r"canary ([0-9]{1,3})(?:\.([0-9]{1,2}))?%")


class Mode(StrEnum):
    """What a switch has done with messages."""

    OFF = "off"
    """They are sent as they came; in a chain, the mapping is left out."""
    SHADOW = "shadow"
    """As off; a copy is rewritten, compared and counted."""
    CANARY = "canary"
    """As on for a share of the users, as off for all others."""
    ON = "on"
    """The mapping is applied."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What one switch is set to.

    Attributes:
        mode: see there.
        share: of a canary, in hundredths of a percent: 0 to `WHOLE`; 0 for all others.
    """

    mode: Mode
    share: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.share <= WHOLE or (self.share and self.mode is not Mode.CANARY):
            raise ValueError("expected a share from 0 to 100 percent, and of a canary alone")

    @property
    def percent(self) -> float | None:
        """The share of a canary in percent, with two decimals; None for all others."""
        return self.share / 100 if self.mode is Mode.CANARY else None

    @property
    def exposed(self) -> int:
        """The share of those who get something rewritten, in hundredths of a percent."""
        return WHOLE if self.mode is Mode.ON else self.share

    def lowers(self, before: Setting) -> bool:
        """Whether nobody gets more rewritten by this than by the other, nor anything is begun."""
        return self._rank() <= before._rank()

    def _rank(self) -> tuple[int, int]:
        return self.exposed, tuple(Mode).index(self.mode)

    def __str__(self) -> str:
        if self.mode is not Mode.CANARY:
            return self.mode
        whole, rest = divmod(self.share, 100)
        return f"canary {whole}{f'.{rest:02}'.rstrip('0') if rest else ''}%"


OFF: Final = Setting(Mode.OFF)
ON: Final = Setting(Mode.ON)


def share_of(percent: float) -> int:
    """Return a percentage in hundredths of a percent.

    Raises:
        ValueError: it is none, or has more than two decimals.
    """
    share = round(percent * 100) if 0 <= percent <= 100 else -1
    if share < 0 or abs(share - percent * 100) > 1e-6:
        raise ValueError("expected a number from 0 to 100 with at most two decimals")
    return share


def parse_setting(text: str) -> Setting:
    """Read a setting as it is written: `off`, `shadow`, `canary 2.5%` or `on`.

    Raises:
        ValueError: it is none.
    """
    if text in (Mode.OFF, Mode.SHADOW, Mode.ON):
        return Setting(Mode(text))
    found = _CANARY.fullmatch(text)
    share = -1 if found is None else int(found[1]) * 100 + int((found[2] or "").ljust(2, "0"))
    if not 0 <= share <= WHOLE:
        raise ValueError('expected off, shadow, on, or a canary such as "canary 2.5%"')
    return Setting(Mode.CANARY, share)
