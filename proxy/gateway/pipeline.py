"""What Segue does to a request, from top to bottom.

    snapshot -> version -> session -> mapping -> relay -> outcome

`Gateway.serve` is called for each request of each connection. An HTTP exchange is over when it
returns; a WebSocket goes on without it, as a `Relay` in the registry of connections. A request that
the server refuses for its token goes from `relay` back to `session`, once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Collection
from functools import partial
from time import perf_counter

from proxy.downstream.connection import ClientConnection
from proxy.downstream.request import Request
from proxy.errors import ClientError, ClientGone, SegueError
from proxy.gateway.coalescing import Coalescer
from proxy.gateway.forwarding import checked, forwarded_fields, request_head
from proxy.gateway.sessions import SessionFilter
from proxy.gateway.token_endpoints import TokenEndpoints, TokenRoute
from proxy.gateway.upgrade import Upgrades
from proxy.http import cors, headers, traceparent
from proxy.http.headers import Fields
from proxy.http.responses import Reply, problem, reply
from proxy.observability.access_log import AccessLog, RequestInfo
from proxy.relay.bodies import BodyMapping, MappedExchange
from proxy.relay.dispatch import Begin, Dispatcher
from proxy.relay.exchange import Amend, Exchange, Recipient
from proxy.sessions.cache import SessionToken
from proxy.snapshot import Live, Snapshot
from proxy.types import Direction
from proxy.upstream.connection import Connection
from proxy.websocket import handshake
from proxy.websocket.handshake import offered_subprotocols


class Gateway:
    """Serves requests: the one pipeline."""

    def __init__(
        self,
        live: Live,
        dispatcher: Dispatcher,
        coalescing: Coalescer,
        session_filter: SessionFilter | None,
        sockets: Upgrades,
        access_log: AccessLog,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._live = live
        self._dispatcher = dispatcher
        self._coalescer = coalescing
        self._session_filter = session_filter
        self._token_routes = None if session_filter is None else TokenEndpoints(session_filter)
        self._sockets = sockets
        self._access_log = access_log
        self._loop = loop

    async def serve(self, client: ClientConnection, request: Request) -> None:
        """Answer one request."""
        snapshot = self._live.current
        info = self._access_log.open(
            perf_counter(),
            client.address,
            request.method,
            request.target,
            request.fields if traceparent.has_trace(request.shape) else (),
        )
        try:
            target, authority = checked(snapshot, request)
            # HTTP/1.0 cannot upgrade (RFC 9110 section 7.8).
            may_upgrade = b"upgrade" in request.shape and request.version >= (1, 1)
            upgrade = may_upgrade and handshake.is_upgrade(request.method, request.fields)
            info.protocol = "websocket" if upgrade else "http"
            offered = _offered(request) if upgrade else []
            route, session_token = self._route(snapshot, request, target), None
            if route is None and self._session_filter is not None:
                session_token = await self._session_filter.enter(
                    snapshot, request, target, upgrade=upgrade
                )
            self._choose(snapshot, request, info, target, offered, session_token)
            target = snapshot.versions.without_query_parameter(target)
            fields = forwarded_fields(snapshot, request, info, authority, upgrade=upgrade)
            if upgrade:
                refused = await self._sockets.open(
                    client, request, info, snapshot, target, fields, offered, session_token
                )
                if refused is not None:
                    self._conclude(client, request, info, snapshot, refused)
                return
            bodies = self._body_mapping(snapshot, request, info, target)
            if bodies is not None:
                fields = await bodies.prepare(client, request, fields)
            begin = partial(self._exchange, request, bodies, snapshot)
            exchange: Exchange | Reply | None = None
            if route is not None:
                exchange = await self._serve_tokens(
                    route, client, request, info, snapshot, target, fields, partial(begin, client)
                )
            elif snapshot.coalescing is not None:
                carry = partial(self._carry, request, snapshot, target, fields, session_token)
                exchange = await self._coalescer.exchange(
                    snapshot, client, request, info, target, fields, carry, begin
                )
            if exchange is None:
                exchange = await self._carry(
                    request, snapshot, target, fields, session_token, info, partial(begin, client)
                )
            self._conclude(client, request, info, snapshot, exchange)
        except SegueError as error:
            self._answer(client, request, info, error, snapshot)
        except asyncio.CancelledError:
            info.status, info.error = ClientGone.status, ClientGone.label
            raise
        except Exception as error:  # noqa: BLE001 (a fault of Segue's must not end the connection unanswered)
            self._access_log.internal_error(error)
            self._answer(client, request, info, SegueError(), snapshot)
        finally:
            if info.status != 101:
                self._access_log.close(info, perf_counter())

    def refuse(self, client: ClientConnection, error: SegueError) -> None:
        """Answer what is not a request; the connection ends with the answer."""
        info = self._access_log.open(perf_counter(), client.address, "", b"")
        client.persistent = False
        self._answer(client, None, info, error, self._live.current)
        self._access_log.close(info, perf_counter())

    # The steps, in the order in which they are taken.

    def _route(self, snapshot: Snapshot, request: Request, target: bytes) -> TokenRoute | None:
        """The route of tokens that a request is for; None for nearly all."""
        routes = self._token_routes
        if routes is None or request.method != "POST":
            return None
        return routes.find(snapshot, target)

    def _choose(
        self,
        snapshot: Snapshot,
        request: Request,
        info: RequestInfo,
        target: bytes,
        offered: list[bytes],
        session_token: SessionToken | None,
    ) -> None:
        selection = snapshot.versions.choose(
            header=_joined(request.shape.values(request.fields, snapshot.version_header)),
            subprotocols=offered,
            query=target.partition(b"?")[2],
            cookies=request.shape.values(request.fields, b"cookie"),
            session=None if session_token is None else session_token.cached.version,
        )
        self._access_log.choose(info, selection)
        if session_token is not None and self._session_filter is not None:
            self._session_filter.sessions.note(session_token, selection)

    def _body_mapping(
        self, snapshot: Snapshot, request: Request, info: RequestInfo, target: bytes
    ) -> BodyMapping | None:
        """What is done to the bodies of this route; None for nearly all. Preflights have none."""
        programs = snapshot.catalog.for_cohort(info.selected)
        route = programs.route(request.method, target.partition(b"?")[0])
        if route is None or cors.is_preflight(request.method, request.fields):
            return None
        to_server, to_client = route.to_server, route.to_client
        info.to_server = "" if to_server is None else to_server.name
        info.to_client = "" if to_client is None else to_client.name
        return BodyMapping(
            None
            if to_server is None
            else self._sockets.handling(info, to_server, Direction.TO_SERVER),
            None
            if to_client is None
            else self._sockets.handling(info, to_client, Direction.TO_CLIENT),
            limit=snapshot.config.limits.body,
            timeout=snapshot.config.timeouts.body,
            vary=snapshot.config.versions.header.encode() if snapshot.version_header else b"",
        )

    def _exchange(
        self,
        request: Request,
        bodies: BodyMapping | None,
        snapshot: Snapshot,
        client: Recipient,
        connection: Connection,
    ) -> Exchange:
        """Return the exchange that carries a request and its response, rewritten or not."""
        timeout = snapshot.config.timeouts.body
        if bodies is None or bodies.to_client is None:
            amend = _amendment(snapshot, request) if bodies is None else bodies.amend
            return Exchange(
                client, request, connection, amend=amend, body_timeout=timeout, loop=self._loop
            )
        return MappedExchange(
            client,
            request,
            connection,
            amend=bodies.amend,
            body_timeout=timeout,
            loop=self._loop,
            handling=bodies.to_client,
            limit=bodies.limit,
        )

    def _carry(
        self,
        request: Request,
        snapshot: Snapshot,
        target: bytes,
        fields: Fields,
        session_token: SessionToken | None,
        info: RequestInfo,
        begin: Begin,
    ) -> Awaitable[Exchange]:
        """Get a request to the server, with a token that is good, and again if it was refused."""
        if session_token is None or self._session_filter is None:
            return self._send(request, target, info, begin, fields)
        send = partial(self._send, request, target, info, begin)
        return self._session_filter.exchange(session_token, request, snapshot, fields, send)

    def _send(
        self,
        request: Request,
        target: bytes,
        info: RequestInfo,
        begin: Begin,
        fields: Fields,
        watched: Collection[int] = (),
    ) -> Awaitable[Exchange]:
        head = request_head(request, target, list(fields))
        return self._dispatcher.exchange(info, request, head, begin, watched)

    async def _serve_tokens(
        self,
        route: TokenRoute,
        client: ClientConnection,
        request: Request,
        info: RequestInfo,
        snapshot: Snapshot,
        target: bytes,
        fields: Fields,
        begin: Begin,
    ) -> Exchange | Reply:
        """Answer a request for one of the routes of tokens."""
        assert self._token_routes is not None
        send = partial(self._send, request, target, info, begin)
        return await self._token_routes.exchange(route, client, request, snapshot, fields, send)

    def _conclude(
        self,
        client: ClientConnection,
        request: Request,
        info: RequestInfo,
        snapshot: Snapshot,
        exchange: Exchange | Reply,
    ) -> None:
        """Record how an exchange went; an incomplete response breaks the connection off."""
        if isinstance(exchange, Reply):
            also = cors.error_fields(request.fields, snapshot.config.cors.origins)
            client.write(
                reply(
                    exchange.status,
                    [*exchange.fields, *also],
                    exchange.body,
                    info.request_id,
                    persistent=client.persistent,
                )
            )
            info.status, info.response_size = exchange.status, len(exchange.body)
            return
        info.request_size = exchange.request_size
        info.response_size = exchange.response_size
        error = exchange.error
        if error is None:
            assert exchange.head is not None
            info.status = exchange.head.status
            return
        if not exchange.head_sent:
            raise error
        assert exchange.head is not None
        self._access_log.fail(info, error, exchange.head.status)
        client.abort()

    # Outcomes.

    def _answer(
        self,
        client: ClientConnection,
        request: Request | None,
        info: RequestInfo,
        error: SegueError,
        snapshot: Snapshot,
    ) -> None:
        """Say what went wrong, in place of a response."""
        self._access_log.fail(info, error)
        if request is None or not request.payload.is_eof() or isinstance(error, ClientError):
            client.persistent = False
        also = (
            ()
            if request is None
            else cors.error_fields(request.fields, snapshot.config.cors.origins)
        )
        is_head = request is not None and request.method == "HEAD"
        client.write(
            problem(error, info.request_id, also, persistent=client.persistent, is_head=is_head)
        )


def _offered(request: Request) -> list[bytes]:
    return offered_subprotocols(headers.values_of(request.fields, handshake.PROTOCOL))


def _joined(values: list[bytes]) -> bytes | None:
    return b",".join(values) if values else None


def _amendment(snapshot: Snapshot, request: Request) -> Amend | None:
    """What is changed in the fields of the response: preflights learn of the version header."""
    name = snapshot.version_header
    if not name or not cors.is_preflight(request.method, request.fields):
        return None
    spelled = snapshot.config.versions.header.encode()
    return lambda _, fields: cors.allow_header(request.fields, fields, spelled)
