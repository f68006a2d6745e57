"""A response that is held back until it is decided what becomes of it.

An exchange that watches for certain statuses (`Exchange.watched`) has such a response kept here, in
its own place, until it is whole; then it is let go, byte for byte, or dropped. One that turns out
to be larger than what may be kept goes on at once. All others never come here: nearly every request
of a session is watched, and nearly none is refused.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Final, Protocol

from proxy.errors import UpstreamError
from proxy.http.content_coding import plain
from proxy.upstream.response import Head, Sink

MAX_HELD: Final = 64 * 1024
"""Bytes of the largest body that is held."""


class Watcher(Sink, Protocol):
    """The exchange that a response belongs to."""

    def settle(self) -> None:
        """Let whoever waits for the exchange look at what is held."""


class _State(Enum):
    PASSING = auto()
    HOLDING = auto()
    HELD = auto()


class Hold:
    """The `Sink` of one response, in front of an exchange.

    Attributes:
        head: of the response; None once it is not held any more.
    """

    __slots__ = ("_body", "_exchange", "_state", "head")

    def __init__(self, exchange: Watcher, head: Head) -> None:
        """Hold a response from its head on.

        Args:
            exchange: whose response it is.
            head: the head, which the exchange has not dealt with.
        """
        self._exchange = exchange
        self._state = _State.HOLDING
        self._body = b""
        self.head: Head | None = head

    @property
    def body(self) -> bytes:
        """What has come of the body."""
        return self._body

    @property
    def plain_body(self) -> bytes:
        """What it says; nothing where it is coded so that nobody here can read it."""
        return b"" if self.head is None else plain(self._body, self.head.fields, MAX_HELD)

    def let_go(self) -> None:
        """Send what is held, as it came."""
        exchange, head = self._exchange, self.head
        if head is None:
            return
        whole = self._state is _State.HELD
        self._state = _State.PASSING
        self.head = None
        exchange.on_head(head)
        if self._body:
            exchange.on_body(self._body)
            self._body = b""
        if whole:
            exchange.on_end()
            exchange.on_flush()

    # Sink

    def on_informational(self, head: Head) -> None:
        """None comes behind a final head."""

    def on_head(self, head: Head) -> None:
        """There is one head only, and it is here."""

    def on_body(self, data: bytes) -> None:
        if self._state is _State.PASSING:
            self._exchange.on_body(data)
            return
        self._body += data
        if len(self._body) > MAX_HELD:
            self.let_go()

    def on_end(self) -> None:
        if self._state is _State.PASSING:
            self._exchange.on_end()
        else:
            self._state = _State.HELD

    def on_fault(self, error: UpstreamError) -> None:
        self._state = _State.PASSING
        self.head = None
        self._exchange.on_fault(error)

    def on_flush(self) -> None:
        if self._state is _State.HELD:
            self._exchange.settle()
        else:
            self._exchange.on_flush()

    def on_writable(self) -> None:
        self._exchange.on_writable()
