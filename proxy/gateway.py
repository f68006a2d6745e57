"""What Segue does to a request, from top to bottom.

    snapshot -> version -> mapping -> relay -> outcome

`Gateway.serve` is called for each request of each connection. An HTTP exchange is over when it
returns; a WebSocket goes on without it, as a `Relay` in the registry of connections.
"""

from __future__ import annotations

import asyncio
from functools import partial
from time import perf_counter

from proxy import cors, handshake, headers, trace
from proxy.answers import problem
from proxy.connections import Connections
from proxy.errors import (
    ClientError,
    ClientGone,
    SegueError,
    UpstreamError,
)
from proxy.live import Live, Snapshot
from proxy.mapping.catalog import Programs
from proxy.mapping.engine import Program
from proxy.metrics import Metrics
from proxy.recorder import Recorder
from proxy.relay.bodies import BodyMapping, MappedExchange
from proxy.relay.dispatch import Dispatcher
from proxy.relay.forwarding import checked, forwarded_fields, request_head
from proxy.relay.http import Amend, Exchange, Fields, Recipient
from proxy.relay.relief import Relief
from proxy.relay.takeover import ClientConnection, Request
from proxy.relay.websocket import Relay, SocketLimits
from proxy.selection import offered_subprotocols
from proxy.treatment import Treatment
from proxy.upstream.connection import Connection
from proxy.upstream.pool import Pool
from proxy.values import NONE, Direction
from proxy.visits import Journal, Visit


class Gateway:
    """Serves requests: the one pipeline."""

    def __init__(
        self,
        live: Live,
        dispatcher: Dispatcher,
        relief: Relief,
        connections: Connections,
        metrics: Metrics,
        journal: Journal,
        recorder: Recorder,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._live = live
        self._dispatcher = dispatcher
        self._relief = relief
        self._connections = connections
        self._metrics = metrics
        self._journal = journal
        self._recorder = recorder
        self._loop = loop

    async def serve(self, client: ClientConnection, request: Request) -> None:
        """Answer one request."""
        snapshot = self._live.current
        visit = self._journal.open(
            perf_counter(),
            _address(client),
            request.method,
            request.target,
            request.fields if trace.has_trace(request.shape) else (),
        )
        try:
            target, authority = checked(request)
            upgrade = b"upgrade" in request.shape and handshake.is_upgrade(
                request.method, request.fields
            )
            visit.protocol = "websocket" if upgrade else "http"
            offered = _offered(request) if upgrade else []
            self._choose(snapshot, request, visit, target, offered)
            target = snapshot.versions.without_query_parameter(target)
            fields = forwarded_fields(snapshot, request, visit, authority, upgrade=upgrade)
            if upgrade:
                await self._shake_hands(client, request, visit, snapshot, target, fields, offered)
                return
            bodies = self._body_mapping(snapshot, request, visit, target)
            if bodies is not None:
                fields = await bodies.prepare(client, request, fields)
            head = request_head(request, target, fields)
            begin = partial(self._exchange, request, bodies, snapshot)
            exchange = None
            if snapshot.relief is not None:
                exchange = await self._relief.exchange(
                    snapshot, client, request, visit, target, fields, head, begin
                )
            if exchange is None:
                exchange = await self._dispatcher.exchange(
                    visit, request, head, partial(begin, client)
                )
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
                self._journal.close(visit, perf_counter())

    def refuse(self, client: ClientConnection, error: SegueError) -> None:
        """Answer what is not a request; the connection ends with the answer."""
        visit = self._journal.open(perf_counter(), _address(client), "", b"")
        client.persistent = False
        self._answer(client, None, visit, error, self._live.current)
        self._journal.close(visit, perf_counter())

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
            header=_joined(request.shape.values(request.fields, snapshot.version_header)),
            subprotocols=offered,
            query=target.partition(b"?")[2],
            cookies=request.shape.values(request.fields, b"cookie"),
        )
        self._journal.choose(visit, selection)

    def _body_mapping(
        self, snapshot: Snapshot, request: Request, visit: Visit, target: bytes
    ) -> BodyMapping | None:
        """What is done to the bodies of this route; None for nearly all. Preflights have none."""
        programs = snapshot.catalog.for_cohort(visit.selected)
        route = programs.route(request.method, target.partition(b"?")[0])
        if route is None or cors.is_preflight(request.method, request.fields):
            return None
        to_server, to_client = route.to_server, route.to_client
        visit.to_server = "" if to_server is None else to_server.name
        visit.to_client = "" if to_client is None else to_client.name
        return BodyMapping(
            None if to_server is None else self._treatment(visit, to_server, Direction.TO_SERVER),
            None if to_client is None else self._treatment(visit, to_client, Direction.TO_CLIENT),
            limit=snapshot.config.limits.body,
            timeout=snapshot.config.timeouts.body,
            vary=snapshot.config.versions.header.encode() if snapshot.version_header else b"",
        )

    def _treatment(self, visit: Visit, program: Program | None, direction: Direction) -> Treatment:
        name = NONE if program is None else program.name
        counts = self._metrics.messages(name, direction, visit.cohort)
        treatment = Treatment(program, counts, None if program is None else program.kind_of)
        return self._recorder.tapped(treatment, direction, visit.cohort)

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
            treatment=bodies.to_client,
            limit=bodies.limit,
        )

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
        head = request_head(request, target, fields)
        exchange, connection, pool = await self._dispatcher.handshake(
            visit,
            head,
            lambda connection: Exchange(
                client,
                request,
                connection,
                amend=None,
                body_timeout=snapshot.config.timeouts.body,
                loop=self._loop,
                may_switch=True,
            ),
            snapshot.config.timeouts.websocket_handshake,
        )
        if exchange.error is not None or not exchange.switched:
            self._conclude(client, visit, exchange)
            return
        assert exchange.head is not None
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
        relay = self._relay(visit, snapshot, pool)
        self._journal.switch(visit, perf_counter(), relay)
        self._connections.add(relay)
        pool.sockets += 1
        self._recorder.attach(relay, visit.selected)
        relay.start(
            client.take_transport(relay.client), connection.take_transport(relay.server), response
        )

    def _relay(self, visit: Visit, snapshot: Snapshot, pool: Pool) -> Relay:
        """Return the relay of a WebSocket, with the mappings of the client's cohort."""
        config = snapshot.config
        programs = snapshot.catalog.for_cohort(visit.selected)

        return Relay(
            to_client=self._treatment(visit, programs.to_client, Direction.TO_CLIENT),
            to_server=self._treatment(visit, programs.to_server, Direction.TO_SERVER),
            limits=SocketLimits(
                frame=config.limits.frame,
                message=config.limits.message,
                fragments=config.limits.fragments,
                control_frames=config.limits.control_frames,
                close_timeout=config.timeouts.websocket_close,
            ),
            on_end=lambda relay: self._end_socket(visit, relay, programs, pool),
            on_limit=self._metrics.count_limit,
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

    def _end_socket(self, visit: Visit, relay: Relay, programs: Programs, pool: Pool) -> None:
        self._connections.discard(relay)
        pool.sockets -= 1
        self._recorder.detach(relay)
        to_client, to_server, fault = programs.to_client, programs.to_server, relay.fault
        self._journal.close_socket(
            visit,
            perf_counter(),
            relay,
            to_client=None if to_client is None else to_client.name,
            to_server=None if to_server is None else to_server.name,
            client_close=relay.client.walker.close_code,
            server_close=relay.server.walker.close_code,
            fault=None if fault is None else fault.reason,
            fault_side=None if relay.fault_side is None else relay.fault_side.value,
            drained=relay.draining,
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


def _address(client: ClientConnection) -> str:
    peer = client.peername
    return str(peer[0]) if isinstance(peer, tuple) else ""
