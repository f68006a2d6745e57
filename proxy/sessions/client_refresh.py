"""A refresh that a client asks for by itself: its own request, and the server's own answer to it.

What goes to the server is what the client sent, but for the tokens: those that are current. What
comes back is what the server answered, whole. Who asks for the same at the same moment, or a moment
later with the token that was exchanged, is given the same answer; but a cookie that is none of the
tokens goes to one client only.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Final

from proxy.http.content_coding import plain
from proxy.http.cookies import shared_cookies
from proxy.http.headers import RawFields, values_of
from proxy.http.representation import with_length
from proxy.tokens import jwt
from proxy.tokens.bodies import MAX_BODY, Pair
from proxy.tokens.places import TokenPlaces
from proxy.tokens.request_bodies import with_current

_MOST: Final = 8 * 1024 * 1024
"""Bytes of the answers that a process keeps; the oldest give way."""

_OVERHEAD: Final = 1024


@dataclass(frozen=True, slots=True)
class RefreshRequest:
    """What the server is sent.

    Attributes:
        target: path and query.
        fields: all but the length of the body, and the codings that are understood.
        body: with the refresh token in it.
        method: of a client's own; Segue's is a POST.
    """

    target: bytes = field(repr=False)
    fields: RawFields = field(repr=False)
    body: bytes = field(repr=False)
    method: str = "POST"


@dataclass(frozen=True, slots=True)
class RefreshAnswer:
    """What the server said.

    Attributes:
        status: 0 where there was no answer, or no whole one.
        reason: the words behind it.
        fields: as received.
        body: as received, in its content coding; empty where it was larger than what is taken.
        is_whole: whether that is all of it.
    """

    status: int
    reason: bytes = b""
    fields: RawFields = field(default=(), repr=False)
    body: bytes = field(default=b"", repr=False)
    is_whole: bool = True

    @property
    def plain_body(self) -> bytes:
        """What it says; empty where that is more than what is read for tokens."""
        # Some servers compress though they were asked not to.
        body = plain(self.body, self.fields, MAX_BODY)
        return body if len(body) <= MAX_BODY else b""


@dataclass(slots=True, eq=False)
class SharedAnswer:
    """The server's answer to a client's own refresh, and who may have it.

    Attributes:
        answer: as the server gave it, to whoever's request went there.
        tokens: those in it.
        likeness: of that request: the answer is for those that are like it.
        claimed: whether somebody has got all of it.
    """

    answer: RefreshAnswer
    tokens: frozenset[bytes] = field(repr=False)
    likeness: bytes
    claimed: bool = True

    @property
    def size(self) -> int:
        """The bytes that it takes, about."""
        answer = self.answer
        return _OVERHEAD + len(answer.body) + sum(len(n) + len(v) for n, v in answer.fields)

    def for_another(self) -> RefreshAnswer:
        """What one gets whose own request did not go to the server.

        Where the one whose request did is gone, the next takes its place.
        """
        if not self.claimed:
            self.claimed = True
            return self.answer
        return replace(self.answer, fields=shared_cookies(self.answer.fields, self.tokens))


@dataclass(slots=True, eq=False)
class ClientRefresh:
    """What a client asks for.

    Attributes:
        target: the request target, as the server is to see it.
        fields: those of the request, as they are forwarded.
        body: of it.
        token: the refresh token that comes along.
        places: where tokens stand.
        in_body: whether that stands in the body; else it is in a field.
        method: of the request.
        proof: the cookie that has proved whose its session is; empty where none is asked for.
        answered: the server's answer, once there is one.
        given_up: whether the client waits no more.
    """

    target: bytes = field(repr=False)
    fields: RawFields = field(repr=False)
    body: bytes = field(repr=False)
    token: str = field(repr=False)
    places: TokenPlaces
    in_body: bool = True
    method: str = "POST"
    proof: str = field(default="", repr=False)
    answered: SharedAnswer | None = None
    given_up: bool = False

    @property
    def spelled(self) -> str:
        """Its refresh token in the one spelling that counts."""
        return jwt.canonical(self.token)

    @property
    def origin(self) -> bytes:
        """Where the page is from that asks; empty where it does not say."""
        return b",".join(values_of(self.fields, b"origin"))

    @property
    def likeness(self) -> bytes:
        """Equal for those that may have the same answer.

        They ask for the same, but for the token, and for a page of the same origin, which the CORS
        fields of the answer are for.
        """
        body = self.body
        if self.in_body:
            body = body.replace(self.token.encode(errors="surrogatepass"), b"")
        known = sha256()
        for part in (self.method.encode(), self.origin, self.target, body):
            known.update(b"%d:%b" % (len(part), part))
        return known.digest()

    @property
    def access_tokens(self) -> list[str]:
        """The access tokens that come along, wherever they stand."""
        bearer = self.places.bearer(values_of(self.fields, b"authorization"))
        found = self.places.cookie_tokens(self.fields)
        return found if bearer is None else [bearer, *found]

    def request(self, token: str, older: Collection[str], access: str) -> RefreshRequest:
        """What goes to the server.

        Args:
            token: the refresh token that is current.
            older: those of its access tokens in whose place the current one goes.
            access: that one.
        """
        body, fields = self.body, list(self.fields)
        for each in older:
            fields = self.places.with_access(fields, each, access)
        if token == self.spelled:
            return RefreshRequest(self.target, fields, body, self.method)
        fields = self.places.with_other_refresh(fields, self.token, token)
        if self.in_body:
            kind, body = with_current(body, self.places.refresh_request, token, fields)
            fields = [item for item in fields if item[0].lower() != b"content-type"]
            fields = with_length([*fields, (b"Content-Type", kind)], len(body))
        return RefreshRequest(self.target, fields, body, self.method)

    def answer(self, answer: RefreshAnswer, pair: Pair | None = None) -> SharedAnswer:
        """Note what the server has answered, with which tokens."""
        tokens = () if pair is None else (pair.access, pair.refresh or "")
        shared = SharedAnswer(
            answer,
            frozenset(token.encode("latin-1") for token in tokens if token),
            self.likeness,
            claimed=not self.given_up,
        )
        self.answered = shared
        return shared

    def give_up(self) -> None:
        """The client waits no more: the next one gets what was for it."""
        self.given_up = True
        if self.answered is not None:
            self.answered.claimed = False


class KeptAnswers:
    """The answers that came lately, one for each session, for whoever comes a moment too late."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[SharedAnswer, int, float]] = {}
        self._size = 0

    def keep(self, session: str, answer: SharedAnswer, generation: int, until: float) -> None:
        """Keep an answer for a while.

        Args:
            session: whose.
            answer: with tokens.
            generation: that they are.
            until: when the token that was exchanged for them is answered no more.
        """
        self._drop(session)
        self._kept[session] = (answer, generation, until)
        self._size += answer.size
        while self._size > _MOST:
            self._drop(next(iter(self._kept)))

    def find(
        self, session: str, generation: int, likeness: bytes, now: float
    ) -> RefreshAnswer | None:
        """The answer for one who comes late; None where there is none that is still right.

        Args:
            session: whose.
            generation: of the tokens that are current.
            likeness: of what is asked for.
            now: when.
        """
        answer, of, until = self._kept.get(session, (None, 0, 0.0))
        if answer is None or of != generation or now >= until:
            self._drop(session)
            return None
        return answer.for_another() if answer.likeness == likeness else None

    def remove(self, now: float) -> None:
        """Forget the answers whose time is over."""
        over = [session for session, (_, __, until) in self._kept.items() if now >= until]
        for session in over:
            self._drop(session)

    def _drop(self, session: str) -> None:
        kept = self._kept.pop(session, None)
        if kept is not None:
            self._size -= kept[0].size
