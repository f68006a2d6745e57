"""Two legs of one WebSocket: what arrives on one is walked and leaves on the other.

After the handshake no task is left: a relay lives in the read callbacks of two transports. It
ends when both are closed, and says so once.

How a connection ends is decided by `proxy.websocket.closing`; what it says is done here.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from proxy.backlog import Backlog
from proxy.memory import Reserve
from proxy.relay.leg import Leg, LegState
from proxy.rewriting import MessageHandling
from proxy.websocket.closing import (
    GOING_AWAY,
    POLICY_VIOLATION,
    REPLACED,
    SERVICE_RESTART,
    TRY_AGAIN_LATER,
    Act,
    Closing,
    Command,
    Said,
    Side,
)
from proxy.websocket.failures import MESSAGE_TOO_SLOW, NOT_TAKEN, Fault, FilterLimits
from proxy.websocket.filter import FrameFilter

ABNORMAL = 1006

LONGEST_CLOSE: Final = 12
"""For how many times its time a side is listened to that speaks on when the other has finished."""

BURST = 10.0
"""Seconds of control frames that may come at once: a side that was paused has some waiting."""


@dataclass(frozen=True, slots=True)
class SocketLimits:
    """The bounds of a relay. Sizes in bytes, times in seconds.

    Attributes:
        frame: the largest payload of a frame.
        message: the largest payload of a message.
        fragments: the largest number of fragments of a message.
        control_frames: how many control frames a second each side may send in the long run; what
            `BURST` seconds of that make may come at once.
        close_timeout: how long a peer may take to answer a Close frame and to end the connection,
            counted from when it last took some of what it is still to be sent, or said something
            more; for the latter `LONGEST_CLOSE` times that in all.
        message_timeout: how long a message may be held until it is whole.
        server_gone: the close code for a client whose server has gone without a Close frame.
    """

    frame: int
    message: int
    fragments: int
    control_frames: float
    close_timeout: float
    message_timeout: float
    server_gone: int = GOING_AWAY


class Relay:
    """An open WebSocket between a client and the server.

    Attributes:
        client, server: the legs.
        draining: whether Segue ended the connection because it drains.
        on_limit: told the name of a limit that was reached, each time.
        clock: the loop's, in seconds.
        control_rate: how many control frames a second each side may send in the long run.
        reserve: returns a reservation of nothing yet, for the client.
    """

    __slots__ = (
        "_backlog",
        "_closing",
        "_heard",
        "_latest",
        "_loop",
        "_message_timeout",
        "_message_timer",
        "_on_end",
        "_server_gone",
        "_timeout",
        "_timer",
        "_too_slow",
        "ahead",
        "client",
        "clock",
        "control_rate",
        "draining",
        "on_limit",
        "reserve",
        "server",
    )

    def __init__(
        self,
        *,
        to_client: MessageHandling,
        to_server: MessageHandling,
        limits: SocketLimits,
        on_end: Callable[[Relay], None],
        on_limit: Callable[[str], None],
        reserve: Reserve,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        """Construct; it relays from `start` on.

        Args:
            to_client, to_server: how the messages of each direction are treated.
            limits: its bounds.
            on_end: told once that both sides have gone.
            on_limit: told the name of a limit that was reached, each time.
            reserve: returns a reservation of nothing yet, for the client.
            loop: that of the transports.
        """
        self._loop = loop
        self.reserve = reserve
        self.ahead = 0
        self._too_slow: Side | None = None
        self._on_end = on_end
        self.on_limit = on_limit
        self.clock = loop.time
        self.control_rate = limits.control_frames
        self._timeout = limits.close_timeout
        self._server_gone = limits.server_gone
        self._timer: asyncio.TimerHandle | None = None
        self._message_timeout = limits.message_timeout
        self._message_timer: asyncio.TimerHandle | None = None
        self._backlog = Backlog()
        self._heard = 0
        self._latest = 0.0
        self._closing: Closing | None = None
        self.draining = False

        bounds = FilterLimits(
            frame=limits.frame,
            message=limits.message,
            fragments=limits.fragments,
            control_frames=limits.control_frames * BURST,
        )

        def frame_filter(handling: MessageHandling, *, masked: bool) -> FrameFilter:
            return FrameFilter(
                masked=masked,
                handling=handling,
                random=os.urandom,
                limits=bounds,
            )

        self.client = Leg(self, Side.CLIENT, frame_filter(to_server, masked=True))
        self.server = Leg(self, Side.SERVER, frame_filter(to_client, masked=False))
        self.client.peer = self.server
        self.server.peer = self.client

    def start(
        self,
        client: tuple[asyncio.Transport, bytes],
        server: tuple[asyncio.Transport, bytes],
        response: bytes,
    ) -> None:
        """Begin to relay.

        Args:
            client, server: the transports, whose protocols are the legs already, and the bytes that
                came behind each side's half of the handshake.
            response: the 101 for the client, which goes before everything else.
        """
        self.client.transport, from_client = client
        self.server.transport, from_server = server
        # First, because what follows may fill a buffer and pause one of them again.
        for leg in (self.client, self.server):
            _resume(leg)
        self.client.transport.write(response)
        if from_client:
            self.client.data_received(from_client)
        if from_server:
            self.server.data_received(from_server)

    def drain(self) -> None:
        """End the connection in an orderly way: the client is told to come back (1012)."""
        if self._timer is None:  # Otherwise it is ending already.
            self.draining = True
            self._leave(SERVICE_RESTART, "service restart", "proxy restart")

    def revoke(self) -> None:
        """End the connection in an orderly way: the client's session has ended (1008)."""
        if self._timer is None:
            self._leave(POLICY_VIOLATION, "session ended", "session ended")

    def try_later(self) -> None:
        """End the connection in an orderly way: its session cannot be renewed now (1013)."""
        if self._timer is None:
            self._leave(TRY_AGAIN_LATER, "session unavailable", "session unavailable")

    def make_room(self, code: int) -> bool:
        """End the connection in an orderly way: there is a newer one in its place.

        Args:
            code: what the client is told.

        Returns:
            Whether it was not ending already.
        """
        if self._timer is not None:
            return False
        self._leave(code, REPLACED, REPLACED)
        return True

    def abort(self) -> None:
        """End the connection at once."""
        for leg in (self.client, self.server):
            if not leg.lost:
                leg.transport.abort()

    # What is told of it.

    @property
    def received(self) -> tuple[int, int]:
        """The bytes that arrived so far: from the client, from the server."""
        return self.client.received, self.server.received

    @property
    def is_closing(self) -> bool:
        """Whether a side has begun to end, or was told to."""
        return self._closing is not None

    @property
    def held(self) -> tuple[int, int]:
        """The bytes in memory: of what is not whole yet, and written and not yet taken."""
        client, server = self.client, self.server
        return self.ahead + client.frame_filter.waiting + server.frame_filter.waiting, sum(
            leg.transport.get_write_buffer_size() for leg in (client, server) if not leg.lost
        )

    @property
    def fault(self) -> Fault | None:
        """Why Segue ended the connection because of what a side sent, or did not take."""
        if self._too_slow is not None:
            return NOT_TAKEN
        return None if self._closing is None else self._closing.fault

    @property
    def fault_side(self) -> Side | None:
        """The side whose bytes were the cause, or that did not take the other's."""
        if self._too_slow is not None:
            return self._too_slow
        return None if self._closing is None else self._closing.fault_side

    @property
    def closes(self) -> tuple[tuple[str, int], ...]:
        """Once it has ended: who sent a Close frame (Segue: to the client), and its code.

        Where neither side did, 1006 (RFC 6455 section 7.1.5) of the one that ended first, unless
        Segue had told it to end.
        """
        closing = self._closing_now()
        own = closing.own.get(Side.CLIENT) if self.client.pending_close is None else None
        frames = (
            (Side.CLIENT.value, self.client.frame_filter.close_code),
            (Side.SERVER.value, self.server.frame_filter.close_code),
            ("segue", own),
        )
        sent = tuple([(side, code) for side, code in frames if code is not None])
        first = closing.ended_first or Side.CLIENT
        peers_said = len(sent) - (own is not None)
        if sent and (peers_said or first in closing.own):
            return sent
        return ((first.value, ABNORMAL), *sent)

    def state(self, side: Side) -> LegState:
        """What a side is now, in plain values."""
        leg, closing = self._leg(side), self._closing or self._open_closing()
        return LegState(
            received=leg.received,
            unsent=0 if leg.lost else leg.transport.get_write_buffer_size(),
            lost=leg.lost,
            pending_close=leg.pending_close,
            said=closing.said[side].value,
            told=closing.told[side].value,
            own_close=closing.own.get(side),
            frame_filter=leg.frame_filter.state(),
        )

    # What the legs report.

    def on_too_much(self, leg: Leg) -> None:
        """What waits to be sent to a leg is more than there is room for."""
        self._too_slow = leg.side
        self.abort()

    def on_final(self, leg: Leg) -> None:
        """A leg has sent a Close frame, or something that cannot be relayed."""
        # Told to close, a server owes no message any more.
        leg.peer.end_watching()
        frame_filter, closing = leg.frame_filter, self._closing_now()
        if frame_filter.fault is not None:
            self._carry_out(closing.failed(leg.side, frame_filter.fault))
        else:
            self._carry_out(closing.closed(leg.side))

    def on_boundary(self, leg: Leg) -> None:
        """No frame is half sent to a leg for which a Close frame is held."""
        self._carry_out(self._closing_now().boundary(leg.side))

    def on_held(self) -> None:
        """A part of a message is held that was not before."""
        # One timer, however many messages: it looks how things stand then.
        if self._message_timer is None:
            later, look = self._loop.call_later, self._look_at_held
            self._message_timer = later(self._message_timeout, look)

    def on_eof(self, leg: Leg) -> bool:
        """A leg has shut its sending; whether its transport stays open."""
        return self._closing_now().sending_ended(leg.side)

    def on_lost(self, leg: Leg) -> None:
        """A transport is closed."""
        self._carry_out(self._closing_now().gone(leg.side))

    def _look_at_held(self) -> None:
        """Give a side up whose message has been held for too long."""
        self._message_timer = None
        now = self.clock()
        left = []
        for leg in (self.client, self.server):
            frame_filter = leg.frame_filter
            if not frame_filter.holds or leg.lost or frame_filter.ended:
                continue
            if not leg.transport.is_reading():
                leg.held_from = now  # It is not read: the other side is slow.
            remaining = leg.held_from + self._message_timeout - now
            if remaining > 0:
                left.append(remaining)
            else:
                leg.give_up(MESSAGE_TOO_SLOW)
        if left:
            self._message_timer = self._loop.call_later(min(left), self._look_at_held)

    # Closing: the rules are in `proxy.websocket.closing`.

    def _closing_now(self) -> Closing:
        if self._closing is None:
            self._closing = self._open_closing()
        return self._closing

    def _open_closing(self) -> Closing:
        return Closing(self._at_boundary, self._server_gone)

    def _leave(self, code: int, reason: str, servers_reason: str) -> None:
        self._carry_out(self._closing_now().leave(code, reason, servers_reason))

    def _at_boundary(self, side: Side) -> bool:
        return self._leg(side.other).frame_filter.at_boundary

    def _leg(self, side: Side) -> Leg:
        return self.client if side is Side.CLIENT else self.server

    def _carry_out(self, commands: list[Command]) -> None:
        for act, side, code, text in commands:
            leg = self._leg(side)
            if act is Act.SAY:
                leg.hold_close(code, text)
            elif act is Act.LIMIT:
                self.on_limit(text)
            elif act is Act.WAIT:
                self._set_timer()
            elif act is Act.END:
                self._end()
            else:
                _AT_A_LEG[act](leg)

    def _end(self) -> None:
        for timer in (self._timer, self._message_timer):
            if timer is not None:
                timer.cancel()
        on_end = self._on_end
        # Nothing is called any more; in a circle the garbage collector would have to find them.
        del self._on_end
        self.on_limit = _tell_nobody
        on_end(self)
        for ended in (self.client, self.server):
            ended.frame_filter.forget_copy()
            del ended.peer, ended.relay
        self._closing = None

    def _set_timer(self) -> None:
        if self._timer is None:
            self._latest = self.clock() + self._timeout * LONGEST_CLOSE
            self._wait()

    def _wait(self) -> None:
        self._backlog.note(*self._open())
        self._heard = self._last_words()
        self._timer = self._loop.call_later(self._timeout, self._expire)

    def _expire(self) -> None:
        # A peer that takes what it was sent, however slowly, is not given up.
        closing = self._closing_now()
        if self._last_words() > self._heard and self.clock() < self._latest:
            self._wait()  # What was on its way when the other side had its last word.
        elif closing.culprit is not None:
            self._carry_out(closing.late())  # The other side did not answer in time.
            self._wait()
        elif self._backlog.shrinks(*self._open()):
            self._wait()
        else:
            self.on_limit("websocket_close")
            self.abort()

    def _last_words(self) -> int:
        """The bytes that came from sides which may still say something."""
        said = self._closing_now().said
        legs = (self.client, self.server)
        return sum(leg.received for leg in legs if not leg.lost and said[leg.side] is Said.OPEN)

    def _open(self) -> list[asyncio.Transport]:
        return [leg.transport for leg in (self.client, self.server) if not leg.lost]


def _tell_nobody(_: str) -> None:
    """It has ended."""


def _withhold(leg: Leg) -> None:
    leg.frame_filter.withholds_close = True


def _resume(leg: Leg) -> None:
    if not (leg.transport.is_closing() or leg.transport.is_reading()):
        leg.transport.resume_reading()


_AT_A_LEG: Final[Mapping[Act, Callable[[Leg], None]]] = {
    Act.FLUSH: Leg.flush_close,
    Act.WITHHOLD: _withhold,
    Act.DISCARD: lambda leg: leg.frame_filter.discard(),
    Act.END_SENDING: Leg.end_sending,
    Act.CLOSE_TRANSPORT: lambda leg: leg.transport.close(),
    Act.RESUME: _resume,
}
"""What is done at one side."""
