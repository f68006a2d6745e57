"""The rules of the opening handshake of a WebSocket (RFC 6455 section 4), as a proxy needs them.

Segue shakes hands with the server on the client's behalf: the client's key and version go through,
extensions never do (they would change the frames that a rewriting proxy has to read), and of the
subprotocols those that are Segue's own are taken out on the way in and answered on the way back.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Collection, Container, Iterable, Sequence
from typing import Final

from proxy.errors import ClientError, UpstreamError
from proxy.http.headers import (
    RawFields,
    end_to_end,
    serialize,
    shape_of,
    tokens,
    values_of,
)
from proxy.http.representation import has_length

PROTOCOL: Final = b"sec-websocket-protocol"
EXTENSIONS: Final = b"sec-websocket-extensions"

_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

_UPGRADE: Final = ((b"Connection", b"Upgrade"), (b"Upgrade", b"websocket"))


def is_upgrade(method: str, fields: RawFields) -> bool:
    """Whether a request asks to become a WebSocket (section 4.1), or a response agrees to it."""
    shape = shape_of(fields)
    return (
        method == "GET"
        and b"websocket" in tokens(shape.values(fields, b"upgrade"))
        and b"upgrade" in tokens(shape.values(fields, b"connection"))
    )


def check_request(fields: RawFields) -> None:
    """Refuse a handshake that a server could read in another way than Segue does.

    A server that does not expect a body here takes it for the first frames, which nobody would have
    looked at (RFC 6455 section 4.1 has none in a handshake).

    Args:
        fields: of a request for which `is_upgrade` holds.

    Raises:
        ClientError: it announces a body, or has not exactly one key (section 4.1, item 7).
    """
    shape = shape_of(fields)
    if b"transfer-encoding" in shape or has_length(fields):
        raise ClientError("a WebSocket handshake must not have a body")
    if len(shape.values(fields, b"sec-websocket-key")) != 1:
        raise ClientError("send exactly one Sec-WebSocket-Key header")


def may_open(fields: RawFields, origins: Collection[str]) -> bool:
    """Whether the page that shakes hands may open a WebSocket (RFC 6455 section 10.2).

    Browsers let every page open one to any host, cookies included, and tell whose page it is.
    A program that is no browser can tell anything: one that names no origin loses nothing by it.

    Args:
        fields: of the handshake.
        origins: those that may; `*` for all, and none for all too.
    """
    if not origins or "*" in origins:
        return True
    told = shape_of(fields).values(fields, b"origin")
    return not told or (len(told) == 1 and told[0].decode("latin-1") in origins)


def accept(key: bytes) -> bytes:
    """Return the `Sec-WebSocket-Accept` that belongs to a `Sec-WebSocket-Key` (section 4.2.2)."""
    return base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())


def upgrade_fields(subprotocols: Sequence[bytes]) -> list[tuple[bytes, bytes]]:
    """Return the fields to add to a forwarded handshake: the upgrade and what is offered."""
    added = list(_UPGRADE)
    if subprotocols:
        added.append((b"Sec-WebSocket-Protocol", b", ".join(subprotocols)))
    return added


def check_switch(request: RawFields, response: RawFields, offered: Sequence[bytes]) -> bytes | None:
    """Check the fields of the server's 101 (section 4.1); return the subprotocol that it chose.

    Args:
        request: the fields of the client's handshake.
        response: the fields of the server's answer.
        offered: the subprotocols that the server was offered.

    Raises:
        UpstreamError: it does not answer this handshake.
    """
    keys = shape_of(request).values(request, b"sec-websocket-key")
    shape = shape_of(response)
    if len(keys) != 1 or shape.values(response, b"sec-websocket-accept") != [accept(keys[0])]:
        raise UpstreamError("the server's handshake does not answer the client's key")
    if not is_upgrade("GET", response):
        raise UpstreamError("the server switched to another protocol than WebSocket")
    if EXTENSIONS in shape:
        raise UpstreamError("the server chose an extension that was not offered")
    chosen = shape.values(response, PROTOCOL)
    if len(chosen) > 1 or (chosen and chosen[0] not in offered):
        raise UpstreamError("the server chose a subprotocol that was not offered")
    return chosen[0] if chosen else None


def switch_response(fields: RawFields, subprotocol: bytes | None) -> bytes:
    """Return the 101 for the client: the server's, with its own upgrade and subprotocol fields.

    Raises:
        UpstreamError: a field of the server's carries a line break.
    """
    # A 1xx has no length (RFC 9110 section 8.6).
    answer = end_to_end(fields, frozenset({PROTOCOL, b"content-length"})) + list(_UPGRADE)
    if subprotocol is not None:
        answer.append((b"Sec-WebSocket-Protocol", subprotocol))
    try:
        return serialize(b"HTTP/1.1 101 Switching Protocols", answer)
    except ValueError:
        raise UpstreamError("a field of the server's response carries a line break") from None


def offered_subprotocols(values: Iterable[bytes]) -> list[bytes]:
    """The tokens of the `Sec-WebSocket-Protocol` fields, in order and in their spelling.

    Subprotocols are compared with regard to case (RFC 6455 section 4.1, item 10).
    """
    return [
        token
        for value in values
        for token in (part.strip(b" \t") for part in value.split(b","))
        if token
    ]


def same_origin(fields: RawFields, allowed: Container[str]) -> bool:
    """Whether a handshake comes from a page of the host that it is for, or of a listed origin."""
    origins, hosts = values_of(fields, b"origin"), values_of(fields, b"host")
    if len(origins) != 1 or len(hosts) != 1:
        return False
    scheme, _, authority = origins[0].lower().partition(b"://")
    own = scheme in (b"http", b"https") and authority == hosts[0].lower()
    return own or origins[0].decode("latin-1") in allowed
