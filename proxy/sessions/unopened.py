"""Telling an operator why sessions are not opened, or not found, where a setting would help.

One reason would be told with every login, and so it is told once an hour.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import Final

from structlog.typing import FilteringBoundLogger

_PERIOD: Final = 3600.0
_MOST_NAMES: Final = 12
_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,40}")
"""What is told of names that come from a server or a client: of one with a token in it, nothing."""


class Unopened(StrEnum):
    """Why a login opens no session, or an open one is not found by a token of its."""

    NOT_FOUND = "no tokens found in the answer"
    NO_REFRESH = "no refresh token found in the answer"
    NO_JWT = "the tokens are no JWTs with an end"
    FULL = "the store is full"
    SCHEME = "the token comes with another scheme"


_TO_SET: Final = {
    Unopened.NOT_FOUND: "sessions.tokens.access and .refresh, or .cookies",
    Unopened.NO_REFRESH: "sessions.tokens.refresh, or .cookies.refresh",
    Unopened.NO_JWT: "sessions.tokens.access and .refresh, if others in the answer are meant",
    Unopened.FULL: "store.sessions",
    Unopened.SCHEME: "sessions.tokens.schemes",
}


class UnopenedLog:
    """Writes each reason once an hour."""

    def __init__(self, log: FilteringBoundLogger, clock: Callable[[], float]) -> None:
        """Construct.

        Args:
            log: where it goes.
            clock: in seconds; does not go back.
        """
        self._log = log
        self._clock = clock
        self._silent_until: dict[Unopened, float] = {}

    def tell(self, reason: Unopened, **names: Iterable[str]) -> None:
        """Tell a reason, unless it was told within the hour.

        Args:
            reason: why there is no session, or it is not found.
            names: of members, cookies or schemes that were seen, from anybody.
        """
        now = self._clock()
        if now < self._silent_until.get(reason, now):
            return
        self._silent_until[reason] = now + _PERIOD
        told = {
            what: [each for each in list(found)[:_MOST_NAMES] if _NAME.fullmatch(each)]
            for what, found in names.items()
        }
        log = self._log.bind(reason=reason.value, set=_TO_SET[reason], **told)
        if reason is Unopened.SCHEME:
            log.warning("the token of a session is not looked at")
        else:
            log.warning("logins open no sessions")
