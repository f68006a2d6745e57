"""Why a change of switches is not made."""

from __future__ import annotations

from enum import StrEnum


class Why(StrEnum):
    """The kind of a refusal."""

    UNKNOWN = "unknown"
    """What the change names is not there."""
    INVALID = "invalid"
    """The change makes no sense."""
    CONFLICT = "conflict"
    """It does not go with what is in force."""
    CHANGED = "changed"
    """Somebody changed the same meanwhile (412)."""
    UNCONDITIONAL = "unconditional"
    """It raises, and does not say on what it builds (428)."""
    AUTHORITY = "authority"
    """The configuration file is the authority."""
    LIMITED = "limited"
    """It goes beyond what who asks may (403)."""
    CLOSED = "closed"
    """It raises at a time at which nothing may rise (409)."""


class ChangeRefused(Exception):
    """A change that is not made. The text says what is wrong, and what to do."""

    def __init__(self, why: Why, text: str) -> None:
        super().__init__(text)
        self.why = why
