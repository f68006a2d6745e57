"""One side of a WebSocket: a transport, and the filter of what arrives on it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import NamedTuple, Protocol

from proxy.memory import UNCOUNTED, Kind, Reservation, Reserve
from proxy.websocket.closing import Side
from proxy.websocket.failures import NO_ROOM, NO_ROOM_EVER, Fault
from proxy.websocket.filter import FrameFilter
from proxy.websocket.frames import encode_close
from proxy.websocket.state import FilterState


class LegState(NamedTuple):
    """One side of a WebSocket at a moment, in plain values.

    Attributes:
        received: bytes that arrived.
        unsent: bytes that are written and wait in the transport; 0 once it is closed.
        lost: whether the transport is closed.
        pending_close: a Close frame of Segue's own that waits for the end of another frame.
        said, told: see `proxy.websocket.closing`.
        own_close: the code of the Close frame that Segue itself has for it.
        frame_filter: what the filter of its frames is in the middle of.
    """

    received: int
    unsent: int
    lost: bool
    pending_close: bytes | None
    said: str
    told: str
    own_close: int | None
    frame_filter: FilterState


class Keeper(Protocol):
    """What a leg needs of the relay that it belongs to.

    Attributes:
        clock: of the loop, in seconds.
        control_rate: how many control frames a second each side may send in the long run.
        on_limit: told the name of a limit that was reached, each time.
        reserve: returns a reservation of nothing yet, for the client.
        ahead: bytes that are held in front of the client's leg.
    """

    clock: Callable[[], float]
    control_rate: float
    on_limit: Callable[[str], None]
    reserve: Reserve
    ahead: int

    def on_final(self, leg: Leg) -> None:
        """A leg has sent a Close frame, or something that cannot be relayed."""

    def on_boundary(self, leg: Leg) -> None:
        """No frame is half sent to a leg for which a Close frame is held."""

    def on_held(self) -> None:
        """A part of a message is held that was not before."""

    def on_too_much(self, leg: Leg) -> None:
        """What waits to be sent to a leg is more than there is room for."""

    def on_eof(self, leg: Leg) -> bool:
        """A leg has shut its sending; whether its transport stays open."""

    def on_lost(self, leg: Leg) -> None:
        """A transport is closed."""


class Watcher(Protocol):
    """Who has to know what a side sends before anything of it goes on."""

    def data(self, data: bytes) -> None:
        """Take note of bytes that came."""

    def pause(self) -> None:
        """Take note that nothing is read until `resume`: what is said meanwhile comes later."""

    def resume(self) -> None:
        """Take note that it is read again."""

    def end(self) -> None:
        """Take note that no more will come, or that not all of it may; perhaps again."""


class Leg(asyncio.Protocol):
    """One side of a relay: its transport, and the filter of what arrives on it.

    Attributes:
        frame_filter: of the frames that this side sends.
        peer: the other leg.
        received: bytes that arrived.
        lost: whether the transport is closed.
        pending_close: a Close frame of Segue's own for this side, while it waits for the end of
            another frame.
        forgot: when control frames that this side sent were last forgotten, on the loop's clock.
        holds, held_from: the message of this side of which a part is held, or was last, by its
            name; and since when, on the loop's clock, without the time before its other side was
            last slow.
        kept: what is reserved for what its filter keeps; None where that is little.
        unsent: what is reserved for what waits to be sent to it; None where it takes all.
        watcher: is told of everything first; None where nobody has to know.
    """

    __slots__ = (
        "forgot",
        "frame_filter",
        "held_from",
        "holds",
        "kept",
        "lost",
        "peer",
        "pending_close",
        "received",
        "relay",
        "side",
        "transport",
        "unsent",
        "watcher",
    )

    # Compiled by mypyc, a class says which of its attributes may be deleted; see `Relay._end`.
    __deletable__ = ("peer", "relay")

    peer: Leg
    transport: asyncio.Transport

    def __init__(self, relay: Keeper, side: Side, frame_filter: FrameFilter) -> None:
        self.relay = relay
        self.side = side
        self.frame_filter = frame_filter
        self.received = 0
        self.lost = False
        self.pending_close: bytes | None = None
        self.forgot = 0.0
        self.holds = 0
        self.held_from = 0.0
        self.kept: Reservation | None = None
        self.unsent: Reservation | None = None
        self.watcher: Watcher | None = None

    def data_received(self, data: bytes) -> None:
        frame_filter = self.frame_filter
        self.received += len(data)
        if self.watcher is not None:
            self.watcher.data(data)
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
            if self.kept is not None:
                self.kept.release()
                self.kept = None
            return
        size = frame_filter.waiting
        if size > UNCOUNTED or self.kept is not None:
            self._keep(size)
        if frame_filter.holds != self.holds:
            self.holds = frame_filter.holds
            if self.holds:
                self.held_from = self.relay.clock()
                self.relay.on_held()
        if self.peer.pending_close is not None and frame_filter.at_boundary:
            self.relay.on_boundary(self.peer)
        if frame_filter.fault is not None or frame_filter.close_code is not None:
            self.relay.on_final(self)

    def _keep(self, size: int) -> None:
        """Reserve what the filter keeps; where there is no room, nothing more is read."""
        kept = self.kept
        if kept is None:
            kept = self.kept = self.relay.reserve(Kind.MESSAGE)
        if not kept.resize(size):
            self.frame_filter.give_up(NO_ROOM if size <= kept.most else NO_ROOM_EVER)
            kept.release()
        if not kept.size:
            self.kept = None

    def give_back(self) -> None:
        """Reserve nothing more."""
        for reservation in (self.kept, self.unsent):
            if reservation is not None:
                reservation.release()
        self.kept = self.unsent = None

    def eof_received(self) -> bool:
        """Let the relay say whether a side that has shut its sending may stay.

        TLS has no half-close.
        """
        self.end_watching()
        is_plain = self.transport.get_extra_info("sslcontext") is None
        return is_plain and self.relay.on_eof(self)

    def pause_writing(self) -> None:
        if not self.peer.lost:
            self.peer.transport.pause_reading()
            if self.peer.watcher is not None:
                self.peer.watcher.pause()
            self.relay.on_limit("buffer")
        self.unsent = self.relay.reserve(Kind.UNSENT)
        if not self.unsent.resize(self.transport.get_write_buffer_size()):
            self.relay.on_too_much(self)

    def resume_writing(self) -> None:
        if self.unsent is not None:
            self.unsent.release()
            self.unsent = None
        if not self.peer.lost:
            self.peer.transport.resume_reading()
            if self.peer.watcher is not None:
                self.peer.watcher.resume()
            self.peer.held_from = self.relay.clock()  # It could not go on.

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 (asyncio's signature)
        self.lost = True
        self.give_back()
        self.end_watching()
        self.peer.end_watching()
        self.relay.on_lost(self)

    def forget_control_frames(self) -> None:
        """Forget as many of its control frames as the time since the last call allows."""
        frame_filter, now = self.frame_filter, self.relay.clock()
        allowed = (now - self.forgot) * self.relay.control_rate
        frame_filter.control_frames = max(frame_filter.control_frames - allowed, 0.0)
        self.forgot = now

    def give_up(self, fault: Fault) -> None:
        """Read nothing more of this side, for a fault that is found from outside."""
        self.frame_filter.give_up(fault)
        self.relay.on_final(self)

    def hold_close(self, code: int, reason: str) -> None:
        """Hold a Close frame for this side; the other side says no more than the frame it is at."""
        key = os.urandom(4) if self.side is Side.SERVER else None
        self.pending_close = encode_close(code, reason, key)
        self.peer.frame_filter.finish()
        self.end_watching()

    def flush_close(self) -> None:
        """Send the Close frame that was held."""
        pending, self.pending_close = self.pending_close, None
        if pending is not None:
            self.transport.write(pending)

    def end_sending(self) -> None:
        """End the connection after what is still to be sent, without losing it.

        A socket that is closed with unread bytes in it is reset, and the peer may lose the end of
        what it was sent. So only the sending ends here; the peer's end, or the timer, closes.
        """
        self.end_watching()
        if self.transport.can_write_eof() and not self.transport.is_closing():
            self.transport.write_eof()
        else:
            self.transport.close()

    def end_watching(self) -> None:
        """Let who watches this side count on nothing more of it: it ends, or is told to."""
        if self.watcher is not None:
            self.watcher.end()
