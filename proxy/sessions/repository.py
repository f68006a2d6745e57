"""What this process remembers of sessions and what the store says, brought together.

Whichever knows the newer generation, or the end, is right: a store that came back with older
records is put right by those who remember newer ones.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from typing import Final, NamedTuple, ParamSpec, TypeVar

from proxy.errors import (
    RecordUnreadable,
    SessionUnavailable,
    StoreAway,
    StoreBusy,
    StoreFull,
    StoreReadOnly,
)
from proxy.sessions import carried_fields
from proxy.sessions import rules as session_rules
from proxy.sessions.cache import CachedSession, SessionCache
from proxy.sessions.carried_fields import Carried
from proxy.sessions.clock import Clock
from proxy.sessions.look_ups import LookUps
from proxy.sessions.metrics import Counts
from proxy.sessions.record import Handle, HandleKind, Record
from proxy.sessions.rules import SessionRules
from proxy.sessions.store.base import Store
from proxy.tokens import jwt
from proxy.tokens.sealing import Sealer, Unsealable

_T = TypeVar("_T")
_P = ParamSpec("_P")

_PAUSE: Final = 1.0
"""Seconds for which a store that was away is not asked again: a request costs no time limit then,
only the first of each second does."""

_DOUBT: Final = 60.0
"""Seconds for which a store that was away may still not know what others are to put back."""

_TRIES: Final = 8
"""Writers of one record at the same moment, beyond which a change is given up."""

Change = Callable[[Record], Record | None]
"""Says what a record becomes; the same record for nothing, None where it does not apply."""


class PresentedToken(NamedTuple):
    """A token that a client presents.

    Attributes:
        spelled: in the one spelling that counts.
        claims: what it says of itself, unverified.
        digests: what it is found by: of each key that may have been in use.
    """

    spelled: str
    claims: jwt.Claims
    digests: tuple[bytes, ...]


def handle_in(cached: CachedSession, token: PresentedToken, kind: HandleKind) -> Handle | None:
    """The handle of a session that a token is; None where it is none of that kind."""
    handle = session_rules.handle_of(cached.record, token.digests)
    return handle if handle is not None and handle.kind is kind else None


class SessionRepository:
    """The one place that asks the store.

    Attributes:
        cache: what is remembered.
        sealer: opens and closes tokens.
        counts: where it is counted.
        clock: the time.
        rules: those of the configuration that serves.
        unwritable: why the store is read-only; empty where it is not.
    """

    def __init__(
        self,
        store: Store,
        sealer: Sealer,
        counts: Counts,
        clock: Clock,
        rules: Callable[[], SessionRules],
    ) -> None:
        self.cache = SessionCache()
        self.store = store
        self.sealer = sealer
        self.counts = counts
        self.clock = clock
        self.rules = rules
        self._look_ups = LookUps()
        self._not_before = 0.0
        self._doubted_until = 0.0
        self.away = ""
        self.unwritable = ""

    @property
    def in_doubt(self) -> bool:
        """Whether the store was away, or read-only, a moment ago.

        It may have lost what it was told last, or not have been told it yet.
        """
        return self.clock.steady() < self._doubted_until

    def read_token(self, token: str) -> PresentedToken | None:
        """Read a token that a client presents; None for what no server's token can be."""
        spelled = jwt.canonical(token)
        claims = jwt.read(spelled)
        if claims is None:
            return None
        return PresentedToken(spelled, claims, self.sealer.digests(spelled))

    async def find_by(
        self, token: PresentedToken, kind: HandleKind
    ) -> tuple[CachedSession, Handle] | None:
        """The session that a token leads to, and how; None for one of no session, or no such kind.

        Raises:
            StoreAway: nobody can say.
        """
        cached = await self.find(*token.digests)
        handle = None if cached is None else handle_in(cached, token, kind)
        return None if cached is None or handle is None else (cached, handle)

    async def find(self, *digests: bytes) -> CachedSession | None:
        """The session that one of these handles leads to.

        Whoever makes up tokens makes look-ups: they wait in a line of their own.

        Raises:
            StoreAway: nobody can say.
            StoreBusy: too many others are looked up; the store may well be there.
        """
        unsaved = self.cache.kept(digests)
        if unsaved is not None:
            await self.reread(unsaved)
            return unsaved
        try:
            record = await self._look_ups.shared(
                digests, lambda: self.asked(self.store.find, *digests)
            )
        except StoreBusy:
            self.counts.shed += 1
            raise
        if record is None:
            return None
        cached = self.cache.cached(record.session)
        if cached is None:
            return self.know(record)
        await self._reconcile(cached, record)
        return cached

    async def load(self, session: str) -> CachedSession | None:
        """The session of this name.

        Raises:
            StoreAway: nobody can say.
        """
        record = await self.asked(self.store.load, session)
        cached = self.cache.cached(session)
        if cached is not None:
            await self._reconcile(cached, record)
            return cached
        return None if record is None else self.know(record)

    def know(self, record: Record) -> CachedSession:
        """Remember a session that was not known here."""
        now = self.clock.steady()
        cached = CachedSession(record, self._opened(record), self.rules(), now)
        self.cache.add(cached)
        return cached

    def adopt(self, cached: CachedSession, record: Record) -> None:
        """Take a record for what is known of its session."""
        same = record.access == cached.record.access
        access = cached.access if same else self._opened(record)
        if record.generation != cached.record.generation:
            cached.pace.recover()
        cached.adopt(record, access, self.rules())

    async def reread(self, cached: CachedSession) -> bool:
        """Ask the store what is new of a session, and tell it what it does not know.

        Returns:
            Whether that was all: false, where others were writing it at the same moment.

        Raises:
            StoreAway: it does not answer.
        """
        return await self._reconcile(
            cached, await self.asked(self.store.load, cached.record.session)
        )

    async def update(self, cached: CachedSession, change: Change, fence: int | None = None) -> bool:
        """Write a change of a record, whatever others write meanwhile.

        Args:
            cached: whose record.
            change: asked again whenever somebody else was faster.
            fence: that of the lease under which the change was decided.

        Returns:
            Whether it is written. What is known is then what is written.

        Raises:
            StoreAway: the store does not answer.
            StoreFull: there is no room for one more session.
        """
        for _ in range(_TRIES):
            wanted = change(cached.record)
            if wanted is None:
                return False
            if wanted is cached.record:
                return True
            saved = await self.told(self.store.save, wanted, fence=fence)
            if saved is not None:
                self.adopt(cached, saved)
                return True
            await self.reread(cached)
        return False

    def keep(self, cached: CachedSession, record: Record) -> None:
        """Know a record that could not be written; it is when the store is back."""
        self.adopt(cached, record)
        self.cache.keep(cached)
        self.counts.unsaved = len(self.cache.unsaved)

    def saved(self, cached: CachedSession) -> None:
        """It is in the store again."""
        self.cache.saved(cached)
        self.counts.unsaved = len(self.cache.unsaved)

    def unsealed(self, token: bytes) -> str:
        """A token in plain.

        Raises:
            SessionUnavailable: its key is not configured here (any more).
        """
        try:
            return self.sealer.unseal(token)
        except Unsealable:
            raise SessionUnavailable(
                "the session is sealed with a key that is not configured"
            ) from None

    def carried(self, cached: CachedSession) -> Carried:
        """The fields that a refresh of a session goes with; none where they cannot be opened."""
        known, sealed = cached.carried, cached.record.carried
        if not known.unsaved and sealed != known.sealed:
            known.sealed, known.fields = sealed, ()
            with suppress(Unsealable):
                known.fields = carried_fields.read(self.sealer.unseal(sealed)) if sealed else ()
        return known.fields

    def current_digests(self, record: Record) -> session_rules.TokenDigests:
        """The current tokens of a session, by their keyed hashes; those that can be opened."""
        found = []
        for kind, token in (
            (HandleKind.ACCESS, record.access),
            (HandleKind.REFRESH, record.refresh),
        ):
            with suppress(Unsealable):
                if token:
                    found.append((kind, self.sealer.digest(self.sealer.unseal(token))))
        return found

    async def asked(
        self, ask: Callable[_P, Awaitable[_T]], *args: _P.args, **kwargs: _P.kwargs
    ) -> _T:
        """What the store answers; whether it does is remembered.

        Raises:
            RecordUnreadable: it does, with a record that nobody can read; others are not concerned.
            StoreBusy: it was not asked, because too much waits for it.
            StoreAway: it does not, or did not a moment ago.
        """
        now = self.clock.steady()
        if now < self._not_before:
            raise StoreAway("the session store did not answer a moment ago")
        try:
            reply = await ask(*args, **kwargs)
        except RecordUnreadable:
            self.counts.unreadable += 1
            raise
        except StoreBusy:
            raise  # It was not asked: that says nothing of it.
        except StoreReadOnly as error:
            self.counts.up, self.counts.read_only = True, True
            self.unwritable = error.detail
            self._doubted_until = self.clock.steady() + _DOUBT
            raise
        except StoreAway as error:
            self.counts.up = False
            self.away = error.detail
            now = self.clock.steady()
            self._not_before, self._doubted_until = now + _PAUSE, now + _DOUBT
            raise
        self.counts.up = True
        return reply

    async def told(
        self, tell: Callable[_P, Awaitable[_T]], *args: _P.args, **kwargs: _P.kwargs
    ) -> _T:
        """What the store answers to what changes it; not asked while it is read-only.

        Raises:
            RecordUnreadable, StoreAway: as `asked`.
            StoreReadOnly: it is read only, whether or not it can be written by now.
        """
        if self.unwritable:
            raise StoreReadOnly(self.unwritable)
        return await self.asked(tell, *args, **kwargs)

    def written_again(self) -> None:
        """The store is not read-only any more."""
        self.unwritable = ""
        self.counts.read_only = False
        self._doubted_until = self.clock.steady() + _DOUBT

    async def _reconcile(self, cached: CachedSession, stored: Record | None) -> bool:
        cached.pace.checked = self.clock.steady()
        ours = cached.record
        if stored is None:
            if ours.purge_after <= self.clock.now():
                return True  # It was removed because it was over.
            wanted = replace(ours, revision=0)
        elif ours.session in self.cache.unsaved or session_rules.succeeds(ours, stored):
            wanted = session_rules.merged(ours, stored, self.clock.now())
        else:
            wanted = stored
        if wanted == stored:
            self.adopt(cached, wanted)
            return True
        try:
            saved = await self.told(self.store.save, wanted)
        except StoreFull:
            return True  # Of that, a later try would change nothing.
        except StoreReadOnly:
            return False  # It has been read; what is newer here is told when it can be.
        if saved is None or cached.record is not ours:
            return False
        self.adopt(cached, saved)
        return True

    def _opened(self, record: Record) -> str:
        """The access token in plain; empty where there is none that can be opened."""
        try:
            return self.sealer.unseal(record.access) if record.access else ""
        except Unsealable:
            return ""
