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
- It bounds the lines of a head and their number, not their sum, and no chunk extension; its parser
  in Python takes heads and chunk sizes that the one in C refuses (`data_received`).
- It forgets the requests that came in one piece with what is none (`_whole_before`).
- It refuses white space beside the signs in extensions of chunks (`_take`).
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
from aiohttp.http_parser import HttpRequestParser, RawRequestMessage
from aiohttp.streams import EMPTY_PAYLOAD
from aiohttp.web import RequestHandler, Server
from aiohttp.web_protocol import MAX_MSG_QUEUE_SIZE, RequestPayloadError, _ErrInfo

from proxy.backlog import Backlog
from proxy.downstream.held import HeldByConnection
from proxy.downstream.intake import (
    IS_PYTHON,
    Intake,
    Recent,
    check_chunk,
    check_first,
    check_protocol,
    refusal,
)
from proxy.downstream.limits import ClientLimits, client_bucket
from proxy.downstream.request import Request
from proxy.errors import ClientError, HeadersTooLarge, MemoryFull, RequestTimeout, SegueError
from proxy.http.chunk_extensions import ChunkExtensions, cut_behind_head
from proxy.memory import UNCOUNTED, Kind, MemoryBudget, Reservation

NEVER: Final = float("inf")

_LINGER: Final = 2.0
"""Seconds for which a connection that is given up still reads, so that the answer arrives: counted
from when all of it has been handed to the kernel.

Closing a socket with unread bytes makes TCP reset it, and the client may lose what was sent
(RFC 9112 section 9.6)."""

_LARGE: Final = 4096
"""Bytes in one piece from which on it is looked what of them waits to be read."""

_PER_REQUEST: Final = 2048
"""Bytes that a request takes which waits for those before it."""

_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)
"""The value of SO_LINGER that makes closing a socket reset the connection."""


def _head_size(message: RawRequestMessage | _ErrInfo) -> int:
    """The bytes of a head that waits; 0 for what is no request."""
    if isinstance(message, _ErrInfo):
        return 0
    return len(message.path) + sum([len(name) + len(value) for name, value in message.raw_headers])


class Flow(Protocol):
    """What wants to know whether the client takes what is written to it."""

    def on_client_full(self) -> None:
        """The write buffer is above its high-water mark."""

    def on_client_drained(self) -> None:
        """The write buffer is below its low-water mark again."""


Serve = Callable[["ClientConnection", Request], Awaitable[None]]
Refuse = Callable[["ClientConnection", SegueError], None]


class Acceptor(Protocol):
    """Whoever accepted a connection; aiohttp wants it to be its `Server`.

    Attributes:
        limits: of new connections.
        draining: whether every connection ends with its current request.
        on_limit: told the name of a limit that was reached without an error, and the address of the
            client.
        memory: what may be held for clients.
    """

    limits: ClientLimits
    draining: bool
    on_limit: Callable[[str, str], None]
    memory: MemoryBudget

    @property
    def serve(self) -> Serve:
        """Answers one request."""

    @property
    def refuse(self) -> Refuse:
        """Answers what is not a request."""

    def connection_made(self, handler: RequestHandler, transport: asyncio.Transport) -> None:
        """A connection is open."""

    def refusal_of(self, connection: ClientConnection) -> SegueError | None:
        """Why a connection that has just been made is one too many; None where it is not."""


class ClientConnection(RequestHandler):
    """One client connection while it speaks HTTP.

    Attributes:
        persistent: whether another request may follow the current one.
        flow: told about back-pressure while a response is sent.
        deadline: the loop's time at which the next request must have arrived.
        address: of the client, as its socket gives it; empty where it has none.
        bucket: for whom the connection counts (`client_bucket`).
        file: the number of its open file: the lowest that was free when it was made.
        held: what of it is held.
        cut: why Segue breaks it off: it stops and the time for a drain is over, or too much waits
            to be sent. None where it does not.
    """

    __slots__ = (
        "_ahead",
        "_backlog",
        "_broken",
        "_chunks",
        "_discarding",
        "_half_closed",
        "_has_large_head",
        "_intake",
        "_listener",
        "_partial",
        "_payload",
        "_recent",
        "address",
        "bucket",
        "cut",
        "deadline",
        "file",
        "flow",
        "held",
        "persistent",
    )

    def __init__(self, listener: Acceptor, loop: asyncio.AbstractEventLoop) -> None:
        limits = listener.limits
        super().__init__(
            cast(Server, listener),
            loop=loop,
            keepalive_timeout=0,  # Segue's own clock, which also covers the drip.
            access_log=None,  # type: ignore[arg-type]  # None is what turns it off.
            max_line_size=limits.header_line,
            max_field_size=limits.header_line,
            # The parser in Python counts the request line and the empty line too.
            max_headers=limits.headers + 2,
            auto_decompress=False,
        )
        self._listener = listener
        # Has followed what stands behind a head in one piece with it, if those are chunks.
        self._ahead: ChunkExtensions | None = None
        self._backlog = Backlog()
        self._broken = False
        self._chunks: ChunkExtensions | None = None
        self._discarding = False
        self._half_closed = False
        # Whether the parser has copies of one.
        self._has_large_head = False
        self._intake = Intake()
        self._recent = Recent()
        self._partial = False
        self._payload: StreamReader | None = None
        self.persistent = True
        self.flow: Flow | None = None
        self.deadline = NEVER
        self.address = ""
        self.bucket = ""
        self.file = -1
        self.held = HeldByConnection(listener.memory, "")
        self.cut: SegueError | None = None

    @property
    def is_busy(self) -> bool:
        """Whether a request is being served."""
        return self._payload is not None

    @property
    def has_finished(self) -> bool:
        """Whether the client sends nothing more: it waits for the response, or has gone."""
        return self._half_closed

    def reserve(self, kind: Kind) -> Reservation:
        """Return a reservation of nothing yet, for the client."""
        return self.held.reserve(kind)

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
        """Close the connection if its time is up, and its client takes nothing of what is sent."""
        if now <= self.deadline:
            return
        if self._takes_some():
            self.deadline = now + self._listener.limits.keepalive_timeout
            return
        self.deadline = NEVER
        if self._partial and not self._discarding:
            self._listener.refuse(self, RequestTimeout("the head of the request took too long"))
            self._discard()
            return
        if not self._discarding:
            self._listener.on_limit("keepalive", self.address)
        if self.transport is not None and (self.writing_paused or self.transport.is_closing()):
            self.abort()
        else:
            self._finish()

    def _takes_some(self) -> bool:
        """Whether the client has taken some of what waits for it, since the last call."""
        transport = self.transport
        if transport is None or not (self.writing_paused or transport.is_closing()):
            return False
        return self._backlog.shrinks(transport)

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
        self.held.give_back()
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
        peer = transport.get_extra_info("peername")
        self.address = str(peer[0]) if isinstance(peer, tuple) else ""
        self.bucket = self.held.holder = client_bucket(self.address)
        sock = transport.get_extra_info("socket")
        self.file = -1 if sock is None else sock.fileno()
        self._listener.connection_made(self, self.transport)
        self._task_handler = self._loop.create_task(self.start())
        refusal = self._listener.refusal_of(self)
        if refusal is not None:
            self._listener.refuse(self, refusal)
            self._discard()
            if self.file >= limits.last_file:
                self.abort()  # To linger until the answer has arrived would take the last ones.

    def data_received(self, data: bytes) -> None:
        if self._discarding:
            return
        payload = self._newest_payload()
        if payload is None and not self._upgraded:
            self._ahead = None
            cut = cut_behind_head(self._recent.edge, data)
            if cut and self._recent.ends_with_head(data[:cut]):
                ahead, rest = ChunkExtensions(), data[cut:]
                if ahead.strip(rest) is rest:
                    self._ahead = ahead
                else:  # Whether these are chunks, the parser has to say first.
                    self._take(data[:cut], None)
                    payload = self._newest_payload()
                    self._take(rest, payload)
                    self._forget_broken(payload)
                    return
        self._take(data, payload)

    def _take(self, data: bytes, payload: StreamReader | None) -> None:
        """Have a piece parsed, which begins in that body, or else in a head."""
        if self._broken:
            return
        # An empty piece has the parser go on with what it holds back.
        if data and payload is not None and self._chunks is not None:
            data = self._chunks.strip(data)
            self._intake.take_out(self._chunks.removed)
            if not data:
                return
        waiting = len(self._messages)
        before = 0 if payload is None else payload.total_bytes
        try:
            if IS_PYTHON and payload is None and self._recent.at_start and not self._upgraded:
                check_first(data)
            super().data_received(data)
            self._count(data, waiting, payload, before)
            self._keep(data)
        except ClientError as error:
            self._break(error)
        except MemoryFull as error:
            if self._has_large_head:
                # At once: many may come before the first of them has its turn.
                self._drop_newest(len(self._messages) - waiting)
            self._break(error)
        # Empty lines in front of a request are none of it (RFC 9112 section 2.2).
        idle = self._waiter is not None and not self._waiter.done() and not self._partial
        if idle and data.strip(b"\r\n"):
            self._partial = True
            self.deadline = self._loop.time() + self._listener.limits.header_timeout

    def _keep(self, data: bytes) -> None:
        """Reserve what has come and waits to be read, where that may be much.

        Raises:
            MemoryFull: there is no room for it.
        """
        waiting = len(self._messages)
        unread = self._newest_payload() is not None or self._intake.pending > UNCOUNTED
        is_large = len(data) > _LARGE or self._has_large_head
        if not (unread or self._message_tail or waiting > 1 or is_large):
            return
        if not self.held.receive(self._unread()):
            raise MemoryFull("what clients send is held up to `limits.memory`; try again later")

    def _drop_newest(self, count: int) -> None:
        """Throw so many requests away that have just come: one refusal stands for them."""
        for _ in range(count):
            message, payload = self._messages.pop()
            if not isinstance(message, _ErrInfo):
                self._forget(payload)

    def _note_read(self) -> None:
        """Something that came was read."""
        self.held.left(self._unread())

    def _unread(self) -> int:
        """The bytes that came, and nobody has read."""
        waiting = self._messages
        payloads = [payload for _, payload in waiting]
        if self._payload is not None:
            payloads.append(self._payload)
        size = sum([each._size for each in payloads if each is not EMPTY_PAYLOAD])  # noqa: SLF001
        size += len(self._message_tail)
        if self._has_large_head:
            size += sum([2 * _head_size(each) for each, _ in waiting])
        # The parser keeps a copy of a head.
        return size + 2 * self._intake.pending + _PER_REQUEST * max(len(waiting) - 1, 0)

    def _forget_broken(self, payload: StreamReader | None) -> None:
        """Forget a request whose body is broken in the piece in which its head ended."""
        if self._broken and len(self._messages) > 1 and self._messages[-2][1] is payload:
            del self._messages[-2]

    def _newest_payload(self) -> StreamReader | None:
        """The body that is arriving; None where it is the turn of a head."""
        payload = self._messages[-1][1] if self._messages else self._payload
        return None if payload is None or payload.is_eof() else payload

    def _count(self, data: bytes, waiting: int, payload: StreamReader | None, before: int) -> None:
        """Hold against the limits what has just been parsed.

        Args:
            data: as it came.
            waiting: the number of requests that waited before.
            payload: the body that was arriving before.
            before: how many bytes of it had come.

        Raises:
            ClientError: it goes beyond them, or is no request.
        """
        limits = self._listener.limits
        if self._upgraded:
            return
        rest = data
        if payload is not None:
            size = payload.total_bytes - before
            rest = self._recent.body(data, size, is_whole=payload.is_eof())
        count = len(self._messages) - waiting
        if count:
            message, newest = self._messages.pop()
            if isinstance(message, _ErrInfo):
                check_protocol(rest, 0)
                earlier = self._whole_before(rest)
                self._messages.extend(earlier)
                if self._intake.has_too_many_lines(data, limits):
                    raise HeadersTooLarge("the request has too many fields")
                line = b"" if earlier else self._recent.line(rest)
                raise refusal(message.exc, line, limits)
            check_protocol(rest, count)
            if self._intake.pending + len(data) > _LARGE:
                self._has_large_head = True
            self._intake.begin()
            if count == 1 and message.chunked and payload is None:
                self._count_body(len(data) - data.find(b"\r\n\r\n"), newest)
                if not (message.upgrade or self._buffer_paused):  # The last of its connection.
                    whole = self._recent.ends_with_head(data)
                    self._chunks = ChunkExtensions() if whole else self._ahead
            self._messages.append((message, newest))
            if self._buffer_paused:
                self._recent.add(rest, count)  # The parser holds something back.
            else:
                self._recent.heads(rest, count, newest, is_chunked=message.chunked)
        elif payload is None:
            self._intake.head(data, limits)
            self._recent.add(data, 0)
        elif payload.is_eof():
            self._intake.begin()
            self._recent.add(rest, 0)
        else:
            self._count_body(len(data), payload)

    def _whole_before(self, data: bytes) -> list[tuple[RawRequestMessage, StreamReader]]:
        """The requests in front of what is none (RFC 9112 section 9.3.2: answered in order)."""
        parser = self._new_parser(1)
        self._broken = True  # Readers of bodies would have the parser go on.
        return self._recent.whole_before(data, parser)

    def _new_parser(self, most_waiting: int) -> HttpRequestParser:
        return HttpRequestParser(
            self,
            self._loop,
            self._read_bufsize,
            max_line_size=self.max_line_size,
            max_field_size=self.max_field_size,
            max_headers=self.max_headers,
            payload_exception=RequestPayloadError,
            auto_decompress=False,
            max_msg_queue_size=most_waiting,
        )

    def _forget_head(self) -> None:
        """Let go of the newest head, which the parser keeps, in two spellings, until the next."""
        if self._messages or self._broken or self._upgraded or self._buffer_paused:
            return
        if self._parser is not None and self._newest_payload() is None and self._recent.at_start:
            self._parser = self._new_parser(MAX_MSG_QUEUE_SIZE)
            self._has_large_head = False

    def _count_body(self, size: int, payload: StreamReader) -> None:
        self._intake.body(size, payload, self._listener.limits)
        if IS_PYTHON:
            check_chunk(self._parser)

    def _break(self, error: ClientError | MemoryFull) -> None:
        """Take no more from the client; refuse it when what it sent before is answered."""
        self._broken = True
        self._recent.clear()
        self._parser = None  # With what it keeps of a head.
        self._break_body(error if isinstance(error, MemoryFull) else RequestPayloadError())
        self._messages.append((_ErrInfo(error.status, error, ""), EMPTY_PAYLOAD))
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

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
            self._listener.on_limit("buffer", self.address)
            self._keep_unsent()
        self.deadline = self._loop.time() + self._listener.limits.keepalive_timeout
        if self.transport is not None:
            self._backlog.note(self.transport)
        if self.flow is not None:
            self.flow.on_client_full()

    def _keep_unsent(self) -> None:
        """Reserve what waits to be sent; a client for whom there is no room is cut off."""
        transport = self.transport
        if transport is not None and not self.held.send(transport.get_write_buffer_size()):
            self.cut = MemoryFull(
                "cut: the client did not take what `limits.memory` had no room for"
            )
            self.abort()

    def connection_lost(self, exc: BaseException | None) -> None:
        self.held.give_back()
        for message, payload in self._messages:
            if not isinstance(message, _ErrInfo):
                self._forget(payload)
        super().connection_lost(exc)

    def resume_writing(self) -> None:
        super().resume_writing()
        self.held.sent()
        if self._discarding:
            self.deadline = self._loop.time() + _LINGER
        elif self.is_busy:
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
                listener.refuse(self, cast(SegueError, message.exc))
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
            should_close = message.should_close
            request = Request(message, payload, self._note_read)
            del message  # With the head in another spelling.
            if self._has_large_head:
                self._note_read()
                self._forget_head()
            try:
                await listener.serve(self, request)
            finally:
                self._payload = None
                self._forget(payload)
                self.held.read()
            del request  # The next one may be long in coming.
            if self._has_large_head:
                self._forget_head()
            if not (self.persistent and payload.is_eof()):
                # What comes behind the last request is ignored (RFC 9112 section 9.6), but read.
                ends_here = should_close or self._half_closed
                orderly = payload.is_eof() and ends_here and not self._broken
                break
            if self.writing_paused:
                await self._drain_helper()  # A client that pipelines and does not read waits here.
            limits = listener.limits
            self._partial = self._intake.pending > 0
            wait = limits.header_timeout if self._partial else limits.keepalive_timeout
            self.deadline = self._loop.time() + wait
        if self._force_close or self.transport is None:
            return
        if orderly and not self._discarding:
            self._finish()
        else:
            self._discard()

    def _forget(self, payload: StreamReader) -> None:
        """Let go of what nobody reads any more; in circles it would wait for the collector."""
        if payload is EMPTY_PAYLOAD:
            return
        payload._buffer.clear()  # noqa: SLF001
        if payload.exception() is not None:
            # The one that was raised leads by its traceback to whoever read this.
            payload.set_exception(RequestPayloadError())

    def _make_room(self) -> None:
        """Tell the parser that a pipelined request was taken; read on where it had stopped."""
        if self._parser is not None:
            self._parser.message_consumed()
        if self._buffer_paused and len(self._messages) <= self._msg_queue_resume_size:
            self._resume_reading_if_drained()

    def _break_body(self, error: Exception) -> None:
        """Tell whoever reads the newest body why the rest of it cannot be had."""
        payload = self._payload
        for message, queued in self._messages:
            if not isinstance(message, _ErrInfo):
                payload = queued
        if payload is not None and not payload.is_eof() and payload.exception() is None:
            payload.set_exception(error)

    def _finish(self) -> None:
        """Close when all is sent; a client that does not take it is cut off by `check`."""
        if self.transport is not None:
            self.deadline = self._loop.time() + self._listener.limits.keepalive_timeout
            self._backlog.note(self.transport)
            self.transport.close()

    def _discard(self) -> None:
        """Send no more, and read for a moment what is still on its way."""
        transport = self.transport
        self._discarding = True
        if transport is None or transport.is_closing():
            return
        # From here on writing is paused for as long as anything is left to be sent.
        transport.set_write_buffer_limits(high=0)
        rest = self._listener.limits.keepalive_timeout if self.writing_paused else _LINGER
        self.deadline = self._loop.time() + rest
        if transport.can_write_eof():
            transport.write_eof()
        if not transport.is_reading():
            transport.resume_reading()
