"""An open WebSocket, and all that hangs on it: from its handshake to its end."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from proxy.configuration.websocket import SocketBound
from proxy.gateway.context import RequestContext
from proxy.gateway.identity import identity_of
from proxy.gateway.rewriting import Rewriting
from proxy.gateway.shadow_switch import ShadowTarget
from proxy.mapping.decision import Decision
from proxy.mapping.engine.program import Program
from proxy.mapping.programs import Programs
from proxy.relay.leg import Leg, LegState
from proxy.relay.websocket import Relay, SocketLimits
from proxy.rewriting import NEEDED, OUTCOMES, MessageCounts, MessageHandling
from proxy.sessions.cache import SessionToken
from proxy.snapshot import Snapshot
from proxy.types import Direction
from proxy.upstream.pool import Pool
from proxy.websocket.closing import Side
from proxy.websocket.failures import Fault


@dataclass(frozen=True, slots=True)
class WebSocketState:
    """What an open WebSocket is at a moment, in plain values.

    Attributes:
        request_id, peer, path: of its handshake; the path has no query, where tokens travel.
        cohort: of its client; None for none.
        configuration: the digest of the configuration under which it was opened.
        revision: of the switches, by which its programs were chosen.
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
    configuration: str
    revision: int
    to_client: str
    to_server: str
    session: str
    upstream: str
    subprotocol: str
    client: LegState
    server: LegState


class _EarlierAccounts:
    """The accounts of a WebSocket from before what applies to it changed.

    Attributes:
        unfinished: of each direction the one where a message counts that is not whole yet.
        ended: what all others came to.
    """

    __slots__ = ("ended", "unfinished")

    def __init__(self) -> None:
        self.unfinished: dict[Direction, MessageCounts] = {}
        self.ended: dict[Direction, Counter[str]] = {way: Counter() for way in Direction}

    def received(self, way: Direction) -> int:
        """The messages of a direction that arrived whole."""
        unfinished = self.unfinished.get(way)
        return self.ended[way].total() + (0 if unfinished is None else unfinished.received)

    def needed(self, way: Direction) -> int:
        """Those of them that needed a mapping."""
        unfinished, ended = self.unfinished.get(way), self.ended[way]
        before = 0 if unfinished is None else unfinished.needed
        return before + sum(ended[outcome] for outcome in NEEDED)


class OpenAs(NamedTuple):
    """What is shown of open WebSockets: how many there are of each of these.

    Attributes:
        cohort: of the client; `none` for none.
        revision: of the switches.
        to_client, to_server: the names of the programs; None for none.
        configuration: the digest of the one under which it was opened.
    """

    cohort: str
    revision: int
    to_client: str | None
    to_server: str | None
    configuration: str


class SocketGroup:
    """The WebSockets of one session at one path, where there is a bound to them.

    Attributes:
        key: whose they are, and the path.
        bound: how many there may be, as the newest of its requests found it.
        sockets: that are open, and not told to end; the oldest first.
        shaking: handshakes that are under way, those that wait among them.
        waiting: those that wait for their turn, the oldest first.
        next_at: when the next one may go on; the loop's time.
        timer: for that moment, while one waits.
    """

    __slots__ = ("bound", "key", "next_at", "shaking", "sockets", "timer", "waiting")

    def __init__(self, key: tuple[str | bytes, bytes], bound: SocketBound) -> None:
        self.key = key
        self.bound = bound
        self.sockets: dict[OpenWebSocket, None] = {}
        self.shaking = 0
        self.waiting: deque[asyncio.Future[bool]] = deque()
        self.next_at = 0.0
        self.timer: asyncio.TimerHandle | None = None

    @property
    def is_full(self) -> bool:
        """Whether as many are open as may be."""
        return len(self.sockets) >= self.bound.most


class OpenWebSocket:
    """A WebSocket between a client and a server.

    It keeps what it needs of the request that opened it, and not the request.

    Attributes:
        info: what log and metrics are told.
        session: the token of its session; None for none.
        configuration: the digest of the configuration under which it was opened.
        revision: of the switches, by which it was decided what applies to it.
        serial: of what that was decided by.
        identity: who its user is, for canaries; see `identity_of`.
        decision: which mappings apply to it.
        pool: of the server that it is open to.
        subprotocol: what the two sides agreed on; None for none.
        to_client, to_server: the accounts of its messages, since what applies changed last.
        relay: carries its bytes.
        session_told: another session than that of its handshake, where its first message has the
            token of one: the end of either is its own.
        counted: what it is counted as by who counts those that are open; None where it is not.
        group: those that it counts with, where there is a bound to them; None where there is none.
        replaced: whether it had to make room for a newer one.
    """

    __slots__ = (
        "_earlier",
        "_looked_at",
        "_needed",
        "_on_end",
        "_on_limit",
        "_on_moved",
        "_rewriting",
        "configuration",
        "counted",
        "decision",
        "group",
        "identity",
        "info",
        "pool",
        "relay",
        "replaced",
        "revision",
        "serial",
        "session",
        "session_told",
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
        on_limit: Callable[[str, str], None],
        on_end: Callable[[OpenWebSocket], None],
        on_moved: Callable[[OpenWebSocket], None],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        """Construct; it relays from `relay.start` on.

        Args:
            context: the request that opens it.
            pool, subprotocol: see the attributes.
            rewriting: finds the programs of the client's cohort, and their accounts.
            on_limit: told the name of a limit that was reached and the client's address, each time.
            on_end: told once that it has ended.
            on_moved: told that what it is counted as may be something else.
        """
        self.info = context.info
        self.session = context.session
        self.session_told: SessionToken | None = None
        self.configuration = context.snapshot.digest
        self.revision = context.snapshot.switches.table.number
        self.serial = context.snapshot.switches.serial
        self.identity = identity_of(context)
        self.decision = rewriting.decide(context)
        self.pool = pool
        self.subprotocol = subprotocol
        self._rewriting = rewriting
        self._on_end = on_end
        self._on_limit = on_limit
        self._on_moved = on_moved
        self.counted: OpenAs | None = None
        self.group: SocketGroup | None = None
        self.replaced = False
        config = context.snapshot.config
        from_server, from_client = self._handlings()
        self.to_client, self.to_server = from_server.counts, from_client.counts
        self._earlier: _EarlierAccounts | None = None
        self._looked_at = (0, 0)
        self._needed = (0, 0)
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
            on_limit=self._reached,
            reserve=context.client.held.for_good(),
            loop=loop,
        )

    @property
    def programs(self) -> Programs:
        """What is done to its messages."""
        return self.decision.programs

    @property
    def open_as(self) -> OpenAs:
        """What it is to be counted as now."""
        programs = self.programs
        return OpenAs(
            self.info.cohort,
            self.revision,
            _name(programs.to_client),
            _name(programs.to_server),
            self.configuration,
        )

    @property
    def accounts(self) -> tuple[MessageCounts, ...]:
        """The accounts of its messages that may still change."""
        earlier = self._earlier
        if earlier is None:
            return self.to_client, self.to_server
        return self.to_client, self.to_server, *earlier.unfinished.values()

    def received_since(self) -> tuple[int, int]:
        """Messages that arrived whole since this was asked last: to the client, to the server."""
        to_client, to_server = self.to_client.received, self.to_server.received
        earlier, before = self._earlier, self._looked_at
        if earlier is not None:
            to_client += earlier.received(Direction.TO_CLIENT)
            to_server += earlier.received(Direction.TO_SERVER)
        self._looked_at = to_client, to_server
        return to_client - before[0], to_server - before[1]

    def needed_since(self) -> tuple[int, int]:
        """Messages that needed a mapping since this was last asked: to client, to server."""
        to_client, to_server = self.to_client.needed, self.to_server.needed
        earlier, before = self._earlier, self._needed
        if earlier is not None:
            to_client += earlier.needed(Direction.TO_CLIENT)
            to_server += earlier.needed(Direction.TO_SERVER)
        self._needed = to_client, to_server
        return to_client - before[0], to_server - before[1]

    def change(self, decision: Decision, snapshot: Snapshot) -> None:
        """Have something else applied from the next message on, in each direction.

        Args:
            decision: what applies then.
            snapshot: by which that was decided.
        """
        self.decision, self.configuration = decision, snapshot.digest
        self.keep(snapshot)
        from_server, from_client = self._handlings()
        self._end_account(self.relay.server, Direction.TO_CLIENT, self.to_client)
        self._end_account(self.relay.client, Direction.TO_SERVER, self.to_server)
        self.relay.server.frame_filter.handling = from_server
        self.relay.client.frame_filter.handling = from_client
        self.to_client, self.to_server = from_server.counts, from_client.counts
        for counts in (self.to_client, self.to_server):
            self._rewriting.open_account(counts)

    def keep(self, snapshot: Snapshot) -> None:
        """Take note that by another snapshot the same applies to it as before."""
        self.revision, self.serial = snapshot.switches.table.number, snapshot.switches.serial
        self._on_moved(self)

    def _handlings(self) -> tuple[MessageHandling, MessageHandling]:
        """How the messages of the server are treated, and those of the client."""
        decision, handling = self.decision, self._rewriting.handling
        programs = decision.programs
        to_client = [
            ShadowTarget(str(shadow.switch), shadow.programs.to_client)
            for shadow in decision.shadows
            if shadow.programs.to_client not in (None, programs.to_client)
        ]
        to_server = [
            ShadowTarget(str(shadow.switch), shadow.programs.to_server)
            for shadow in decision.shadows
            if shadow.programs.to_server not in (None, programs.to_server)
        ]
        return (
            handling(
                self.info,
                programs.to_client,
                Direction.TO_CLIENT,
                to_client,
                upstream=self.pool.name,
            ),
            handling(self.info, programs.to_server, Direction.TO_SERVER, to_server),
        )

    def _end_account(self, leg: Leg, way: Direction, counts: MessageCounts) -> None:
        """Count on elsewhere; a message of which a part has been read counts where it began."""
        earlier = self._earlier = self._earlier or _EarlierAccounts()
        unfinished = leg.frame_filter.unfinished
        for each in (earlier.unfinished.pop(way, None), counts):
            if each is None:
                continue
            if unfinished is not None and each is unfinished.counts:
                earlier.unfinished[way] = each
            else:
                self._rewriting.close_account(each)
                earlier.ended[way].update(each.outcomes())

    def _outcomes(self, way: Direction) -> dict[str, int]:
        counts = self.to_client if way is Direction.TO_CLIENT else self.to_server
        earlier = self._earlier
        if earlier is None:
            return counts.outcomes()
        total = earlier.ended[way] + Counter()
        for each in (earlier.unfinished.get(way), counts):
            total.update({} if each is None else each.outcomes())
        return {outcome: total[outcome] for outcome in OUTCOMES}

    def drain(self) -> None:
        """Begin to close it in an orderly way: its client is told to come back (1012)."""
        self._give_place_up()
        self.relay.drain()

    def revoke(self) -> None:
        """Begin to close it in an orderly way: its session has ended (1008)."""
        self._give_place_up()
        self.relay.revoke()

    def try_later(self) -> None:
        """Begin to close it in an orderly way: its session cannot be renewed now (1013)."""
        self._give_place_up()
        self.relay.try_later()

    def _give_place_up(self) -> None:
        """Count no more where there is a bound: whoever comes back for it is not one more."""
        if self.group is not None:
            self.group.sockets.pop(self, None)

    def make_room(self, code: int) -> None:
        """Begin to close it in an orderly way, with this code: there is a newer one."""
        self.replaced = self.relay.make_room(code)

    def refuse(self, fault: Fault) -> None:
        """Begin to close it for what its client has sent, and read no more of it."""
        self.relay.client.give_up(fault)

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
            "to_client_messages": self._outcomes(Direction.TO_CLIENT),
            "to_server_messages": self._outcomes(Direction.TO_SERVER),
            "client_close": relay.client.frame_filter.close_code,
            "server_close": relay.server.frame_filter.close_code,
            "fault": None if fault is None else fault.reason,
            "fault_side": None if side is None else side.value,
            "drained": relay.draining,
            "replaced": self.replaced,
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
            configuration=self.configuration,
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

    def _reached(self, limit: str) -> None:
        self._on_limit(limit, self.info.client or self.info.peer)


def _name(program: Program | None) -> str | None:
    return None if program is None else program.name
