"""What a connection hands over of the server's answer, and to whom."""

from __future__ import annotations

from typing import Protocol

from proxy.errors import UpstreamError


class Head:
    """The head of a response.

    Attributes:
        status: three digits.
        reason: the bytes behind them.
        fields: as received.
        until_close: whether the body ends with the connection (RFC 9112 section 6.3, rule 8).
        chunked: whether the body came in chunks.
        bodiless: whether the response ends here.
    """

    __slots__ = ("bodiless", "chunked", "fields", "reason", "status", "until_close")

    def __init__(self, fields: list[tuple[bytes, bytes]], reason: bytes) -> None:
        self.status = 0
        self.reason = reason
        self.fields = fields
        self.until_close = False
        self.chunked = False
        self.bodiless = False


class Sink(Protocol):
    """Whoever takes a response. Called from the transport's read callback: it must not block."""

    def on_informational(self, head: Head) -> None:
        """A 1xx other than 101."""

    def on_head(self, head: Head) -> None:
        """The final response, or 101."""

    def on_body(self, data: bytes) -> None:
        """A piece of the body, without its chunk framing."""

    def on_end(self) -> None:
        """The response is complete. Called once, after everything else."""

    def on_fault(self, error: UpstreamError) -> None:
        """The response will not be completed. Called once, in place of `on_end`."""

    def on_flush(self) -> None:
        """All the bytes that had arrived together have been handed over."""

    def on_writable(self) -> None:
        """The connection takes request body again."""
