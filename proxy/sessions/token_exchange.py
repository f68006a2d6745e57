"""The routes on which clients get tokens, exchange them, and give them back."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Final

from proxy.configuration.sessions import Sessions as Settings
from proxy.errors import SessionEnded, SessionUnavailable, StoreAway, StoreFull
from proxy.http.headers import RawFields
from proxy.sessions import rules as renewal
from proxy.sessions.lease import held
from proxy.sessions.ledger import Ledger
from proxy.sessions.memory import MAX_TICKETS, Known, Outcome, Refusal, Ticket
from proxy.sessions.metrics import Trigger
from proxy.sessions.possession import presented, proven
from proxy.sessions.record import HandleKind, Record
from proxy.sessions.renewals import Renewals
from proxy.sessions.rules import Standing
from proxy.tokens import jwt
from proxy.tokens.credentials import Pair

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


class Routes:
    """What becomes of sessions there."""

    def __init__(
        self, ledger: Ledger, renewals: Renewals, settings: Callable[[], Settings]
    ) -> None:
        self._ledger = ledger
        self._renewals = renewals
        self._settings = settings

    async def capture(self, pair: Pair | None, presented: str | None = None) -> str | None:
        """Open a session with the tokens that the server gives a client.

        Args:
            pair: None where its answer has none that can be read.
            presented: the refresh token that they were issued for; None where it was a login.

        Returns the value of the cookie to set, where one is wanted.
        """
        now = self._ledger.clock()
        issued = None if pair is None else self._renewals.seal(pair, now, presented)
        claims = None if pair is None else jwt.read(pair.access)
        if pair is None or issued is None or claims is None or pair.refresh is None:
            self._ledger.counts.captures["unreadable"] += 1
            return None
        settings = self._settings()
        cookie = secrets.token_urlsafe(32) if settings.proof == "cookie" else None
        digest = self._ledger.sealer.digest
        record = renewal.opened(
            secrets.token_hex(16),
            claims.user or "",
            issued,
            (digest(pair.access), digest(pair.refresh)),
            None if cookie is None else digest(cookie),
            now,
            self._ledger.rules(),
        )
        known = self._ledger.know(record)
        try:
            await self._ledger.update(known, replace)  # As it is: that is news to the store.
        except StoreFull:
            self._ledger.counts.captures["refused"] += 1
            return None
        except StoreAway:
            if len(self._ledger.memory.unsaved) >= MAX_TICKETS:
                self._ledger.counts.captures["refused"] += 1
                return None
            self._ledger.keep(known, record)
            self._ledger.counts.captures["unsaved"] += 1
        else:
            self._ledger.counts.captures["opened"] += 1
        ticket = Ticket(known, pair.access, known.oldest, cookie or "", settings)
        self._ledger.memory.remember(ticket)
        return cookie

    async def exchange(self, token: str, cookie: str, fields: RawFields) -> Pair | Refusal | None:
        """What a client gets that presents its refresh token; None where the server is to judge.

        Raises:
            SessionEnded: the token leads to a session that has ended, or is long superseded.
            SessionUnavailable: it cannot be renewed at the moment.
        """
        token = jwt.canonical(token)
        if jwt.read(token) is None:
            return None
        digests = self._ledger.sealer.digests(token)
        known = await self._ledger.find(*digests)
        handle = None if known is None else renewal.handle_of(known.record, digests)
        if known is None or handle is None or handle.kind is not HandleKind.REFRESH:
            return None
        now = self._ledger.clock()
        standing = renewal.standing(handle, now, self._ledger.rules())
        if known.record.ended is not None or standing is not Standing.GOOD or now >= known.over:
            raise SessionEnded("the refresh token is not good any more")
        if not proven(self._ledger, self._settings(), known.record, cookie):
            raise SessionEnded("the cookie of the session did not come along")
        await presented(self._ledger, known, handle.order)
        is_current = token == self._ledger.unsealed(known.record.refresh)
        if is_current or now >= known.due:
            generation = known.record.generation
            outcome = await self._renewals.renew(known, generation, Trigger.CLIENT, fields)
            if outcome is Outcome.ENDED:
                if known.refusal is not None:
                    return known.refusal
                raise SessionEnded("the session has ended")
            if outcome is Outcome.UNAVAILABLE and (is_current or now >= known.expires):
                raise SessionUnavailable("the session cannot be renewed at the moment")
        return await self._delivered(known)

    async def session_of(self, refresh: str, cookie: str) -> Known | None:
        """The session of a refresh token that is good, for a logout."""
        refresh = jwt.canonical(refresh)
        if jwt.read(refresh) is None:
            return None
        digests = self._ledger.sealer.digests(refresh)
        known = await self._ledger.find(*digests)
        handle = None if known is None else renewal.handle_of(known.record, digests)
        if known is None or handle is None or handle.kind is not HandleKind.REFRESH:
            return None
        if known.record.ended is not None:
            raise SessionEnded("the session has ended")
        standing = renewal.standing(handle, self._ledger.clock(), self._ledger.rules())
        if standing is not Standing.GOOD:
            return None
        return known if proven(self._ledger, self._settings(), known.record, cookie) else None

    @asynccontextmanager
    async def logging_out(self, known: Known, fields: RawFields) -> AsyncIterator[Leaving | None]:
        """Hold a session while its user logs out; its end is written if `done` is set.

        Yields None where it has ended meanwhile.

        Raises:
            SessionUnavailable: it cannot be renewed, or not be held, at the moment.
        """
        for _ in range(_LOGOUT_TRIES):
            if self._ledger.clock() >= known.due:
                await self._renewals.current(known, Trigger.LOGOUT, fields)
            async with held(self._ledger, known, self._renewals.next_owner()):
                if known.record.ended is not None:
                    yield None
                    return
                if self._ledger.clock() >= known.expires:
                    continue  # It has ended while the lease was somebody else's.
                refresh = self._ledger.unsealed(known.record.refresh)
                leaving = Leaving(known.access, refresh)
                yield leaving
                if leaving.done:
                    # The client may go now; that it has logged out is not to be lost with it.
                    await asyncio.shield(self._renewals.soon(self._log_out(known)))
                return
        raise SessionUnavailable("the session cannot be held at the moment")

    async def _delivered(self, known: Known) -> Pair:
        """Give the client the current pair, and know it by that from now on."""
        sealer, unsealed = self._ledger.sealer, self._ledger.unsealed
        now, rules = self._ledger.clock(), self._ledger.rules()
        pair = Pair("", "")

        def change(current: Record) -> Record | None:
            nonlocal pair
            if current.ended is not None:
                return None
            pair = Pair(unsealed(current.access), unsealed(current.refresh))
            assert pair.refresh is not None
            handles = sealer.digest(pair.access), sealer.digest(pair.refresh)
            return renewal.delivered(current, *handles, now, rules)

        try:
            written = await self._ledger.update(known, change)
        except StoreAway:
            wanted = change(known.record)
            if written := wanted is not None:
                assert wanted is not None
                self._ledger.keep(known, wanted)
        if not written:
            raise SessionEnded("the session has ended")
        return pair

    async def _log_out(self, known: Known) -> None:
        now = self._ledger.clock()
        self._ledger.memory.forget_strangers()
        try:
            # Without the lease: the server has agreed, whoever renews the session meanwhile.
            await self._ledger.update(known, lambda current: renewal.logged_out(current, now))
        except StoreAway:
            self._ledger.keep(known, renewal.logged_out(known.record, now))
        self._ledger.counts.ages["ended"].observe(now - known.record.created)
