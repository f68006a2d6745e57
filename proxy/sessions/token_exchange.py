"""The routes on which clients get tokens, exchange them, and give them back."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Final

from structlog.typing import FilteringBoundLogger

from proxy.configuration.sessions import SessionSettings
from proxy.errors import MisdirectedRequest, SessionEnded, SessionUnavailable, StoreAway, StoreFull
from proxy.http.headers import RawFields
from proxy.sessions import endings
from proxy.sessions import rules as session_rules
from proxy.sessions.cache import MAX_TOKENS, CachedSession, RenewalOutcome, SessionToken
from proxy.sessions.carried_fields import remembered, written
from proxy.sessions.client_refresh import ClientRefresh, RefreshAnswer
from proxy.sessions.endings import UserLimit
from proxy.sessions.issued import sealed
from proxy.sessions.lease import holding
from proxy.sessions.metrics import Trigger
from proxy.sessions.possession import Possession, is_at_home, proving, supersede_older
from proxy.sessions.record import Eviction, Handle, HandleKind
from proxy.sessions.renewals import Renewals
from proxy.sessions.repository import SessionRepository
from proxy.sessions.rules import Standing
from proxy.sessions.unopened import Unopened, UnopenedLog
from proxy.tokens import jwt
from proxy.tokens.bodies import Pair

FULL: Final = "refreshes"
"""Why a session has ended that has had more refreshes than are kept apart, for the log."""

_LOGOUT_TRIES: Final = 3
"""How often a token is renewed for a logout that then waits for the lease until it has ended."""


@dataclass(slots=True)
class Leaving:
    """A logout under way.

    Attributes:
        access, refresh: the tokens that are really current.
        done: set where the server has agreed.
    """

    access: str = field(repr=False)
    refresh: str = field(repr=False)
    done: bool = False


class TokenExchange:
    """What becomes of sessions there."""

    def __init__(
        self,
        repository: SessionRepository,
        renewals: Renewals,
        settings: Callable[[], SessionSettings],
        limit: UserLimit,
        log: FilteringBoundLogger,
        unopened: UnopenedLog,
    ) -> None:
        self._repository = repository
        self._limit = limit
        self._renewals = renewals
        self._settings = settings
        self._log = log
        self._unopened = unopened

    async def capture(
        self,
        pair: Pair | None,
        host: bytes,
        exchanged: str | None = None,
        fields: RawFields = (),
    ) -> str | None:
        """Open a session with the tokens that the server gives a client.

        Args:
            pair: None where its answer has none that can be read.
            host: whom the request for them named as its host.
            exchanged: the refresh token that they were issued for; None where it was a login.
            fields: of the request, as they are forwarded.

        Returns the value of the cookie to set, where one is wanted.
        """
        now = self._repository.clock.now()
        issued = None if pair is None else sealed(self._repository.sealer, pair, now, exchanged)
        claims = None if pair is None else jwt.read(pair.access)
        if pair is None or issued is None or claims is None or pair.refresh is None:
            self._repository.counts.captures["unreadable"] += 1
            if pair is not None:
                lacks = pair.refresh is None
                self._unopened.tell(Unopened.NO_REFRESH if lacks else Unopened.NO_JWT)
            return None
        settings = self._settings()
        cookie = secrets.token_urlsafe(32) if settings.binding == "cookie" else None
        digest = self._repository.sealer.digest
        record = session_rules.opened(
            secrets.token_hex(16),
            claims.user or "",
            issued,
            (digest(pair.access), digest(pair.refresh)),
            None if cookie is None else digest(cookie),
            now,
            self._repository.rules(),
            host.decode("latin-1"),
        )
        carried = remembered((), fields, settings.carry)
        if carried:
            sealer = self._repository.sealer
            record = replace(record, carried=sealer.seal(written(carried)))
        cached = self._repository.know(record)
        try:
            await self._repository.update(cached, replace)  # As it is: that is news to the store.
        except StoreFull:
            self._repository.counts.captures["refused"] += 1
            self._unopened.tell(Unopened.FULL)
            return None
        except StoreAway:
            if len(self._repository.cache.unsaved) >= MAX_TOKENS:
                self._repository.counts.captures["refused"] += 1
                return None
            self._repository.keep(cached, record)
            self._repository.counts.captures["unsaved"] += 1
        else:
            self._repository.counts.captures["opened"] += 1
            self._renewals.soon(self._limit.enforce(record))
        session_token = SessionToken(
            cached, pair.access, cached.oldest, cookie or "", host, settings
        )
        self._repository.cache.remember(session_token)
        return cookie

    async def refresh(self, asked: ClientRefresh, what: Possession) -> RefreshAnswer | None:
        """The server's answer to a refresh that a client asks for by itself.

        None where its token leads to no session: then all of it is the server's business.

        Args:
            asked: what it asks for.
            what: what came with its token.

        Raises:
            SessionEnded: the token leads to a session that somebody has ended, or is long
                superseded.
            SessionUnavailable: the server has not answered, or could not be asked.
            MisdirectedRequest: the session began at another host.
        """
        token = self._repository.read_token(asked.token)
        found = None
        if token is not None:
            found = await self._repository.find_by(token, HandleKind.REFRESH)
        if found is None:
            return None
        cached = await self._worth_asking(asked, found, what)
        if asked.spelled != self._repository.unsealed(cached.record.refresh):
            # Perhaps it has lost a race that another request of its client has won.
            steady, record = self._repository.clock.steady(), cached.record
            kept = self._repository.cache.answers.find(
                record.session, record.generation, asked.likeness, steady
            )
            if kept is not None:
                return kept
        outcome = await self._renewals.ask(cached, asked)
        if outcome is RenewalOutcome.RENEWED:
            self._renewals.remember(cached, asked.fields)
        if asked.answered is not None:
            return asked.answered.answer
        if outcome is not RenewalOutcome.ENDED:
            raise SessionUnavailable("the session cannot be renewed at the moment")
        raise SessionEnded("the session has ended")

    async def _worth_asking(
        self, asked: ClientRefresh, found: tuple[CachedSession, Handle], what: Possession
    ) -> CachedSession:
        """The session for which a client may ask for a refresh by itself.

        Raises:
            SessionEnded, MisdirectedRequest: as for `refresh`.
        """
        cached, handle = found
        now = self._repository.clock.now()
        standing = session_rules.standing(handle, now, self._repository.rules())
        if cached.record.ended is not None:
            raise SessionEnded("the session has ended")
        is_current = asked.spelled == self._repository.unsealed(cached.record.refresh)
        # Whether the current one has ended by now is for the server to judge.
        if standing is Standing.DEAD and not is_current:
            raise SessionEnded("the refresh token is not good any more")
        proof = self._proof(cached, what)
        if proof is None:
            raise SessionEnded("the cookie of the session did not come along")
        asked.proof = proof
        if standing is Standing.SUPERSEDED:
            await self._came_back(cached)
            raise SessionEnded("the refresh token was superseded by one that was used since")
        if session_rules.is_full(cached.record, now):
            self._log.warning("session ended", session=cached.record.session, reason=FULL)
            await self._end_for_all(cached)
            raise SessionEnded("the session has had too many refreshes")
        await supersede_older(self._repository, cached, handle.order)
        return cached

    async def find(self, refresh: str, what: Possession) -> tuple[CachedSession, int] | None:
        """The session of a refresh token, ended or not, and with which delivery it came.

        None where it is of no session, or of none that this client has shown to be its own.

        Raises:
            StoreAway: nobody can say.
        """
        token = self._repository.read_token(refresh)
        found = None
        if token is not None:
            found = await self._repository.find_by(token, HandleKind.REFRESH)
        if found is None:
            return None
        cached, handle = found
        record, settings = cached.record, self._settings()
        if record.ended is None and (
            not is_at_home(settings, record, what)
            or proving(self._repository, settings, record, what) is None
        ):
            return None
        return cached, handle.order

    async def session_of(self, refresh: str, what: Possession) -> CachedSession | None:
        """The session of a refresh token that is good, for a logout.

        Raises:
            SessionEnded: it has ended already, its token has come back after it was superseded, or
                its cookie did not come along. At the server the token would end it all the same.
            MisdirectedRequest: it began at another host.
        """
        token = self._repository.read_token(refresh)
        found = None
        if token is not None:
            found = await self._repository.find_by(token, HandleKind.REFRESH)
        if found is None:
            return None
        cached, handle = found
        if cached.record.ended is not None:
            raise SessionEnded("the session has ended")
        standing = session_rules.standing(
            handle, self._repository.clock.now(), self._repository.rules()
        )
        if self._proof(cached, what) is None:
            raise SessionEnded("the cookie of the session did not come along")
        if standing is Standing.SUPERSEDED and self._settings().reuse_detection:
            await self._came_back(cached)
            raise SessionEnded("the refresh token was superseded by one that was used since")
        return cached if standing is Standing.GOOD else None

    @asynccontextmanager
    async def logging_out(
        self, cached: CachedSession, fields: RawFields
    ) -> AsyncIterator[Leaving | None]:
        """Hold a session while its user logs out; its end is written if `done` is set.

        Yields None where it has ended meanwhile.

        Raises:
            SessionUnavailable: it cannot be renewed, or not be held, at the moment.
        """
        for _ in range(_LOGOUT_TRIES):
            if self._repository.clock.now() >= cached.due:
                await self._renewals.current(cached, Trigger.LOGOUT, fields)
            async with holding(self._repository, cached, self._renewals.next_owner()):
                if cached.record.ended is not None:
                    yield None
                    return
                record = cached.record
                if self._repository.clock.now() >= cached.expires and record.refused is None:
                    continue  # It has ended while the lease was somebody else's.
                refresh = self._repository.unsealed(cached.record.refresh)
                leaving = Leaving(cached.access, refresh)
                yield leaving
                if leaving.done:
                    # The client may go now; that it has logged out is not to be lost with it.
                    ending = endings.end_for_certain(self._repository, cached, Eviction.FIRST)
                    await asyncio.shield(self._renewals.soon(ending))
                return
        raise SessionUnavailable("the session cannot be held at the moment")

    def _proof(self, cached: CachedSession, what: Possession) -> str | None:
        """The cookie that proves whose a token is, empty where none is asked for; else None."""
        if not is_at_home(self._settings(), cached.record, what):
            raise MisdirectedRequest("the session began at another host: see `sessions.hosts`")
        return proving(self._repository, self._settings(), cached.record, what)

    async def _came_back(self, cached: CachedSession) -> None:
        """A superseded refresh token is there again: two have had it, and nobody knows who is who.

        Ends the session for both, where that is set.
        """
        if not self._settings().reuse_detection:
            return
        self._repository.counts.reused += 1
        self._log.warning(
            "refresh token reused", session=cached.record.session, user=cached.record.user
        )
        await self._end_for_all(cached)

    async def _end_for_all(self, cached: CachedSession) -> None:
        """End a session for whoever has its tokens, which the server takes from all of them."""
        ending = endings.end_for_certain(self._repository, cached, Eviction.LAST)
        await asyncio.shield(self._renewals.soon(ending))
