"""A stage in front of the client's side of a relay, until what its first message is to be is known.

It stands between the transport and the leg, and takes itself away: whoever has no such stage, or
has it behind him, is read by the leg alone.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable

from proxy.memory import UNCOUNTED, Kind, Reservation
from proxy.relay.leg import Leg
from proxy.websocket.first_message import FirstMessage

Decide = Callable[[bytes], Awaitable[bytes | None]]
"""What goes on in place of a message; None for the message as it came. It may have the relay close
meanwhile: then nothing goes on."""


class FirstMessageStage(asyncio.Protocol):
    """Holds the first message of a client, and what comes behind it, until it is decided on.

    A message for which there is no room goes on as it comes.
    """

    def __init__(
        self, leg: Leg, decide: Decide, message_timeout: float, loop: asyncio.AbstractEventLoop
    ) -> None:
        """Construct; it stands in its place from `begin` on.

        Args:
            leg: of the client.
            decide: asked once, and bounded in time by itself.
            message_timeout: seconds for which a message is collected; then it goes on as it comes.
            loop: that of the transport.
        """
        self._leg = leg
        self._decide = decide
        self._message_timeout = message_timeout
        self._loop = loop
        self._message = FirstMessage()
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
        if message.text is not None:
            self._stop_timer()
            self._pause()
            self._task = self._loop.create_task(self._ask(message.text))
        elif message.is_over or not self._keep():
            self._let_go(None)
        elif not message.holds:
            self._stop_timer()
        elif self._timer is None:
            self._timer = self._loop.call_later(self._message_timeout, self._let_go, None)

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

    async def _ask(self, text: bytes) -> None:
        changed = None
        try:
            changed = await self._decide(text)
        finally:
            self._let_go(changed)

    def _let_go(self, changed: bytes | None) -> None:
        """Hand over to the leg, for good."""
        self._stop_timer()
        self._give_back()
        leg, message, transport = self._leg, self._message, self._leg.transport
        if leg.lost:
            return
        transport.set_protocol(leg)
        # First, because what follows may fill a buffer and pause it again.
        if self._paused and not transport.is_closing():
            transport.resume_reading()
        data = message.as_it_came()
        if changed is not None:
            came = len(data)
            data = message.with_text(changed, os.urandom(4))
            leg.received += came - len(data)
        if data:
            leg.data_received(data)

    def _keep(self) -> bool:
        """Whether there is room for what is held."""
        size = self._message.size
        if self._kept is None:
            if size <= UNCOUNTED:
                return True
            self._kept = self._leg.relay.reserve(Kind.MESSAGE)
        return self._kept.resize(size)

    def _give_back(self) -> None:
        if self._kept is not None:
            self._kept.release()

    def _pause(self) -> None:
        transport = self._leg.transport
        # Where the server is slow, its side has paused it already, and resumes it.
        if transport.is_reading() and not transport.is_closing():
            transport.pause_reading()
            self._paused = True

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
