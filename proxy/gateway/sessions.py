"""The step `session`: who is this, which token goes upstream, and what if the server refuses it.

Only requests that carry a token of a session are touched, and only in that token. A 401 that says
that the token is the reason is held back until it is decided whether there is a fresh one; then the
request is sent once more. The routes of tokens themselves are `token_endpoints`' business.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from typing import Final, Protocol

from proxy.downstream.request import Request
from proxy.errors import ClientError, OriginRefused, SessionEnded, SessionUnavailable, StoreAway
from proxy.gateway.context import RequestContext
from proxy.gateway.first_message import FirstMessageToken
from proxy.gateway.forwarding import named_host
from proxy.gateway.open_websocket import OpenWebSocket
from proxy.http.cookies import cookies_of
from proxy.http.headers import Fields, values_of
from proxy.http.representation import has_length
from proxy.memory import Kind, Reservation
from proxy.relay.bodies import HoldLimits, read_body
from proxy.relay.dispatch import HandshakeResult
from proxy.relay.exchange import Exchange
from proxy.relay.first_message import Decide
from proxy.sessions.cache import SessionSocket, SessionToken
from proxy.sessions.metrics import Trigger
from proxy.sessions.possession import Possession
from proxy.sessions.service import Sessions
from proxy.sessions.unopened import Unopened
from proxy.tokens import jwt
from proxy.tokens.bodies import is_token_error
from proxy.tokens.credentials import carried
from proxy.tokens.places import TokenPlaces
from proxy.versions.selection import Selection
from proxy.websocket.handshake import PROTOCOL, same_origin


class Send(Protocol):
    """Gets a request to the server, and its response to the client."""

    def __call__(self, fields: Fields, watched: Collection[int] = ()) -> Awaitable[Exchange]:
        """Send it with these fields; a response with one of these statuses is held."""


_UNAUTHORIZED: Final = frozenset({401})
_REFUSALS: Final = frozenset({401, 403})
_TAKEN: Final = frozenset({101, *range(200, 300)})

_MOST_TOKENS: Final = 4
"""In the query and the offers of a handshake: each is looked up."""

_MOST_COOKIES: Final = 32
"""Tokens in cookies that are looked up. Sibling hosts can set some for the whole domain, and a user
is not to be kept out by them."""

Shake = Callable[[bytes, Fields, Collection[int]], Awaitable[HandshakeResult]]
"""Shakes hands for a target, with these fields; a refusal with one of these statuses is held."""


class SessionFilter:
    """What the steps of a request ask of sessions. This one is for where they are off: all pass."""

    async def enter(self, context: RequestContext) -> SessionToken | None:
        """Look who comes; None for whoever has no session.

        Raises:
            SessionEnded: a user who has logged out.
            OriginRefused: a page of another origin, with the cookie of a session.
            ClientError: a handshake with more tokens than anybody has use for.
            StoreAway: a token that has ended, and nobody can say whose it was.
        """
        del context
        return None

    async def enter_for_tokens(self, context: RequestContext) -> SessionToken | None:
        """Look who comes to get tokens, or others for those he has.

        Who has logged out logs in again, and many clients send the token along that they have: one
        of a session that has ended is taken out, wherever it stands.

        Raises:
            ClientError: see `enter`.
        """
        del context
        return None

    def note(self, context: RequestContext, selection: Selection) -> None:
        """Remember the version that was chosen, where the request belongs to a session."""

    def exchange(self, context: RequestContext, send: Send) -> Awaitable[Exchange]:
        """Answer a request.

        Raises:
            SessionUnavailable: its token has ended, and there is no fresh one at the moment.
        """
        return send(context.fields)

    def handshake(self, context: RequestContext, shake: Shake) -> Awaitable[HandshakeResult]:
        """Shake hands for a request.

        Raises:
            SessionUnavailable: its token has ended, and there is no fresh one at the moment.
        """
        return shake(context.target, context.fields, ())

    def answered(self, context: RequestContext, fields: Fields) -> Fields:
        """What the server has answered a handshake, as the client is to see it."""
        del context
        return fields

    def first_message(self, context: RequestContext, socket: OpenWebSocket) -> Decide | None:
        """Decides on the first message of a WebSocket; None where that is as any other."""
        del context, socket
        return None

    def opened(self, context: RequestContext, socket: SessionSocket) -> None:
        """A WebSocket is open."""

    def closed(self, session: SessionToken | None, socket: SessionSocket) -> None:
        """A WebSocket has ended, of this session or of none."""


class TokenRenewal(SessionFilter):
    """Lets requests of sessions through with tokens that are good."""

    def __init__(self, sessions: Sessions) -> None:
        self.sessions = sessions

    async def enter(self, context: RequestContext) -> SessionToken | None:
        token, settings = context.head.bearer, context.snapshot.config.sessions
        if context.head.upgrade:
            return await self._shaking(context, possession(context))
        if settings.tokens.places.access_cookie is not None:
            return await self._any(context, possession(context))
        if not token:
            if b"authorization" in context.request.shape:
                self._note_scheme(context.request)
            return None
        what = possession(context)
        session = self.sessions.at_hand(token, what, settings)
        if session is None:
            session = await self.sessions.look_up(token, what, settings)
        return session

    def _note_scheme(self, request: Request) -> None:
        """Tell an operator of a session's token that comes with a scheme that is not looked at."""
        parts = b"".join(request.shape.values(request.fields, b"authorization")).split()
        if len(parts) == 2 and self.sessions.is_known(parts[1].decode("latin-1")):
            scheme = parts[0].decode("latin-1")
            self.sessions.unopened.tell(Unopened.SCHEME, schemes=[scheme])

    async def enter_for_tokens(self, context: RequestContext) -> SessionToken | None:
        token, what, found = context.head.bearer, possession(context), None
        if token is not None:
            try:
                found = await self.sessions.look_up(token, what, context.snapshot.config.sessions)
            except SessionEnded:
                context.taken_out = {token}
            except StoreAway:
                pass  # By what it says itself it has ended, and the server takes it for nothing.
        return await self._in_cookies(context, what, found)

    async def _any(self, context: RequestContext, what: Possession) -> SessionToken | None:
        """The first token of a session among all that a request carries.

        Which one the server looks at is its own choice: one of an ended session is not let through
        beside another.
        """
        settings, head = context.snapshot.config.sessions, context.head
        others = [] if head.bearer is None else [head.bearer]
        if head.upgrade:
            others += _few(_places(context).handshake_tokens(context.request.fields, head.target))
        found: SessionToken | None = None
        for each in dict.fromkeys(others):
            session = await self.sessions.look_up(each, what, settings)
            found = found or session
        return await self._in_cookies(context, what, found)

    async def _in_cookies(
        self, context: RequestContext, what: Possession, found: SessionToken | None
    ) -> SessionToken | None:
        """What was found elsewhere, or else the first token of a session in a request's cookies.

        A browser sends cookies along with everything, also with what a user who is logged out has
        to see: those of sessions that have ended are taken out. So are they beside a good one,
        which may well be the user's own.
        """
        settings, away = context.snapshot.config.sessions, None
        in_cookies = _places(context).cookie_tokens(context.request.fields)
        for each in _few(in_cookies, _MOST_COOKIES):
            try:
                session = await self.sessions.look_up(each, what, settings)
            except SessionEnded:
                context.taken_out = {*context.taken_out, each}
            except StoreAway as error:
                away = error
            else:
                found = found or session
        if found is None and away is not None:
            raise away
        return found

    async def _shaking(self, context: RequestContext, what: Possession) -> SessionToken | None:
        """Look who shakes hands. Browsers put the token into the query, others where it belongs."""
        config = context.snapshot.config
        found = await self._any(context, what)
        if (
            found is not None
            and found.cookie
            and not same_origin(context.request.fields, config.cors.origins)
        ):
            raise OriginRefused(
                "pages of this origin may not open WebSockets with the cookie of a session"
            )
        return found

    def note(self, context: RequestContext, selection: Selection) -> None:
        if context.session is not None:
            self.sessions.note(context.session, selection)

    def exchange(self, context: RequestContext, send: Send) -> Awaitable[Exchange]:
        if context.session is None:
            return send(context.fields)
        return self._exchange(context, context.session, send)

    async def _exchange(
        self, context: RequestContext, session: SessionToken, send: Send
    ) -> Exchange:
        request, fields, sessions = context.request, context.fields, self.sessions
        again = True
        if has_body(request):
            timeouts = context.snapshot.config.timeouts
            again = await _keep_body(
                request,
                HoldLimits(session.settings.retry_body, timeouts.body, timeouts.message),
                context.client.reserve(Kind.BODY),
            )
            await sessions.check(session)  # It may have ended while the body came.
        token = sessions.current(session) or await sessions.fresh(session, fields)
        if token is None:
            return await send(fields)
        if token != session.token:
            fields = _places(context).with_access(fields, session.token, token)
        _note_token(context, fresh=token != session.token)
        exchange = await send(fields, _UNAUTHORIZED)
        hold = exchange.held
        if hold is None or hold.head is None:
            self._remember(context, session, exchange)
            return exchange
        fresh = None
        if again and is_token_error(hold.plain_body):
            fresh = await sessions.after_refusal(session, token, Trigger.REJECTED, fields)
        _note_token(context, fresh=fresh is not None, refused=True)
        if fresh is None:
            hold.let_go()
            return exchange
        sessions.counts.retries["http"] += 1
        again_fields = _places(context).with_access(context.fields, session.token, fresh)
        exchange = await send(again_fields)
        self._remember(context, session, exchange)
        if exchange.head is not None and exchange.head.status == 401:
            sessions.refused_again(session)
        return exchange

    def _remember(self, context: RequestContext, session: SessionToken, exchange: Exchange) -> None:
        """Remember of a request that the server has taken what refreshes are to go with."""
        if session.settings.carry:
            head = exchange.head
            if head is not None and head.status in _TAKEN:
                self.sessions.remember(session, context.fields)

    def handshake(self, context: RequestContext, shake: Shake) -> Awaitable[HandshakeResult]:
        if context.session is None:
            return shake(context.target, context.fields, ())
        return self._handshake(context, context.session, shake)

    async def _handshake(
        self, context: RequestContext, session: SessionToken, shake: Shake
    ) -> HandshakeResult:
        """Shake hands for a request of a session.

        The server refuses bad tokens and other people's resources alike. So a refusal leads to a
        second try only where the token that was sent should have been renewed before.
        """
        sessions, fields = self.sessions, context.fields
        token = await sessions.fresh(session, fields, Trigger.HANDSHAKE)
        if token is None:
            return await shake(context.target, fields, ())
        _note_token(context, fresh=token != session.token)
        watched = _REFUSALS if sessions.is_near_its_end(session) else ()
        first = await shake(*_carrying(context, session, token), watched)
        hold = first.exchange.held
        if hold is None or hold.head is None:
            self._remember(context, session, first.exchange)
            return first
        try:
            fresh = await sessions.after_refusal(session, token, Trigger.HANDSHAKE, fields)
        except SessionUnavailable:
            fresh = None  # The token was still valid: the refusal may well be meant.
        _note_token(context, fresh=fresh is not None, refused=True)
        if fresh is None:
            hold.let_go()
            return first
        sessions.counts.retries["websocket"] += 1
        second = await shake(*_carrying(context, session, fresh), ())
        self._remember(context, session, second.exchange)
        head = second.exchange.head
        if head is not None and head.status in _REFUSALS:
            sessions.refused_again(session)
        return second

    def answered(self, context: RequestContext, fields: Fields) -> Fields:
        # A server may choose what it was offered as a token: the client offered another one.
        session, sent = context.session, context.sent_token
        if session is None or not sent or _places(context).subprotocol is None:
            return fields
        chosen, offered = sent.encode("latin-1"), session.token.encode("latin-1")
        return [
            (name, offered if name.lower() == PROTOCOL and value == chosen else value)
            for name, value in fields
        ]

    def first_message(self, context: RequestContext, socket: OpenWebSocket) -> Decide | None:
        config, path = context.snapshot.config, _places(context).first_message
        if path is None:
            return None  # Else whatever the handshake has: servers may look at this one alone.
        return FirstMessageToken(
            self.sessions,
            config.sessions,
            socket,
            path,
            possession(context),
            carried(context.fields),
            same_origin=same_origin(context.request.fields, config.cors.origins),
        ).decide

    def opened(self, context: RequestContext, socket: SessionSocket) -> None:
        if context.session is not None:
            self.sessions.socket_opened(context.session, socket, context.fields)

    def closed(self, session: SessionToken | None, socket: SessionSocket) -> None:
        if session is not None:
            self.sessions.socket_closed(session, socket)


def possession(context: RequestContext) -> Possession:
    """What came with the token of a request."""
    fields, settings = context.request.fields, context.snapshot.config.sessions
    cookies = cookies_of(fields, settings.cookie.encode()) if settings.binding == "cookie" else ()
    return Possession(cookies, named_host(context))


def _few(tokens: Collection[str], most: int = _MOST_TOKENS) -> Collection[str]:
    """Each of these tokens once; of many, those that can be one of a session.

    Raises:
        ClientError: they are more than anybody has use for.
    """
    each_once = dict.fromkeys(tokens)
    if len(each_once) <= _MOST_TOKENS:
        return each_once
    readable = [each for each in each_once if jwt.read(jwt.canonical(each)) is not None]
    if len(readable) > most:
        raise ClientError("there are too many tokens in the request")
    return readable


def _places(context: RequestContext) -> TokenPlaces:
    return context.snapshot.config.sessions.tokens.places


def _note_token(context: RequestContext, *, fresh: bool, refused: bool = False) -> None:
    """Note for whoever watches which token goes to the server, and whether one was refused."""
    if context.info.trail is not None:
        context.info.trail.note("token", fresh=fresh, refused=refused)


def has_body(request: Request) -> bool:
    """Whether a request has a body, or may have one (RFC 9112 section 6.3)."""
    return request.chunked or (request.shape.has_length and has_length(request.fields))


def _carrying(context: RequestContext, session: SessionToken, token: str) -> tuple[bytes, Fields]:
    """A handshake's target and fields with another token in place of the client's."""
    target, fields, places = context.target, context.fields, _places(context)
    if token == session.token:
        return target, fields
    context.sent_token = token
    fields = places.with_access(fields, session.token, token)
    return places.with_query_token(target, session.token, token), fields


async def _keep_body(request: Request, limits: HoldLimits, held: Reservation) -> bool:
    """Whether a request can be sent a second time; a small body is kept for that, if it has room.

    Raises:
        ClientError: the body is broken, or too slow.
    """
    payload, limit = request.payload, limits.size
    if request.body is not None:
        return len(request.body) <= limit
    if payload.is_eof():
        if payload.total_bytes > limit:
            return False
        if not held.resize(payload.total_bytes):
            return False
        request.held = held
        request.body = payload.read_nowait()
        return True
    lengths = values_of(request.fields, b"content-length")
    announced = int(lengths[0]) if lengths and lengths[0].isdigit() else limit + 1
    # A client that waits for a 100 is told by the server whether to send it.
    if announced > limit or values_of(request.fields, b"expect"):
        return False
    if not held.resize(announced):
        return False
    request.body = await read_body(request, limits, held)
    return True
