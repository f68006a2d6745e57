"""The fields of a request as the server is to see it."""

from __future__ import annotations

import ipaddress
from typing import Final

from proxy import handshake, headers, trace
from proxy.live import Snapshot
from proxy.relay.http import Fields
from proxy.relay.takeover import Request
from proxy.visits import Visit

_NOT_FORWARDED: Final = frozenset({b"via"})
_NOT_IN_HANDSHAKE: Final = frozenset({b"via", handshake.PROTOCOL, handshake.EXTENSIONS})


def forwarded_fields(
    snapshot: Snapshot, request: Request, visit: Visit, authority: bytes | None, *, upgrade: bool
) -> Fields:
    """Return what goes end to end, and Segue's own forwarding fields.

    Args:
        authority: what an absolute request target named; it wins over `Host` (RFC 9112, 3.2.2).
        upgrade: whether this is a handshake; its subprotocols and extensions are dealt with apart.
    """
    received = request.fields
    fields = [
        field
        for field in headers.end_to_end(received, _NOT_IN_HANDSHAKE if upgrade else _NOT_FORWARDED)
        if not headers.is_forwarding(field[0].lower())
    ]
    if authority is not None or not snapshot.config.upstream.preserve_host:
        fields = [field for field in fields if field[0].lower() != b"host"]
        fields.insert(0, (b"Host", authority or snapshot.upstream_authority))
    elif request.version < (1, 1) and not headers.values_of(received, b"host"):
        fields.insert(0, (b"Host", snapshot.upstream_authority))
    downstream = headers.Downstream(
        visit.peer,
        "http" if snapshot.config.listen.tls is None else "https",
        _is_trusted(snapshot, visit.peer),
    )
    fields += headers.forwarding_fields(received, downstream, visit.request_id)
    return trace.carried(fields, visit.trace)


def _is_trusted(snapshot: Snapshot, peer: str) -> bool:
    networks = snapshot.config.listen.trusted_proxies
    if not networks or not peer:
        return False
    address = ipaddress.ip_address(peer.partition("%")[0])
    return any(address in network for network in networks)
