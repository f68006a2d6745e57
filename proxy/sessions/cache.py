"""What this process remembers of sessions, so that a valid token costs one look into a dict."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import blake2b
from typing import Final, NamedTuple, Protocol, TypeVar
from weakref import WeakValueDictionary

from proxy.configuration.sessions import SessionSettings
from proxy.http.headers import RawFields
from proxy.sessions import rules as session_rules
from proxy.sessions.carried_fields import Carried
from proxy.sessions.client_refresh import ClientRefresh, KeptAnswers
from proxy.sessions.pace import Pace
from proxy.sessions.record import Record
from proxy.sessions.rules import SessionRules
from proxy.versions.version import Version

MAX_TOKENS: Final = 20_000
MAX_TOKEN_CHARACTERS: Final = 32 * 1024 * 1024
"""Of all tokens that are remembered, together; their sessions hold about three times as much."""

MAX_MISSES: Final = 10_000
MAX_FAILING: Final = 1_000

_K = TypeVar("_K")
_T = TypeVar("_T")


class RenewalOutcome(StrEnum):
    """What became of the wish for newer tokens."""

    RENEWED = "renewed"
    ENDED = "ended"
    UNAVAILABLE = "unavailable"


class RefreshCall(NamedTuple):
    """A refresh that is under way.

    Attributes:
        task: makes it.
        asked: the request of the client that asks for it by itself; None for Segue's own.
    """

    task: asyncio.Task[RenewalOutcome]
    asked: ClientRefresh | None


class SessionSocket(Protocol):
    """An open WebSocket."""

    def revoke(self) -> None:
        """Begin to close it: its session has ended."""


class CarriedCache:
    """The fields that refreshes of a session go with, in plain.

    Attributes:
        fields: as they are known here.
        sealed: what they were read from, or written as.
        unsaved: whether they are newer than that.
        write_at: not before then are they written again; of the steady clock.
    """

    __slots__ = ("fields", "sealed", "unsaved", "write_at")

    def __init__(self) -> None:
        self.fields: Carried = ()
        self.sealed = b""
        self.unsaved = False
        self.write_at = 0.0


class CachedSession:
    """One session, as this process knows it.

    Its times are in seconds since 1970; those of its `pace` are of the steady clock.

    Attributes:
        record: the newest that was read or written.
        access: its access token in plain; empty where it has ended.
        due, expires: when that token is to be renewed, and when it ends.
        over: when the session is: see `rules.over`.
        oldest: the lowest delivery that is not superseded.
        version: that the client told last.
        call: the refresh that is under way.
        carried: the fields of its client that go with one.
        context: the fields that a refresh without a request goes with.
        sockets: the WebSockets of it that are open.
        pace: when what is due without a request, or may be tried again.
        condemned: the keyed hash of the refresh token that the server has refused, where that
            could not be written down yet.
    """

    __slots__ = (
        "__weakref__",
        "access",
        "call",
        "carried",
        "condemned",
        "context",
        "due",
        "expires",
        "oldest",
        "over",
        "pace",
        "record",
        "sockets",
        "version",
    )

    def __init__(self, record: Record, access: str, rules: SessionRules, now: float) -> None:
        self.call: RefreshCall | None = None
        self.carried = CarriedCache()
        self.context: RawFields = ()
        self.sockets: set[SessionSocket] = set()
        self.condemned = b""
        self.pace = Pace(now)
        self.adopt(record, access, rules)

    def adopt(self, record: Record, access: str, rules: SessionRules) -> None:
        """Know this of it from now on."""
        self.record = record
        self.access = access
        self.due = session_rules.due(record, rules)
        self.expires = record.access_expires
        self.over = session_rules.over(record, rules)
        self.oldest = min(
            (
                handle.order
                for handle in record.handles
                if handle.superseded is None and not handle.is_cookie
            ),
            default=0,
        )
        self.version = Version.parse(record.version) if record.version else None
        if self.sockets and record.ended is not None:
            for socket in tuple(self.sockets):
                socket.revoke()


@dataclass(slots=True)
class SessionToken:
    """An access token that a client presented, and the session that it leads to.

    Attributes:
        token: as the client sent it.
        order: with which delivery the client got it.
        cookie: the cookie that came along and belongs to the session; empty without one.
        host: that the request named; one that counts as that of the session.
        settings: those under which it was found to be good.
    """

    cached: CachedSession
    token: str = field(repr=False)
    order: int
    cookie: str = field(repr=False)
    host: bytes
    settings: SessionSettings


class SessionCache:
    """The tokens and sessions that were seen lately; the oldest give way.

    Attributes:
        tokens: those of sessions, as clients sent them, and where they lead to.
        unsaved: sessions that are newer than what the store knows, by their names.
        with_sockets: those with open WebSockets, by their names.
        answers: the server's answers to clients' own refreshes.
    """

    def __init__(self) -> None:
        self.answers = KeptAnswers()
        self.tokens: dict[str, SessionToken] = {}
        self._characters = 0
        self.unsaved: dict[str, CachedSession] = {}
        self._unsaved_handles: dict[bytes, CachedSession] = {}
        self._digests: dict[str, set[bytes]] = {}
        self._failing: dict[str, CachedSession] = {}
        self.with_sockets: dict[str, CachedSession] = {}
        # Anybody can make up tokens, of any length: what is kept of each is as long as of any.
        self._misses: dict[bytes, float] = {}
        self._elsewhere: dict[bytes, tuple[float, SessionSettings]] = {}
        self._key = os.urandom(16)
        self._sessions: WeakValueDictionary[str, CachedSession] = WeakValueDictionary()

    def cached(self, session: str) -> CachedSession | None:
        """The session, if anything still refers to it."""
        return self._sessions.get(session)

    def all(self) -> list[CachedSession]:
        """The sessions of all that is remembered."""
        return list(self._sessions.values())

    def add(self, cached: CachedSession) -> None:
        """Remember a session for as long as something refers to it."""
        self._sessions[cached.record.session] = cached

    def keep(self, cached: CachedSession) -> None:
        """Remember a session that is newer than what the store knows, with all of its handles."""
        session = cached.record.session
        self.unsaved[session] = cached
        digests = cached.record.digests
        self._unsaved_handles.update(dict.fromkeys(digests, cached))
        self._digests.setdefault(session, set()).update(digests)

    def saved(self, cached: CachedSession) -> None:
        """The store knows it."""
        self.unsaved.pop(cached.record.session, None)
        for digest in self._digests.pop(cached.record.session, ()):
            self._unsaved_handles.pop(digest, None)

    def kept(self, digests: Iterable[bytes]) -> CachedSession | None:
        """The unsaved session that one of these handles leads to."""
        return next(filter(None, map(self._unsaved_handles.get, digests)), None)

    def failing(self, cached: CachedSession) -> None:
        """Remember when a session may be tried again, whether or not its client comes back."""
        _put(self._failing, cached.record.session, cached, MAX_FAILING)

    def recovered(self) -> None:
        """What made refreshes fail is well again: each may be tried at once."""
        while self._failing:
            self._failing.popitem()[1].pace.recover()

    def remember(self, session_token: SessionToken) -> None:
        """Remember where a token leads to."""
        token = session_token.token
        self._misses.pop(self._digest(token), None)
        self.forget(token)
        while self.tokens and (
            len(self.tokens) >= MAX_TOKENS or self._characters + len(token) > MAX_TOKEN_CHARACTERS
        ):
            self.forget(next(iter(self.tokens)))
        self.tokens[token] = session_token
        self._characters += len(token)

    def forget(self, token: str) -> None:
        """Do not remember where a token leads to."""
        if self.tokens.pop(token, None) is not None:
            self._characters -= len(token)

    def miss(self, token: str, until: float) -> None:
        """Remember for a while that a token leads nowhere."""
        self.forget(token)
        _put(self._misses, self._digest(token), until, MAX_MISSES)

    def forget_misses(self) -> None:
        """Look for every token anew: what led nowhere may now be known to have ended."""
        self._misses.clear()
        self._elsewhere.clear()

    def is_miss(self, token: str, now: float) -> bool:
        """Whether it was looked for in vain a moment ago."""
        return now < self._misses.get(self._digest(token), 0.0)

    def elsewhere(self, token: str, host: bytes, settings: SessionSettings, until: float) -> None:
        """Remember for a while that a token of a session leads nowhere at one host."""
        key = self._digest(token, host)
        _put(self._elsewhere, key, (until, settings), MAX_MISSES)

    def is_elsewhere(self, token: str, host: bytes, settings: SessionSettings, now: float) -> bool:
        """Whether a token was found to lead nowhere at a host, under these settings."""
        if not self._elsewhere:
            return False
        until, under = self._elsewhere.get(self._digest(token, host), (0.0, None))
        return now < until and under is settings

    def _digest(self, token: str, host: bytes = b"") -> bytes:
        # Keyed, so that nobody outside can make two tokens of one digest.
        text = b"%b\0%b" % (host, token.encode(errors="surrogatepass"))
        return blake2b(text, digest_size=16, key=self._key).digest()


def _put(into: dict[_K, _T], key: _K, value: _T, bound: int) -> None:
    into.pop(key, None)
    while len(into) >= bound:
        del into[next(iter(into))]
    into[key] = value
