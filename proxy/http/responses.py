"""The answers that Segue makes itself: problem documents (RFC 9457)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import msgspec

from proxy.errors import (
    TOKEN_ERROR,
    MethodNotAllowed,
    SegueError,
    SessionEnded,
    Unavailable,
    UpstreamError,
)
from proxy.http.headers import RawFields, reason_of, serialize

ALLOWED: Final = b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
"""What `Allow` says where it is Segue's to say."""


def problem(
    error: SegueError, request_id: str, also: RawFields, *, persistent: bool, is_head: bool
) -> bytes:
    """Return the bytes of a response that says what went wrong.

    Args:
        error: says it, in words of this code base.
        request_id: also in the log line of the request.
        also: further fields, those of CORS.
        persistent: whether the connection stays open.
        is_head: whether the request was a HEAD: then the body is only measured.
    """
    document: dict[str, object] = {
        "type": "about:blank",
        "title": error.title,
        "status": error.status,
        "detail": error.detail,
        "request_id": request_id,
    }
    if isinstance(error, SessionEnded):
        # As the server says it, for clients that look at nothing else.
        document["code"] = TOKEN_ERROR
    body = msgspec.json.encode(document)
    fields = [
        (b"Content-Type", b"application/problem+json"),
        (b"Content-Length", b"%d" % len(body)),
        (b"Cache-Control", b"no-store"),
        (b"X-Request-Id", request_id.encode()),
        *also,
    ]
    if isinstance(error, MethodNotAllowed):
        fields.append((b"Allow", error.allowed or ALLOWED))
    if isinstance(error, SessionEnded):
        fields.append((b"WWW-Authenticate", b'Bearer realm="api"'))
    if isinstance(error, Unavailable):
        fields.append((b"Retry-After", b"1"))
    fields.append((b"Connection", b"keep-alive" if persistent else b"close"))
    head = serialize(b"HTTP/1.1 %d %b" % (error.status, reason_of(error.status)), fields)
    return head if is_head else head + body


def reply(
    status: int,
    fields: RawFields,
    body: bytes,
    request_id: str,
    *,
    persistent: bool,
    is_head: bool = False,
) -> bytes:
    """Return the bytes of a response that Segue gives in the server's place, though all is well.

    Args:
        status: its status.
        fields: its fields, without those of its framing.
        body: its body.
        request_id: also in the log line of the request.
        persistent: whether the connection stays open.
        is_head: whether the request was a HEAD: then the body is only measured.

    Raises:
        ValueError: a field carries a line break.
    """
    framed = [*fields] if status in _BODILESS else [*fields, (b"Content-Length", b"%d" % len(body))]
    framed += [
        (b"X-Request-Id", request_id.encode()),
        (b"Connection", b"keep-alive" if persistent else b"close"),
    ]
    head = serialize(b"HTTP/1.1 %d %b" % (status, reason_of(status)), framed)
    return head if is_head else head + body


PASSING: Final = frozenset({408, 425, 429})
"""The 4xx that speak of this moment only: the same request may be answered well a little later."""


def relayed(
    status: int, reason: bytes, fields: RawFields, body: bytes, *, persistent: bool
) -> bytes:
    """Return the bytes of a response of the server's that was held until it was whole.

    Args:
        status, reason: as received.
        fields: those that go end to end.
        body: as received.
        persistent: whether the connection stays open.

    Raises:
        UpstreamError: a field carries a line break.
    """
    framed = [field for field in fields if field[0].lower() != b"content-length"]
    if status not in _BODILESS:
        framed.append((b"Content-Length", b"%d" % len(body)))
    framed.append((b"Connection", b"keep-alive" if persistent else b"close"))
    try:
        head = serialize(b"HTTP/1.1 %d %b" % (status, reason), framed)
    except ValueError:
        raise UpstreamError("a field of the server's response carries a line break") from None
    return head if status in _BODILESS else head + body


_BODILESS: Final = frozenset({204, 304})


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer that Segue gives in the server's place, or passes on whole.

    Attributes:
        reason: the words behind the status of the server's own answer; None for one of Segue's.
    """

    status: int
    fields: RawFields
    body: bytes = field(repr=False)
    reason: bytes | None = None
