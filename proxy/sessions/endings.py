"""Ending a session that is not the client's own doing: by an operator, or by a bound."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Final

from structlog.typing import FilteringBoundLogger

from proxy.configuration.sessions import SessionSettings
from proxy.errors import StoreAway, Unavailable
from proxy.sessions import rules
from proxy.sessions.record import MAX_TEXT, Eviction, Record
from proxy.sessions.repository import SessionRepository

LIMIT: Final = "limit"
"""Why a session has ended whose user had too many, for the log."""


async def end(repository: SessionRepository, session: str, eviction: Eviction) -> bool | None:
    """End a session, as a logout does; the server is not told.

    Args:
        repository: where it is.
        session: its name.
        eviction: see `rules.logged_out`.

    Returns:
        Whether it was open; None where there is none of this name.

    Raises:
        StoreAway: the store does not answer; it may have ended all the same.
        Unavailable: too many others were writing it.
    """
    now = repository.clock.now()
    cached = await repository.load(session)
    if cached is None:
        return None
    if cached.record.ended is not None:
        return False
    # Tokens that led nowhere a moment ago may be superseded ones of this session.
    repository.cache.forget_misses()
    if not await repository.update(
        cached,
        lambda current: rules.logged_out(current, now, repository.held(current), eviction=eviction),
    ):
        raise Unavailable("the session is being written by too many others; try again")
    repository.counts.ages["ended"].observe(now - cached.record.created)
    return True


class UserLimit:
    """Ends the least recently used sessions of a user who has more than `sessions.per_user`."""

    def __init__(
        self,
        repository: SessionRepository,
        settings: Callable[[], SessionSettings],
        log: FilteringBoundLogger,
    ) -> None:
        self._repository = repository
        self._settings = settings
        self._log = log

    async def enforce(self, opened: Record) -> None:
        """End what is too much, now that a session was opened.

        A name that was cut off may be that of several users, as none is of all who have none.
        """
        keep, repository = self._settings().per_user, self._repository
        if keep is None or not opened.user or len(opened.user) >= MAX_TEXT:
            return
        with suppress(StoreAway, Unavailable):  # The user's next login does it.
            for session in await repository.asked(repository.store.least_used, opened.user, keep):
                if session != opened.session and await end(repository, session, Eviction.LAST):
                    repository.counts.evicted += 1
                    self._log.info("session ended", session=session, reason=LIMIT)
