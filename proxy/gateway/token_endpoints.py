"""The routes on which clients get tokens, exchange them, and give them back.

| route | what goes to the server | what is done |
|---|---|---|
| login, register, token | all, as it came | a successful answer opens a session |
| refresh | all, with the tokens that are really current | its answer reaches the client as it is |
| logout | with the tokens that are really current | a successful answer ends the session |

Servers look at methods less closely than clients think. So wherever a request may carry a token, it
is read: by a method that is none of a route's, one with a token is refused.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import Enum, auto
from typing import Final
from urllib.parse import unquote_to_bytes

from proxy.configuration.sessions import SessionPaths, SessionSettings
from proxy.errors import ClientError, MethodNotAllowed
from proxy.gateway.context import RequestContext
from proxy.gateway.forwarding import check_credentials, named_host
from proxy.gateway.presented_refresh import presented_refresh
from proxy.gateway.sending import Sender
from proxy.gateway.sessions import TokenRenewal, has_body, possession
from proxy.http.cookies import lasting, names_set
from proxy.http.headers import Fields, end_to_end
from proxy.http.responses import Reply
from proxy.http.spellings import SpelledPaths
from proxy.memory import Kind
from proxy.relay.bodies import HoldLimits, take_body
from proxy.relay.exchange import Exchange
from proxy.sessions.cache import CachedSession
from proxy.sessions.client_refresh import ClientRefresh
from proxy.sessions.possession import Possession
from proxy.sessions.unopened import Unopened
from proxy.tokens import jwt
from proxy.tokens.bodies import MAX_BODY, Pair, read_pair, text_fields
from proxy.tokens.grants import asks_for_refresh
from proxy.tokens.places import TokenPlaces
from proxy.tokens.request_bodies import is_in_query, read_token, with_current
from proxy.types import FieldPath
from proxy.upstream.response import Head


class TokenRoute(Enum):
    """A route of tokens."""

    ISSUE = auto()
    REFRESH = auto()
    LOGOUT = auto()
    GRANT = auto()
    """Of logins and refreshes both, as OAuth 2.0 has it: the body says which."""
    CARRY = auto()
    """Of no tokens, but one stands in the body."""

    @property
    def issues(self) -> bool:
        """Whether clients come here for tokens."""
        return self in (TokenRoute.ISSUE, TokenRoute.REFRESH, TokenRoute.GRANT)


_ROUTES_OF: Final[Mapping[str, Collection[TokenRoute]]] = {
    "POST": frozenset(TokenRoute),
    "PUT": (TokenRoute.REFRESH, TokenRoute.GRANT, TokenRoute.LOGOUT),
    "PATCH": (TokenRoute.REFRESH, TokenRoute.GRANT, TokenRoute.LOGOUT),
    "DELETE": (TokenRoute.LOGOUT,),
    "GET": (TokenRoute.REFRESH, TokenRoute.GRANT),
}
"""What a request of a method may be for. A page may stand where others log in or out, for a GET."""

_PAGES: Final = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods of pages, and of what asks for them before: where they have no body, their paths are not
looked at in other spellings, and cookies make no logout of them."""

_NOT_BY_THIS_METHOD: Final = "a token comes to this route by POST"


class TokenEndpoints:
    """Serves them."""

    def __init__(self, filter_: TokenRenewal, sender: Sender) -> None:
        self._filter = filter_
        self._tokens = filter_.sessions.routes
        self._sender = sender
        self._paths: SessionPaths | None = None
        self._places: TokenPlaces | None = None
        self._routes: dict[bytes, TokenRoute] = {}
        self._spelled = SpelledPaths(())

    def find(self, context: RequestContext) -> TokenRoute | None:
        """Which of the routes a request is for; None for nearly all requests.

        Raises:
            ClientError: a server may see another token, route or method in it than is seen here.
            MethodNotAllowed: it carries a refresh token, and its method is none of the route's.
        """
        request = context.request
        check_credentials(context)
        overrides = request.shape.overrides_method
        places, in_body = _places(context), has_body(request)
        is_page = not in_body and request.method in _PAGES
        if is_page and not places.has_refresh_in_fields and not overrides:
            return None  # There is no place for a token.
        paths = context.snapshot.config.sessions.paths
        if paths is not self._paths or places is not self._places:
            self._learn(paths, places)
        # Servers decode a path before they look where it leads.
        path = context.path
        route = self._routes.get(unquote_to_bytes(path))
        if route is None:
            if (overrides or not is_page) and self._spelled.may_be(path):
                raise ClientError(
                    "a server may read this path as that of a route of tokens: spell it as"
                    " `sessions.paths` does"
                )
            return None
        if overrides:
            raise ClientError("no field may override the method of a request for tokens")
        # A server that opens no WebSocket there may answer a handshake as any other GET.
        if route in _ROUTES_OF.get(request.method, ()) and not context.head.upgrade:
            return route
        if _has_refresh_in_fields(route, context):
            raise MethodNotAllowed(_NOT_BY_THIS_METHOD)
        return route if in_body and route is not TokenRoute.ISSUE else None

    def _learn(self, paths: SessionPaths, places: TokenPlaces) -> None:
        self._paths, self._places = paths, places
        self._routes = {
            **dict.fromkeys(places.bodies, TokenRoute.CARRY),
            **{unquote_to_bytes(path): TokenRoute.ISSUE for path in paths.login},
            unquote_to_bytes(paths.refresh): TokenRoute.REFRESH,
            unquote_to_bytes(paths.logout): TokenRoute.LOGOUT,
        }
        if unquote_to_bytes(paths.refresh) in map(unquote_to_bytes, paths.login):
            self._routes[unquote_to_bytes(paths.refresh)] = TokenRoute.GRANT
        routes = (*paths.login, paths.refresh, paths.logout)
        self._spelled = SpelledPaths([*map(str.encode, routes), *places.bodies])

    async def answer(self, route: TokenRoute, context: RequestContext) -> Exchange | Reply:
        """Answer a request for one of them.

        Raises:
            SessionEnded: the session that its token leads to has ended.
            MethodNotAllowed: there is a token in its body, and its method is none of the route's.
            MisdirectedRequest: that session began at another host.
            SessionUnavailable: the session can be neither renewed nor ended at the moment.
            ClientError: the body is too large, too slow, broken, or in a form that cannot be read.
            MemoryFull: there is no room for it now.
        """
        if route is TokenRoute.ISSUE:
            return await self._issue(context)
        places, what = _places(context), possession(context)
        if route is TokenRoute.CARRY:
            return await self._carry(context, what)
        request = context.request
        if route not in _ROUTES_OF.get(request.method, ()):
            is_logout = route is TokenRoute.LOGOUT
            path = places.logout_request if is_logout else places.refresh_request
            if await self._read(context, path) is not None:
                raise MethodNotAllowed(_NOT_BY_THIS_METHOD)
            return await self._sender.carry(context)
        if route is TokenRoute.LOGOUT:
            return await self._logout(context, what)
        in_body = await self._read(context, places.refresh_request)
        if route is TokenRoute.GRANT and in_body is None and request.method != "GET":
            own = (*places.request_fields, places.refresh_request)
            names = {name for name, *_ in own}
            if not places.refresh_cookies(context.fields) or not asks_for_refresh(
                request.body or b"", names, request.fields
            ):
                return await self._issue(context)
        in_head = None
        if route is TokenRoute.REFRESH and places.refresh_in_authorization:
            in_head = context.head.bearer
        token = await presented_refresh(
            self._tokens, context, what, in_body=in_body, in_head=in_head
        )
        return await self._refresh(context, token, in_body, what)

    async def _read(self, context: RequestContext, path: FieldPath) -> str | None:
        """Take the whole body of a request; return the token in it, None where there is none.

        Raises:
            ClientError: see `answer`.
            MemoryFull: see there.
        """
        request, config = context.request, context.snapshot.config
        if request.body is None and has_body(request):
            context.fields = await take_body(
                context.client,
                request,
                context.fields,
                HoldLimits(MAX_BODY, config.timeouts.body, config.timeouts.message),
                context.client.reserve(Kind.BODY),
            )
        if is_in_query(context.target, path):
            raise ClientError("the token of this route is sent in the body, not in the query")
        return read_token(request.body or b"", path, request.fields)

    async def _issue(self, context: RequestContext, exchanged: str | None = None) -> Exchange:
        """Pass the server's answer on, once its tokens are known."""
        send = self._sender.sending(context)
        exchange = await send(_asking_for_identity(context.fields), _SUCCESSES)
        hold = exchange.held
        if hold is not None and hold.head is not None:
            pair = read_pair(hold.plain_body, _places(context), hold.head.fields)
            if pair is None:
                said, set_ = text_fields(hold.plain_body), names_set(hold.head.fields)
                unopened = self._filter.sessions.unopened
                unopened.tell(Unopened.NOT_FOUND, texts=said, cookies=set_)
            cookie = await self._tokens.capture(
                pair, named_host(context), exchanged, context.fields
            )
            self._prolong(context, hold.head, pair, cookie or "")
            if cookie is not None:
                settings = context.snapshot.config.sessions
                hold.head.fields.append(_cookie(settings, cookie, _COOKIE_AGE))
            hold.let_go()
        return exchange

    def _prolong(self, context: RequestContext, head: Head, pair: Pair | None, cookie: str) -> None:
        """Have the cookie with a session's access token last as long as the session may.

        Servers let it end with the token, and then nobody could tell whose session it was.
        """
        settings, name = context.snapshot.config.sessions, _places(context).access_cookie
        if name is None or pair is None:
            return
        what = Possession((cookie,) if cookie else (), named_host(context))
        if self._filter.sessions.at_hand(pair.access, what, settings) is not None:
            head.fields[:] = lasting(head.fields, name, settings.lifetime)

    async def _refresh(
        self, context: RequestContext, token: str | None, in_body: str | None, what: Possession
    ) -> Exchange | Reply:
        if token is None and context.request.method != "POST":
            return await self._sender.carry(context)  # What else is there, for anybody.
        if token is None or jwt.read(jwt.canonical(token)) is None:
            # Whatever the server makes of it, nothing is kept: it could be an ended session's.
            return await self._sender.sending(context)(context.fields)
        settings = context.snapshot.config.sessions
        body, places = context.request.body or b"", settings.tokens.places
        asked = ClientRefresh(
            context.target,
            context.fields,
            body,
            token,
            places,
            in_body=in_body is not None,
            method=context.request.method,
        )
        given = await self._tokens.refresh(asked, what)
        if given is None:
            return await self._issue(context, token)
        fields, said = end_to_end(given.fields), given.body
        if context.bodies is not None:
            fields, said = context.bodies.held_response(given.status, fields, said)
        if places.access_cookie is not None:
            fields = lasting(fields, places.access_cookie, settings.lifetime)
        if asked.proof and given.status in _SUCCESSES:
            fields.append(_cookie(settings, asked.proof, _COOKIE_AGE))
        return Reply(given.status, fields, said, given.reason)

    async def _carry(self, context: RequestContext, what: Possession) -> Exchange:
        """Put the current access token into a body in place of an older one."""
        sessions = self._filter.sessions
        path = _places(context).bodies[unquote_to_bytes(context.path)]
        token = await self._read(context, path)
        if token is not None:
            settings = context.snapshot.config.sessions
            session = await sessions.look_up(token, what, settings)
            current = None if session is None else await sessions.fresh(session, context.fields)
            if current is not None and current != token:
                _put(context, path, current)
        return await self._sender.carry(context)

    async def _logout(self, context: RequestContext, what: Possession) -> Exchange:
        places, session, cached = _places(context), context.session, None
        in_body = await self._read(context, places.logout_request)
        refresh = await presented_refresh(self._tokens, context, what, in_body=in_body)
        if refresh is not None:
            # The token that is to be made useless says whose logout it is, not who asks for it.
            cached = await self._tokens.session_of(refresh, what)
        if cached is None and session is not None:
            cached = session.cached
        if cached is None:
            return await self._sender.sending(context)(context.fields)
        by_cookie_alone = in_body is None and places.refresh_cookie is not None
        return await self._log_out(
            context, cached, in_body=in_body is not None, by_cookie_alone=by_cookie_alone
        )

    async def _log_out(
        self,
        context: RequestContext,
        cached: CachedSession,
        *,
        in_body: bool,
        by_cookie_alone: bool,
    ) -> Exchange:
        send, places = self._sender.sending(context), _places(context)
        async with self._tokens.logging_out(cached, context.fields) as leaving:
            if leaving is None:
                return await send(context.fields)
            if not by_cookie_alone and (context.request.method == "POST" or in_body):
                _put(context, places.logout_request, leaving.refresh)
            fields = places.with_current(
                context.fields, leaving.access, leaving.refresh, adds=not by_cookie_alone
            )
            exchange = await send(fields, _SUCCESSES)
            hold = exchange.held
            leaving.done = hold is not None and hold.head is not None
        if hold is not None and hold.head is not None:
            settings = context.snapshot.config.sessions
            if settings.binding == "cookie":
                hold.head.fields.append(_cookie(settings, "", 0))
            hold.let_go()
        return exchange


def _places(context: RequestContext) -> TokenPlaces:
    return context.snapshot.config.sessions.tokens.places


def _has_refresh_in_fields(route: TokenRoute, context: RequestContext) -> bool:
    """Whether a request for a route has a refresh token that needs no body."""
    places, fields = _places(context), context.request.fields
    if route is TokenRoute.LOGOUT:
        if context.request.method in _PAGES:
            return False  # Browsers send cookies along with pages, too.
    elif route not in (TokenRoute.REFRESH, TokenRoute.GRANT):
        return False
    elif places.refresh_in_authorization and context.head.bearer is not None:
        return True
    return bool(places.refresh_cookies(fields)) or places.hides_refresh(fields)


_SUCCESSES = range(200, 300)
_COOKIE_AGE: Final = 400 * 86400.0
"""Seconds, as many as browsers take: the session ends, and not its cookie."""


def _asking_for_identity(fields: Fields) -> Fields:
    kept = [item for item in fields if item[0].lower() != b"accept-encoding"]
    return [*kept, (b"Accept-Encoding", b"identity")]


def _put(context: RequestContext, path: FieldPath, token: str) -> None:
    """Put another token into the body of a request, which has been read."""
    request = context.request
    kind, body = with_current(request.body or b"", path, token, request.fields)
    request.body, request.chunked = body, False
    kept = [item for item in context.fields if item[0].lower() not in _OF_A_BODY]
    length = (b"Content-Length", b"%d" % len(body))
    context.fields = [*kept, (b"Content-Type", kind), length]


_OF_A_BODY = frozenset({b"content-length", b"content-type"})


def _cookie(settings: SessionSettings, value: str, age: float) -> tuple[bytes, bytes]:
    """Set the session's cookie (RFC 6265 section 4.1)."""
    text = f"{settings.cookie}={value}; Path=/; Max-Age={int(age)}; HttpOnly; Secure; SameSite=Lax"
    return b"Set-Cookie", text.encode()
