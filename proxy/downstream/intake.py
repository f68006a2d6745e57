"""What a client sends without getting its request any further: heads that never end, and framing.

aiohttp's parser bounds each line and their number, which leaves two megabytes for a head, and any
number of bytes for the extensions of chunks, which it reads and forgets.
"""

from __future__ import annotations

import re
from typing import Final

from aiohttp import StreamReader
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong
from aiohttp.http_parser import HttpRequestParser, HttpRequestParserPy, RawRequestMessage

from proxy.downstream.limits import ClientLimits
from proxy.errors import ClientError, HeadersTooLarge, TargetTooLong, UnsupportedVersion
from proxy.http.chunk_extensions import ends_with_head

IS_PYTHON: Final = HttpRequestParser is HttpRequestParserPy
"""Whether aiohttp parses in Python: uncompiled, or `AIOHTTP_NO_EXTENSIONS` is set."""

_LARGEST_CHUNK: Final = 2**63

_PER_BYTE: Final = 16
"""Bytes of chunk framing allowed for each byte of the body: chunks of one byte take 5 or 6, those
of writers that pad the size with zeros up to 13."""


_REMEMBERED: Final = 256 * 1024
"""Bytes since a request was last known to be whole that are kept: more than a head and what is read
at once."""

_HEAD_END: Final = b"\r\n\r\n"


class Recent:
    """The bytes since a point at which a request began, while it is not known where the next does.

    Nearly always requests come alone and nothing is kept. Where a parser meets with something that
    is no request, it forgets those that came with it and were whole: `whole_before` finds them in
    these bytes. The point is known for sure, or nothing is found: what stands in a body must not be
    taken for a request.
    """

    __slots__ = ("_data", "_given", "_is_known")

    def __init__(self) -> None:
        self._is_known = True
        self._data = bytearray()
        self._given = 0

    @property
    def at_start(self) -> bool:
        """Whether the next byte is known to begin a request."""
        return self._is_known and not self._data

    @property
    def edge(self) -> bytes:
        """The last three bytes of the request that has begun; empty where none is known to have."""
        return bytes(self._data[-3:]) if self._data else b""

    def ends_with_head(self, data: bytes) -> bool:
        """Whether a piece, of which this was not told yet, ends for sure with a request's head."""
        return self._is_known and ends_with_head(self.edge, data)

    def add(self, data: bytes, given: int) -> None:
        """A piece has come, of which it is not known where its last request ends.

        Args:
            data: the piece, from where a request begins or goes on.
            given: how many requests the parser has made of it.
        """
        if self._is_known:
            self._data += data
            self._given += given
            if len(self._data) > _REMEMBERED:
                self._forget(is_known=False)

    def heads(self, data: bytes, given: int, payload: StreamReader, *, is_chunked: bool) -> None:
        """A piece has come in which heads end.

        Args:
            data, given: as for `add`.
            payload: the body of the last of them.
            is_chunked: whether that comes in chunks.
        """
        if payload.total_bytes:
            size = data.find(_HEAD_END) + len(_HEAD_END) + payload.total_bytes
            is_taken = given == 1 and size == len(data)
        else:
            is_taken = data.endswith(_HEAD_END)
        if is_taken and (payload.is_eof() or not is_chunked):
            self._forget(is_known=True)  # The next request begins where its body ends.
        elif payload.is_eof():
            self.add(data, given)
        else:
            self._forget(is_known=False)

    def body(self, data: bytes, size: int, *, is_whole: bool) -> bytes:
        """A piece has come that begins inside a body; return what stands behind that.

        Args:
            data: the piece.
            size: bytes that the parser has added to the body.
            is_whole: whether the body ends in it.
        """
        if size > len(data) or (size < len(data) and not is_whole):
            self._forget(is_known=False)  # The parser holds something back.
        return data[size:]

    def whole_before(
        self, data: bytes, parser: HttpRequestParser
    ) -> list[tuple[RawRequestMessage, StreamReader]]:
        """Return the requests in front of what is none, without those that were there before.

        Args:
            data: the piece in which it came, as for `add`.
            parser: a new one, which stops behind each request.
        """
        found: list[tuple[RawRequestMessage, StreamReader]] = []
        rest = bytes(self._data) + data
        while self._is_known:
            try:
                messages, is_upgraded, _ = parser.feed_data(rest)
            except HttpProcessingError:
                break
            found += messages
            if is_upgraded or not messages:
                break
            parser.message_consumed()
            rest = b""
        return found[self._given :]

    def line(self, data: bytes) -> bytes:
        """The request line of the only request that has begun; empty where there are others.

        Args:
            data: the piece that has come, as for `add`.
        """
        if self._given or not self._is_known:
            return b""
        return (bytes(self._data) + data).lstrip(b"\r\n").partition(b"\r\n")[0]

    def clear(self) -> None:
        """Keep nothing: no request comes any more."""
        self._forget(is_known=False)

    def _forget(self, *, is_known: bool) -> None:
        self._is_known = is_known
        self._given = 0
        if self._data:
            self._data.clear()


class Intake:
    """Counts the bytes of one connection between two steps of progress.

    Attributes:
        pending: bytes that came since the last request was whole, as far as can be told: those in
            one piece with the end of a request are not among them.
    """

    __slots__ = ("_framed", "_lines", "pending")

    def __init__(self) -> None:
        self.pending = 0
        self._lines = 0
        self._framed = 0

    def begin(self) -> None:
        """A head is whole."""
        self.pending = self._lines = self._framed = 0

    def take_out(self, size: int) -> None:
        """Count bytes of chunk framing that the parser does not get."""
        self._framed += size

    def head(self, data: bytes, limits: ClientLimits) -> None:
        """Count a piece of a head.

        Raises:
            HeadersTooLarge: there is too much of it.
        """
        self.pending += len(data)
        self._lines += data.count(b"\n")
        # The request line is none of the fields.
        if self.pending > limits.request_headers + limits.header_line:
            raise HeadersTooLarge("the head of the request is too large")

    def has_too_many_lines(self, data: bytes, limits: ClientLimits) -> bool:
        """Whether a head in what was counted, and in this piece, has more fields than allowed.

        The parser refuses it with the same error as any other malformed head.
        """
        first, *others = (part.count(b"\n") for part in data.split(b"\r\n\r\n"))
        return max(self._lines + first, *others, 0) > limits.headers

    def body(self, size: int, payload: StreamReader, limits: ClientLimits) -> None:
        """Count a piece of a body, with its framing.

        Args:
            size: its bytes, as they came.
            payload: what the parser put the body into; it counts the body's own bytes.

        Raises:
            ClientError: chunk sizes, extensions and trailers take far more than the body.
        """
        self._framed += size
        if self._framed > limits.header_line + (1 + _PER_BYTE) * payload.total_bytes:
            raise ClientError("the chunks of the request carry too much beside its body")


def check_first(data: bytes) -> None:
    """Refuse what does not begin like a request, of which the Python parser waits for a line end.

    Raises:
        ClientError: no known method begins so.
    """
    first = data.lstrip(b"\r\n")[:1]
    if first and not first.isupper():
        raise ClientError("the request is not valid HTTP/1.1")


_OTHER_PROTOCOL: Final = re.compile(rb"(?:\A|\r\n)[A-Z]+ +[^ \r\n]+ +RTSP/")


def check_protocol(data: bytes, count: int) -> None:
    """Refuse requests of RTSP (RFC 7826), which llhttp takes for those of HTTP.

    Args:
        data: the piece in which their heads end.
        count: their number; 0 where it is not known.

    Raises:
        ClientError: there is one.
    """
    if b" RTSP/" in data:
        head = data[: data.find(_HEAD_END)] if count == 1 else data
        if _OTHER_PROTOCOL.search(head):
            raise ClientError("the request is not valid HTTP/1.1")


def check_chunk(parser: object) -> None:
    """Refuse a chunk of a size that only the Python parser can count.

    Raises:
        ClientError: it does not fit into 63 bits.
    """
    assert isinstance(parser, HttpRequestParserPy)
    chunks = parser._payload_parser  # noqa: SLF001
    if chunks is not None and chunks._chunk_size >= _LARGEST_CHUNK:  # noqa: SLF001
        raise ClientError("invalid chunk size")


_OTHER_VERSION: Final = re.compile(rb"[!-~]+ +[^ ]+ +HTTP/(?!1\.[01]\Z)[0-9]\.[0-9]\Z")


def refusal(error: BaseException, line: bytes, limits: ClientLimits) -> ClientError:
    """Translate a parser's error; its text, which quotes the request, goes nowhere.

    Args:
        error: what the parser raised.
        line: the request line, as far as it has come; empty where it is not known.
        limits: those of the connection.
    """
    if isinstance(error, LineTooLong):
        if len(line) > limits.header_line:
            return TargetTooLong("the request target is too long")
        return HeadersTooLarge("a line of the head is too long")
    if _OTHER_VERSION.match(line):
        return UnsupportedVersion("only HTTP/1.0 and HTTP/1.1 are supported")
    return ClientError("the request is not valid HTTP/1.1")
