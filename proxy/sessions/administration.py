"""What operators may see of sessions, and how they end them. No token is part of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from structlog.typing import FilteringBoundLogger

from proxy.configuration.sessions import SessionSettings
from proxy.sessions import endings
from proxy.sessions import rules as session_rules
from proxy.sessions.possession import home_of
from proxy.sessions.record import Eviction, Record
from proxy.sessions.repository import SessionRepository

AT_ONCE: Final = 100
"""Sessions of one user that are ended in one step, each with a write that waits for the disk."""


@dataclass(frozen=True, slots=True)
class ShownSession:
    """An open session, as it is shown.

    Attributes:
        record: as it is stored.
        age, idle: seconds since it was opened, and since it was used; uses are written down once in
            a minute at most.
        over: when it is over by its age or idleness, in seconds since 1970.
        websockets: how many of its WebSockets are open in this process.
    """

    record: Record
    age: float
    idle: float
    over: float
    websockets: int


@dataclass(frozen=True, slots=True)
class SessionPage:
    """Some of the open sessions, in the order of their names.

    Attributes:
        sessions: those whose records could be read.
        unreadable: the names of the others.
        after: the name to go on after; empty where these were the last.
    """

    sessions: list[ShownSession]
    unreadable: list[str]
    after: str


class Administration:
    """Shows sessions, and ends them."""

    def __init__(
        self,
        repository: SessionRepository,
        settings: Callable[[], SessionSettings],
        log: FilteringBoundLogger,
    ) -> None:
        self._repository = repository
        self._settings = settings
        self._log = log

    async def page(self, *, user: str | None, after: str, limit: int) -> SessionPage:
        """The open sessions in the store, page by page; see `Store.sessions`.

        Those that are over by age or idleness are among them until they are removed.

        Raises:
            StoreAway: it does not answer.
        """
        repository = self._repository
        found = await repository.asked(
            repository.store.sessions, user=user, after=after, limit=limit
        )
        repository.counts.unreadable += len(found.unreadable)
        now, rules = repository.clock.now(), repository.rules()
        sessions = [
            ShownSession(
                record,
                now - record.created,
                now - record.used,
                session_rules.over(record, rules),
                0
                if (cached := repository.cache.cached(record.session)) is None
                else len(cached.sockets),
            )
            for record in found.records
        ]
        return SessionPage(sessions, found.unreadable, found.after)

    async def end(self, session: str, author: str) -> bool | None:
        """End a session, as a logout does; the server is not told.

        Its tokens are refused from now on, to their own end, and its WebSockets are closed; other
        processes learn it within `service.TRUST`, and within a minute where only WebSockets use
        it. A refresh that is under way ends in vain.

        Args:
            session: its name.
            author: who wants it, for the log.

        Returns:
            Whether it was open; None where there is none of this name.

        Raises:
            StoreAway: the store does not answer; it may have ended all the same.
            Unavailable: too many others were writing it.
        """
        # The server still takes its tokens: they are kept out to their own end.
        cached = await self._repository.load(session)
        if cached is None:
            return None
        if not await endings.end(self._repository, cached, Eviction.NEVER):
            return False
        self._log.info("session ended", session=session, reason="operator", author=author)
        return True

    async def end_all(
        self, user: str, after: str, author: str, host: str | None = None
    ) -> tuple[int, str]:
        """End sessions of a user, of the next `AT_ONCE`.

        Args:
            user: whose; never empty, because that is everybody whose token does not say.
            host: only those that began at this host, or at one that counts as the same; at any
                where it is None.
            after: the name of the last session of the step before; empty for the first.
            author: who wants it, for the log.

        Returns:
            How many were ended, and the name to go on after; that is empty where none is left. A
            record that cannot be read is left alone: its tokens lead nowhere.

        Raises:
            StoreAway, Unavailable: as `end`; those before are ended.
        """
        store = self._repository.store
        found = await self._repository.asked(store.sessions, user=user, after=after, limit=AT_ONCE)
        ended, settings = 0, self._settings()
        for record in found.records:
            if host is not None and home_of(settings, record.host) != home_of(settings, host):
                continue
            ended += bool(await self.end(record.session, author))
        return ended, found.after
