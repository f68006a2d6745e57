"""Opening WebSockets: the handshake with the server for the client, then the relay."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from functools import partial
from time import perf_counter

from proxy.downstream.connection import ClientConnection
from proxy.downstream.request import Request
from proxy.downstream.websockets import Connections
from proxy.errors import OriginRefused, UpstreamError
from proxy.gateway.forwarding import request_head
from proxy.gateway.sessions import Door
from proxy.http.headers import Fields
from proxy.mapping.catalog import Programs
from proxy.mapping.engine.program import Program
from proxy.observability.access_log import Journal, Visit
from proxy.observability.metrics import Metrics
from proxy.recording.recorder import Recorder
from proxy.relay.dispatch import Dispatcher, Handshake
from proxy.relay.exchange import Exchange
from proxy.relay.websocket import Relay, SocketLimits
from proxy.rewriting import Treatment
from proxy.sessions.memory import Ticket
from proxy.snapshot import Snapshot
from proxy.types import NONE, Direction
from proxy.upstream.connection import Connection
from proxy.upstream.pool import Pool
from proxy.websocket import handshake


class Sockets:
    """Opens them, and says what became of them when they end."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        door: Door | None,
        connections: Connections,
        metrics: Metrics,
        journal: Journal,
        recorder: Recorder,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._dispatcher = dispatcher
        self._door = door
        self._connections = connections
        self._metrics = metrics
        self._journal = journal
        self._recorder = recorder
        self._loop = loop

    async def open(
        self,
        client: ClientConnection,
        request: Request,
        visit: Visit,
        snapshot: Snapshot,
        target: bytes,
        fields: Fields,
        offered: list[bytes],
        ticket: Ticket | None,
    ) -> Exchange | None:
        """Shake hands with the server for the client; then relay.

        Args:
            client: whose connection changes hands.
            request, target, fields: the handshake as it was received, and as the server sees it.
            visit: what is known of it.
            snapshot: which mappings apply, and within which limits.
            offered: the subprotocols that the client offered.
            ticket: whose session it belongs to.

        Returns:
            The exchange, where the server has refused or failed; None where the socket is open.

        Raises:
            SegueError: the server could not be asked, or its answer is no handshake.
        """
        if not handshake.may_open(request.fields, snapshot.config.listen.origins):
            raise OriginRefused("pages of this origin may not open WebSockets here")
        client.persistent = False  # Either the connection changes hands, or it ends here.
        forwarded = snapshot.versions.forwarded_subprotocols(offered)
        fields += handshake.upgrade_fields(forwarded)
        shake = partial(self._shake, client, request, visit, snapshot)
        if ticket is None or self._door is None:
            exchange, connection, pool = await shake(target, fields, ())
        else:
            exchange, connection, pool = await self._door.handshake(
                ticket, request, target, fields, shake
            )
        if exchange.error is not None or not exchange.switched:
            return exchange
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
        relay = self._relay(visit, snapshot, pool, ticket)
        self._journal.switch(visit, perf_counter(), relay)
        self._connections.add(relay, client.origin)
        pool.sockets += 1
        self._recorder.attach(relay, visit.selected)
        relay.start(
            client.take_transport(relay.client), connection.take_transport(relay.server), response
        )
        if ticket is not None and self._door is not None:
            self._door.sessions.socket_opened(ticket, relay, fields)
        return None

    def treatment(self, visit: Visit, program: Program | None, direction: Direction) -> Treatment:
        """What is done to the messages of one direction, counted and open to recordings."""
        name = NONE if program is None else program.name
        counts = self._metrics.messages(name, direction, visit.cohort)
        treatment = Treatment(program, counts, None if program is None else program.kind_of)
        return self._recorder.tapped(treatment, direction, visit.cohort)

    async def _shake(
        self,
        client: ClientConnection,
        request: Request,
        visit: Visit,
        snapshot: Snapshot,
        target: bytes,
        fields: Fields,
        watched: Collection[int],
    ) -> Handshake:
        def begin(connection: Connection) -> Exchange:
            return Exchange(
                client,
                request,
                connection,
                amend=None,
                body_timeout=snapshot.config.timeouts.body,
                loop=self._loop,
                may_switch=True,
            )

        return await self._dispatcher.handshake(
            visit,
            request_head(request, target, list(fields)),
            begin,
            snapshot.config.timeouts.websocket_handshake,
            watched,
        )

    def _relay(self, visit: Visit, snapshot: Snapshot, pool: Pool, ticket: Ticket | None) -> Relay:
        """Return the relay of a WebSocket, with the mappings of the client's cohort."""
        config = snapshot.config
        programs = snapshot.catalog.for_cohort(visit.selected)

        return Relay(
            to_client=self.treatment(visit, programs.to_client, Direction.TO_CLIENT),
            to_server=self.treatment(visit, programs.to_server, Direction.TO_SERVER),
            limits=SocketLimits(
                frame=config.limits.frame,
                message=config.limits.message,
                fragments=config.limits.fragments,
                control_frames=config.limits.control_frames,
                close_timeout=config.timeouts.websocket_close,
            ),
            on_end=lambda relay: self._end_socket(visit, relay, programs, pool, ticket),
            on_limit=self._metrics.count_limit,
            loop=self._loop,
        )

    def _end_socket(
        self, visit: Visit, relay: Relay, programs: Programs, pool: Pool, ticket: Ticket | None
    ) -> None:
        self._connections.discard(relay)
        pool.sockets -= 1
        if ticket is not None and self._door is not None:
            self._door.sessions.socket_closed(ticket, relay)
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
