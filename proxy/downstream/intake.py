"""What a client sends without getting its request any further: heads that never end, and framing.

aiohttp's parser bounds each line and their number, which leaves two megabytes for a head, and any
number of bytes for the extensions of chunks, which it reads and forgets.
"""

from __future__ import annotations

from typing import Final

from aiohttp import StreamReader
from aiohttp.http_exceptions import LineTooLong
from aiohttp.http_parser import HttpRequestParser, HttpRequestParserPy

from proxy.downstream.limits import ClientLimits
from proxy.errors import ClientError, HeadersTooLarge

IS_PYTHON: Final = HttpRequestParser is HttpRequestParserPy
"""Whether aiohttp parses in Python: uncompiled, or `AIOHTTP_NO_EXTENSIONS` is set."""

_LARGEST_CHUNK: Final = 2**63

_PER_BYTE: Final = 16
"""Bytes of chunk framing allowed for each byte of the body: chunks of one byte take 5 or 6, those
of writers that pad the size with zeros up to 13."""


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


def check_chunk(parser: object) -> None:
    """Refuse a chunk of a size that only the Python parser can count.

    Raises:
        ClientError: it does not fit into 63 bits.
    """
    assert isinstance(parser, HttpRequestParserPy)
    chunks = parser._payload_parser  # noqa: SLF001
    if chunks is not None and chunks._chunk_size >= _LARGEST_CHUNK:  # noqa: SLF001
        raise ClientError("invalid chunk size")


def refusal(error: BaseException) -> ClientError:
    """Translate a parser's error; its text, which quotes the request, goes nowhere."""
    if isinstance(error, LineTooLong):
        return HeadersTooLarge("a line of the head is too long")
    return ClientError("the request is not valid HTTP/1.1")
