"""How a session ends: by its client's logout, a token that comes back, an operator, or a bound.

What the server refuses is no end (`presenting`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

from structlog.typing import FilteringBoundLogger

from proxy.configuration.sessions import SessionSettings
from proxy.errors import StoreAway, Unavailable
from proxy.sessions import rules
from proxy.sessions.cache import CachedSession
from proxy.sessions.possession import home_of
from proxy.sessions.record import MAX_TEXT, Eviction, Record
from proxy.sessions.repository import SessionRepository
from proxy.sessions.store.base import MAX_SEEN, SessionUse

LIMIT: Final = "limit"
"""Why a session has ended whose user had too many, for the log."""


async def end(repository: SessionRepository, cached: CachedSession, eviction: Eviction) -> bool:
    """End a session with all that it has: its tokens are known to their own end.

    It does not take the lease: it is decided, whoever renews the session meanwhile.

    Args:
        repository: where it is.
        cached: the session.
        eviction: see `rules.ended`.

    Returns:
        Whether nobody had ended it before.

    Raises:
        StoreAway: the store does not answer; it may have ended all the same.
        Unavailable: too many others were writing it.
    """
    now, is_first = repository.clock.now(), False

    def change(current: Record) -> Record:
        nonlocal is_first
        is_first = current.ended is None
        if not is_first and eviction >= current.eviction:
            return current
        return rules.ended(current, now, repository.current_digests(current), eviction=eviction)

    # Tokens that led nowhere a moment ago may be superseded ones of this session.
    repository.cache.forget_misses()
    try:
        if not await repository.update(cached, change):
            raise Unavailable("the session is being written by too many others; try again")
    finally:
        repository.cache.forget_misses()
    if is_first:
        repository.counts.ages["ended"].observe(now - cached.record.created)
    return is_first


async def end_for_certain(
    repository: SessionRepository, cached: CachedSession, eviction: Eviction
) -> None:
    """End a session as `end` does: here, where it cannot be written down, and in the store later.

    Args:
        repository, cached, eviction: as for `end`.
    """
    try:
        await end(repository, cached, eviction)
    except (StoreAway, Unavailable):
        now = repository.clock.now()
        current = repository.current_digests(cached.record)
        repository.keep(cached, rules.ended(cached.record, now, current, eviction=eviction))
        repository.counts.ages["ended"].observe(now - cached.record.created)


class UserLimit:
    """Ends the least recently used sessions of a user who has more than `sessions.per_user`.

    A user is one at the host where the session began: what other applications call the same is
    somebody else.
    """

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
        settings, repository = self._settings(), self._repository
        keep = settings.per_user
        if keep is None or not opened.user or len(opened.user) >= MAX_TEXT:
            return
        with suppress(StoreAway, Unavailable):  # The user's next login does it.
            found = await repository.asked(repository.store.uses, opened.user, keep + MAX_SEEN)
            home = home_of(settings, opened.host)
            theirs = [each for each in found if home_of(settings, each.host) == home]
            for each in beyond(theirs, keep):
                cached = None if each == opened.session else await repository.load(each)
                if cached is not None and await end(repository, cached, Eviction.LAST):
                    repository.counts.evicted += 1
                    self._log.info("session ended", session=each, reason=LIMIT)


def beyond(uses: Sequence[SessionUse], keep: int) -> list[str]:
    """The sessions beyond the `keep` that were used last; those first that were not for longest."""
    ordered = sorted(uses, key=lambda each: (each.used, each.session))
    return [each.session for each in ordered[: max(len(ordered) - keep, 0)]]
