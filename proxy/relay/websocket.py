"""Two legs of one WebSocket: what arrives on one is walked and leaves on the other.

After the handshake no task is left: a relay lives in the read callbacks of two transports. It
ends when both are closed, and says so once.

How a connection ends (RFC 6455 section 7): Close frames travel like other frames, so both peers
see each other's code and reason. A transport that ends without one ends the other without one.
Where Segue itself ends the connection (a broken frame, a mapping that says so, a drain), both
sides get a Close frame of its own, between two frames, and a moment to answer. The side whose
bytes were the cause gets it behind what the other side said up to its answer, as if the two spoke
to each other. No side gets a second Close frame, or anything behind the first.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass

from proxy.relay.leg import Leg, Side
from proxy.rewriting import MessageHandling
from proxy.websocket.failures import Blame, Fault, FilterLimits
from proxy.websocket.filter import FrameFilter

GOING_AWAY = 1001
ABNORMAL = 1006
POLICY_VIOLATION = 1008
TOO_BIG = 1009
BAD_GATEWAY = 1014
"""The server broke the protocol (registered with IANA; RFC 6455 section 11.7)."""


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
            counted from when it last took some of what it is still to be sent.
    """

    frame: int
    message: int
    fragments: int
    control_frames: float
    close_timeout: float


class Relay:
    """An open WebSocket between a client and the server.

    Attributes:
        client, server: the legs.
        fault: why Segue ended the connection, and which side's bytes were the cause.
        fault_side: see `fault`.
        draining: whether Segue ended the connection because it drains.
        on_limit: told the name of a limit that was reached, each time.
        clock: the loop's, in seconds.
        control_rate: how many control frames a second each side may send in the long run.
    """

    __slots__ = (
        "_backlog",
        "_dismissed",
        "_ended_first",
        "_loop",
        "_on_end",
        "_timeout",
        "_timer",
        "client",
        "clock",
        "control_rate",
        "draining",
        "fault",
        "fault_side",
        "on_limit",
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
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._loop = loop
        self._on_end = on_end
        self.on_limit = on_limit
        self.clock = loop.time
        self.control_rate = limits.control_frames
        self._timeout = limits.close_timeout
        self._timer: asyncio.TimerHandle | None = None
        self._backlog = 0
        # The side that is to get a Close frame when the other side has had its last word.
        self._dismissed: Leg | None = None
        self._ended_first = Side.CLIENT
        self.fault: Fault | None = None
        self.fault_side: Side | None = None
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
            if not leg.transport.is_reading():
                leg.transport.resume_reading()
        self.client.transport.write(response)
        if from_client:
            self.client.data_received(from_client)
        if from_server:
            self.server.data_received(from_server)

    def drain(self) -> None:
        """End the connection in an orderly way: the client is told to come back (1012)."""
        if self._timer is None:  # Otherwise it is ending already.
            self.draining = True
            self._leave(1012, "service restart", "proxy restart")

    def revoke(self) -> None:
        """End the connection in an orderly way: the client's session has ended (1008)."""
        if self._timer is None:
            self._leave(POLICY_VIOLATION, "session ended", "session ended")

    @property
    def received(self) -> tuple[int, int]:
        """The bytes that arrived so far: from the client, from the server."""
        return self.client.received, self.server.received

    @property
    def closes(self) -> tuple[tuple[str, int], ...]:
        """Once it has ended: who sent a Close frame (Segue: to the client), and its code.

        Where nobody did, 1006 (RFC 6455 section 7.1.5) of the side that ended first.
        """
        own = self.client.sent_close if self.client.pending_close is None else None
        frames = (
            (Side.CLIENT.value, self.client.frame_filter.close_code),
            (Side.SERVER.value, self.server.frame_filter.close_code),
            ("segue", own),
        )
        sent = tuple([(side, code) for side, code in frames if code is not None])
        return sent or ((self._ended_first.value, ABNORMAL),)

    def abort(self) -> None:
        """End the connection at once."""
        for leg in (self.client, self.server):
            if not leg.lost:
                leg.transport.abort()

    def _leave(self, code: int, reason: str, servers_reason: str) -> None:
        self.client.send_close(code, reason)
        self.server.send_close(GOING_AWAY, servers_reason)
        self._set_timer()

    # What the legs report.

    def on_final(self, leg: Leg) -> None:
        """A leg has sent a Close frame, or something that cannot be relayed."""
        frame_filter = leg.frame_filter
        if frame_filter.fault is not None:
            if self.fault is None:
                self._give_up(leg, frame_filter.fault)
            elif self._dismissed is leg.peer:
                self._dismiss()
        elif leg.sent_close is not None:
            if self._dismissed is leg.peer:
                self._dismiss()
            leg.close()  # The answer to Segue's own Close frame.
        else:
            # The other side answers, and then the server closes (section 7.1.1). One that has shut
            # its sending has no more to do; if it was the server, the client waits for the end.
            self._set_timer()
            if leg.peer.frame_filter.close_code is not None and leg.peer.half_closed:
                leg.peer.close()

    def on_lost(self, leg: Leg) -> None:
        """A transport is closed."""
        peer = leg.peer
        if peer.lost:
            if self._timer is not None:
                self._timer.cancel()
            on_end = self._on_end
            # Nothing is called any more; in a circle the garbage collector would have to find them.
            del self._on_end
            on_end(self)
            for ended in (leg, peer):
                del ended.peer, ended.relay
            return
        self._ended_first = leg.side
        self._dismiss()
        peer.frame_filter.discard()
        if peer.frame_filter.close_code is not None:
            peer.close()  # It has said its last word.
        elif peer.sent_close is None or peer.pending_close is not None:
            peer.shut()  # A Close frame that waits for the end of another would wait for ever.
        if peer.transport.is_closing():
            return
        if not peer.transport.is_reading():
            peer.transport.resume_reading()  # Nobody is left to be protected by the pause.
        self._set_timer()

    def _give_up(self, leg: Leg, fault: Fault) -> None:
        self.fault = fault
        self.fault_side = leg.side
        if fault.limit is not None:
            self.on_limit(fault.limit)
        onward = fault.code
        if fault.blame is Blame.SENDER and fault.code != TOO_BIG:
            onward = BAD_GATEWAY if leg.side is Side.SERVER else GOING_AWAY
        self._dismissed = leg
        peer = leg.peer
        peer.send_close(onward, fault.reason)
        if peer.frame_filter.ended or leg.shutting or leg.sent_close is not None:
            self._dismiss()
        else:
            peer.frame_filter.withholds_close = True
        if peer.frame_filter.close_code is not None:
            peer.shut()  # It has said its last word.
        self._set_timer()

    def _dismiss(self) -> None:
        """Tell the side that was the cause why it is over; nothing of the other follows."""
        leg, self._dismissed = self._dismissed, None
        if leg is None or self.fault is None:
            return
        leg.send_close(self.fault.code, self.fault.reason)
        if leg.pending_close is None:
            leg.shut()

    def _set_timer(self) -> None:
        if self._timer is None:
            self._wait()

    def _wait(self) -> None:
        self._backlog = self._unsent()
        self._timer = self._loop.call_later(self._timeout, self._expire)

    def _expire(self) -> None:
        # A peer that takes what it was sent, however slowly, is not given up. (What the kernel
        # holds when the rest is dropped is still delivered.)
        if self._dismissed is not None:
            self._dismiss()  # The other side did not answer in time.
            self._wait()
        elif self._unsent() < self._backlog:
            self._wait()
        else:
            self.on_limit("websocket_close")
            self.abort()

    def _unsent(self) -> int:
        legs = (self.client, self.server)
        return sum(leg.transport.get_write_buffer_size() for leg in legs if not leg.lost)
