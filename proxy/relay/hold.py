"""Holding a response back until it is decided what becomes of it.

A `Hold` stands between the server's connection and an exchange. The responses that it is told to
watch for do not reach the client at once: they are kept until they are whole, and then they are let
go, byte for byte, or dropped. Everything else passes as if there were no hold; so does a response
that turns out to be larger than what may be kept.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto
from typing import Final

from proxy.errors import UpstreamError
from proxy.relay.dispatch import Begin
from proxy.relay.http import Exchange
from proxy.upstream.connection import Connection
from proxy.upstream.response import Head

MAX_HELD: Final = 64 * 1024
"""Bytes of the largest body that is held."""


class _State(Enum):
    PASSING = auto()
    HOLDING = auto()
    HELD = auto()


class Hold:
    """A `Sink` in front of an exchange.

    Attributes:
        head: of the response that is held; None where none is.
    """

    __slots__ = ("_body", "_exchange", "_state", "_wanted", "head")

    def __init__(self, wanted: Callable[[int], bool]) -> None:
        """Wait for a response.

        Args:
            wanted: whether responses of a status are held.
        """
        self._wanted = wanted
        self._exchange: Exchange | None = None
        self._state = _State.PASSING
        self._body = b""
        self.head: Head | None = None

    @property
    def body(self) -> bytes:
        """The body of the response that is held."""
        return self._body

    def in_front_of(self, begin: Begin) -> Begin:
        """Stand in front of whatever exchange is begun, the newest one if there are several."""

        def held(connection: Connection) -> Exchange:
            exchange = self._exchange = begin(connection)
            exchange.sink = self
            self._state = _State.PASSING
            self._body = b""
            self.head = None
            return exchange

        return held

    def let_go(self) -> None:
        """Send what is held, as it came."""
        exchange, head = self._behind, self.head
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

    @property
    def _behind(self) -> Exchange:
        assert self._exchange is not None
        return self._exchange

    # Sink

    def on_informational(self, head: Head) -> None:
        self._behind.on_informational(head)

    def on_head(self, head: Head) -> None:
        if self._wanted(head.status):
            self.head = head
            self._state = _State.HOLDING
        else:
            self._behind.on_head(head)

    def on_body(self, data: bytes) -> None:
        if self._state is _State.PASSING:
            self._behind.on_body(data)
            return
        self._body += data
        if len(self._body) > MAX_HELD:
            self.let_go()

    def on_end(self) -> None:
        if self._state is _State.PASSING:
            self._behind.on_end()
        else:
            self._state = _State.HELD

    def on_fault(self, error: UpstreamError) -> None:
        self._state = _State.PASSING
        self.head = None
        self._behind.on_fault(error)

    def on_flush(self) -> None:
        if self._state is _State.HELD:
            self._behind.settle()
        else:
            self._behind.on_flush()

    def on_writable(self) -> None:
        self._behind.on_writable()
