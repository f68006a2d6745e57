"""What a proxy does to the header fields of a message (RFC 9110 section 7.6, RFC 9112).

Fields are kept as they were received: a sequence of (name, value) in bytes, in their order and
spelling. The functions return new lists; nothing here knows a connection.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from proxy.errors import ClientError

RawFields = Sequence[tuple[bytes, bytes]]

HOP_BY_HOP: Final = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
"""Fields that concern one connection only (RFC 9110 section 7.6.1)."""

_NEVER_NAMED: Final = frozenset({b"content-length", b"host"})
"""Fields that decide routing or framing: a `Connection` field that names one does not remove it."""

_FORWARDING: Final = frozenset({b"forwarded", b"x-real-ip", b"x-request-id"})


def tokens(values: Iterable[bytes]) -> list[bytes]:
    """Split comma-separated lists into their lower-case members (RFC 9110 section 5.6.1)."""
    return [
        token
        for value in values
        for token in (part.strip(b" \t").lower() for part in value.split(b","))
        if token
    ]


def values_of(fields: RawFields, name: bytes) -> list[bytes]:
    """Return the values of every field with that lower-case name, in order."""
    return [value for key, value in fields if key.lower() == name]


def end_to_end(
    fields: RawFields, also: Container[bytes] = frozenset()
) -> list[tuple[bytes, bytes]]:
    """Return the fields that go on: without the hop-by-hop ones and those that `Connection` names.

    Args:
        fields: as received.
        also: further lower-case names to leave out.
    """
    kept = []
    named: list[bytes] | None = None
    for field in fields:
        name = field[0].lower()
        if name in HOP_BY_HOP:
            if name == b"connection" and field[1].lower() not in _PLAIN_CONNECTION:
                named = (named or []) + tokens((field[1],))
        elif name not in also:
            kept.append(field)
    if named is None:
        return kept
    gone = frozenset(named) - _NEVER_NAMED
    return [field for field in kept if field[0].lower() not in gone]


_PLAIN_CONNECTION: Final = frozenset({b"keep-alive", b"close", b"upgrade"})


def is_forwarding(name: bytes) -> bool:
    """Whether a field says on whose behalf a request comes, or looks as if it did.

    Servers that turn fields into variables read `X_Forwarded_For` as `X-Forwarded-For`.

    Args:
        name: in lower case.
    """
    plain = name.replace(b"_", b"-") if b"_" in name else name
    return plain in _FORWARDING or plain.startswith(b"x-forwarded-")


@dataclass(frozen=True, slots=True)
class Downstream:
    """Whoever is at the other end of a client connection.

    Attributes:
        address: the IP address of the peer, as text; empty where there is none.
        scheme: `http` or `https`.
        trusted: whether the peer is a proxy whose forwarding fields are taken over.
    """

    address: str
    scheme: str
    trusted: bool


def forwarding_fields(
    fields: RawFields, downstream: Downstream, request_id: str
) -> list[tuple[bytes, bytes]]:
    """Return the forwarding fields to add: whom the request comes from, and its request id.

    From a trusted proxy the chain is continued; from anybody else it starts here, because every
    client can write such fields. `Via` always names Segue (RFC 9110 section 7.6.3).

    Args:
        fields: the fields received. The caller removes those that `is_forwarding` names, and `Via`.
        downstream: the peer.
        request_id: used where no trusted proxy gave one.
    """
    earlier: dict[bytes, bytes] = {}
    if downstream.trusted:
        for name, value in fields:
            lower = name.lower()
            if b"_" not in lower and (is_forwarding(lower) or lower == b"via"):
                earlier[lower] = earlier[lower] + b", " + value if lower in earlier else value
    else:
        via = values_of(fields, b"via")
        if via:
            earlier[b"via"] = b", ".join(via)
    address = downstream.address.encode()
    chain = earlier.pop(b"x-forwarded-for", b"")
    added = [
        (b"X-Forwarded-For", chain + b", " + address if chain else address),
        (b"X-Forwarded-Proto", earlier.pop(b"x-forwarded-proto", downstream.scheme.encode())),
    ]
    host = earlier.pop(b"x-forwarded-host", b"") or b"".join(values_of(fields, b"host")[:1])
    if host:
        added.append((b"X-Forwarded-Host", host))
    added.append((b"X-Request-Id", earlier.pop(b"x-request-id", b"") or request_id.encode()))
    before = earlier.pop(b"via", b"")
    added.append((b"Via", before + b", 1.1 segue" if before else b"1.1 segue"))
    added.extend(earlier.items())
    return added


def origin_form(target: bytes) -> tuple[bytes, bytes | None]:
    """Return a request target in origin form, and the authority that an absolute form named.

    The bytes of path and query stay as they are: what Segue sees is what the server sees.

    Raises:
        ClientError: neither a path, nor `*`, nor an absolute `http` URL (RFC 9112 section 3.2), or
            with a fragment or white space in it.
    """
    if b"#" in target or b" " in target or b"\t" in target:
        raise ClientError("the request target holds a character that has no place there")
    if target.startswith(b"/") or target == b"*":
        return target, None
    scheme, separator, rest = target.partition(b"://")
    if not separator or scheme.lower() not in (b"http", b"https"):
        raise ClientError("the request target is neither a path nor an http URL")
    cut = min((i for i in (rest.find(b"/"), rest.find(b"?")) if i >= 0), default=len(rest))
    authority, path = rest[:cut], rest[cut:]
    if not authority or b"@" in authority:
        raise ClientError("the request target names no host, or a user")
    return (path if path.startswith(b"/") else b"/" + path), authority


def serialize(start_line: bytes, fields: RawFields) -> bytes:
    """Return the bytes of a message's head, from the start line to the empty line.

    Raises:
        ValueError: the start line or a field carries a line break or a NUL, which the other side
            could read as a field of its own (RFC 9110 section 5.5).
    """
    lines = [start_line, *[b"%b: %b" % field for field in fields], b"\r\n"]
    head = b"\r\n".join(lines)
    breaks = len(lines)
    if head.count(b"\n") != breaks or head.count(b"\r") != breaks or b"\0" in head:
        raise ValueError("a line break or a NUL inside a line of the head")
    return head


def reason_of(status: int) -> bytes:
    """Return the standard reason phrase of a status code, or nothing."""
    try:
        return HTTPStatus(status).phrase.encode()
    except ValueError:
        return b""
