"""A request as the rest of the data plane sees it: what aiohttp's parser made of it, in bytes."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import StreamReader
from aiohttp.http_parser import RawRequestMessage

from proxy.errors import ContentTooLarge
from proxy.http.headers import shape_of
from proxy.memory import Reservation


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
        held: what is reserved for `body`; None where nothing is.
        on_read: called when something was taken out of `payload`.
        max_body: bytes of a body that is still accepted; None for any number.
    """

    __slots__ = (
        "body",
        "chunked",
        "fields",
        "held",
        "max_body",
        "method",
        "on_read",
        "payload",
        "shape",
        "target",
        "version",
    )

    def __init__(
        self,
        message: RawRequestMessage,
        payload: StreamReader,
        on_read: Callable[[], None] = lambda: None,
    ) -> None:
        self.method = message.method
        self.target = message.path.encode("utf-8", "surrogateescape")
        self.version = (message.version.major, message.version.minor)
        self.fields = message.raw_headers
        self.shape = shape_of(self.fields)
        self.payload = payload
        self.body: bytes | None = None
        self.on_read = on_read
        self.held: Reservation | None = None
        self.max_body: int | None = None
        self.chunked = bool(message.chunked)

    def check_size(self, size: int) -> None:
        """Refuse a body that is larger than accepted.

        Args:
            size: its bytes, or those that have come so far.

        Raises:
            ContentTooLarge: it is.
        """
        if self.max_body is not None and size > self.max_body:
            raise ContentTooLarge("the body of the request is larger than is accepted")
