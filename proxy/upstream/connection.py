"""One connection to the server: HTTP/1.1, responses by llhttp.

A `Connection` is an `asyncio.Protocol`. It carries one exchange at a time, hands what the server
answers to a `Sink` while the bytes arrive, and is handed back to the pool where both sides may go
on using it. After a `101` it gives its transport away.

llhttp (`httptools`) leaves to its user, and this module does: one parser for each response; HEAD,
204 and 304 end at the head (RFC 9112 section 6.3); every 1xx completes by itself; the size of the
head is counted here; a body without a length ends with the stream, and in any other body the end of
the stream is a fault, so that a short response never looks complete; bytes that nobody asked for
make a connection unusable; white space in extensions of chunks, which it refuses, is taken out.
"""

from __future__ import annotations

import asyncio
import select
from time import perf_counter
from typing import Final, Protocol, cast

import httptools

from proxy.backlog import Backlog
from proxy.errors import UpstreamError, UpstreamTimeout
from proxy.http.chunk_extensions import ChunkExtensions, cut_behind_head, ends_with_head
from proxy.http.framing import LONGEST_BODY
from proxy.http.headers import RawFields, kept_for, tokens
from proxy.upstream.response import Head, Sink
from proxy.upstream.target import Counters, Target

NEVER: Final = float("inf")

_MAX_INFORMATIONAL: Final = 16
"""1xx responses accepted before the final one; a server sends one or two."""

_VERSIONS: Final = frozenset({"1.0", "1.1"})


class Owner(Protocol):
    """Whoever a connection belongs to: its pool.

    Attributes:
        counters: of what happens to its connections.
        loop: the loop of their transports.
    """

    counters: Counters
    loop: asyncio.AbstractEventLoop

    @property
    def epoch(self) -> int:
        """What an exchange that begins now is to name when it tells how it went."""

    def remember(self, connection: Connection) -> None:
        """The connection is open."""

    def forget(self, connection: Connection) -> None:
        """The connection is closed, or no longer the owner's."""

    def put_back(self, connection: Connection) -> None:
        """The connection can carry another exchange."""

    def answered(self, status: int, epoch: int) -> None:
        """An exchange has got its final answer, or 101."""

    def failed(self, epoch: int, reason: str) -> None:
        """An exchange got no answer, not because the connection was stale; `reason` says why."""

    def abandoned(self, epoch: int) -> None:
        """An exchange was given up before there was an answer."""


class Connection(asyncio.Protocol):
    """One connection to the server.

    Attributes:
        target: where it leads, and what is expected of the server.
        used: whether an earlier exchange was completed on it: it can then be stale.
        answered: whether a byte of an answer has arrived for the current exchange.
        writable: False while the write buffer is above its high-water mark.
        deadline: the loop's time after which the server has taken too long; of a connection that is
            not in use, after which the server may close it.
        ended: when the last byte of the response had arrived, or the server had failed, on the
            clock of `time.perf_counter`; 0 before.
    """

    __slots__ = (
        "_backlog",
        "_chunks",
        "_edge",
        "_eof",
        "_epoch",
        "_fields",
        "_head",
        "_head_done",
        "_informational",
        "_is_head_request",
        "_kept_for",
        "_lost",
        "_owner",
        "_parser",
        "_reason",
        "_reusable",
        "_sink",
        "_successor",
        "_tail",
        "_unseen",
        "_waiting",
        "answered",
        "deadline",
        "ended",
        "target",
        "transport",
        "used",
        "writable",
    )

    transport: asyncio.Transport

    def __init__(self, owner: Owner, target: Target) -> None:
        self._owner = owner
        self.target = target
        self._epoch = 0
        self._sink: Sink | None = None
        self._parser: httptools.HttpResponseParser | None = None
        self._is_head_request = False
        self._kept_for = target.keepalive
        self._reusable = False
        self._tail = b""
        self._backlog = Backlog()
        self._lost = False
        self._successor: asyncio.Protocol | None = None
        self._eof = False
        self._waiting = False
        self.used = False
        self.answered = False
        self.writable = True
        self.deadline = NEVER
        self.ended = 0.0
        self._reset()

    def _reset(self) -> None:
        self._fields: list[tuple[bytes, bytes]] = []
        self._reason = b""
        self._head: Head | None = None
        self._head_done = False
        self._chunks: ChunkExtensions | None = None
        self._edge = b""
        # Bytes since the last piece of a body: head, trailers, chunk extensions. llhttp keeps a
        # field until it is whole, so that this is what bounds it.
        self._unseen = 0
        self._informational = 0

    @property
    def stale(self) -> bool:
        """Whether a failure of the current exchange says no more than that it was kept too long."""
        return self.used and not self.answered

    def may_carry_another(self, now: float, *, look: bool) -> bool:
        """Whether an unused connection can be expected to be open at the other end.

        Args:
            now: the loop's time.
            look: whether to ask the kernel too. Nothing is to come on an unused connection: what
                has come is its end, and the loop has only not got to it yet.
        """
        if self.transport.is_closing() or now >= self.deadline:
            return False
        return not (look and _has_news(self.transport))

    # One exchange.

    def begin(self, sink: Sink, *, is_head: bool) -> None:
        """Expect one response for `sink`. The caller writes the request to `transport`."""
        self._reset()
        self._sink = sink
        self._is_head_request = is_head
        self._parser = httptools.HttpResponseParser(self)
        self._reusable = False
        self._waiting = False
        self._epoch = self._owner.epoch
        self.answered = False
        self.deadline = NEVER
        self.ended = 0.0

    def hand_over(self, sink: Sink) -> None:
        """Give the rest of the response to another sink; the one that it has calls this."""
        self._sink = sink

    def expect_answer(self) -> None:
        """Start the clock of the response: it is the server's turn."""
        self._waiting = True
        if not self._head_done:
            self.deadline = self._owner.loop.time() + self.target.response_timeout

    def stop_clock(self) -> None:
        """Wait without a limit: it is the client's turn, also after a 100 (Continue)."""
        self._waiting = False
        if not self._head_done:
            self.deadline = NEVER

    def release(self) -> None:
        """Give the connection back after `on_end`: into the pool, or closed."""
        self._sink = None
        if self._reusable and not self.transport.is_closing() and self.writable:
            self.used = True
            self.deadline = self._owner.loop.time() + self._kept_for
            self._owner.put_back(self)
        else:
            self.transport.close()

    def abort(self) -> None:
        """Drop the connection at once; what was not sent is lost. Safe to call twice."""
        if self._parser is not None and not self._head_done:
            self._owner.abandoned(self._epoch)
        self._sink = None
        self._parser = None
        self.transport.abort()

    def take_transport(self, protocol: asyncio.Protocol) -> tuple[asyncio.Transport, bytes]:
        """Hand the transport to another protocol after a 101.

        Returns the transport, with reading paused, and the bytes that came behind the response. An
        end that this connection was told of, or still will be, is passed on.
        """
        tail, self._tail = self._tail, b""
        self._sink = None
        self._parser = None
        self._successor = protocol
        self.transport.set_protocol(protocol)
        self._owner.forget(self)
        if self._lost:
            self._owner.loop.call_soon(protocol.connection_lost, None)
        return self.transport, tail

    @property
    def has_tail(self) -> bool:
        """Whether bytes came behind a 101."""
        return bool(self._tail)

    def pause_reading(self) -> None:
        """Read no further; the clock of the body stands still."""
        self.deadline = NEVER
        self.transport.pause_reading()

    def resume_reading(self) -> None:
        """Read on."""
        self.deadline = self._owner.loop.time() + self.target.idle_timeout
        self.transport.resume_reading()

    def check(self, now: float) -> None:
        """Give up an exchange whose deadline has passed, or close a connection without one."""
        if now <= self.deadline:
            return
        if not self.writable and self._backlog.shrinks(self.transport):
            self.deadline = now + self.target.response_timeout
        elif self._sink is None:
            self.transport.close()
        else:
            what = "the body of its response" if self._head_done else "its response"
            self._fault(UpstreamTimeout(f"the server took too long with {what}"))

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's are not its subclasses.
        self.transport.set_write_buffer_limits(high=self.target.write_buffer)
        self._owner.remember(self)

    def pause_writing(self) -> None:
        self.writable = False
        self._backlog.note(self.transport)

    def resume_writing(self) -> None:
        self.writable = True
        if self._sink is not None:
            self._sink.on_writable()

    def data_received(self, data: bytes) -> None:
        parser, sink = self._parser, self._sink
        if sink is None or parser is None:
            if self._head is not None and self._head.status == 101:
                self._tail += data
            else:
                self.transport.abort()  # Bytes that nobody asked for.
            return
        self.answered = True
        self._unseen += len(data)
        try:
            if self._chunks is not None:
                parser.feed_data(self._chunks.strip(data))
            elif self._head_done:
                parser.feed_data(data)
            else:
                self._feed_head(parser, data)
        except httptools.HttpParserUpgrade as upgrade:
            self._tail = data[upgrade.args[0] :]
            self.transport.pause_reading()
        except httptools.HttpParserError as error:
            self._parser_failed(error)
        sink = self._sink  # Another one, where this was handed over.
        if sink is None:
            return
        if self._parser is None:
            sink.on_flush()
            return
        if self._unseen > self.target.max_head:
            self._fault(UpstreamError("the head of the server's response is too large"))
            return
        if self._head_done:
            self.deadline = self._owner.loop.time() + self.target.idle_timeout
        elif self._waiting:
            self.deadline = self._owner.loop.time() + self.target.response_timeout
        sink.on_flush()

    def _feed_head(self, parser: httptools.HttpResponseParser, data: bytes) -> None:
        """Feed a piece that begins in a head; of chunks behind it, without what llhttp refuses."""
        before = self._edge
        cut = cut_behind_head(before, data)
        first = data[:cut] if cut else data
        parser.feed_data(first)
        if not self._head_done:
            self._edge = b"" if first.endswith(b"\r\n\r\n") else (before + first)[-3:]
        elif self._head is not None and self._head.chunked and ends_with_head(before, first):
            self._chunks = ChunkExtensions()
        if cut:
            rest = data[cut:]
            parser.feed_data(rest if self._chunks is None else self._chunks.strip(rest))

    def eof_received(self) -> None:
        self._eof = True

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        self._owner.forget(self)
        if self._successor is not None:
            self._successor.connection_lost(exc)  # TLS had settled whom to tell before.
        if self._sink is None or self._parser is None:
            return
        if self._head is not None and self._head.until_close and self._eof and exc is None:
            sink = self._sink
            self._complete()
            sink.on_flush()
        elif self.answered:
            self._fault(UpstreamError("the server closed the connection inside its response"))
        else:
            self._fault(UpstreamError("the server closed the connection without a response"))

    # httptools callbacks

    def on_message_begin(self) -> None:
        """Called at the first byte of each response, those of 1xx included."""
        if self._parser is None:
            self._reusable = False

    def on_status(self, reason: bytes) -> None:
        """A piece of the reason phrase."""
        self._reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        """One field. Behind the body these are trailers, which are not forwarded."""
        if not self._head_done:
            self._fields.append((name, value))

    def on_headers_complete(self) -> None:
        """The head is whole."""
        parser, sink = self._parser, self._sink
        if parser is None or sink is None:
            return
        head = self._head = Head(self._fields, self._reason)
        status = head.status = parser.get_status_code()
        if 100 <= status < 200 and status != 101:
            return
        if status < 100 or status > 599:
            raise UpstreamError("the status of the server's response is out of range")
        if parser.get_http_version() not in _VERSIONS:
            raise UpstreamError("the server's response is not HTTP/1.0 or HTTP/1.1")
        if self._unseen > self.target.max_head and _size_of(self._fields) > self.target.max_head:
            # It came in one piece with its body, which is counted behind it.
            raise UpstreamError("the head of the server's response is too large")
        self._head_done = True
        self._owner.answered(status, self._epoch)
        has_length = self._read_framing(head, parser)
        head.bodiless = self._is_head_request or status in (101, 204, 304)
        head.until_close = not (head.bodiless or head.chunked or has_length)
        sink.on_head(head)
        if head.bodiless:
            self._reusable = self._may_persist(parser)
            self._complete()

    def _read_framing(self, head: Head, parser: httptools.HttpResponseParser) -> bool:
        """Read the fields about body and connection; return whether there is a length."""
        has_length = False
        for place, (name, value) in enumerate(self._fields):
            lower = name.lower()
            if lower == b"transfer-encoding":
                # llhttp takes `chunked,` for another coding, and so a body to the end of the stream
                # (RFC 9112 section 6.1: HTTP/1.0 knows no codings).
                known = value.lower() == b"chunked" and parser.get_http_version() == "1.1"
                if not known or head.chunked:
                    raise UpstreamError("the server's response has an unknown transfer coding")
                head.chunked = True
            elif lower == b"content-length":
                has_length = True
                if int(value) > LONGEST_BODY:
                    raise UpstreamError("the Content-Length of the server's response is not valid")
                if value.startswith(b"0"):  # Some clients read it as octal.
                    self._fields[place] = (name, b"%d" % int(value))
            elif lower == b"keep-alive":
                told = kept_for(value)
                self._kept_for = self.target.keepalive if told is None else told
        return has_length

    def on_body(self, data: bytes) -> None:
        """A piece of the body."""
        if self._parser is None or self._sink is None:
            self._reusable = False
        else:
            self._unseen = 0
            self._sink.on_body(data)

    def on_message_complete(self) -> None:
        """The response is whole: the final one, or a 1xx."""
        parser, head, sink = self._parser, self._head, self._sink
        if parser is None or head is None or sink is None:
            return
        if self._head_done:
            self._reusable = parser.should_keep_alive()
            self._complete()
            return
        self._informational += 1
        if self._informational > _MAX_INFORMATIONAL:
            raise UpstreamError("the server sent too many informational responses")
        sink.on_informational(head)
        self._fields = []
        self._reason = b""
        self._head = None

    def _may_persist(self, parser: httptools.HttpResponseParser) -> bool:
        # llhttp takes a response to HEAD without a length for one that ends with the stream.
        options = tokens(value for name, value in self._fields if name.lower() == b"connection")
        return parser.get_http_version() == "1.1" and b"close" not in options

    def _complete(self) -> None:
        sink, self._parser = self._sink, None
        self.deadline = NEVER
        self.ended = perf_counter()
        if sink is not None:
            sink.on_end()

    def _parser_failed(self, error: httptools.HttpParserError) -> None:
        cause = error.__context__  # What a callback raised.
        if self._parser is None:
            self._reusable = False  # The response was whole; what came behind it was not one.
        elif isinstance(cause, UpstreamError):
            self._fault(cause)
        elif cause is None or isinstance(cause, httptools.HttpParserError):
            self._fault(UpstreamError("the server's response is not valid HTTP/1.1"))
        else:
            raise cause

    def _fault(self, error: UpstreamError) -> None:
        sink = self._sink
        self._owner.counters.fail(error.label)
        if not (self._head_done or (self.stale and error.may_be_repeated)):
            self._owner.failed(self._epoch, error.detail)
        self.deadline = NEVER
        self.ended = perf_counter()
        self.abort()
        if sink is not None:
            sink.on_fault(error)


def _has_news(transport: asyncio.Transport) -> bool:
    """Whether there is something to be read, or the end of the stream."""
    sock = transport.get_extra_info("socket")
    poll = select.poll()
    poll.register(sock.fileno(), select.POLLIN)
    return bool(poll.poll(0))


def _size_of(fields: RawFields) -> int:
    return sum(len(name) + len(value) + len(b": \r\n") for name, value in fields)
