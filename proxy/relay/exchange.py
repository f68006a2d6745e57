"""One HTTP exchange: the request streams to the server, the response streams to the client.

The response never passes through a task: the server's bytes are parsed in the read callback and
written to the client's transport there, one write for each chunk that arrived. The request's body
goes on in one write with the head where it has arrived whole, otherwise in a task of its own.
Back-pressure: a client that does not read stops the reading from the server, a server that does
not read stops the pump of the body, which stops the reading from the client.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from time import perf_counter
from typing import NamedTuple, Protocol

from proxy.downstream.connection import Flow
from proxy.downstream.request import Request
from proxy.errors import (
    ClientError,
    ContentTooLarge,
    MemoryFull,
    RequestTimeout,
    SegueError,
    UpstreamError,
)
from proxy.http.headers import Fields, RawFields, end_to_end, serialize, tokens
from proxy.memory import Kind, Reservation
from proxy.relay.hold import Hold
from proxy.upstream.connection import Connection
from proxy.upstream.response import Head

Amend = Callable[[int, Fields], Fields]
"""Given the status of a final response and its fields, returns the fields to send."""


class Recipient(Protocol):
    """Whoever a response is for: a client's connection, or what stands for several.

    Attributes:
        persistent: whether another request may follow; the response says so.
        flow: told about back-pressure; set in the moment in which the request is sent.
    """

    persistent: bool
    flow: Flow | None

    def write(self, data: bytes) -> None:
        """Send bytes of the response."""

    def reserve(self, kind: Kind) -> Reservation:
        """Return a reservation of nothing yet, for the client."""


class ExchangeEnds(NamedTuple):
    """What an exchange is between, and by what it goes.

    Attributes:
        client: whoever the response is for.
        request: whose body goes to the server.
        connection: to the server.
        body_timeout: seconds until the next piece of the request's body must have come.
        loop: in which all of it is.
        amend: what is changed in the fields of the response; None for nothing.
    """

    client: Recipient
    request: Request
    connection: Connection
    body_timeout: float
    loop: asyncio.AbstractEventLoop
    amend: Amend | None = None


class Exchange:
    """One request and its response; the `Sink` of the server's connection.

    Attributes:
        head: the head of the response, once it has arrived.
        error: why there is no response, or no whole one.
        head_sent: whether the client has seen a part of the response.
        complete: whether the client was sent the whole response.
        request_size, response_size: bytes of the bodies that were passed on.
        watched: the statuses of responses that are held back instead of going on.
        held: the response that is; None where none is.
        waited: seconds from handing the server the request to the last byte of its response.
    """

    __slots__ = (
        "_amend",
        "_body_clock",
        "_body_timeout",
        "_chunking",
        "_client",
        "_connection",
        "_done",
        "_head_ready",
        "_may_switch",
        "_out",
        "_request",
        "_sent",
        "_unsent",
        "_writable",
        "complete",
        "error",
        "head",
        "head_sent",
        "held",
        "request_size",
        "response_size",
        "waited",
        "watched",
    )

    def __init__(self, ends: ExchangeEnds, *, may_switch: bool = False) -> None:
        client, request, connection, body_timeout, loop, amend = ends
        self._client = client
        self._request = request
        self._connection = connection
        self._amend = amend
        self._body_timeout = body_timeout
        self._body_clock: asyncio.Timeout | None = None
        self._may_switch = may_switch
        self._done: asyncio.Future[None] = loop.create_future()
        self._writable: asyncio.Future[None] | None = None
        self._out: list[bytes] = []
        self._chunking = False
        self._head_ready = False
        # Only whoever wrote the end of the request sets it: a pump that is over may have failed.
        self._sent = False
        self._unsent: Reservation | None = None
        self.head: Head | None = None
        self.error: SegueError | None = None
        self.head_sent = False
        self.complete = False
        self.request_size = 0
        self.response_size = 0
        self.watched: Collection[int] = ()
        self.held: Hold | None = None
        self.waited = 0.0

    @property
    def unanswered(self) -> bool:
        """Whether not a byte of an answer has come."""
        return not self._connection.answered

    @property
    def switched(self) -> bool:
        """Whether the server agreed to change protocols."""
        return self.head is not None and self.head.status == 101

    async def run(self, head: bytes) -> None:
        """Send the request and wait for the end of the response.

        On return the connection to the server is released or dropped, except after a 101, which
        leaves it to whoever takes its transport. What went wrong is in `error`.

        Args:
            head: the head of the request as the server is to see it.
        """
        connection, request = self._connection, self._request
        connection.begin(self, is_head=request.method == "HEAD")
        self._client.flow = self
        pump: asyncio.Task[None] | None = None
        finished = False
        begun = perf_counter()
        try:
            if request.payload.is_eof():
                self._send_whole(head)
            else:
                connection.transport.write(head)
                pump = asyncio.create_task(self._pump())
            del head  # It may be long until the answer comes.
            await self._done
            finished = True
        finally:
            self.waited = (connection.ended or perf_counter()) - begun
            self._client.flow = None
            self._taken()
            if pump is not None and not pump.done():
                pump.cancel()
            # The next request on a connection that waits for the rest of this one would be read as
            # a part of it.
            if not (finished and self.error is None and self._sent):
                connection.abort()
            elif not self.switched:
                connection.release()

    def _send_whole(self, head: bytes) -> None:
        """Send a request whose body has arrived, in one write."""
        connection, request = self._connection, self._request
        body = request.payload.read_nowait() if request.body is None else request.body
        try:
            request.check_size(len(body))
        except ContentTooLarge as error:
            self._fail(error)
            return
        self.request_size = len(body)
        if request.chunked:
            body = b"%x\r\n%b\r\n%b" % (len(body), body, _LAST_CHUNK) if body else _LAST_CHUNK
        if len(body) > _LARGE:
            connection.transport.writelines((head, body))
            if request.held is None and not (connection.writable or self._keep_unsent()):
                self._fail(_not_taken())
                return
        else:
            connection.transport.write(head + body)
        self._sent = True
        connection.expect_answer()

    async def _pump(self) -> None:
        """Send the body of the request as it arrives."""
        connection, request = self._connection, self._request
        chunked = request.chunked
        try:
            data = await self._first_piece()
            while data:
                request.check_size(self.request_size + len(data))
                self.request_size += len(data)
                connection.transport.write(b"%x\r\n%b\r\n" % (len(data), data) if chunked else data)
                if not connection.writable:
                    if not self._keep_unsent():
                        self._fail(_not_taken())
                        return
                    connection.expect_answer()
                    self._writable = asyncio.get_running_loop().create_future()
                    await self._writable
                    self._taken()
                    connection.stop_clock()
                data = await self._next_piece()
        except TimeoutError:
            self._fail(RequestTimeout("the body of the request took too long"))
        except (ContentTooLarge, MemoryFull) as error:
            self._fail(error)
        except asyncio.CancelledError:
            raise
        except Exception:  # noqa: BLE001 (whatever the parser found wrong with the body)
            self._fail(ClientError("the body of the request is not valid HTTP/1.1"))
        else:
            if chunked:
                connection.transport.write(_LAST_CHUNK)
            self._sent = True
            connection.expect_answer()

    async def _first_piece(self) -> bytes:
        """Wait for the beginning of the body.

        A client may send it only when the server says that it wants it (RFC 9110 section 10.1.1).
        Until then it is the server's turn; `on_informational` starts the client's clock.
        """
        if not _waits_for_continue(self._request):
            return await self._next_piece()
        self._connection.expect_answer()
        async with asyncio.timeout(None) as self._body_clock:
            data = await self._request.payload.readany()
        self._body_clock = None
        self._connection.stop_clock()
        self._request.on_read()
        return data

    async def _next_piece(self) -> bytes:
        async with asyncio.timeout(self._body_timeout):
            data = await self._request.payload.readany()
        self._request.on_read()
        return data

    def _keep_unsent(self) -> bool:
        """Reserve what waits until the server takes it; whether there is room."""
        if self._unsent is None:
            self._unsent = self._client.reserve(Kind.UNSENT)
        return self._unsent.resize(self._connection.transport.get_write_buffer_size())

    def _taken(self) -> None:
        """The server has taken most of what waited."""
        if self._unsent is not None:
            self._unsent.release()

    def _fail(self, error: SegueError) -> None:
        if not self._done.done():
            self.error = error
            self._done.set_result(None)

    def holds(self, head: Head) -> bool:
        """Hold a response back from here on; False where that was ended."""
        if self.held is not None:
            return False
        self.held = Hold(self, head)
        self._connection.hand_over(self.held)
        return True

    def settle(self) -> None:
        """Let `run` return."""
        if not self._done.done():
            self._done.set_result(None)

    # Sink

    def on_informational(self, head: Head) -> None:
        """Pass a 1xx on; HTTP/1.0 does not know them (RFC 9110 section 15.2)."""
        if self._request.version >= (1, 1):
            fields = end_to_end(head.fields, _OF_A_BODY)
            self._out.append(_serialize(head.status, head.reason, fields))
        if head.status == 100 and self._body_clock is not None:
            self._body_clock.reschedule(asyncio.get_running_loop().time() + self._body_timeout)
            self._connection.stop_clock()

    def on_head(self, head: Head) -> None:
        """Send the head, framed for this client."""
        if head.status in self.watched and self.holds(head):
            return
        self.head = head
        if head.status == 101:
            if not self._may_switch:
                raise UpstreamError("the server switched protocols without being asked")
            return
        client, request = self._client, self._request
        fields = end_to_end(head.fields, _OF_A_BODY if head.status == 204 else frozenset())
        if head.status == 426:
            # It says to what (RFC 9110 section 15.5.22).
            told = [field for field in head.fields if field[0].lower() == b"upgrade"]
            fields += [*told, (b"Connection", b"Upgrade")] if told else []
        if self._amend is not None:
            fields = self._amend(head.status, fields)
        if not request.payload.is_eof():
            client.persistent = False  # The rest of the body may never come.
        if (head.chunked or head.until_close) and not head.bodiless:
            if request.version >= (1, 1):
                self._chunking = True
                fields.append((b"Transfer-Encoding", b"chunked"))
            else:
                client.persistent = False
        if not client.persistent:
            fields.append((b"Connection", b"close"))
        elif request.version < (1, 1):
            fields.append((b"Connection", b"keep-alive"))
        self._out.append(_serialize(head.status, head.reason, fields))
        self._head_ready = True

    def on_body(self, data: bytes) -> None:
        """Send a piece of the body."""
        self.response_size += len(data)
        if self._chunking:
            self._out += (b"%x\r\n" % len(data), data, b"\r\n")
        else:
            self._out.append(data)

    def on_end(self) -> None:
        """Send the end of the body."""
        if self._chunking:
            self._out.append(_LAST_CHUNK)
        self.complete = not self.switched

    def on_flush(self) -> None:
        """Write what has come together."""
        out = self._out
        if out:
            self._client.write(out[0] if len(out) == 1 else b"".join(out))
            self._out = []
            self.head_sent = self._head_ready
        if self.complete or self.switched:
            self.settle()

    def on_fault(self, error: UpstreamError) -> None:
        """The server failed; a client that saw the head sees how far the response came."""
        if self._out and self.head_sent:
            self._client.write(b"".join(self._out))
        elif self._out:
            self.response_size = 0  # Nothing was sent: an error can still take its place.
        self._out = []
        self._fail(error)

    def on_writable(self) -> None:
        """The server takes more of the body."""
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)

    # Flow

    def on_client_full(self) -> None:
        """Stop reading from the server."""
        if not (self.complete or self.error):
            self._connection.pause_reading()

    def on_client_drained(self) -> None:
        """Read on from the server."""
        if not (self.complete or self.error):
            self._connection.resume_reading()


_LAST_CHUNK = b"0\r\n\r\n"

_LARGE = 64 * 1024
"""Bytes of a body that is not copied to be sent in one piece with the head."""

_OF_A_BODY = frozenset({b"content-length"})
"""Not in a 1xx or 204 (RFC 9110 section 8.6): a client that believes it waits for a body."""


def _not_taken() -> MemoryFull:
    return MemoryFull("the server is slow to take the body; try again later")


def _waits_for_continue(request: Request) -> bool:
    """Whether the client sends its body only when it is told to, or has waited long enough."""
    expected = request.shape.values(request.fields, b"expect")
    return request.version >= (1, 1) and b"100-continue" in tokens(expected)


def _serialize(status: int, reason: bytes, fields: RawFields) -> bytes:
    try:
        return serialize(b"HTTP/1.1 %d %b" % (status, reason), fields)
    except ValueError:
        raise UpstreamError("a field of the server's response carries a line break") from None
