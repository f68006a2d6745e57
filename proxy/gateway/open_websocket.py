"""An open WebSocket, and all that hangs on it: from its handshake to its end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from proxy.gateway.context import RequestContext
from proxy.gateway.rewriting import Rewriting
from proxy.mapping.engine.program import Program
from proxy.mapping.programs import Programs
from proxy.relay.leg import LegState
from proxy.relay.websocket import Relay, SocketLimits
from proxy.types import Direction
from proxy.upstream.pool import Pool
from proxy.websocket.closing import Side


@dataclass(frozen=True, slots=True)
class WebSocketState:
    """What an open WebSocket is at a moment, in plain values.

    Attributes:
        request_id, peer, path: of its handshake; the path has no query, where tokens travel.
        cohort: of its client; None for none.
        revision: the digest of the configuration under which it was opened.
        to_client, to_server: the names of the programs that apply; empty for none.
        session: the name of the session that it belongs to; empty for none.
        upstream: the server's name.
        subprotocol: what the two sides agreed on; empty for none.
        client, server: its two sides.
    """

    request_id: str
    peer: str
    path: str
    cohort: str | None
    revision: str
    to_client: str
    to_server: str
    session: str
    upstream: str
    subprotocol: str
    client: LegState
    server: LegState


class OpenWebSocket:
    """A WebSocket between a client and a server.

    It keeps what it needs of the request that opened it, and not the request.

    Attributes:
        info: what log and metrics are told.
        session: the token of its session; None for none.
        revision: the digest of the configuration under which it was opened.
        pool: of the server that it is open to.
        programs: what is done to its messages.
        subprotocol: what the two sides agreed on; None for none.
        relay: carries its bytes.
        to_client, to_server: the accounts of its messages.
    """

    __slots__ = (
        "_on_end",
        "info",
        "pool",
        "programs",
        "relay",
        "revision",
        "session",
        "subprotocol",
        "to_client",
        "to_server",
    )

    def __init__(
        self,
        context: RequestContext,
        pool: Pool,
        rewriting: Rewriting,
        subprotocol: bytes | None,
        *,
        on_limit: Callable[[str], None],
        on_end: Callable[[OpenWebSocket], None],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        """Construct; it relays from `relay.start` on.

        Args:
            context: the request that opens it.
            pool, subprotocol: see the attributes.
            rewriting: finds the programs of the client's cohort, and their accounts.
            on_limit: told the name of a limit that was reached, each time.
            on_end: told once that it has ended.
        """
        self.info = context.info
        self.session = context.session
        self.revision = context.snapshot.digest
        self.pool = pool
        self.subprotocol = subprotocol
        self.programs: Programs = rewriting.programs(context)
        self._on_end = on_end
        info, config = context.info, context.snapshot.config
        to_client, to_server = self.programs.to_client, self.programs.to_server
        from_server = rewriting.handling(info, to_client, Direction.TO_CLIENT)
        from_client = rewriting.handling(info, to_server, Direction.TO_SERVER)
        self.to_client, self.to_server = from_server.counts, from_client.counts
        self.relay = Relay(
            to_client=from_server,
            to_server=from_client,
            limits=SocketLimits(
                frame=config.limits.frame,
                message=config.limits.message,
                fragments=config.limits.fragments,
                control_frames=config.limits.control_frames,
                close_timeout=config.timeouts.websocket_close,
                message_timeout=config.timeouts.message,
                server_gone=config.upstream.close_code,
            ),
            on_end=self._ended,
            on_limit=on_limit,
            loop=loop,
        )

    def drain(self) -> None:
        """Begin to close it in an orderly way: its client is told to come back (1012)."""
        self.relay.drain()

    def revoke(self) -> None:
        """Begin to close it in an orderly way: its session has ended (1008)."""
        self.relay.revoke()

    def abort(self) -> None:
        """Close it at once."""
        self.relay.abort()

    def bound(self) -> dict[str, object]:
        """What the log says of it when it opens; no subprotocol: some clients put a token there."""
        return {
            "to_client": _name(self.programs.to_client),
            "to_server": _name(self.programs.to_server),
        }

    def facts(self) -> dict[str, object]:
        """What the log says of it when it has ended."""
        relay = self.relay
        fault, side = relay.fault, relay.fault_side
        return {
            "to_client": _name(self.programs.to_client),
            "to_server": _name(self.programs.to_server),
            "to_client_messages": self.to_client.outcomes(),
            "to_server_messages": self.to_server.outcomes(),
            "client_close": relay.client.frame_filter.close_code,
            "server_close": relay.server.frame_filter.close_code,
            "fault": None if fault is None else fault.reason,
            "fault_side": None if side is None else side.value,
            "drained": relay.draining,
        }

    def state(self) -> WebSocketState:
        """What it is now, in plain values: to be saved, or told to another process.

        What has been written and not yet been taken by a transport is counted, not copied.
        """
        info, session = self.info, self.session
        return WebSocketState(
            request_id=info.request_id,
            peer=info.peer,
            path=info.path,
            cohort=info.selected,
            revision=self.revision,
            to_client=_name(self.programs.to_client) or "",
            to_server=_name(self.programs.to_server) or "",
            session="" if session is None else session.cached.record.session,
            upstream=self.pool.name,
            subprotocol=(self.subprotocol or b"").decode("latin-1"),
            client=self.relay.state(Side.CLIENT),
            server=self.relay.state(Side.SERVER),
        )

    def _ended(self, _: Relay) -> None:
        self._on_end(self)


def _name(program: Program | None) -> str | None:
    return None if program is None else program.name
