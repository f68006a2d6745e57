"""What Segue does to a request, from top to bottom.

    snapshot -> version -> mapping -> relay -> outcome

`Gateway.serve` is called for each request of each connection. An HTTP exchange is over when it
returns; a WebSocket goes on without it, as a `Relay` in the registry of connections.
"""

from __future__ import annotations

import asyncio
import ipaddress
from typing import Final

from proxy import cors, handshake, headers
from proxy.answers import problem
from proxy.connections import Connections
from proxy.errors import (
    ClientError,
    ClientGone,
    MethodNotAllowed,
    SegueError,
    UnsupportedVersion,
    UpstreamError,
    UpstreamTimeout,
)
from proxy.live import Live, Snapshot
from proxy.mapping.catalog import Programs
from proxy.mapping.engine import Program
from proxy.metrics import Metrics
from proxy.relay.http import Amend, Exchange, Fields
from proxy.relay.takeover import ClientConnection, Request
from proxy.relay.websocket import Relay, SocketLimits
from proxy.selection import offered_subprotocols
from proxy.treatment import Treatment
from proxy.upstream import Connection, Pool
from proxy.values import NONE, Direction
from proxy.visits import Journal, Visit

_SAFE_TO_REPEAT: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
"""Methods without an effect on the server (RFC 9110 section 9.2.1)."""

_NOT_FORWARDED: Final = frozenset({b"via"})
_NOT_IN_HANDSHAKE: Final = frozenset({b"via", handshake.PROTOCOL, handshake.EXTENSIONS})


class Gateway:
    """Serves requests: the one pipeline."""

    def __init__(
        self,
        live: Live,
        pool: Pool,
        connections: Connections,
        metrics: Metrics,
        journal: Journal,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._live = live
        self._pool = pool
        self._connections = connections
        self._metrics = metrics
        self._journal = journal
        self._loop = loop

    async def serve(self, client: ClientConnection, request: Request) -> None:
        """Answer one request."""
        snapshot = self._live.current
        visit = self._journal.open(
            self._loop.time(), _address(client), request.method, request.target
        )
        try:
            target, authority = _checked(request)
            upgrade = handshake.is_upgrade(request.method, request.fields)
            offered = _offered(request) if upgrade else []
            self._choose(snapshot, request, visit, target, offered)
            target = snapshot.versions.without_query_parameter(target)
            fields = self._forwarded_fields(
                snapshot,
                request,
                visit,
                authority,
                _NOT_IN_HANDSHAKE if upgrade else _NOT_FORWARDED,
            )
            if upgrade:
                await self._shake_hands(client, request, visit, snapshot, target, fields, offered)
                return
            head = _request_head(request, target, fields)
            amend = _amendment(snapshot, request)
            exchange = await self._exchange(client, request, head, amend, snapshot)
            self._conclude(client, visit, exchange)
        except SegueError as error:
            self._answer(client, request, visit, error, snapshot)
        except asyncio.CancelledError:
            visit.status, visit.error = ClientGone.status, ClientGone.label
            raise
        except Exception as error:  # noqa: BLE001 (a fault of Segue's must not end the connection unanswered)
            self._journal.internal_error(error)
            self._answer(client, request, visit, SegueError(), snapshot)
        finally:
            if visit.status != 101:
                self._journal.close(visit, self._loop.time())

    def refuse(self, client: ClientConnection, error: SegueError) -> None:
        """Answer what is not a request; the connection ends with the answer."""
        visit = self._journal.open(self._loop.time(), _address(client), "", b"")
        client.persistent = False
        self._answer(client, None, visit, error, self._live.current)
        self._journal.close(visit, self._loop.time())

    # The steps, in the order in which they are taken.

    def _choose(
        self,
        snapshot: Snapshot,
        request: Request,
        visit: Visit,
        target: bytes,
        offered: list[bytes],
    ) -> None:
        selection = snapshot.versions.choose(
            header=_joined(headers.values_of(request.fields, snapshot.version_header)),
            subprotocols=offered,
            query=target.partition(b"?")[2],
            cookies=headers.values_of(request.fields, b"cookie"),
        )
        self._journal.choose(visit, selection)

    def _forwarded_fields(
        self,
        snapshot: Snapshot,
        request: Request,
        visit: Visit,
        authority: bytes | None,
        left_out: frozenset[bytes],
    ) -> Fields:
        """The fields for the server: end to end, with Segue's own forwarding fields."""
        received = request.fields
        fields = [
            field
            for field in headers.end_to_end(received, left_out)
            if not headers.is_forwarding(field[0].lower())
        ]
        if authority is not None or not snapshot.config.upstream.preserve_host:
            host = authority or snapshot.upstream_authority
            fields = [field for field in fields if field[0].lower() != b"host"]
            fields.insert(0, (b"Host", host))
        elif request.version < (1, 1) and not headers.values_of(received, b"host"):
            fields.insert(0, (b"Host", snapshot.upstream_authority))
        downstream = headers.Downstream(
            visit.peer,
            "http" if snapshot.config.listen.tls is None else "https",
            _is_trusted(snapshot, visit.peer),
        )
        fields += headers.forwarding_fields(received, downstream, visit.request_id)
        return fields

    async def _exchange(
        self,
        client: ClientConnection,
        request: Request,
        head: bytes,
        amend: Amend | None,
        snapshot: Snapshot,
        *,
        fresh: bool = False,
    ) -> Exchange:
        """Relay a request and its response; on a fresh connection if a kept one was stale."""
        pool = self._pool
        connection = (None if fresh else pool.take()) or await pool.connect()
        exchange = Exchange(
            client,
            request,
            connection,
            amend=amend,
            body_timeout=snapshot.config.timeouts.body,
            loop=self._loop,
        )
        await exchange.run(head)
        # A server that is slow is not asked twice; one that had closed the connection is.
        closed = type(exchange.error) is UpstreamError
        stale = connection.used and not connection.answered and closed
        if stale and request.method in _SAFE_TO_REPEAT and not exchange.request_size:
            return await self._exchange(client, request, head, amend, snapshot, fresh=True)
        return exchange

    def _conclude(self, client: ClientConnection, visit: Visit, exchange: Exchange) -> None:
        """Record how an exchange went; an incomplete response breaks the connection off."""
        visit.request_size = exchange.request_size
        visit.response_size = exchange.response_size
        error = exchange.error
        if error is None:
            assert exchange.head is not None
            visit.status = exchange.head.status
            return
        if not exchange.head_sent:
            raise error
        assert exchange.head is not None
        self._journal.fail(visit, error, exchange.head.status)
        client.abort()

    async def _shake_hands(
        self,
        client: ClientConnection,
        request: Request,
        visit: Visit,
        snapshot: Snapshot,
        target: bytes,
        fields: Fields,
        offered: list[bytes],
    ) -> None:
        """Shake hands with the server for the client; then relay, or pass the refusal on."""
        client.persistent = False  # Either the connection changes hands, or it ends here.
        forwarded = snapshot.versions.forwarded_subprotocols(offered)
        fields += handshake.upgrade_fields(forwarded)
        head = _request_head(request, target, fields)
        connection: Connection | None = None
        exchange: Exchange | None = None
        try:
            async with asyncio.timeout(snapshot.config.timeouts.websocket_handshake):
                connection = await self._pool.connect()
                exchange = Exchange(
                    client,
                    request,
                    connection,
                    amend=None,
                    body_timeout=snapshot.config.timeouts.body,
                    loop=self._loop,
                    may_switch=True,
                )
                await exchange.run(head)
        except TimeoutError:
            late = UpstreamTimeout("the server did not answer the handshake in time")
            if exchange is None:
                raise late from None
            exchange.error = late  # A refusal may have been on its way: it must not look complete.
        if exchange.error is not None or not exchange.switched:
            self._conclude(client, visit, exchange)
            return
        assert exchange.head is not None
        assert connection is not None
        try:
            answer = exchange.head.fields
            chosen = handshake.check_switch(request.fields, answer, forwarded)
            subprotocol = snapshot.versions.answered_subprotocol(offered, chosen)
            response = handshake.switch_response(answer, subprotocol)
            if connection.transport.is_closing():
                raise UpstreamError("the server closed the connection after its handshake")
        except UpstreamError:
            connection.abort()
            raise
        self._journal.switch(visit)
        relay = self._relay(visit, snapshot)
        self._connections.add(relay)
        relay.start(
            client.take_transport(relay.client), connection.take_transport(relay.server), response
        )

    def _relay(self, visit: Visit, snapshot: Snapshot) -> Relay:
        """Return the relay of a WebSocket, with the mappings of the client's cohort."""
        config, metrics = snapshot.config, self._metrics
        selection = visit.selection
        programs = snapshot.catalog.for_cohort(selection.cohort if selection else None)

        def treatment(program: Program | None, direction: Direction) -> Treatment:
            name = NONE if program is None else program.name
            return Treatment(program, metrics.messages(name, direction))

        return Relay(
            to_client=treatment(programs.to_client, Direction.TO_CLIENT),
            to_server=treatment(programs.to_server, Direction.TO_SERVER),
            limits=SocketLimits(
                message=config.limits.message,
                fragments=config.limits.fragments,
                close_timeout=config.timeouts.websocket_close,
            ),
            on_end=lambda relay: self._end_socket(visit, relay, programs),
            loop=self._loop,
        )

    # Outcomes.

    def _answer(
        self,
        client: ClientConnection,
        request: Request | None,
        visit: Visit,
        error: SegueError,
        snapshot: Snapshot,
    ) -> None:
        """Say what went wrong, in place of a response."""
        self._journal.fail(visit, error)
        if request is None or not request.payload.is_eof() or isinstance(error, ClientError):
            client.persistent = False
        also = (
            ()
            if request is None
            else cors.error_fields(request.fields, snapshot.config.cors.origins)
        )
        is_head = request is not None and request.method == "HEAD"
        client.write(
            problem(error, visit.request_id, also, persistent=client.persistent, is_head=is_head)
        )

    def _end_socket(self, visit: Visit, relay: Relay, programs: Programs) -> None:
        self._connections.discard(relay)
        to_client, to_server, fault = programs.to_client, programs.to_server, relay.fault
        self._journal.close_socket(
            visit,
            self._loop.time(),
            to_client=None if to_client is None else to_client.name,
            to_server=None if to_server is None else to_server.name,
            client_close=relay.client.walker.close_code,
            server_close=relay.server.walker.close_code,
            client_bytes=relay.client.received,
            server_bytes=relay.server.received,
            fault=None if fault is None else fault.reason,
            fault_side=None if relay.fault_side is None else relay.fault_side.value,
            drained=relay.draining,
        )


def _checked(request: Request) -> tuple[bytes, bytes | None]:
    """Refuse what is not for a reverse proxy; return target and authority (see `origin_form`).

    Raises:
        ClientError: with the status that says what was wrong.
    """
    if request.version not in ((1, 0), (1, 1)):
        raise UnsupportedVersion("HTTP/1.0 and HTTP/1.1 are spoken here")
    if request.method == "CONNECT":
        raise MethodNotAllowed("CONNECT is for forward proxies")
    if request.chunked:
        # RFC 9112 sections 6.1 and 7: what Segue does not take off must not be forwarded without
        # its name, and a chunked HTTP/1.0 message is framed by nobody's rules.
        codings = headers.tokens(headers.values_of(request.fields, b"transfer-encoding"))
        if codings != [b"chunked"] or request.version < (1, 1):
            raise ClientError("no transfer coding but chunked, in HTTP/1.1, is known here")
    return headers.origin_form(request.target)


def _offered(request: Request) -> list[bytes]:
    return offered_subprotocols(headers.values_of(request.fields, handshake.PROTOCOL))


def _joined(values: list[bytes]) -> bytes | None:
    return b",".join(values) if values else None


def _request_head(request: Request, target: bytes, fields: Fields) -> bytes:
    if request.chunked:
        fields.append((b"Transfer-Encoding", b"chunked"))
    try:
        return headers.serialize(b"%b %b HTTP/1.1" % (request.method.encode(), target), fields)
    except ValueError:
        raise ClientError("a header field carries a line break or a NUL") from None


def _amendment(snapshot: Snapshot, request: Request) -> Amend | None:
    """What is changed in the fields of the response: preflights learn of the version header."""
    name = snapshot.version_header
    if not name or not cors.is_preflight(request.method, request.fields):
        return None
    spelled = snapshot.config.versions.header.encode()
    return lambda _, fields: cors.allow_header(request.fields, fields, spelled)


def _address(client: ClientConnection) -> str:
    peer = client.peername
    return str(peer[0]) if isinstance(peer, tuple) else ""


def _is_trusted(snapshot: Snapshot, peer: str) -> bool:
    networks = snapshot.config.listen.trusted_proxies
    if not networks or not peer:
        return False
    address = ipaddress.ip_address(peer.partition("%")[0])
    return any(address in network for network in networks)
