"""The step `session`: who is this, which token goes upstream, and what if the server refuses it.

Only requests that carry a token of a session are touched, and only in that token. A 401 that says
that the token is the reason is held back until it is decided whether there is a fresh one; then the
request is sent once more. The routes of tokens themselves are `token_routes`' business.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from typing import Final, Protocol

from proxy.configuration.sessions import SessionSettings
from proxy.downstream.request import Request
from proxy.errors import ClientError, OriginRefused, SessionUnavailable
from proxy.http.cookies import cookie_of
from proxy.http.headers import Fields, RawFields, values_of
from proxy.http.representation import has_length
from proxy.relay.bodies import read_body
from proxy.relay.dispatch import HandshakeResult
from proxy.relay.exchange import Exchange
from proxy.sessions.cache import SessionToken
from proxy.sessions.metrics import Trigger
from proxy.sessions.service import Sessions
from proxy.snapshot import Snapshot
from proxy.tokens.credentials import (
    bearer,
    is_token_error,
    query_tokens,
    with_bearer,
    with_query_token,
)
from proxy.websocket.handshake import same_origin


class Send(Protocol):
    """Gets a request to the server, and its response to the client."""

    def __call__(self, fields: Fields, watched: Collection[int] = ()) -> Awaitable[Exchange]:
        """Send it with these fields; a response with one of these statuses is held."""


_UNAUTHORIZED: Final = frozenset({401})
_REFUSALS: Final = frozenset({401, 403})

_MOST_TOKENS: Final = 4
"""In the query of a handshake: each is looked up."""

Shake = Callable[[bytes, Fields, Collection[int]], Awaitable[HandshakeResult]]
"""Shakes hands for a target, with these fields; a refusal with one of these statuses is held."""


class SessionFilter:
    """Lets requests of sessions through with tokens that are good."""

    def __init__(self, sessions: Sessions) -> None:
        self.sessions = sessions

    async def enter(
        self, snapshot: Snapshot, request: Request, target: bytes, *, upgrade: bool
    ) -> SessionToken | None:
        """Look who comes; None for whoever has no session.

        Raises:
            SessionEnded: a user who has logged out.
            OriginRefused: a page of another origin, with the cookie of a session.
            ClientError: a handshake with more tokens than anybody has use for.
            StoreAway: a token that has ended, and nobody can say whose it was.
        """
        token = bearer(request.shape.values(request.fields, b"authorization"))
        settings = snapshot.config.sessions
        cookie = cookie_from(request.fields, settings) if settings.binding == "cookie" else ""
        if upgrade:
            return await self._shaking(snapshot, request, token, query_tokens(target), cookie)
        if not token:
            return None
        session_token = self.sessions.at_hand(token, cookie, settings)
        if session_token is None:
            session_token = await self.sessions.look_up(token, cookie, settings)
        return session_token

    async def _shaking(
        self,
        snapshot: Snapshot,
        request: Request,
        token: str | None,
        in_query: list[str],
        cookie: str,
    ) -> SessionToken | None:
        """Look who shakes hands. Browsers put the token into the query, others where it belongs.

        Which one the server looks at is its own choice: one of an ended session is not let through
        beside another.
        """
        if len(in_query) > _MOST_TOKENS:
            raise ClientError("there are too many tokens in the query")
        found: SessionToken | None = None
        for each in dict.fromkeys([token, *in_query] if token else in_query):
            session_token = await self.sessions.look_up(each, cookie, snapshot.config.sessions)
            found = found or session_token
        if (
            found is not None
            and found.cookie
            and not same_origin(request.fields, snapshot.config.cors.origins)
        ):
            raise OriginRefused("a handshake with a session's cookie comes from its own pages")
        return found

    async def exchange(
        self,
        session_token: SessionToken,
        request: Request,
        snapshot: Snapshot,
        fields: Fields,
        send: Send,
    ) -> Exchange:
        """Answer a request of a session.

        Raises:
            SessionUnavailable: its token has ended, and there is no fresh one at the moment.
        """
        token = self.sessions.current(session_token) or await self.sessions.fresh(
            session_token, fields
        )
        if token is None:
            return await send(fields)
        again = not has_body(request) or await _keep_body(
            request, session_token.settings.retry_body, snapshot.config.timeouts.body
        )
        if token != session_token.token:
            fields = with_bearer(fields, token)
        exchange = await send(fields, _UNAUTHORIZED)
        hold = exchange.held
        if hold is None or hold.head is None:
            return exchange
        fresh = None
        if again and is_token_error(hold.plain_body):
            fresh = await self.sessions.after_refusal(
                session_token, token, Trigger.REJECTED, fields
            )
        if fresh is None:
            hold.let_go()
            return exchange
        self.sessions.counts.retries["http"] += 1
        exchange = await send(with_bearer(fields, fresh))
        if exchange.head is not None and exchange.head.status == 401:
            self.sessions.refused_again(session_token)
        return exchange

    async def handshake(
        self,
        session_token: SessionToken,
        request: Request,
        target: bytes,
        fields: Fields,
        shake: Shake,
    ) -> HandshakeResult:
        """Shake hands for a request of a session.

        The server refuses bad tokens and other people's resources alike. So a refusal leads to a
        second try only where the token that was sent should have been renewed before.

        Raises:
            SessionUnavailable: its token has ended, and there is no fresh one at the moment.
        """
        sessions = self.sessions
        token = await sessions.fresh(session_token, fields, Trigger.HANDSHAKE)
        if token is None:
            return await shake(target, fields, ())
        watched = _REFUSALS if sessions.is_near_its_end(session_token) else ()
        first = await shake(*_carrying(session_token, request, target, fields, token), watched)
        hold = first.exchange.held
        if hold is None or hold.head is None:
            return first
        try:
            fresh = await sessions.after_refusal(session_token, token, Trigger.HANDSHAKE, fields)
        except SessionUnavailable:
            fresh = None  # The token was still valid: the refusal may well be meant.
        if fresh is None:
            hold.let_go()
            return first
        sessions.counts.retries["websocket"] += 1
        second = await shake(*_carrying(session_token, request, target, fields, fresh), ())
        head = second.exchange.head
        if head is not None and head.status in _REFUSALS:
            sessions.refused_again(session_token)
        return second


def cookie_from(fields: RawFields, settings: SessionSettings) -> str:
    """The session's cookie; empty where none came along, or none is asked for."""
    if settings.binding != "cookie":
        return ""
    return cookie_of(fields, settings.cookie.encode()) or ""


def has_body(request: Request) -> bool:
    """Whether a request has a body, or may have one (RFC 9112 section 6.3)."""
    return request.chunked or (request.shape.has_length and has_length(request.fields))


def _carrying(
    session_token: SessionToken, request: Request, target: bytes, fields: Fields, token: str
) -> tuple[bytes, Fields]:
    """A handshake's target and fields with another token in place of the client's."""
    if token == session_token.token:
        return target, fields
    if bearer(values_of(request.fields, b"authorization")) == session_token.token:
        fields = with_bearer(fields, token)
    return with_query_token(target, session_token.token, token), fields


async def _keep_body(request: Request, limit: int, timeout: float) -> bool:
    """Whether a request can be sent a second time; a small body is kept for that.

    Raises:
        ClientError: the body is broken, or too slow.
    """
    payload = request.payload
    if request.body is not None:
        return len(request.body) <= limit
    if payload.is_eof():
        if payload.total_bytes > limit:
            return False
        request.body = payload.read_nowait()
        return True
    lengths = values_of(request.fields, b"content-length")
    announced = int(lengths[0]) if lengths and lengths[0].isdigit() else limit + 1
    # A client that waits for a 100 is told by the server whether to send it.
    if announced > limit or values_of(request.fields, b"expect"):
        return False
    request.body = await read_body(request, limit, timeout)
    return True
