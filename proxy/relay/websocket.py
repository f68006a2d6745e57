"""Two legs of one WebSocket: what arrives on one is walked and leaves on the other.

After the handshake no task is left: a relay lives in the read callbacks of two transports. It
ends when both are closed, and says so once.

How a connection ends (RFC 6455 section 7): Close frames travel like other frames, so both peers
see each other's code and reason. A transport that ends without one ends the other without one.
Where Segue itself ends the connection (a broken frame, a mapping that says so, a drain), both
sides get a Close frame of its own, between two frames, and a moment to answer. No side gets a
second Close frame, or anything behind the first.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from proxy.faults import Blame, Fault, WalkerLimits
from proxy.frames import encode_close
from proxy.treatment import Treatment
from proxy.walker import Walker

GOING_AWAY = 1001
ABNORMAL = 1006
TOO_BIG = 1009
BAD_GATEWAY = 1014
"""The server broke the protocol (registered with IANA; RFC 6455 section 11.7)."""


BURST = 10.0
"""Seconds of control frames that may come at once: a side that was paused has some waiting."""


class Side(Enum):
    """The two ends of a relay."""

    CLIENT = "client"
    SERVER = "server"


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


class Leg(asyncio.Protocol):
    """One side of a relay: its transport, and the walker of what arrives on it.

    Attributes:
        walker: of the frames that this side sends.
        peer: the other leg.
        received: bytes that arrived.
        half_closed: whether this side has shut its sending, and still reads.
        lost: whether the transport is closed.
        shutting: whether nothing more is sent to this side.
        sent_close: the code of the Close frame that this side was sent by Segue itself.
        pending_close: that frame, while it waits for the end of another.
        forgot: when control frames that this side sent were last forgotten, on the loop's clock.
    """

    __slots__ = (
        "forgot",
        "half_closed",
        "lost",
        "peer",
        "pending_close",
        "received",
        "relay",
        "sent_close",
        "shutting",
        "side",
        "transport",
        "walker",
    )

    peer: Leg
    transport: asyncio.Transport

    def __init__(self, relay: Relay, side: Side, walker: Walker) -> None:
        self.relay = relay
        self.side = side
        self.walker = walker
        self.received = 0
        self.half_closed = False
        self.lost = False
        self.shutting = False
        self.sent_close: int | None = None
        self.pending_close: bytes | None = None
        self.forgot = 0.0

    def data_received(self, data: bytes) -> None:
        walker = self.walker
        self.received += len(data)
        if walker.control_frames:
            self.forget_control_frames()
            out = walker.feed(data)
        else:
            out = walker.feed(data)
            if walker.control_frames:
                self.forgot = self.relay.clock()
        if out:
            self.peer.transport.write(out[0] if len(out) == 1 else b"".join(out))
        if self.peer.pending_close is not None and walker.at_boundary:
            self.peer.flush_close()
        if walker.fault is not None or walker.close_code is not None:
            self.relay.on_final(self)

    def eof_received(self) -> bool:
        """Let a side that has sent a Close frame and shut its sending read the other's last words.

        TLS has no half-close.
        """
        self.half_closed = (
            self.walker.close_code is not None
            and self.sent_close is None
            and not (self.peer.lost or self.peer.walker.ended)
            and self.transport.get_extra_info("sslcontext") is None
        )
        return self.half_closed

    def pause_writing(self) -> None:
        if not self.peer.lost:
            self.peer.transport.pause_reading()
            self.relay.on_limit("buffer")

    def resume_writing(self) -> None:
        if not self.peer.lost:
            self.peer.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 (asyncio's signature)
        self.lost = self.shutting = True
        self.relay.on_lost(self)

    def forget_control_frames(self) -> None:
        """Forget as many of its control frames as the time since the last call allows."""
        walker, now = self.walker, self.relay.clock()
        allowed = (now - self.forgot) * self.relay.control_rate
        walker.control_frames = max(walker.control_frames - allowed, 0.0)
        self.forgot = now

    def send_close(self, code: int, reason: str) -> None:
        """Send a Close frame of Segue's own as soon as no frame is half sent; nothing after it."""
        if self.sent_close is not None or self.shutting or self.peer.walker.close_code is not None:
            return  # RFC 6455 section 5.5.1: one Close frame, and nothing behind it.
        self.sent_close = code
        key = os.urandom(4) if self.side is Side.SERVER else None
        self.pending_close = encode_close(code, reason, key)
        if self.peer.walker.finish():
            self.flush_close()

    def flush_close(self) -> None:
        """Write the Close frame that waited for a boundary."""
        pending, self.pending_close = self.pending_close, None
        if pending is not None and not self.shutting:
            self.transport.write(pending)
            if self.walker.fault is not None:
                self.shut()  # Nothing that it sends is read any more, so no answer is waited for.

    def shut(self) -> None:
        """End the connection after what is still to be sent, without losing it.

        A socket that is closed with unread bytes in it is reset, and the peer may lose the end of
        what it was sent. So only the sending ends here; the peer's end, or the timer, closes.
        """
        if self.shutting:
            return
        self.shutting = True
        if self.transport.can_write_eof() and not self.transport.is_closing():
            self.transport.write_eof()
        else:
            self.transport.close()

    def close(self) -> None:
        """End the connection after what is still to be sent; read no more."""
        self.shutting = True
        self.transport.close()


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
        to_client: Treatment,
        to_server: Treatment,
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
        self._ended_first = Side.CLIENT
        self.fault: Fault | None = None
        self.fault_side: Side | None = None
        self.draining = False

        bounds = WalkerLimits(
            frame=limits.frame,
            message=limits.message,
            fragments=limits.fragments,
            control_frames=limits.control_frames * BURST,
        )

        def walker(treatment: Treatment, *, masked: bool) -> Walker:
            return Walker(
                masked=masked,
                treatment=treatment,
                random=os.urandom,
                limits=bounds,
            )

        self.client = Leg(self, Side.CLIENT, walker(to_server, masked=True))
        self.server = Leg(self, Side.SERVER, walker(to_client, masked=False))
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
            self.client.send_close(1012, "service restart")
            self.server.send_close(GOING_AWAY, "proxy restart")
            self._set_timer()

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
            (Side.CLIENT.value, self.client.walker.close_code),
            (Side.SERVER.value, self.server.walker.close_code),
            ("segue", own),
        )
        sent = tuple([(side, code) for side, code in frames if code is not None])
        return sent or ((self._ended_first.value, ABNORMAL),)

    def abort(self) -> None:
        """End the connection at once."""
        for leg in (self.client, self.server):
            if not leg.lost:
                leg.transport.abort()

    # What the legs report.

    def on_final(self, leg: Leg) -> None:
        """A leg has sent a Close frame, or something that cannot be relayed."""
        walker = leg.walker
        if walker.fault is not None:
            if self.fault is None:
                self._give_up(leg, walker.fault)
        elif leg.sent_close is not None:
            leg.close()  # The answer to Segue's own Close frame.
        else:
            # The other side answers, and then the server closes (section 7.1.1). One that has shut
            # its sending has no more to do; if it was the server, the client waits for the end.
            self._set_timer()
            if leg.peer.walker.close_code is not None and leg.peer.half_closed:
                leg.peer.close()

    def on_lost(self, leg: Leg) -> None:
        """A transport is closed."""
        peer = leg.peer
        if peer.lost:
            if self._timer is not None:
                self._timer.cancel()
            self._on_end(self)
            # Nothing is called any more; in a circle the garbage collector would have to find them.
            for ended in (leg, peer):
                del ended.peer, ended.relay
            return
        self._ended_first = leg.side
        peer.walker.discard()
        if peer.walker.close_code is not None:
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
        leg.send_close(fault.code, fault.reason)
        if leg.pending_close is None:
            leg.shut()
        leg.peer.send_close(onward, fault.reason)
        if leg.peer.walker.close_code is not None:
            leg.peer.shut()  # It has said its last word.
        self._set_timer()

    def _set_timer(self) -> None:
        if self._timer is None:
            self._wait()

    def _wait(self) -> None:
        self._backlog = self._unsent()
        self._timer = self._loop.call_later(self._timeout, self._expire)

    def _expire(self) -> None:
        # A peer that takes what it was sent, however slowly, is not given up. (What the kernel
        # holds when the rest is dropped is still delivered.)
        if self._unsent() < self._backlog:
            self._wait()
        else:
            self.abort()

    def _unsent(self) -> int:
        legs = (self.client, self.server)
        return sum(leg.transport.get_write_buffer_size() for leg in legs if not leg.lost)
