"""What operators may see of sessions, and how they end them. No token is part of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from structlog.typing import FilteringBoundLogger

from proxy.errors import Unavailable
from proxy.sessions import rules as renewal
from proxy.sessions.ledger import Ledger
from proxy.sessions.record import Record

AT_ONCE: Final = 100
"""Sessions of one user that are ended in one step, each with a write that waits for the disk."""


@dataclass(frozen=True, slots=True)
class Seen:
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
class Page:
    """Some of the open sessions, in the order of their names.

    Attributes:
        sessions: those whose records could be read.
        unreadable: the names of the others.
        after: the name to go on after; empty where these were the last.
    """

    sessions: list[Seen]
    unreadable: list[str]
    after: str


class Oversight:
    """Shows sessions, and ends them."""

    def __init__(self, ledger: Ledger, log: FilteringBoundLogger) -> None:
        self._ledger = ledger
        self._log = log

    async def page(self, *, user: str | None, after: str, limit: int) -> Page:
        """The open sessions in the store, page by page; see `Store.sessions`.

        Those that are over by age or idleness are among them until they are removed.

        Raises:
            StoreAway: it does not answer.
        """
        ledger = self._ledger
        found = await ledger.asked(ledger.store.sessions, user=user, after=after, limit=limit)
        ledger.counts.unreadable += len(found.unreadable)
        now, rules = ledger.clock(), ledger.rules()
        sessions = [
            Seen(
                record,
                now - record.created,
                now - record.used,
                renewal.over(record, rules),
                0 if (known := ledger.memory.known(record.session)) is None else len(known.sockets),
            )
            for record in found.records
        ]
        return Page(sessions, found.unreadable, found.after)

    async def end(self, session: str) -> bool | None:
        """End a session, as a logout does; the server is not told.

        Its tokens are refused from now on, to their own end, and its WebSockets are closed; other
        processes learn it within `registry.TRUST`, and within a minute where only WebSockets use
        it. A refresh that is under way ends in vain.

        Returns:
            Whether it was open; None where there is none of this name.

        Raises:
            StoreAway: the store does not answer; it may have ended all the same.
            Unavailable: too many others were writing it.
        """
        ledger, now = self._ledger, self._ledger.clock()
        known = await ledger.load(session)
        if known is None:
            return None
        if known.record.ended is not None:
            return False
        # Tokens that led nowhere a moment ago may be superseded ones of this session.
        ledger.memory.forget_strangers()
        if not await ledger.update(known, lambda current: renewal.logged_out(current, now)):
            raise Unavailable("the session is being written by too many others; try again")
        ledger.counts.ages["ended"].observe(now - known.record.created)
        self._log.info("session ended", session=session, reason="operator")
        return True

    async def end_all(self, user: str, after: str) -> tuple[int, str]:
        """End the next `AT_ONCE` sessions of a user.

        Args:
            user: whose; never empty, because that is everybody whose token does not say.
            after: the name of the last session of the step before; empty for the first.

        Returns:
            How many were ended, and the name to go on after; that is empty where none is left. A
            record that cannot be read is left alone: its tokens lead nowhere.

        Raises:
            StoreAway, Unavailable: as `end`; those before are ended.
        """
        store = self._ledger.store
        found = await self._ledger.asked(store.sessions, user=user, after=after, limit=AT_ONCE)
        ended = 0
        for record in found.records:
            ended += bool(await self.end(record.session))
        return ended, found.after
