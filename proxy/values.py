"""The enums and counters that every floor shares. Nothing here imports anything of Segue's."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

NONE: Final = "none"
"""The label value that stands for "no cohort" and "no mapping"."""

MAX_DEPTH: Final = 1_000
"""How many objects and arrays stand inside each other in a message that is mapped, unless the
configuration says otherwise. Python's own `json` reads and writes no more."""


class Direction(StrEnum):
    """Which way a message travels."""

    TO_CLIENT = "to_client"
    TO_SERVER = "to_server"


class Channel(StrEnum):
    """What a mapping rewrites."""

    WEBSOCKET = "websocket"
    HTTP = "http"


class OnError(StrEnum):
    """What is sent when a rule matched and one of its operations could not be carried out."""

    PASS = "pass"  # noqa: S105 (the word of the mapping language, not a password)
    DROP = "drop"
    CLOSE = "close"


class VersionSource(StrEnum):
    """Where the client's version was read; the label values of `segue_version_sources_total`."""

    HEADER = "header"
    SUBPROTOCOL = "subprotocol"
    QUERY = "query"
    COOKIE = "cookie"
    SESSION = "session"
    DEFAULT = "default"
    UNREADABLE = "unreadable"
    NONE = "none"


class HandleKind(StrEnum):
    """What a client holds that leads to its session."""

    ACCESS = "access"
    REFRESH = "refresh"
    COOKIE = "cookie"


class MessageCounts:
    """How the data messages of one (mapping, direction) ended; plain integers.

    The hot path adds to the attributes; the metrics page reads them when it is scraped. (A
    labelled `Counter.inc()` of `prometheus_client` costs about 3 microseconds, an attribute 0.05.)
    Each message that was received whole has exactly one of the five outcomes, so that
    `mapped + passed + dropped + failed + undelivered` is the number of messages received.
    `added` counts the messages that a rule made beyond one for one, and stands apart.
    """

    __slots__ = (
        "added",
        "dropped",
        "failed",
        "failures",
        "mapped",
        "passed",
        "undelivered",
        "unmapped",
    )

    def __init__(self) -> None:
        self.mapped = 0
        self.passed = 0
        self.dropped = 0
        self.failed = 0
        self.undelivered = 0
        self.added = 0
        self.failures: dict[str, int] = {}
        self.unmapped: dict[str, int] = {}

    def count_failure(self, rule: str) -> None:
        """Count a failed message under the rule that failed; the names come from the mappings."""
        self.failures[rule] = self.failures.get(rule, 0) + 1

    def count_unmapped(self, kind: str) -> None:
        """Count a message that passed, by its kind; the names come from the mappings."""
        self.unmapped[kind] = self.unmapped.get(kind, 0) + 1

    @property
    def received(self) -> int:
        """The number of data messages that arrived whole."""
        return self.mapped + self.passed + self.dropped + self.failed + self.undelivered
