"""What the head of a request must be before a byte of it goes on (RFC 9112).

The parser in front of this is strict by itself. These rules hold whatever parser that is: two
readings of one head, the parser's and the server's, are how a request is smuggled past a proxy.
"""

from __future__ import annotations

from typing import Final

from proxy.errors import (
    ClientError,
    CodingNotImplemented,
    HeadersTooLarge,
    MethodNotAllowed,
    UnsupportedVersion,
)
from proxy.http.headers import RawFields, Shape, is_authority, tokens

METHODS: Final = frozenset(
    {
        *("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "QUERY"),
        # WebDAV and its extensions (RFC 4918, 3253, 3648, 3744, 4791, 5323, 5842).
        *("ACL", "BASELINE-CONTROL", "BIND", "CHECKIN", "CHECKOUT", "COPY", "LABEL", "LINK"),
        *("LOCK", "MERGE", "MKACTIVITY", "MKCALENDAR", "MKCOL", "MKREDIRECTREF", "MKWORKSPACE"),
        *("MOVE", "ORDERPATCH", "PROPFIND", "PROPPATCH", "REBIND", "REPORT", "SEARCH", "UNBIND"),
        *("UNCHECKOUT", "UNLINK", "UNLOCK", "UPDATE", "UPDATEREDIRECTREF", "VERSION-CONTROL"),
        # In no registry, but parsers know them: caches and UPnP.
        *("PURGE", "M-SEARCH", "NOTIFY", "SUBSCRIBE", "UNSUBSCRIBE", "SOURCE"),
    }
)
"""Methods that are forwarded: those registered with IANA, and a few that are in use."""

LONGEST_BODY: Final = 2**63 - 1
"""The largest body that every parser can count; a server may read a larger length modulo 2**64."""

_KNOWN_CODINGS: Final = frozenset({b"compress", b"deflate", b"gzip", b"x-compress", b"x-gzip"})
"""Transfer codings that are registered, beside `chunked` (RFC 9112 section 7.2)."""

_OVERHEAD: Final = 4
"""Bytes of a field beside its name and value: colon, space, line break."""


def check_head(
    method: str,
    version: tuple[int, int],
    fields: RawFields,
    shape: Shape,
    *,
    max_size: int,
    max_fields: int,
) -> int:
    """Refuse a head that could be read in two ways, or is larger than it may be.

    Args:
        method: as it was sent.
        version: major and minor.
        fields: as received.
        shape: theirs.
        max_size: bytes of all fields together, with their line breaks.
        max_fields: their number.

    Returns:
        The bytes of all fields together, with their line breaks.

    Raises:
        UnsupportedVersion: neither HTTP/1.0 nor HTTP/1.1 (RFC 9112 section 2.3).
        MethodNotAllowed: CONNECT, which is for forward proxies (RFC 9110 section 9.3.6).
        HeadersTooLarge: beyond `max_size` or `max_fields`.
        ClientError: a method that nobody knows; no host, several, or one that is no host (RFC 9112
            section 3.2); a length that is not one number without a leading zero, or stands beside
            a transfer coding (section 6.3); a transfer coding that is not `chunked`, once, in
            HTTP/1.1 (section 6.1).
        CodingNotImplemented: a known coding in front of `chunked`.
    """
    _check_line(method, version)
    if len(fields) > max_fields:
        raise HeadersTooLarge("the request has too many fields")
    values = len(b"".join([value for _, value in fields]))
    size = shape.size + values + _OVERHEAD * len(fields)
    if size > max_size:
        raise HeadersTooLarge("the head of the request is too large")
    if shape.is_misleading:
        raise ClientError("a field name resembles Content-Length or Transfer-Encoding")
    _check_hosts(version, shape.values(fields, b"host"))
    codings = shape.values(fields, b"transfer-encoding")
    lengths = shape.values(fields, b"content-length")
    if codings:
        _check_codings(version, codings)
        if lengths:
            raise ClientError("send Content-Length or Transfer-Encoding, not both")
    elif lengths:
        _check_lengths(lengths)
    return size


def _check_line(method: str, version: tuple[int, int]) -> None:
    if version not in ((1, 0), (1, 1)):
        raise UnsupportedVersion("only HTTP/1.0 and HTTP/1.1 are supported")
    if method not in METHODS:
        if method == "CONNECT":
            raise MethodNotAllowed("CONNECT is for forward proxies")
        raise ClientError("unknown method")


def _check_hosts(version: tuple[int, int], hosts: list[bytes]) -> None:
    if len(hosts) > 1 or (not hosts and version >= (1, 1)):
        raise ClientError("send exactly one Host header")
    if hosts and not is_authority(hosts[0]):
        raise ClientError("invalid Host header")


def _check_codings(version: tuple[int, int], codings: list[bytes]) -> None:
    if version >= (1, 1) and len(codings) == 1:
        known = tokens(codings)
        inner = known[:-1]
        if inner and known[-1] == b"chunked" and _KNOWN_CODINGS.issuperset(inner):
            raise CodingNotImplemented("the only transfer coding that is supported is chunked")
    # What Segue does not take off must not be forwarded without its name, and a chunked HTTP/1.0
    # message is framed by nobody's rules.
    if version < (1, 1) or len(codings) > 1 or codings[0].lower() != b"chunked":
        raise ClientError("the only transfer coding that is supported is chunked, in HTTP/1.1")


def _check_lengths(lengths: list[bytes]) -> None:
    # `isdigit` of bytes knows ASCII only: no sign, no underscore, no other script.
    digits = lengths[0]
    # Some servers read one that begins with a zero as octal.
    plain = len(lengths) == 1 and digits.isdigit() and len(digits) <= 20
    plain = plain and (digits == b"0" or not digits.startswith(b"0"))
    if not plain or int(digits) > LONGEST_BODY:
        raise ClientError("Content-Length must be one number")
