"""One request to the server, and everybody who waits for its answer.

The answer is held until it is whole: then each who waits takes it at a pace of its own. One that is
not for everybody (`proxy.http.sharing`), or too large to be held, or finds no room in memory,
streams to whoever waited first, and all others are told to ask alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from proxy.downstream.connection import ClientConnection, Flow
from proxy.gateway.context import RequestContext
from proxy.gateway.freshness import Asked, Question
from proxy.http.headers import values_of
from proxy.http.sharing import may_be_shared
from proxy.memory import Kind, Reservation, SharedReservation
from proxy.observability.access_log import RequestInfo
from proxy.relay.exchange import Exchange

_PIECE: Final = 64 * 1024
"""Bytes of a held answer that are written before it matters whether the client takes them."""

_INFORMATIONAL: Final = b"HTTP/1.1 1"


class WaitOutcome(Enum):
    """What becomes of a request that waited."""

    SHARED = auto()
    """The answer is there, for everybody; or why there is none."""
    STREAMED = auto()
    """It went to this client alone."""
    ALONE = auto()
    """It is for somebody else: this request is to be sent alone."""


@dataclass(eq=False, slots=True)
class Waiter:
    """A request that waits."""

    context: RequestContext
    outcome: asyncio.Future[WaitOutcome]

    def settle(self, outcome: WaitOutcome) -> None:
        """Say what becomes of it, unless that was said, or its client has gone."""
        if not self.outcome.done():
            self.outcome.set_result(outcome)


class InFlightCall:
    """A request to the server for all who wait; the `Recipient` of its response.

    Attributes:
        key: what is asked.
        route: the name of the route.
        waiters: in the order in which they came.
        sent: whether the server may have begun to answer: who comes now is too late.
        landed: whether nothing more will come.
        persistent: of the client that the answer streams to; while it is held it says nothing of
            any connection.
        info: what is known of the request to the server, once it is made.
        task: what makes it.
        exchange: what carries it.
        error: why there is no answer.
        response: the bytes of the answer, for an HTTP/1.1 connection that goes on.
        question: what its answer may be kept for; None where it is not.
        not_before: when it may be sent, on the clock of freshness.
        asked: when it was.
    """

    def __init__(
        self,
        key: Hashable,
        route: str,
        detach: Callable[[InFlightCall], None],
        *,
        max_size: int,
        has_credentials: bool,
        room: Reservation,
        question: Question | None = None,
    ) -> None:
        """Wait for those who wait.

        Args:
            key: equal for requests that may have the same answer.
            route: the name of the route.
            detach: called when the answer turns out not to be for everybody.
            max_size: bytes of the largest answer that is held, with its head.
            has_credentials: whether the requests say whose they are.
            room: what is reserved for the answer: it counts for who asked first.
            question: see the attribute.
        """
        self.question = question
        self.not_before = 0.0
        self.asked: Asked | None = None
        self.key = key
        self.route = route
        self.waiters: dict[Waiter, None] = {}
        self.sent = False
        self.landed = False
        self.persistent = True
        self.info: RequestInfo | None = None
        self.task: asyncio.Task[None] | None = None
        self.exchange: Exchange | None = None
        self.error: Exception | None = None
        self.response = b""
        self._detach = detach
        self._max_size = max_size
        self._has_credentials = has_credentials
        self._pieces: list[bytes] = []
        self._room = room
        self._hold = SharedReservation(room)
        self._hold.__enter__()
        self._is_forgotten = False
        self._flow: Flow | None = None
        self._alone: ClientConnection | None = None

    def land(self, error: Exception | None) -> None:
        """Tell who waits that the exchange is over.

        Args:
            error: why there was none.
        """
        self.landed = True
        if self._alone is not None:
            self.error = error
            self._settle(WaitOutcome.STREAMED)  # The others have been told.
            return
        if error is None and self.exchange is not None:
            error = self.exchange.error
        self.error = error
        self.response = b"".join(self._pieces)
        self._pieces = []
        self._settle(WaitOutcome.SHARED)

    @property
    def is_whole(self) -> bool:
        """Whether its answer is there, and held."""
        alone, forgotten = self._alone is not None, self._is_forgotten
        return self.landed and self.error is None and not (alone or forgotten)

    def land_with(self, other: InFlightCall) -> None:
        """Give those who wait the answer to another one, which holds for them, too."""
        self.landed = True
        self.info, self.exchange, self.response = other.info, other.exchange, other.response
        # Its bytes are in memory until those who wait for this one have taken them, too.
        self._hold = other._hold
        self._hold.__enter__()
        self._settle(WaitOutcome.SHARED)

    def dismiss(self) -> None:
        """Tell who waits to ask alone."""
        self._settle(WaitOutcome.ALONE)

    def _settle(self, outcome: WaitOutcome) -> None:
        for waiter in self.waiters:
            waiter.settle(outcome)

    def forget(self) -> None:
        """Hold nothing, now and later: nobody is there who would take it."""
        if self._is_forgotten:
            return
        self._is_forgotten = True
        self._pieces = []
        self.response = b""
        self._hold.__exit__()

    # Recipient

    @property
    def flow(self) -> Flow | None:
        """What is told about back-pressure; nothing is, while the answer is held."""
        return self._flow

    @flow.setter
    def flow(self, flow: Flow | None) -> None:
        self._flow = flow
        self.sent = self.sent or flow is not None
        if self._alone is not None:
            self._alone.flow = flow

    def reserve(self, kind: Kind) -> Reservation:
        """Return a reservation of nothing yet, for who asked first."""
        return next(iter(self.waiters)).context.client.reserve(kind)

    def write(self, data: bytes) -> None:
        """Hold a piece of the answer; or send it on, where it is not for everybody."""
        if self._alone is not None:
            self._alone.write(data)
            return
        if self._is_forgotten:
            return
        is_first = not self._pieces
        self._pieces.append(data)
        size = self._room.size + len(data)
        if (
            size > self._max_size
            or (is_first and not self._is_for_all(data))
            or not self._room.resize(size)
        ):
            self._stream()

    def _is_for_all(self, data: bytes) -> bool:
        head = None if self.exchange is None else self.exchange.head
        # A 1xx comes before the final response, or together with it.
        if head is None or data.startswith(_INFORMATIONAL):
            return False
        if any(int(size) > self._max_size for size in values_of(head.fields, b"content-length")):
            return False
        return may_be_shared(head.status, head.fields, has_credentials=self._has_credentials)

    def _stream(self) -> None:
        """Give the answer to the first who waits, and let the others ask alone."""
        self._detach(self)
        self._room.release()
        held, self._pieces = b"".join(self._pieces), []
        first = next((each for each in self.waiters if not each.outcome.done()), None)
        for waiter in self.waiters:
            if waiter is not first:
                waiter.settle(WaitOutcome.ALONE)
        if first is not None:
            self._alone = first.context.client
            self.persistent = first.context.client.persistent  # For a head that is still to come.
            first.context.client.flow = self._flow
            first.context.client.write(_framed(held, first.context.client))


def is_short(response: bytes) -> bool:
    """Whether an answer that was held is written at once, whether or not its client reads."""
    return len(response) <= _PIECE


async def deliver(response: bytes, client: ClientConnection, fields: bytes = b"") -> None:
    """Send an answer that was held, as fast as the client takes it.

    What waits in its write buffer is bounded as for every client. One that has gone cancels this.

    Args:
        response: which several may take at once: it is not copied as a whole, unless it is short.
        client: who gets it.
        fields: further lines of its head.
    """
    head, start = _framed_head(response, client, fields)
    if is_short(response):
        client.write(head + response[start:])
        return
    gate = _Gate()
    client.flow = gate
    try:
        client.write(head)
        for begin in range(start, len(response), _PIECE):
            await gate.wait()
            client.write(response[begin : begin + _PIECE])
    finally:
        client.flow = None


class _Gate(asyncio.Event):
    """Open while a client takes what is written to it; the `Flow` of a held answer."""

    def __init__(self) -> None:
        super().__init__()
        self.set()

    def on_client_full(self) -> None:
        """Close."""
        self.clear()

    def on_client_drained(self) -> None:
        """Open."""
        self.set()


def _framed(response: bytes, client: ClientConnection) -> bytes:
    """Say in the head of a response whether this client's connection ends with it."""
    head, start = _framed_head(response, client)
    return head + response[start:]


def _framed_head(
    response: bytes, client: ClientConnection, fields: bytes = b""
) -> tuple[bytes, int]:
    """The beginning of a response, which says whether this client's connection ends with it.

    Args:
        response: the final one, after any number of 1xx; or those alone.
        client: who gets it.
        fields: further lines of its head.

    Returns:
        The bytes to its status line, with what is added; and where in it the others begin.
    """
    start = 0
    while response.startswith(_INFORMATIONAL, start):
        start = response.index(b"\r\n\r\n", start) + 4
    if start == len(response):
        return response, start
    start = response.index(b"\r\n", start) + 2
    ends = b"" if client.persistent else b"Connection: close\r\n"
    return b"".join((response[:start], fields, ends)), start
