"""The enums and counters that every floor shares. Nothing here imports anything of Segue's."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final, Protocol

NONE: Final = "none"
"""The label value that stands for "no cohort" and "no mapping"."""

LABEL: Final = r"[a-z0-9_-]{1,63}"
"""Names that people give, and that are labels of metrics: of cohorts, and of exceptions. Which of
them may be given, `check_label` says."""


def check_label(text: str) -> str:
    """Check a name that somebody gives, in a file or by a command; return it.

    Raises:
        ValueError: it is none.
    """
    if not re.fullmatch(LABEL, text):
        raise ValueError("expected small letters, digits, `_`, `-`, at most 63 of them")
    if text == NONE:
        raise ValueError(f"`{NONE}` stands for none in the metrics; choose another name")
    return text


SEGUE: Final = "segue"
"""The author of what nobody has asked for."""

GUARD: Final = "guard"
RAMP: Final = "ramp"
"""The authors of what guards and ramps do; no name of a person or a token is written like these."""

MAX_DEPTH: Final = 1_000
"""How many objects and arrays stand inside each other in a message that is mapped, unless the
configuration says otherwise. Python's own `json` reads and writes no more."""


FieldPath = tuple[str, ...]
"""The keys that lead to a value in a JSON text, outermost first; never empty."""


class Direction(StrEnum):
    """Which way a message travels."""

    TO_CLIENT = "to_client"
    TO_SERVER = "to_server"


class Role(StrEnum):
    """What somebody may do at the admin listener; each may what those before it may."""

    METRICS = "metrics"
    """Read `/metrics`, where `admin.protect_metrics` says that this needs somebody."""
    VIEWER = "viewer"
    """Look: what runs, and who is logged in."""
    OPERATOR = "operator"
    """Change what is in progress: reload, end sessions, record messages with placeholders."""
    ADMIN = "admin"
    """Everything: messages as they are, too."""

    def covers(self, needed: Role) -> bool:
        """Whether whoever has this role may do what needs the other."""
        ranks = tuple(Role)
        return ranks.index(self) >= ranks.index(needed)


class Channel(StrEnum):
    """What a mapping rewrites."""

    WEBSOCKET = "websocket"
    HTTP = "http"


class OnError(StrEnum):
    """What is sent when a rule matched and one of its operations could not be carried out."""

    PASS = "pass"  # noqa: S105 (the word of the mapping language, not a password)
    DROP = "drop"
    CLOSE = "close"


class Publish(Protocol):
    """Tells whoever watches what has happened; in the event loop, and without waiting."""

    def __call__(self, kind: str, /, **facts: object) -> None:
        """Tell of something.

        Args:
            kind: what, in `snake_case`.
            facts: of it, as JSON can have them; no secrets.
        """


def unpublished(kind: str, /, **facts: object) -> None:
    """Tell nobody."""
