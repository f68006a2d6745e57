"""What the data plane asks of sessions: whose token is this, and which one goes upstream?"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Final

from structlog.typing import FilteringBoundLogger

from proxy.configuration.sessions import SessionSettings
from proxy.errors import SessionEnded, SessionUnavailable, StoreAway
from proxy.http.headers import RawFields
from proxy.sessions import rules
from proxy.sessions.administration import Administration
from proxy.sessions.cache import CachedSession, RenewalOutcome, SessionSocket, SessionToken
from proxy.sessions.clock import Clock
from proxy.sessions.endings import UserLimit
from proxy.sessions.maintenance import Maintenance
from proxy.sessions.metrics import Counts, Trigger
from proxy.sessions.possession import Possession, is_at_home, proving, supersede_older
from proxy.sessions.presenting import Presenter
from proxy.sessions.record import MAX_TEXT, Handle, HandleKind
from proxy.sessions.refresh_call import Connect
from proxy.sessions.renewals import Renewals
from proxy.sessions.repository import PresentedToken, SessionRepository
from proxy.sessions.rules import SessionRules, Standing
from proxy.sessions.store.base import Store
from proxy.sessions.token_exchange import TokenExchange
from proxy.sessions.unopened import UnopenedLog
from proxy.storage import cancellation
from proxy.tokens.credentials import carried
from proxy.tokens.sealing import Sealer
from proxy.upstream.health import SignsOfLife
from proxy.versions.selection import Selection
from proxy.versions.sources import VersionSource

TRUST: Final = 5.0
"""Seconds for which the store is not asked again about a session: how late a replica learns that
one was ended at another."""

_MISS_LIFETIME: Final = 10.0
"""Seconds for which a token that leads nowhere is not looked for again."""

_TOUCH: Final = 60.0

_MOST_TOLD: Final = 16
"""Pairs of hosts of which the log is told: clients write them."""


class Sessions:
    """The sessions of this process.

    Attributes:
        counts: for the metrics page.
        routes: what happens on the routes of tokens.
        administration: what operators see and end.
    """

    def __init__(
        self,
        store: Store,
        sealer: Sealer,
        connect: Connect,
        settings: Callable[[], SessionSettings],
        clock: Clock,
        log: FilteringBoundLogger,
        purge: float,
        capacity: int,
        signs: SignsOfLife,
    ) -> None:
        """Construct; nothing is asked of the store yet.

        Args:
            store: where records are.
            sealer: opens and closes them.
            connect: opens connections to the server.
            settings: those that serve.
            clock: the time.
            log: for what happens to sessions, without tokens.
            purge: seconds between two removals of what is over.
            capacity: open sessions that the store may hold.
            signs: what is heard of the server.
        """
        self.counts = Counts(capacity)
        self._settings = settings
        self._clock = clock
        self._repository = SessionRepository(store, sealer, self.counts, clock, self._rules)
        self._cache = self._repository.cache
        presenter = Presenter(self._repository, connect, settings, log, signs)
        self._renewals = Renewals(self._repository, presenter, settings, log, signs)
        self._maintenance = Maintenance(self._repository, self._renewals, log, purge)
        self._log = log
        self._told_hosts: set[tuple[str, str]] = set()
        self._closed = False
        self.unopened = UnopenedLog(log, clock.steady)
        limit = UserLimit(self._repository, settings, log)
        self.routes = TokenExchange(
            self._repository, self._renewals, settings, limit, log, self.unopened
        )
        self.administration = Administration(self._repository, settings, log)

    # Requests.

    def at_hand(
        self, token: str, what: Possession, settings: SessionSettings
    ) -> SessionToken | None:
        """What `look_up` says of a token that was good a moment ago; None for others."""
        session_token = self._cache.tokens.get(token)
        if session_token is None:
            return None
        cached = session_token.cached
        if (
            session_token.order == cached.oldest
            and session_token.settings is settings
            and self._clock.steady() < cached.pace.checked + TRUST
            and self._clock.now() < cached.over
            and _came_along(session_token.cookie, what.cookies)
            and (what.host == session_token.host or is_at_home(settings, cached.record, what))
            and cached.record.ended is None
        ):
            return session_token
        return None

    async def look_up(
        self, token: str, what: Possession, settings: SessionSettings
    ) -> SessionToken | None:
        """Where a token leads to; None for one that no login through this proxy produced.

        Args:
            token: the access token that a client presents.
            what: what came with it.
            settings: those that serve.

        Raises:
            SessionEnded: its user has logged out.
            StoreAway: it has ended, and nobody can say whether it may be renewed.
        """
        session_token = self.at_hand(token, what, settings)
        if session_token is not None or self._cache.is_miss(token, self._clock.steady()):
            return session_token
        if self._cache.is_elsewhere(token, what.host, settings, self._clock.steady()):
            return None
        return await self._look_up(token, what, settings, self._cache.tokens.get(token))

    async def check(self, session_token: SessionToken) -> None:
        """See that a session has not ended since its token was looked up, which may be a while ago.

        Raises:
            SessionEnded: somebody has ended it.
        """
        cached = session_token.cached
        if self._clock.steady() >= cached.pace.checked + TRUST:
            try:
                await self._repository.reread(cached)
            except StoreAway:
                cached.pace.checked = self._clock.steady()  # What is known has to do.
        if cached.record.ended is not None:
            raise SessionEnded("the session has ended")

    def is_known(self, token: str) -> bool:
        """Whether a token leads to a session, as far as this process knows without asking."""
        return token in self._cache.tokens

    def current(self, session_token: SessionToken) -> str:
        """The access token that goes upstream; empty where `fresh` is to be asked."""
        cached = session_token.cached
        return cached.access if self._clock.now() < cached.due else ""

    async def fresh(
        self, session_token: SessionToken, fields: RawFields, trigger: Trigger = Trigger.EXPIRY
    ) -> str | None:
        """The access token that goes upstream; None where the client's own is to go.

        Args:
            session_token: of the token that the client presented.
            fields: those of the request, as they are forwarded.
            trigger: what a renewal is counted under.

        Raises:
            SessionEnded: somebody has ended the session since its token was looked up.
            SessionUnavailable: the token has ended and cannot be renewed at the moment.
        """
        cached = session_token.cached
        if self._clock.now() < cached.due:
            current = cached.access or None
        else:
            current = await self._renewals.current(cached, trigger, fields)
        if cached.record.ended is not None:
            raise SessionEnded("the session has ended")
        return current

    def is_near_its_end(self, session_token: SessionToken) -> bool:
        """Whether the session's token should have been renewed before it was sent."""
        return self._clock.now() >= session_token.cached.due

    async def after_refusal(
        self, session_token: SessionToken, sent: str, trigger: Trigger, fields: RawFields
    ) -> str | None:
        """The token for a second try, once the server has refused the one that was sent.

        None where the server's refusal stands.

        Raises:
            SessionUnavailable: there may be one later.
        """
        cached = session_token.cached
        if cached.record.ended is not None:
            return None
        if cached.access and cached.access != sent:
            return cached.access  # Somebody else has renewed it meanwhile.
        if self._clock.steady() < cached.pace.throttled_until:
            if cached.pace.throttle_passes:
                raise SessionUnavailable("the session cannot be renewed at the moment")
            return None
        if not rules.may_force(cached.record, self._clock.now()):
            return None
        seen = cached.record.generation
        outcome = await self._renewals.renew(cached, seen, trigger, fields)
        if outcome is RenewalOutcome.RENEWED:
            return cached.access
        if outcome is RenewalOutcome.ENDED:
            return None
        self._calm(cached, passing=True)
        raise SessionUnavailable("the session cannot be renewed at the moment")

    def refused_again(self, session_token: SessionToken) -> None:
        """The server has refused the fresh token too."""
        self._calm(session_token.cached, passing=False)

    def note(self, session_token: SessionToken, selection: Selection) -> None:
        """Note that a session was used, and by which version of the client."""
        cached, version = session_token.cached, selection.version
        if (
            version is not None
            and version != cached.version
            and selection.source not in (VersionSource.DEFAULT, VersionSource.UNREADABLE)
        ):
            self._touch(cached, version.text[:MAX_TEXT], selection.cohort or "")
        elif self._clock.steady() >= cached.pace.note_at:
            self._touch(cached, cached.record.version, cached.record.cohort)

    def remember(self, session_token: SessionToken, fields: RawFields) -> None:
        """Remember what `sessions.carry` names of a request's fields, as they are forwarded.

        For requests that the server has answered with success: anybody could send one with a token
        that was stolen and is good no more.
        """
        self._renewals.remember(session_token.cached, fields)

    # WebSockets.

    def socket_opened(
        self, session_token: SessionToken, socket: SessionSocket, fields: RawFields
    ) -> None:
        """A WebSocket of a session has opened: that is kept renewed, and its end is the socket's.

        Args:
            session_token: whose it is.
            socket: already relaying.
            fields: of its handshake, as they were forwarded.
        """
        cached = session_token.cached
        cached.sockets.add(socket)
        cached.context = carried(fields)
        self._cache.with_sockets[cached.record.session] = cached
        if cached.record.ended is not None:
            socket.revoke()  # While the server was asked.

    def socket_closed(self, session_token: SessionToken, socket: SessionSocket) -> None:
        """It has closed."""
        cached = session_token.cached
        cached.sockets.discard(socket)
        if not cached.sockets:
            self._cache.with_sockets.pop(cached.record.session, None)

    # The process.

    def tick(self) -> None:
        """Do what is due; called twice a second."""
        self._maintenance.tick()

    async def drain(self, timeout: float) -> bool:
        """Wait for the refreshes that are under way, and write what is unsaved.

        Returns whether nothing was left.
        """
        if waiting := self._renewals.under_way:
            await asyncio.wait(waiting, timeout=timeout)
        return await self._maintenance.finish() and not self._renewals.under_way

    async def close(self) -> None:
        """Give up what is left, and the store. Safe to call twice."""
        if self._closed:
            return
        self._closed = True
        await self._maintenance.close()
        await asyncio.gather(*map(cancellation.end, self._renewals.under_way))
        with suppress(StoreAway):
            await self._repository.store.close()

    # Steps.

    def _rules(self) -> SessionRules:
        settings = self._settings()
        return SessionRules(
            refresh_before=settings.refresh_before,
            lifetime=settings.lifetime,
            idle=settings.idle,
            replay_window=settings.replay_window,
        )

    async def _look_up(
        self,
        token: str,
        what: Possession,
        settings: SessionSettings,
        session_token: SessionToken | None,
    ) -> SessionToken | None:
        presented_token = self._repository.read_token(token)
        if presented_token is None:
            return None
        cached = None if session_token is None else session_token.cached
        try:
            if cached is None:
                cached = await self._repository.find(*presented_token.digests)
            else:
                await self._repository.reread(cached)
        except StoreAway:
            if cached is None:
                if self._clock.now() < presented_token.claims.exp:
                    return None
                raise
            cached.pace.checked = self._clock.steady()  # What is known has to do.
        handle = None if cached is None else self._handle_in(cached, presented_token, token)
        if cached is None or handle is None:
            self._miss(token)
            return None
        now = self._clock.now()
        if rules.standing(handle, now, self._rules()) is not Standing.GOOD or now >= cached.over:
            self._miss(token)
            return None
        if not is_at_home(settings, cached.record, what):
            self._tell_of_host(cached, what.host)
            self._cache.elsewhere(token, what.host, settings, self._clock.steady() + TRUST)
            return None
        cookie = proving(self._repository, settings, cached.record, what)
        if cookie is None:
            return None
        await supersede_older(self._repository, cached, handle.order)
        session_token = SessionToken(cached, token, handle.order, cookie, what.host, settings)
        if token == presented_token.spelled:  # It has one such spelling, and any number of others.
            self._cache.remember(session_token)
        return session_token

    def _handle_in(
        self, cached: CachedSession, presented_token: PresentedToken, token: str
    ) -> Handle | None:
        handle = rules.handle_of(cached.record, presented_token.digests)
        if handle is not None and cached.record.ended is not None:
            # A refresh token's too: some servers take one for others where access tokens stand.
            self._cache.forget(token)
            raise SessionEnded("the session has ended")
        return handle if handle is not None and handle.kind is HandleKind.ACCESS else None

    def _miss(self, token: str) -> None:
        self._cache.miss(token, self._clock.steady() + _MISS_LIFETIME)

    def _tell_of_host(self, cached: CachedSession, host: bytes) -> None:
        """Say once of each pair of hosts, and of a few, that a session is one at the first only."""
        pair = cached.record.host, host.decode("latin-1")
        if pair not in self._told_hosts and len(self._told_hosts) < _MOST_TOLD:
            self._told_hosts.add(pair)
            self._log.info("session of another host", began_at=pair[0], host=pair[1])

    def _calm(self, cached: CachedSession, *, passing: bool) -> None:
        cached.pace.throttled_until = self._clock.steady() + rules.THROTTLE
        cached.pace.throttle_passes = passing

    def _touch(self, cached: CachedSession, version: str, cohort: str) -> None:
        now = self._clock.now()
        cached.pace.note_at = self._clock.steady() + min(_TOUCH, self._settings().idle / 10)
        self._repository.adopt(
            cached, replace(cached.record, used=now, version=version, cohort=cohort)
        )
        self._renewals.soon(self._write_use(cached.record.session, now, version, cohort))

    async def _write_use(self, session: str, used: float, version: str, cohort: str) -> None:
        with suppress(StoreAway):
            await self._repository.told(
                self._repository.store.touch, session, used, version, cohort
            )


def _came_along(cookie: str, cookies: tuple[str, ...]) -> bool:
    """Whether the cookie that belongs to a session is among those that came."""
    if not cookie:
        return not cookies
    return any(hmac.compare_digest(each.encode(), cookie.encode()) for each in cookies)
