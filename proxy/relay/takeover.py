"""The one place that knows aiohttp's insides: the client's side of every connection.

aiohttp accepts connections and parses requests. What its low-level server does that a proxy must
not do is changed here, each with a test at the byte level that fails when an upgrade of aiohttp
breaks the assumption:

- It inflates compressed bodies (`auto_decompress`), drops all limits when a keyword is misspelt
  (`Server.__call__`), and prints the offending line of a malformed request in page and log
  (`handle_error`): `start` and `__call__` are Segue's own.
- It has no limit of time for a request that drips, and drops the response of a client that
  half-closes its connection.
- The last trailer of a chunked request becomes the first field of the next request, and what comes
  behind a request to upgrade is not parsed: such a request is the last of its connection (`start`).
- A body whose chunks turn out to be broken just never ends (`data_received`).
- A connection that became a WebSocket is not its own any more: `take_transport`.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import Final, Protocol, cast

from aiohttp import StreamReader
from aiohttp.http_exceptions import LineTooLong
from aiohttp.http_parser import RawRequestMessage
from aiohttp.web import BaseRequest, RequestHandler, Server, StreamResponse
from aiohttp.web_protocol import RequestPayloadError, _ErrInfo

from proxy.errors import ClientError, HeadersTooLarge, RequestTimeout, SegueError, Unavailable
from proxy.headers import shape_of
from proxy.relay.limits import Limits

NEVER: Final = float("inf")

_LINGER: Final = 2.0
"""Seconds for which a connection that is given up still reads, so that the answer arrives.

Closing a socket with unread bytes makes TCP reset it, and the client may lose what was sent
(RFC 9112 section 9.6)."""

_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)
"""The value of SO_LINGER that makes closing a socket reset the connection."""


class Request:
    """A request as it was received.

    Attributes:
        method: in upper case.
        target: the request target, byte for byte.
        version: (1, 0) or (1, 1), or whatever else the parser let through.
        fields: names and values in bytes, in their order and spelling.
        shape: what the names of the fields say.
        payload: the body, without its framing, inflated by nobody.
        chunked: whether the body came in chunks.
        body: the whole body, where it was read and taken out of `payload`.
    """

    __slots__ = ("body", "chunked", "fields", "method", "payload", "shape", "target", "version")

    def __init__(self, message: RawRequestMessage, payload: StreamReader) -> None:
        self.method = message.method
        self.target = message.path.encode("utf-8", "surrogateescape")
        self.version = (message.version.major, message.version.minor)
        self.fields = message.raw_headers
        self.shape = shape_of(self.fields)
        self.payload = payload
        self.body: bytes | None = None
        self.chunked = bool(message.chunked)


class Flow(Protocol):
    """What wants to know whether the client takes what is written to it."""

    def on_client_full(self) -> None:
        """The write buffer is above its high-water mark."""

    def on_client_drained(self) -> None:
        """The write buffer is below its low-water mark again."""


Serve = Callable[["ClientConnection", Request], Awaitable[None]]
Refuse = Callable[["ClientConnection", SegueError], None]


class ClientConnection(RequestHandler):
    """One client connection while it speaks HTTP.

    Attributes:
        persistent: whether another request may follow the current one.
        flow: told about back-pressure while a response is sent.
        deadline: the loop's time at which the next request must have arrived.
    """

    __slots__ = (
        "_discarding",
        "_half_closed",
        "_listener",
        "_partial",
        "_payload",
        "deadline",
        "flow",
        "persistent",
    )

    def __init__(self, listener: Listener, loop: asyncio.AbstractEventLoop) -> None:
        limits = listener.limits
        super().__init__(
            listener,
            loop=loop,
            keepalive_timeout=0,  # Segue's own clock, which also covers the drip.
            access_log=None,  # type: ignore[arg-type]  # None is what turns it off.
            max_line_size=limits.header_line,
            max_field_size=limits.header_line,
            max_headers=limits.headers,
            auto_decompress=False,
        )
        self._listener = listener
        self._discarding = False
        self._half_closed = False
        self._partial = False
        self._payload: StreamReader | None = None
        self.persistent = True
        self.flow: Flow | None = None
        self.deadline = NEVER

    @property
    def is_busy(self) -> bool:
        """Whether a request is being served."""
        return self._payload is not None

    def write(self, data: bytes) -> None:
        """Send bytes to the client, unless it is gone."""
        transport = self.transport
        if transport is not None and not transport.is_closing():
            transport.write(data)

    def abort(self) -> None:
        """Break the connection off, so that nobody takes what was sent for complete.

        With a reset: an orderly end is how a response without a length ends.
        """
        self.persistent = False
        transport = self.transport
        if transport is None:
            return
        sock = transport.get_extra_info("socket")
        if sock is not None and not transport.is_closing():
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        transport.abort()

    def stop(self) -> None:
        """Serve the request in progress and no other."""
        self.persistent = False
        if not self.is_busy and not self._messages:
            self._finish()

    def check(self, now: float) -> None:
        """Close the connection if its time is up."""
        if now <= self.deadline:
            return
        self.deadline = NEVER
        if self._partial and not self._discarding:
            self._listener.refuse(self, RequestTimeout("the head of the request took too long"))
            self._discard()
        elif self.transport is not None and (self.writing_paused or self.transport.is_closing()):
            self.abort()
        else:
            self._finish()

    def take_transport(self, protocol: asyncio.Protocol) -> tuple[asyncio.Transport, bytes]:
        """Hand the transport to another protocol, for good.

        Returns the transport and the bytes that came behind the upgrade request. From here on the
        handler believes that the connection is lost, so that neither the end of its task nor the
        server's shutdown closes a socket that is no longer its own.
        """
        transport = self.transport
        assert transport is not None
        transport.set_protocol(protocol)
        tail, self._message_tail = self._message_tail, b""
        self.transport = None
        self.flow = None
        self._task_handler = None  # Otherwise `connection_lost` would cancel the calling task.
        super().connection_lost(None)
        return transport, tail

    # What aiohttp calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        limits = self._listener.limits
        cast(asyncio.WriteTransport, transport).set_write_buffer_limits(high=limits.write_buffer)
        self.deadline = self._loop.time() + limits.header_timeout
        # What aiohttp does, but for options of the socket: loops turn Nagle's algorithm off, and
        # `Server` has keep-alive set on the socket that listens. Each is three system calls.
        self.transport = cast(asyncio.Transport, transport)
        self._listener.connection_made(self, self.transport)
        self._task_handler = self._loop.create_task(self.start())
        if self._listener.open > limits.connections:
            self._listener.refuse(self, Unavailable("too many connections"))
            self._discard()

    def data_received(self, data: bytes) -> None:
        if self._discarding:
            return
        super().data_received(data)
        if self._messages and isinstance(self._messages[-1][0], _ErrInfo):
            self._break_body()
        # Empty lines in front of a request are none of it (RFC 9112 section 2.2).
        idle = self._waiter is not None and not self._waiter.done() and not self._partial
        if idle and data.strip(b"\r\n"):
            self._partial = True
            self.deadline = self._loop.time() + self._listener.limits.header_timeout

    def eof_received(self) -> bool | None:  # type: ignore[override]  # asyncio takes a bool here.
        """Keep the connection for the response where the client has only finished sending."""
        transport = self.transport
        payload = self._messages[-1][1] if self._messages else self._payload
        if self._discarding or payload is None or not payload.is_eof() or transport is None:
            return None
        self._half_closed = True
        if not self._messages:
            self.persistent = False
        return transport.get_extra_info("sslcontext") is None  # TLS has no half-close.

    def pause_writing(self) -> None:
        super().pause_writing()
        if not self._discarding:
            self.deadline = self._loop.time() + self._listener.limits.keepalive_timeout
        if self.flow is not None:
            self.flow.on_client_full()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self.is_busy:
            self.deadline = NEVER
        if self.flow is not None:
            self.flow.on_client_drained()

    async def start(self) -> None:
        """Serve the requests of the connection, one after the other, until it ends."""
        listener = self._listener
        orderly = True
        while not self._force_close:
            if not self._messages:
                if not self.persistent or self._discarding:
                    break
                self._waiter = self._loop.create_future()
                try:
                    await self._waiter
                finally:
                    self._waiter = None
            message, payload = self._messages.popleft()
            self._make_room()
            if not self.writing_paused:
                self.deadline = NEVER
            self._partial = False
            if isinstance(message, _ErrInfo):
                listener.refuse(self, _refusal(message.exc))
                orderly = False
                break
            self._payload = payload
            self.persistent = not (
                message.should_close
                or message.chunked
                or message.upgrade
                or listener.draining
                or (self._half_closed and not self._messages)
            )
            try:
                await listener.serve(self, Request(message, payload))
            finally:
                self._payload = None
            if not (self.persistent and payload.is_eof()):
                orderly = payload.is_eof() and (message.should_close or self._half_closed)
                break
            await self._drain_helper()  # A client that pipelines and does not read waits here.
            self.deadline = self._loop.time() + listener.limits.keepalive_timeout
        if self._force_close or self.transport is None:
            return
        if orderly and not self._discarding:
            self._finish()
        else:
            self._discard()

    def _make_room(self) -> None:
        """Tell the parser that a pipelined request was taken; read on where it had stopped."""
        if self._parser is not None:
            self._parser.message_consumed()
        if self._buffer_paused and len(self._messages) <= self._msg_queue_resume_size:
            self._resume_reading_if_drained()

    def _break_body(self) -> None:
        """Tell whoever reads the newest body that the rest of it cannot be parsed."""
        payload = self._payload
        for message, queued in self._messages:
            if not isinstance(message, _ErrInfo):
                payload = queued
        if payload is not None and not payload.is_eof() and payload.exception() is None:
            payload.set_exception(RequestPayloadError())

    def _finish(self) -> None:
        """Close when all is sent; a client that does not take it is cut off by `check`."""
        if self.transport is not None:
            self.deadline = self._loop.time() + self._listener.limits.keepalive_timeout
            self.transport.close()

    def _discard(self) -> None:
        """Send no more, and read for a moment what is still on its way."""
        transport = self.transport
        self._discarding = True
        if transport is None or transport.is_closing():
            return
        self.deadline = self._loop.time() + _LINGER
        if transport.can_write_eof():
            transport.write_eof()
        if not transport.is_reading():
            transport.resume_reading()


class Listener(Server):
    """aiohttp's low-level server with Segue's connections.

    Attributes:
        serve: answers one request.
        refuse: answers what is not a request.
        elsewhere: how many connections were taken over and are still open.
        draining: whether every connection ends with its current request.
    """

    def __init__(
        self,
        serve: Serve,
        refuse: Refuse,
        limits: Limits,
        elsewhere: Callable[[], int],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        super().__init__(_unused, handler_cancellation=True, loop=loop)
        self.serve = serve
        self.refuse = refuse
        self.limits = limits
        self.elsewhere = elsewhere
        self.draining = False
        self._empty = asyncio.Event()

    def __call__(self) -> ClientConnection:
        """Return the protocol of a new connection; a wrong argument is an error, not a default."""
        return ClientConnection(self, self._loop)

    @property
    def open(self) -> int:
        """How many client connections are open, those that were taken over included."""
        return len(self._connections) + self.elsewhere()

    def check(self, now: float) -> None:
        """Close the connections whose time is up; called about once a second."""
        for connection in self.connections:
            cast(ClientConnection, connection).check(now)

    def connection_lost(
        self,
        handler: RequestHandler,
        exc: BaseException | None = None,  # noqa: ARG002 (aiohttp's signature)
    ) -> None:
        """Forget a connection that has ended or was taken over."""
        self._connections.pop(handler, None)
        if not self._connections:
            self._empty.set()

    async def drain(self, timeout: float) -> bool:
        """Let the requests in progress finish. Returns whether all did within the time."""
        self.draining = True
        for connection in self.connections:
            cast(ClientConnection, connection).stop()
        try:
            async with asyncio.timeout(timeout):
                while self._connections:
                    self._empty.clear()
                    await self._empty.wait()
        except TimeoutError:
            for connection in self.connections:
                cast(ClientConnection, connection).abort()
            return False
        return True


async def _unused(_: BaseRequest) -> StreamResponse:
    raise RuntimeError("requests are served by ClientConnection.start")


def _refusal(error: BaseException) -> ClientError:
    """Translate a parser's error; its text, which quotes the request, goes nowhere."""
    if isinstance(error, LineTooLong):
        return HeadersTooLarge("a line of the head is too long")
    return ClientError("the request is not valid HTTP/1.1")
