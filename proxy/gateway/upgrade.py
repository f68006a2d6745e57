"""Opening WebSockets: the handshake with the server for the client, then the relay."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Hashable
from dataclasses import replace
from functools import partial
from time import perf_counter
from typing import Final, TypeVar

from proxy.downstream.websockets import Connections
from proxy.errors import OriginRefused, UpstreamError
from proxy.gateway.context import RequestContext
from proxy.gateway.freshness import Freshness
from proxy.gateway.open_websocket import OpenAs, OpenWebSocket, SocketGroup
from proxy.gateway.rewriting import Rewriting
from proxy.gateway.sending import Sender
from proxy.gateway.sessions import SessionFilter
from proxy.gateway.socket_bounds import SocketBounds
from proxy.observability.access_log import AccessLog
from proxy.relay.exchange import Exchange
from proxy.relay.first_message import Decide, Decision, FirstMessageStage
from proxy.snapshot import Live, Snapshot
from proxy.versions.selection import answered_subprotocol
from proxy.websocket import handshake
from proxy.websocket.closing import REPLACED
from proxy.websocket.frames import encode_close

_AT_ONCE: Final = 100
"""Sockets that are looked at in one step of the loop."""


Key = TypeVar("Key", bound=Hashable)


class Upgrades:
    """Opens WebSockets, and says what became of them when they end.

    Attributes:
        sockets: those that are open.
        by_revision: how many of them there are, by cohort and revision; counted as they come, move
            and go, since it is asked for every two seconds and there may be many.
        by_programs: the same by cohort, the names of the programs to the client and to the server,
            and configuration: to go through 50,000 takes 40 ms.
        on_end: told of each that has ended, with all that it has counted.
        bounds: how many of them a session may have.
    """

    def __init__(
        self,
        sender: Sender,
        sessions: SessionFilter,
        rewriting: Rewriting,
        freshness: Freshness,
        connections: Connections,
        access_log: AccessLog,
        on_limit: Callable[[str, str], None],
        live: Live,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._live = live
        self._sender = sender
        self._sessions = sessions
        self._rewriting = rewriting
        self._freshness = freshness
        self._connections = connections
        self._access_log = access_log
        self._on_limit = on_limit
        self._loop = loop
        self.bounds = SocketBounds(on_limit)
        self.sockets: set[OpenWebSocket] = set()
        self.by_revision: Counter[tuple[str, int]] = Counter()
        self.by_programs: Counter[tuple[str, str | None, str | None, str]] = Counter()
        self.on_end: list[Callable[[OpenWebSocket], None]] = []

    async def walk(self) -> AsyncIterator[OpenWebSocket]:
        """The open sockets, a hundred in each step of the loop; who ends meanwhile is left out."""
        for count, socket in enumerate(tuple(self.sockets), 1):
            if socket in self.sockets:
                yield socket
            if count % _AT_ONCE == 0:
                await asyncio.sleep(0)

    async def open(self, context: RequestContext) -> Exchange | None:
        """Shake hands with the server for the client; then relay.

        Returns:
            The exchange, where the server has refused or failed; None where the socket is open.

        Raises:
            SegueError: the server could not be asked, or its answer is no handshake.
        """
        if not handshake.may_open(context.request.fields, context.snapshot.config.listen.origins):
            raise OriginRefused("pages of this origin may not open WebSockets here")
        context.client.persistent = False  # Either it changes hands, or it ends here.
        if context.snapshot.socket_bounds is None:
            return await self._open(context, None)
        with self.bounds.entered(context) as group:
            if group is not None:
                address = context.info.client or context.info.peer
                if not await self.bounds.turn(group, context.client, address):
                    self._supersede(context, group)
                    return None
            return await self._open(context, group)

    async def _open(self, context: RequestContext, group: SocketGroup | None) -> Exchange | None:
        client, request = context.client, context.request
        offered, forwarded = context.head.offered, context.subprotocols
        context.fields += handshake.upgrade_fields(forwarded)
        exchange, connection, pool = await self._sender.handshake(context)
        if exchange.error is not None or not exchange.switched:
            return exchange
        assert exchange.head is not None
        try:
            answer = self._sessions.answered(context, exchange.head.fields)
            chosen = handshake.check_switch(request.fields, answer, forwarded)
            subprotocol = answered_subprotocol(offered, forwarded, chosen)
            response = handshake.switch_response(answer, subprotocol)
            # What came with the answer is relayed, as if the end had come a moment later.
            if connection.transport.is_closing() and not connection.has_tail:
                raise UpstreamError("the server closed the connection after its handshake")
        except UpstreamError:
            connection.abort()
            raise
        current = self._live.current
        # A switch may have been turned during the handshake, and the files read anew.
        if current.digest == context.snapshot.digest:
            context.snapshot = current
        else:
            switches = context.snapshot.switches.under(current.switches)
            context.snapshot = replace(context.snapshot, switches=switches)
        socket = OpenWebSocket(
            context,
            pool,
            self._rewriting,
            subprotocol,
            on_limit=self._on_limit,
            on_end=self._end,
            on_moved=self._moved,
            loop=self._loop,
        )
        relay = socket.relay
        if context.info.trail is not None:
            context.info.trail.note("mapping", **socket.bound())
        self._access_log.switch(
            context.info,
            perf_counter(),
            relay,
            socket.accounts,
            **socket.bound(),
        )
        self._connections.add(socket, client.bucket)
        self.sockets.add(socket)
        self._count(socket, socket.open_as)
        pool.sockets += 1
        self._rewriting.taps.attach(relay, context.info.selected, context.info.request_id)
        self._freshness.listen(socket, context.snapshot, context.path)
        decide = self._sessions.first_message(context, socket)
        transport, tail = client.take_transport(relay.client)
        at_once = tail if decide is None else b""
        relay.start((transport, at_once), connection.take_transport(relay.server), response)
        self._sessions.opened(context, socket)
        if group is not None:
            self.bounds.opened(group, socket)
        if decide is not None:
            timeout = context.snapshot.config.timeouts.message
            decide = partial(self._decided, decide, socket, context.snapshot, context.path)
            FirstMessageStage(relay.client, decide, timeout, self._loop).begin(tail)
        return None

    async def _decided(
        self, decide: Decide, socket: OpenWebSocket, snapshot: Snapshot, path: bytes, message: bytes
    ) -> Decision:
        """Decide on a message; from the last one on it may be known whose WebSocket it is."""
        decision = await decide(message)
        if decision.is_last:
            self._freshness.listen(socket, snapshot, path)
        return decision

    def _supersede(self, context: RequestContext, group: SocketGroup) -> None:
        """Open a WebSocket in the server's place, and end it: newer ones are there, or wait."""
        newest = next(reversed(group.sockets))
        (key,) = context.request.shape.values(context.request.fields, b"sec-websocket-key")
        agreed = newest.subprotocol if newest.subprotocol in context.head.offered else None
        accepted = [(b"Sec-WebSocket-Accept", handshake.accept(key))]
        response = handshake.switch_response(accepted, agreed)
        context.client.write(response + encode_close(group.bound.code, REPLACED))
        self._access_log.supersede(context.info, perf_counter())

    def _moved(self, socket: OpenWebSocket) -> None:
        if socket.counted is not None:
            self._count(socket, socket.open_as)

    def _count(self, socket: OpenWebSocket, as_what: OpenAs | None) -> None:
        """Count a socket as something else than before; None: no more."""
        before, socket.counted = socket.counted, as_what
        for each, by in ((before, -1), (as_what, 1)):
            if each is not None:
                programs = each.cohort, each.to_client, each.to_server, each.configuration
                _add(self.by_revision, (each.cohort, each.revision), by)
                _add(self.by_programs, programs, by)

    def _end(self, socket: OpenWebSocket) -> None:
        self._connections.discard(socket)
        self.sockets.discard(socket)
        self.bounds.ended(socket)
        self._count(socket, None)
        socket.pool.sockets -= 1
        if socket.relay.server.watcher is not None:
            socket.relay.server.watcher.end()
        self._sessions.closed(socket.session, socket)
        self._sessions.closed(socket.session_told, socket)
        self._rewriting.taps.detach(socket.relay)
        self._access_log.close_socket(
            socket.info,
            perf_counter(),
            socket.relay,
            socket.accounts,
            **socket.facts(),
        )
        for told in self.on_end:
            told(socket)


def _add(counts: Counter[Key], key: Key, by: int) -> None:
    counts[key] += by
    if not counts[key]:
        del counts[key]  # There is no end to revisions, nor to configurations.
