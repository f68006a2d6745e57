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
from proxy.gateway.sessions import SessionFilter
from proxy.http.headers import Fields
from proxy.mapping.catalog import Programs
from proxy.mapping.engine.program import Program
from proxy.observability.access_log import AccessLog, RequestInfo
from proxy.observability.metrics import Metrics
from proxy.recording.recorder import Recorder
from proxy.relay.dispatch import Dispatcher, HandshakeResult
from proxy.relay.exchange import Exchange
from proxy.relay.websocket import Relay, SocketLimits
from proxy.rewriting import MessageHandling
from proxy.sessions.cache import SessionToken
from proxy.snapshot import Snapshot
from proxy.types import NONE, Direction
from proxy.upstream.connection import Connection
from proxy.upstream.pool import Pool
from proxy.websocket import handshake


class Upgrades:
    """Opens them, and says what became of them when they end."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        session_filter: SessionFilter | None,
        connections: Connections,
        metrics: Metrics,
        access_log: AccessLog,
        recorder: Recorder,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._dispatcher = dispatcher
        self._session_filter = session_filter
        self._connections = connections
        self._metrics = metrics
        self._access_log = access_log
        self._recorder = recorder
        self._loop = loop

    async def open(
        self,
        client: ClientConnection,
        request: Request,
        info: RequestInfo,
        snapshot: Snapshot,
        target: bytes,
        fields: Fields,
        offered: list[bytes],
        session_token: SessionToken | None,
    ) -> Exchange | None:
        """Shake hands with the server for the client; then relay.

        Args:
            client: whose connection changes hands.
            request, target, fields: the handshake as it was received, and as the server sees it.
            info: what is known of it.
            snapshot: which mappings apply, and within which limits.
            offered: the subprotocols that the client offered.
            session_token: whose session it belongs to.

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
        shake = partial(self._shake, client, request, info, snapshot)
        if session_token is None or self._session_filter is None:
            exchange, connection, pool = await shake(target, fields, ())
        else:
            exchange, connection, pool = await self._session_filter.handshake(
                session_token, request, target, fields, shake
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
        relay = self._relay(info, snapshot, pool, session_token)
        self._access_log.switch(info, perf_counter(), relay)
        self._connections.add(relay, client.origin)
        pool.sockets += 1
        self._recorder.attach(relay, info.selected)
        relay.start(
            client.take_transport(relay.client), connection.take_transport(relay.server), response
        )
        if session_token is not None and self._session_filter is not None:
            self._session_filter.sessions.socket_opened(session_token, relay, fields)
        return None

    def handling(
        self, info: RequestInfo, program: Program | None, direction: Direction
    ) -> MessageHandling:
        """What is done to the messages of one direction, counted and open to recordings."""
        name = NONE if program is None else program.name
        counts = self._metrics.messages(name, direction, info.cohort)
        handling = MessageHandling(program, counts, None if program is None else program.kind_of)
        return self._recorder.tapped(handling, direction, info.cohort)

    async def _shake(
        self,
        client: ClientConnection,
        request: Request,
        info: RequestInfo,
        snapshot: Snapshot,
        target: bytes,
        fields: Fields,
        watched: Collection[int],
    ) -> HandshakeResult:
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
            info,
            request_head(request, target, list(fields)),
            begin,
            snapshot.config.timeouts.websocket_handshake,
            watched,
        )

    def _relay(
        self, info: RequestInfo, snapshot: Snapshot, pool: Pool, session_token: SessionToken | None
    ) -> Relay:
        """Return the relay of a WebSocket, with the mappings of the client's cohort."""
        config = snapshot.config
        programs = snapshot.catalog.for_cohort(info.selected)

        return Relay(
            to_client=self.handling(info, programs.to_client, Direction.TO_CLIENT),
            to_server=self.handling(info, programs.to_server, Direction.TO_SERVER),
            limits=SocketLimits(
                frame=config.limits.frame,
                message=config.limits.message,
                fragments=config.limits.fragments,
                control_frames=config.limits.control_frames,
                close_timeout=config.timeouts.websocket_close,
            ),
            on_end=lambda relay: self._end_socket(info, relay, programs, pool, session_token),
            on_limit=self._metrics.count_limit,
            loop=self._loop,
        )

    def _end_socket(
        self,
        info: RequestInfo,
        relay: Relay,
        programs: Programs,
        pool: Pool,
        session_token: SessionToken | None,
    ) -> None:
        self._connections.discard(relay)
        pool.sockets -= 1
        if session_token is not None and self._session_filter is not None:
            self._session_filter.sessions.socket_closed(session_token, relay)
        self._recorder.detach(relay)
        to_client, to_server, fault = programs.to_client, programs.to_server, relay.fault
        self._access_log.close_socket(
            info,
            perf_counter(),
            relay,
            to_client=None if to_client is None else to_client.name,
            to_server=None if to_server is None else to_server.name,
            client_close=relay.client.frame_filter.close_code,
            server_close=relay.server.frame_filter.close_code,
            fault=None if fault is None else fault.reason,
            fault_side=None if relay.fault_side is None else relay.fault_side.value,
            drained=relay.draining,
        )
