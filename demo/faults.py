"""What can keep the demonstration from being shown; each text is for whoever watches."""

from __future__ import annotations

from collections.abc import Iterable


class ShowFailed(Exception):
    """The demonstration cannot go on.

    Attributes:
        details: lines that help to see why, such as the last ones of a log.
    """

    def __init__(self, message: str, details: Iterable[str] = ()) -> None:
        super().__init__(message)
        self.details = tuple(details)


class ProgramDied(ShowFailed):
    """The backend or the proxy ended although nobody asked it to."""
