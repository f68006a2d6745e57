"""A stage in front of the client's side of a relay, until the message that it waits for has come.

It stands between the transport and the leg, and takes itself away: whoever has no such stage, or
has it behind him, is read by the leg alone.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from proxy.memory import UNCOUNTED, Kind, Reservation
from proxy.relay.leg import Leg
from proxy.websocket.failures import FIRST_MESSAGE_TOO_BIG, MESSAGE_TOO_SLOW, NO_ROOM, Fault
from proxy.websocket.first_message import FirstMessage

MAX_MESSAGES: Final = 8
"""How many messages are looked at, of a client that does not send the one that is waited for."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of a message.

    Attributes:
        changed: what goes on in its place; None for the message as it came.
        is_last: whether it is the one that was waited for, so that the next one is not looked at.
    """

    changed: bytes | None = field(default=None, repr=False)
    is_last: bool = True


Decide = Callable[[bytes], Awaitable[Decision]]
"""Decides on a message. It may have the relay close meanwhile: then nothing goes on."""


class FirstMessageStage(asyncio.Protocol):
    """Holds a client's messages, and what comes behind each, until it is decided on.

    It does so until one is the last to be looked at. One that may be a JSON object, and so may hold
    a token, and that is too large, too slow to come, or has no room, ends the WebSocket. Anything
    else that cannot be collected goes on as it comes, with all that follows.
    """

    def __init__(
        self, leg: Leg, decide: Decide, message_timeout: float, loop: asyncio.AbstractEventLoop
    ) -> None:
        """Construct; it stands in its place from `begin` on.

        Args:
            leg: of the client.
            decide: asked for `MAX_MESSAGES` at most, and bounded in time by itself.
            message_timeout: seconds for which a message is collected.
            loop: that of the transport.
        """
        self._leg = leg
        self._decide = decide
        self._message_timeout = message_timeout
        self._loop = loop
        self._message = FirstMessage()
        self._looked_at = 0
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._paused = False
        self._kept: Reservation | None = None

    def begin(self, tail: bytes) -> None:
        """Step in front of the leg, which relays already.

        Args:
            tail: what came behind the request that opened the WebSocket.
        """
        self._leg.transport.set_protocol(self)
        if tail:
            self.data_received(tail)

    def data_received(self, data: bytes) -> None:
        leg, message = self._leg, self._message
        if self._task is not None:
            message.add(data)
            self._pause()  # Of the server's side, which does not know of this one, resumes it.
            self._keep()
            return
        passed = message.feed(data)
        if passed:
            leg.data_received(passed)
        has_room = self._keep()
        if message.payload is not None:
            self._stop_timer()
            self._pause()
            self._task = self._loop.create_task(self._ask(message.payload))
        elif message.too_big:
            self._give_up(FIRST_MESSAGE_TOO_BIG)
        elif message.is_over:
            self._let_go(None)
        elif not has_room:
            self._end_if_object(NO_ROOM)
        elif not message.holds:
            self._stop_timer()
        elif self._timer is None:
            later, end = self._loop.call_later, self._end_if_object
            self._timer = later(self._message_timeout, end, MESSAGE_TOO_SLOW)

    def eof_received(self) -> bool:
        if self._task is not None:
            return False  # TLS may tell of an end behind what is not read; it has no half-close.
        self._let_go(None)
        return self._leg.eof_received()

    def pause_writing(self) -> None:
        self._leg.pause_writing()

    def resume_writing(self) -> None:
        self._leg.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        self._give_back()
        if self._task is not None:
            self._task.cancel()
        self._leg.connection_lost(exc)

    async def _ask(self, payload: bytes) -> None:
        decision = Decision()
        try:
            decision = await self._decide(payload)
        finally:
            self._looked_at += 1
            if decision.is_last or self._looked_at >= MAX_MESSAGES:
                self._let_go(decision.changed)
            else:
                self._go_on()

    def _go_on(self) -> None:
        """Hand this message over to the leg, and look at the next one."""
        leg, data, behind = self._leg, *self._message.parts()
        self._task, self._message = None, FirstMessage()
        self._give_back()
        if leg.lost:
            return
        self._resume()  # First, because what follows may fill a buffer and pause it again.
        leg.data_received(data)
        if behind and not leg.lost:
            self.data_received(behind)

    def _end_if_object(self, fault: Fault) -> None:
        if self._message.may_be_object:
            self._give_up(fault)
        else:
            self._let_go(None)

    def _give_up(self, fault: Fault) -> None:
        """End the WebSocket; what was held goes nowhere."""
        if self._step_aside():
            self._leg.give_up(fault)

    def _step_aside(self) -> bool:
        """Have the leg read from now on; whether there is anything to be read."""
        self._stop_timer()
        self._give_back()
        leg, transport = self._leg, self._leg.transport
        if leg.lost:
            return False
        transport.set_protocol(leg)
        self._resume()  # First, because what follows may fill a buffer and pause it again.
        return True

    def _let_go(self, changed: bytes | None) -> None:
        """Hand over to the leg, for good."""
        if not self._step_aside():
            return
        leg, message = self._leg, self._message
        data = message.as_it_came()
        if changed is not None:
            came = len(data)
            data = message.with_payload(changed, os.urandom(4))
            leg.received += came - len(data)
        if data:
            leg.data_received(data)

    def _keep(self) -> bool:
        """Whether there is room for what is held."""
        size = self._leg.relay.ahead = self._message.size
        if self._kept is None:
            if size <= UNCOUNTED:
                return True
            self._kept = self._leg.relay.reserve(Kind.MESSAGE)
        return self._kept.resize(size)

    def _give_back(self) -> None:
        self._leg.relay.ahead = 0
        if self._kept is not None:
            self._kept.release()
            self._kept = None

    def _pause(self) -> None:
        transport = self._leg.transport
        # Where the server is slow, its side has paused it already, and resumes it.
        if transport.is_reading() and not transport.is_closing():
            transport.pause_reading()
            self._paused = True

    def _resume(self) -> None:
        transport = self._leg.transport
        if self._paused and not transport.is_closing():
            transport.resume_reading()
        self._paused = False

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
