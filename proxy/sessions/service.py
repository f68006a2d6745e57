"""What the data plane asks of sessions: whose token is this, and which one goes upstream?"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Final

from structlog.typing import FilteringBoundLogger

from proxy.configuration.sessions import Sessions as Settings
from proxy.errors import SessionEnded, SessionUnavailable, StoreAway
from proxy.http.headers import RawFields
from proxy.sessions import rules
from proxy.sessions.administration import Oversight
from proxy.sessions.ledger import Ledger
from proxy.sessions.maintenance import Upkeep
from proxy.sessions.memory import Known, Outcome, Socket, Ticket
from proxy.sessions.metrics import Counts, Trigger
from proxy.sessions.possession import presented, proven
from proxy.sessions.record import MAX_TEXT, HandleKind
from proxy.sessions.refresh_call import Connect
from proxy.sessions.renewals import Renewals
from proxy.sessions.rules import Rules, Standing
from proxy.sessions.store.base import Store
from proxy.sessions.token_exchange import Routes
from proxy.tokens import jwt
from proxy.tokens.credentials import carried
from proxy.tokens.sealing import Sealer
from proxy.versions.selection import Selection
from proxy.versions.version import VersionSource

TRUST: Final = 5.0
"""Seconds for which the store is not asked again about a session: how late a replica learns that
one was ended at another."""

_STRANGE: Final = 10.0
"""Seconds for which a token that leads nowhere is not looked for again."""

_TOUCH: Final = 60.0


class Sessions:
    """The sessions of this process.

    Attributes:
        counts: for the metrics page.
        routes: what happens on the routes of tokens.
        oversight: what operators see and end.
    """

    def __init__(
        self,
        store: Store,
        sealer: Sealer,
        connect: Connect,
        settings: Callable[[], Settings],
        clock: Callable[[], float],
        log: FilteringBoundLogger,
        purge: float,
    ) -> None:
        """Construct; nothing is asked of the store yet.

        Args:
            store: where records are.
            sealer: opens and closes them.
            connect: opens connections to the server.
            settings: those that serve.
            clock: seconds since 1970.
            log: for what happens to sessions, without tokens.
            purge: seconds between two removals of what is over.
        """
        self.counts = Counts()
        self._settings = settings
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._ledger = Ledger(store, sealer, self.counts, clock, self._rules)
        self._memory = self._ledger.memory
        self._renewals = Renewals(self._ledger, connect, settings, log)
        self._upkeep = Upkeep(self._ledger, self._renewals, log, purge)
        self._closed = False
        self.routes = Routes(self._ledger, self._renewals, settings)
        self.oversight = Oversight(self._ledger, log)

    # Requests.

    def at_hand(self, token: str, cookie: str, settings: Settings) -> Ticket | None:
        """What `ticket` says of a token that was found to be good a moment ago; None for others."""
        ticket = self._memory.tickets.get(token)
        if ticket is None:
            return None
        known = ticket.known
        if (
            ticket.order == known.oldest
            and ticket.settings is settings
            and self._loop.time() < known.checked + TRUST
            and self._clock() < known.over
            and (not cookie or hmac.compare_digest(cookie.encode(), ticket.cookie.encode()))
            and (cookie or not ticket.cookie)
            and known.record.ended is None
        ):
            return ticket
        return None

    async def ticket(self, token: str, cookie: str, settings: Settings) -> Ticket | None:
        """Where a token leads to; None for one that no login through this proxy produced.

        Args:
            token: the access token that a client presents.
            cookie: the cookie of its session; empty where none came along or none is asked for.
            settings: those that serve.

        Raises:
            SessionEnded: its user has logged out.
            StoreAway: it has ended, and nobody can say whether it may be renewed.
        """
        ticket = self.at_hand(token, cookie, settings)
        if ticket is not None or self._memory.is_stranger(token, self._loop.time()):
            return ticket
        return await self._look_up(token, cookie, settings, self._memory.tickets.get(token))

    def current(self, ticket: Ticket) -> str:
        """The access token that goes upstream; empty where `fresh` is to be asked."""
        known = ticket.known
        return known.access if self._clock() < known.due else ""

    async def fresh(
        self, ticket: Ticket, fields: RawFields, trigger: Trigger = Trigger.EXPIRY
    ) -> str | None:
        """The access token that goes upstream; None where the client's own is to go.

        Args:
            ticket: of the token that the client presented.
            fields: those of the request, as they are forwarded.
            trigger: what a renewal is counted under.

        Raises:
            SessionUnavailable: the token has ended and cannot be renewed at the moment.
        """
        known = ticket.known
        if self._clock() < known.due:
            return known.access or None
        return await self._renewals.current(known, trigger, fields)

    def is_near_its_end(self, ticket: Ticket) -> bool:
        """Whether the session's token should have been renewed before it was sent."""
        return self._clock() >= ticket.known.due

    async def after_refusal(
        self, ticket: Ticket, sent: str, trigger: Trigger, fields: RawFields
    ) -> str | None:
        """The token for a second try, once the server has refused the one that was sent.

        None where the server's refusal stands.

        Raises:
            SessionUnavailable: there may be one later.
        """
        known = ticket.known
        if known.record.ended is not None:
            return None
        if known.access and known.access != sent:
            return known.access  # Somebody else has renewed it meanwhile.
        if self._loop.time() < known.storm:
            if known.storm_passing:
                raise SessionUnavailable("the session cannot be renewed at the moment")
            return None
        if not rules.may_force(known.record, self._clock()):
            return None
        seen = known.record.generation
        outcome = await self._renewals.renew(known, seen, trigger, fields)
        if outcome is Outcome.RENEWED:
            return known.access
        if outcome is Outcome.ENDED:
            return None
        self._calm(known, passing=True)
        raise SessionUnavailable("the session cannot be renewed at the moment")

    def refused_again(self, ticket: Ticket) -> None:
        """The server has refused the fresh token too."""
        self._calm(ticket.known, passing=False)

    def note(self, ticket: Ticket, selection: Selection) -> None:
        """Note that a session was used, and by which version of the client."""
        known, version = ticket.known, selection.version
        if (
            version is not None
            and version != known.version
            and selection.source not in (VersionSource.DEFAULT, VersionSource.UNREADABLE)
        ):
            self._touch(known, version.text[:MAX_TEXT], selection.cohort or "")
        elif self._loop.time() >= known.note_at:
            self._touch(known, known.record.version, known.record.cohort)

    # WebSockets.

    def socket_opened(self, ticket: Ticket, socket: Socket, fields: RawFields) -> None:
        """A WebSocket of a session has opened: that is kept renewed, and its end is the socket's.

        Args:
            ticket: whose it is.
            socket: already relaying.
            fields: of its handshake, as they were forwarded.
        """
        known = ticket.known
        known.sockets.add(socket)
        known.context = carried(fields)
        self._memory.with_sockets[known.record.session] = known
        if rules.is_logged_out(known.record):
            socket.revoke()  # While the server was asked.

    def socket_closed(self, ticket: Ticket, socket: Socket) -> None:
        """It has closed."""
        known = ticket.known
        known.sockets.discard(socket)
        if not known.sockets:
            self._memory.with_sockets.pop(known.record.session, None)

    # The process.

    def tick(self) -> None:
        """Do what is due; called twice a second."""
        self._upkeep.tick()

    async def drain(self, timeout: float) -> bool:
        """Wait for the refreshes that are under way, and write what is unsaved.

        Returns whether nothing was left.
        """
        if waiting := self._renewals.under_way:
            await asyncio.wait(waiting, timeout=timeout)
        return await self._upkeep.finish() and not self._renewals.under_way

    async def close(self) -> None:
        """Give up what is left, and the store. Safe to call twice."""
        if self._closed:
            return
        self._closed = True
        await self._upkeep.close()
        if left := self._renewals.under_way:
            for task in left:
                task.cancel()
            await asyncio.wait(left)
        with suppress(StoreAway):
            await self._ledger.store.close()

    # Steps.

    def _rules(self) -> Rules:
        settings = self._settings()
        return Rules(
            refresh_before=settings.refresh_before,
            lifetime=settings.lifetime,
            idle=settings.idle,
            replay_window=settings.replay_window,
        )

    async def _look_up(
        self, token: str, cookie: str, settings: Settings, ticket: Ticket | None
    ) -> Ticket | None:
        spelled = jwt.canonical(token)
        claims = jwt.read(spelled)
        if claims is None:
            return None
        digests = self._ledger.sealer.digests(spelled)
        known = None if ticket is None else ticket.known
        try:
            if known is None:
                known = await self._ledger.find(*digests)
            else:
                await self._ledger.reread(known)
        except StoreAway:
            if known is None:
                if self._clock() < claims.exp:
                    return None
                raise
            known.checked = self._loop.time()  # What is known has to do.
        handle = None if known is None else rules.handle_of(known.record, digests)
        if known is None or handle is None or handle.kind is not HandleKind.ACCESS:
            self._stranger(token)
            return None
        if known.record.ended is not None:
            self._memory.tickets.pop(token, None)
            raise SessionEnded("the session has ended")
        now = self._clock()
        if rules.standing(handle, now, self._rules()) is not Standing.GOOD or now >= known.over:
            self._stranger(token)
            return None
        if not proven(self._ledger, settings, known.record, cookie):
            return None
        await presented(self._ledger, known, handle.order)
        ticket = Ticket(known, token, handle.order, cookie, settings)
        if token == spelled:  # It has one such spelling, and any number of others.
            self._memory.remember(ticket)
        return ticket

    def _stranger(self, token: str) -> None:
        self._memory.estrange(token, self._loop.time() + _STRANGE)

    def _calm(self, known: Known, *, passing: bool) -> None:
        known.storm = self._loop.time() + rules.STORM
        known.storm_passing = passing

    def _touch(self, known: Known, version: str, cohort: str) -> None:
        now = self._clock()
        known.note_at = self._loop.time() + min(_TOUCH, self._settings().idle / 10)
        self._ledger.adopt(known, replace(known.record, used=now, version=version, cohort=cohort))
        self._renewals.soon(self._write_use(known.record.session, now, version, cohort))

    async def _write_use(self, session: str, used: float, version: str, cohort: str) -> None:
        with suppress(StoreAway):
            await self._ledger.asked(self._ledger.store.touch, session, used, version, cohort)
