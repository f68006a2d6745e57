"""One small hierarchy that says whose fault it is, and what follows from that.

An error names no token, no query string and no text of somebody else's exception: its `detail` is
written here, in this code base, and can be shown to a client and put in a log.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Final

from proxy.types import OnError


class SegueError(Exception):
    """The root. Never raised itself.

    Attributes:
        status: the HTTP status of the answer that the client gets.
        label: the value of the `error` label in the metrics and of `error` in the log line.
        title: the short text of the problem document (RFC 9457).
        detail: what was wrong, for whoever reads the answer or the log.
    """

    status = 500
    label = "internal"
    title = "Internal error"

    def __init__(self, detail: str = "") -> None:
        super().__init__(detail)
        self.detail = detail


class ClientError(SegueError):
    """The client sent something that Segue refuses to forward."""

    status = 400
    label = "bad_request"
    title = "Bad request"


class HeadersTooLarge(ClientError):
    """The header section is larger than the limits allow (RFC 6585 section 5)."""

    status = 431
    label = "headers_too_large"
    title = "Request header fields too large"


class TargetTooLong(ClientError):
    """The request target is longer than the limits allow (RFC 9110 section 15.5.15)."""

    status = 414
    label = "target_too_long"
    title = "URI too long"


class CodingNotImplemented(ClientError):
    """The body comes in a transfer coding that is not taken off here (RFC 9112 section 6.1)."""

    status = 501
    label = "coding_not_implemented"
    title = "Transfer coding not implemented"


class RequestTimeout(ClientError):
    """The request, or the next piece of its body, did not arrive in time."""

    status = 408
    label = "request_timeout"
    title = "Request timeout"


class ContentTooLarge(ClientError):
    """The body is larger than what may be held of it (RFC 9110 section 15.5.14)."""

    status = 413
    label = "content_too_large"
    title = "Content too large"


class UnsupportedMediaType(ClientError):
    """The body is written in a way that is not understood (RFC 9110 section 15.5.16)."""

    status = 415
    label = "unsupported_media_type"
    title = "Unsupported media type"


class SessionEnded(ClientError):
    """The token leads to a session that has ended: the user has to log in again (RFC 6750)."""

    status = 401
    label = "session_ended"
    title = "Session ended"


class MisdirectedRequest(ClientError):
    """The session began at another host than the request names (RFC 9110 section 15.5.20)."""

    status = 421
    label = "misdirected"
    title = "Misdirected request"


class OriginRefused(ClientError):
    """A page of an origin that may not shakes hands for a WebSocket (RFC 6455 section 10.2)."""

    status = 403
    label = "origin_refused"
    title = "Origin refused"


class MethodNotAllowed(ClientError):
    """A method that a reverse proxy has no use for: CONNECT."""

    status = 405
    label = "method_not_allowed"
    title = "Method not allowed"

    def __init__(self, detail: str = "", allowed: bytes = b"") -> None:
        """Construct it.

        Args:
            detail: what was wrong.
            allowed: what `Allow` says; empty for the methods that are forwarded.
        """
        super().__init__(detail)
        self.allowed = allowed


class NotServed(ClientError):
    """It is below the prefix of what Segue serves itself, and there is no such thing."""

    status = 404
    label = "not_served"
    title = "Not found"


class UnsupportedVersion(ClientError):
    """Not HTTP/1.0 or HTTP/1.1 (RFC 9110 section 15.6.6)."""

    status = 505
    label = "http_version"
    title = "HTTP version not supported"


class ClientGone(ClientError):
    """The client closed its connection before the answer was complete; nobody reads this."""

    status = 499
    label = "client_gone"
    title = "Client closed the connection"


class UpstreamError(SegueError):
    """The server did something that cannot be forwarded.

    Attributes:
        may_be_repeated: whether the same request may be sent once more, where it is safe to repeat
            and was not answered: the server broke off, and is not at work on it.
    """

    may_be_repeated: ClassVar[bool] = True
    status = 502
    label = "upstream_broken"
    title = "Bad gateway"


class UpstreamUnreachable(UpstreamError):
    """No connection to the server could be opened."""

    may_be_repeated = False
    label = "upstream_unreachable"


class UpstreamTimeout(UpstreamError):
    """The server took longer than the limits allow: it may be at work."""

    may_be_repeated = False
    status = 504
    label = "upstream_timeout"
    title = "Gateway timeout"


class Unavailable(SegueError):
    """Segue is draining or full: another replica, or a later moment, will do."""

    status = 503
    label = "unavailable"
    title = "Service unavailable"


class OutOfResources(Unavailable):
    """This process or machine lacks what a connection takes; the server has no part in it.

    Attributes:
        elsewhere: whether there may be enough for a connection to another server.
    """

    label = "out_of_resources"

    def __init__(self, detail: str = "", *, elsewhere: bool = False) -> None:
        super().__init__(detail)
        self.elsewhere = elsewhere


NO_FILES: Final = (
    "this process may open no more files: raise LimitNOFILE (ulimit -n) above twice"
    " limits.connections, or start more replicas"
)
"""The detail where a connection takes a file that there is not, or that is kept for others."""


class MemoryFull(Unavailable):
    """There is no room in memory for what would have to be held of this; a moment later may do."""

    label = "memory_full"
    title = "Too much is held at the moment"


class ConnectionsFull(Unavailable):
    """As many clients are connected as may be."""

    label = "connections_full"


class TooManyHandshakes(Unavailable):
    """One session opens WebSockets at one path faster than they are let through."""

    label = "too_many_handshakes"
    title = "Too many handshakes"


class AddressFull(Unavailable):
    """One address has as many connections as it may; nobody else is affected."""

    label = "address_full"


class SessionUnavailable(Unavailable):
    """A token has ended, and cannot be renewed at the moment; nobody is logged out for that."""

    label = "session_unavailable"
    title = "Session cannot be renewed now"


class StoreAway(Unavailable):
    """The store did not answer in time, or not in a way that can be read.

    Whether what was asked of it has been done is not known.
    """

    label = "store_away"
    title = "Session store unavailable"


class StoreBusy(StoreAway):
    """So much waited for the store that this was not asked; the store itself is there."""

    label = "store_busy"
    title = "Too much waits for the session store"


class RecordUnreadable(StoreAway):
    """The store answered with a record that is damaged, or of a later version of Segue.

    Of that session nothing can be said; the store is there for all others.
    """

    label = "record_unreadable"
    title = "Session cannot be read"


class StoreReadOnly(StoreAway):
    """The store answers, and cannot write: its disk or its memory is full. Nothing was changed."""

    label = "store_read_only"
    title = "Session store cannot be written"


class StoreFull(Unavailable):
    """The store holds as many sessions as it may; nothing was changed."""

    label = "store_full"
    title = "Too many sessions"


class MappingFailure(SegueError):
    """A rule matched, but an operation could not be carried out on this message.

    Attributes:
        mapping: the name of the mapping.
        rule: the name of the rule.
        on_error: what the mapping says is to be sent now.
        operation: the key of the operation, such as `set`; empty where it was none.
        field: the field of the rule at which it failed; empty where that is not known.
    """

    status = 502
    label = "mapping_failed"
    title = "The message could not be mapped"

    def __init__(
        self,
        mapping: str,
        rule: str,
        detail: str,
        on_error: OnError,
        operation: str = "",
        field: str = "",
    ) -> None:
        super().__init__(detail)
        self.mapping = mapping
        self.rule = rule
        self.on_error = on_error
        self.operation = operation
        self.field = field


def printable(text: str) -> str:
    """The text with every character escaped that could move a cursor or turn the reading order.

    Frames and files come from anybody: printed as they are, they could write over what stands above
    them.
    """
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else ascii(character)[1:-1] for character in text
    )


def shortened(text: str, most: int) -> str:
    """The text, safe to print, cut off after `most` characters with a note of what is missing."""
    if len(text) > most:
        return f"{printable(text[:most])}... ({len(text)} characters)"
    return printable(text)


@dataclass(frozen=True, slots=True, order=True)
class Diagnostic:
    """One thing that is wrong with a file or a setting.

    Attributes:
        file: the file as the user named it, or the environment variable or flag.
        line: 1-based; 0 where the source has no lines (an environment variable).
        column: 1-based; 0 where the source has no columns.
        path: the key, as `cohorts[1].versions`; empty for the file as a whole.
        message: what was wrong and what was expected.
    """

    file: str
    line: int
    column: int
    path: str
    message: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        path = f"{self.path}: " if self.path else ""
        # The names of files, keys and variables are whatever somebody has made them.
        return printable(f"{where}: {path}{self.message}")


class ConfigError(SegueError):
    """The configuration or a mapping is wrong. Carries every problem found, in file order."""

    label = "config"
    title = "Invalid configuration"

    def __init__(self, problems: Iterable[Diagnostic]) -> None:
        self.problems = tuple(sorted(set(problems)))
        super().__init__("\n".join(str(problem) for problem in self.problems))


TOKEN_ERROR: Final = "token_not_valid"  # noqa: S105 (the server's word, not a password)
"""The `code` by which the server says that a token is bad or has ended."""
