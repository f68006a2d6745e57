"""One side of a WebSocket: a transport, and the frame filter of what arrives on it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from enum import Enum
from typing import NamedTuple, Protocol

from proxy.websocket.filter import FrameFilter
from proxy.websocket.frames import encode_close
from proxy.websocket.state import FilterState


class Side(Enum):
    """The two ends of a relay."""

    CLIENT = "client"
    SERVER = "server"


class LegState(NamedTuple):
    """One side of a WebSocket at a moment, in plain values.

    Attributes:
        received: bytes that arrived.
        unsent: bytes that are written and wait in the transport; 0 once it is closed.
        half_closed, lost, shutting, sent_close, pending_close: see `Leg`.
        frame_filter: what the filter of its frames is in the middle of.
    """

    received: int
    unsent: int
    half_closed: bool
    lost: bool
    shutting: bool
    sent_close: int | None
    pending_close: bytes | None
    frame_filter: FilterState


class Keeper(Protocol):
    """What a leg needs of the relay that it belongs to.

    Attributes:
        clock: of the loop, in seconds.
        control_rate: how many control frames a second each side may send in the long run.
        on_limit: told the name of a limit that was reached, each time.
    """

    clock: Callable[[], float]
    control_rate: float
    on_limit: Callable[[str], None]

    def on_final(self, leg: Leg) -> None:
        """A leg has sent a Close frame, or something that cannot be relayed."""

    def on_lost(self, leg: Leg) -> None:
        """A transport is closed."""


class Leg(asyncio.Protocol):
    """One side of a relay: its transport, and the frame filter of what arrives on it.

    Attributes:
        frame_filter: of the frames that this side sends.
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
        "frame_filter",
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
    )

    # Compiled by mypyc, a class says which of its attributes may be deleted; see `Relay.on_lost`.
    __deletable__ = ("peer", "relay")

    peer: Leg
    transport: asyncio.Transport

    def __init__(self, relay: Keeper, side: Side, frame_filter: FrameFilter) -> None:
        self.relay = relay
        self.side = side
        self.frame_filter = frame_filter
        self.received = 0
        self.half_closed = False
        self.lost = False
        self.shutting = False
        self.sent_close: int | None = None
        self.pending_close: bytes | None = None
        self.forgot = 0.0

    def state(self) -> LegState:
        """What it is now, in plain values."""
        return LegState(
            received=self.received,
            unsent=0 if self.lost else self.transport.get_write_buffer_size(),
            half_closed=self.half_closed,
            lost=self.lost,
            shutting=self.shutting,
            sent_close=self.sent_close,
            pending_close=self.pending_close,
            frame_filter=self.frame_filter.state(),
        )

    def data_received(self, data: bytes) -> None:
        frame_filter = self.frame_filter
        self.received += len(data)
        if frame_filter.control_frames:
            self.forget_control_frames()
            out = frame_filter.feed(data)
        else:
            out = frame_filter.feed(data)
            if frame_filter.control_frames:
                self.forgot = self.relay.clock()
        if out:
            self.peer.transport.write(out[0] if len(out) == 1 else b"".join(out))
        if frame_filter.undisturbed:
            return
        if self.peer.pending_close is not None and frame_filter.at_boundary:
            self.peer.flush_close()
        if frame_filter.fault is not None or frame_filter.close_code is not None:
            self.relay.on_final(self)

    def eof_received(self) -> bool:
        """Let a side that has sent a Close frame and shut its sending read the other's last words.

        TLS has no half-close.
        """
        self.half_closed = (
            self.frame_filter.close_code is not None
            and self.sent_close is None
            and not (self.peer.lost or self.peer.frame_filter.ended)
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
        frame_filter, now = self.frame_filter, self.relay.clock()
        allowed = (now - self.forgot) * self.relay.control_rate
        frame_filter.control_frames = max(frame_filter.control_frames - allowed, 0.0)
        self.forgot = now

    def send_close(self, code: int, reason: str) -> None:
        """Send a Close frame of Segue's own as soon as no frame is half sent; nothing after it."""
        sender = self.peer.frame_filter
        passed = sender.close_code is not None and not sender.withholds_close
        if passed or self.sent_close is not None or self.shutting:
            return  # RFC 6455 section 5.5.1: one Close frame, and nothing behind it.
        self.sent_close = code
        key = os.urandom(4) if self.side is Side.SERVER else None
        self.pending_close = encode_close(code, reason, key)
        if sender.finish():
            self.flush_close()

    def flush_close(self) -> None:
        """Write the Close frame that waited for a boundary."""
        pending, self.pending_close = self.pending_close, None
        if pending is not None and not self.shutting:
            self.transport.write(pending)
            if self.frame_filter.fault is not None:
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
