"""What a proxy does to the header fields of a message (RFC 9110 section 7.6, RFC 9112).

Fields are kept as they were received: a sequence of (name, value) in bytes, in their order and
spelling. The functions return new lists; nothing here knows a connection.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from http import HTTPStatus
from operator import itemgetter
from typing import Final, NamedTuple

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

SERVERS_OWN: Final = b"\0"
"""Stands for the authority of the server that is asked. No field of a client can have this value,
and no head can be written with it."""

_NEVER_NAMED: Final = frozenset({b"content-length", b"host"})
"""Fields that decide routing or framing: a `Connection` field that names one does not remove it."""

_NEVER_FORWARDED: Final = frozenset({b"via", b"http2-settings"})
"""Not as it came: `Via` is written anew, and no upgrade to HTTP/2 is ever asked for."""

_LOOK_ALIKES: Final = frozenset({b"content_length", b"transfer_encoding"})

_FORWARDING: Final = frozenset({b"forwarded", b"x-real-ip", b"x-request-id"})

REWRITING: Final = frozenset(
    {
        b"daphne-root-path",
        b"path-info",
        b"script-name",
        b"x-original-url",
        b"x-rewrite-url",
        b"x-script-name",
    }
)
"""Fields by which some servers take another path than that of the request line; as `folded`."""

_OVERRIDING: Final = frozenset({b"x-http-method", b"x-http-method-override", b"x-method-override"})
"""Fields by which some servers take another method than that of the request line."""

_AUTHORITY: Final = re.compile(
    rb"(?:[A-Za-z0-9._~-]{1,255}|\[[0-9A-Fa-f:.]{2,45}\])(?::([0-9]{0,5}))?"
)
"""A name, an IPv4 or IPv6 address, and a port. RFC 3986 section 3.2.2 allows names with percent
signs and punctuation too; no host has one, and servers disagree on what they mean."""


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
    fields: RawFields, also: frozenset[bytes] = frozenset()
) -> list[tuple[bytes, bytes]]:
    """Return the fields that go on: without the hop-by-hop ones and those that `Connection` names.

    Args:
        fields: as received.
        also: further lower-case names to leave out.
    """
    shape = shape_of(fields)
    kept = _without_named(fields, shape, shape.end_to_end(fields))
    return [field for field in kept if field[0].lower() not in also] if also else list(kept)


def forwardable(fields: RawFields, shape: Shape) -> list[tuple[bytes, bytes]]:
    """Return those of a request's fields that go on and are not for Segue to set.

    Args:
        fields: as received.
        shape: theirs.
    """
    return list(_without_named(fields, shape, shape.forwardable(fields)))


def _without_named(fields: RawFields, shape: Shape, kept: RawFields) -> RawFields:
    """Leave out what the `Connection` fields name (RFC 9110 section 7.6.1)."""
    values = shape.values(fields, b"connection")
    if not values or (len(values) == 1 and values[0].lower() in _PLAIN_CONNECTION):
        return kept
    gone = frozenset(tokens(values)) - _NEVER_NAMED
    return [field for field in kept if field[0].lower() not in gone]


_PLAIN_CONNECTION: Final = frozenset({b"keep-alive", b"close", b"upgrade"})


def folded(name: bytes) -> bytes:
    """The name of a field as servers know it that make variables of fields (WSGI, CGI).

    They read `X_Forwarded_For` as `X-Forwarded-For`.
    """
    name = name.lower()
    return name.replace(b"_", b"-") if b"_" in name else name


def is_forwarding(name: bytes) -> bool:
    """Whether a field says on whose behalf a request comes, or looks as if it did.

    Args:
        name: in lower case.
    """
    plain = folded(name)
    return plain in _FORWARDING or plain.startswith(b"x-forwarded-")


Pick = Callable[[RawFields], RawFields]


class Shape:
    """What the names of a message's fields say, whatever their values.

    Clients send the same fields again and again, so that this is worked out once for each sequence
    of names; it had taken a fifth of a request's time.

    Attributes:
        end_to_end: picks the fields that are not hop-by-hop; `Connection` may name more.
        forwardable: picks of these the ones that are not for Segue to set, as `Via` and all that
            `is_forwarding` names.
        is_misleading: whether a field looks like one that frames a message: servers that turn
            fields into variables cannot tell `Content_Length` from the real one.
        has_length: whether there is a `Content-Length`.
        rewrites_path: whether a field may make a server take another path.
        overrides_method: whether one may make it take another method.
        names: all of them, in lower case.
        size: bytes of the names.
    """

    __slots__ = (
        "_places",
        "end_to_end",
        "forwardable",
        "has_length",
        "is_misleading",
        "names",
        "overrides_method",
        "rewrites_path",
        "size",
    )

    def __init__(self, names: Sequence[bytes]) -> None:
        """Work it out.

        Args:
            names: of the fields, in their order, in lower case.
        """
        self._places: dict[bytes, tuple[int, ...]] = {}
        for place, name in enumerate(names):
            self._places[name] = (*self._places.get(name, ()), place)
        self.names = frozenset(self._places)
        self.size = sum(map(len, names))
        self.has_length = b"content-length" in self._places
        self.is_misleading = not _LOOK_ALIKES.isdisjoint(names)
        plain = {folded(name) for name in names}
        self.rewrites_path = not REWRITING.isdisjoint(plain)
        self.overrides_method = not _OVERRIDING.isdisjoint(plain)
        onward = [place for place, name in enumerate(names) if name not in HOP_BY_HOP]
        self.end_to_end = _picker(onward)
        self.forwardable = _picker(
            [
                place
                for place in onward
                if names[place] not in _NEVER_FORWARDED and not is_forwarding(names[place])
            ]
        )

    def __contains__(self, name: bytes) -> bool:
        """Whether there is a field with that lower-case name."""
        return name in self._places

    def values(self, fields: RawFields, name: bytes) -> list[bytes]:
        """Do what `values_of` does, for the fields that have this shape."""
        places = self._places.get(name)
        if places is None:
            return []
        if len(places) == 1:  # Nearly all; it spares the comprehension's own frame.
            return [fields[places[0]][1]]
        return [fields[place][1] for place in places]


def shape_of(fields: RawFields) -> Shape:
    """Return the shape of these fields."""
    # No name holds a colon: it ends there.
    names = b":".join([name for name, _ in fields])
    return _shape(names) if len(names) <= _MAX_REMEMBERED else _shape.__wrapped__(names)


_MAX_REMEMBERED: Final = 2048
"""Bytes of the names of which one shape is remembered: a stranger chooses them."""


@lru_cache(maxsize=256)
def _shape(names: bytes) -> Shape:
    return Shape(names.lower().split(b":") if names else ())


def _picker(places: Sequence[int]) -> Pick:
    if len(places) > 1:
        return itemgetter(*places)  # It gives a tuple, for several places.
    return lambda fields: [fields[place] for place in places]


class Downstream(NamedTuple):
    """Whoever is at the other end of a client connection.

    Attributes:
        address: the IP address of the peer, as text; empty where there is none.
        scheme: `http` or `https`.
        trusted: whether the peer is a proxy whose forwarding fields are taken over.
        version: of HTTP in which it asked, as `Via` has it.
    """

    address: str
    scheme: str
    trusted: bool
    version: bytes = b"1.1"


def forwarding_fields(
    fields: RawFields, downstream: Downstream, request_id: str, host: bytes
) -> list[tuple[bytes, bytes]]:
    """Return the forwarding fields to add: whom the request comes from, and its request id.

    From a trusted proxy the chain is continued; from anybody else it starts here, because every
    client can write such fields, `Via` among them; it always names Segue (RFC 9110 section 7.6.3).

    Args:
        fields: the fields received. The caller removes those that `is_forwarding` names, and `Via`.
        downstream: the peer.
        request_id: of the request; the one that a trusted proxy gave, where it gave one.
        host: whom the client asked for; empty where it named nobody.
    """
    chain, scheme = downstream.address.encode(), downstream.scheme.encode()
    identifier, via = request_id.encode(), downstream.version + b" segue"
    further: Iterable[tuple[bytes, bytes]] = ()
    if downstream.trusted:
        earlier: dict[bytes, bytes] = {}
        for name, value in fields:
            lower = name.lower()
            if b"_" not in lower and (is_forwarding(lower) or lower == b"via"):
                earlier[lower] = earlier[lower] + b", " + value if lower in earlier else value
        if before := earlier.pop(b"x-forwarded-for", b""):
            chain = before + b", " + chain
        if before := earlier.pop(b"via", b""):
            via = before + b", " + via
        scheme = earlier.pop(b"x-forwarded-proto", scheme)
        host = earlier.pop(b"x-forwarded-host", b"") or host
        earlier.pop(b"x-request-id", b"")  # Where it is of use, `request_id` is the same.
        further = earlier.items()
    added = [(b"X-Forwarded-For", chain), (b"X-Forwarded-Proto", scheme)]
    if host:
        added.append((b"X-Forwarded-Host", host))
    added += ((b"X-Request-Id", identifier), (b"Via", via), *further)
    return added


_IN_TARGET: Final = bytes(set(range(0x21, 0x7F)) - set(b"#"))


def is_authority(value: bytes) -> bool:
    """Whether this names a host, with or without a port, and nothing else (RFC 9110, 7.2)."""
    return len(value) <= _LONGEST_AUTHORITY and _is_authority(value)


_LONGEST_AUTHORITY: Final = 255 + len(":65535")


@lru_cache(maxsize=256)
def _is_authority(value: bytes) -> bool:
    match = _AUTHORITY.fullmatch(value)
    return match is not None and int(match[1] or 0) <= 65535


def origin_form(target: bytes, method: str = "GET") -> tuple[bytes, bytes | None]:
    """Return a request target in origin form, and the authority that an absolute form named.

    The bytes of path and query stay as they are: what Segue sees is what the server sees. An
    `OPTIONS` for a URL that has neither is about the server as a whole: `*` (RFC 9112, 3.2.4).

    Raises:
        ClientError: neither a path, nor `*`, nor an absolute `http` URL (RFC 9112 section 3.2), or
            with a fragment, white space, or a byte over 127 in it.
    """
    if target.translate(None, _IN_TARGET):  # A seventh of what a pattern takes.
        raise ClientError("the request target has a character that must be percent-encoded")
    if target.startswith(b"/") or target == b"*":
        return target, None
    scheme, separator, rest = target.partition(b"://")
    if not separator or scheme.lower() not in (b"http", b"https"):
        raise ClientError("the request target is neither a path nor an http URL")
    cut = min((i for i in (rest.find(b"/"), rest.find(b"?")) if i >= 0), default=len(rest))
    authority, path = rest[:cut], rest[cut:]
    if not is_authority(authority):
        raise ClientError("the request target names no host, or more than a host")
    if not path and method == "OPTIONS":
        return b"*", authority
    return (path if path.startswith(b"/") else b"/" + path), authority


def hops_left(method: str, fields: RawFields) -> int | None:
    """Return how often a request may be forwarded, as `Max-Forwards` says (RFC 9110 section 7.6.2).

    Returns:
        None where it says nothing, or is of a method for which it means nothing.

    Raises:
        ClientError: it is not one number.
    """
    if method not in ("OPTIONS", "TRACE"):
        return None
    told = values_of(fields, b"max-forwards")
    if not told:
        return None
    if len(told) > 1 or not told[0].isdigit() or len(told[0]) > _LONGEST_COUNT:
        raise ClientError("Max-Forwards must be one number")
    return int(told[0])


_LONGEST_COUNT: Final = 9


_KEEP_ALIVE: Final = re.compile(
    rb"(?:^|[,;\s])(timeout|max)\s*=\s*\"?([0-9]{1,9})(?![0-9])", re.IGNORECASE
)


@lru_cache(maxsize=256)
def kept_for(value: bytes) -> float | None:
    """Return for how long a connection may wait for its next request, as a `Keep-Alive` field says.

    That is less than the server says: it may have begun to close the connection when the request
    gets there, and then it is not answered.

    Args:
        value: as `timeout=5, max=100` (RFC 2068 section 19.7.1.1, which servers still send).

    Returns:
        Seconds; 0 where no other request may follow, None where it does not say.
    """
    said = {name.lower(): int(number) for name, number in _KEEP_ALIVE.findall(value)}
    if said.get(b"max") == 0:
        return 0.0
    timeout = said.get(b"timeout")
    return None if timeout is None else max(timeout - _ON_ITS_WAY, timeout / 2)


_ON_ITS_WAY: Final = 1.0
"""Seconds that an answer and the next request may be on their way together."""


def serialize(start_line: bytes, fields: RawFields) -> bytes:
    """Return the bytes of a message's head, from the start line to the empty line.

    Raises:
        ValueError: the start line or a field carries a line break or a NUL, which the other side
            could read as a field of its own (RFC 9110 section 5.5).
    """
    lines = [start_line, *map(b": ".join, fields), b"\r\n"]
    head = b"\r\n".join(lines)
    breaks = len(lines)
    if head.count(b"\n") != breaks or head.count(b"\r") != breaks or 0 in head:
        raise ValueError("a line break or a NUL inside a line of the head")
    return head


def reason_of(status: int) -> bytes:
    """Return the standard reason phrase of a status code, or nothing."""
    try:
        return HTTPStatus(status).phrase.encode()
    except ValueError:
        return b""


Fields = list[tuple[bytes, bytes]]
