"""The bounds of a client connection while it speaks HTTP, and for whom they count together."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final

Network = IPv4Network | IPv6Network

_MOST_HOPS: Final = 32
"""Addresses of `X-Forwarded-For` that are looked at, from its end."""

_SUBSCRIBER: Final = 64
"""Bits of an IPv6 address that name a network; whoever has one has all addresses in it."""


@dataclass(frozen=True, slots=True)
class ClientLimits:
    """What one client may take up. Times in seconds, sizes in bytes.

    Attributes:
        header_timeout: for the head of a request, from its first byte.
        keepalive_timeout: between two requests, and for a client that takes nothing of what is
            sent to it.
        header_line: the longest request line, and the longest value of a field.
        headers: the largest number of fields.
        request_headers: the largest head without its request line.
        write_buffer: the high-water mark of the write buffer.
        connections: how many connections may be open at once, WebSockets among them.
        connections_per_address: how many of them for one `client_bucket`.
        trusted_proxies: who stands for many clients, and is not counted so.
        files: the number of an open file from which on a client is refused: the rest is kept for
            connections to servers.
        last_file: that from which on it is not even listened to any more.
    """

    header_timeout: float
    keepalive_timeout: float
    header_line: int
    headers: int
    request_headers: int
    write_buffer: int
    connections: int
    connections_per_address: int
    trusted_proxies: tuple[Network, ...] = ()
    files: int = sys.maxsize
    last_file: int = sys.maxsize


def is_in(networks: Iterable[Network], peer: str) -> bool:
    """Whether an address, as a socket gives it, belongs to one of these networks."""
    if not networks or not peer:
        return False
    address = _address(peer)
    return any(address in network for network in networks)


def client_address(networks: Iterable[Network], forwarded: str) -> str:
    """Return whom the request of a trusted proxy comes from: the last address that is none itself.

    Args:
        networks: of the trusted proxies.
        forwarded: the value of `X-Forwarded-For`; what stands in front of the last trusted address
            can be written by anybody.

    Returns:
        The address; empty where there is none, or what stands there is no address.
    """
    found = ""
    for part in reversed(forwarded.rsplit(",", _MOST_HOPS)[-_MOST_HOPS:]):
        text = part.strip()
        if text.startswith("["):
            text = text[1:].partition("]")[0]
        elif text.count(":") == 1:
            text = text.partition(":")[0]
        try:
            found = str(_address(text))
        except ValueError:
            return found
        if not is_in(networks, text):
            return found
    return found


def client_bucket(peer: str) -> str:
    """Return what stands for a peer where connections are counted by address.

    For IPv4 that is the address, for IPv6 the network of 64 bits.
    """
    if ":" not in peer:
        return peer
    address = _address(peer)
    if address.version == 4:
        return str(address)
    return str(IPv6Network((address, _SUBSCRIBER), strict=False))


def _address(peer: str) -> IPv4Address | IPv6Address:
    address = ip_address(peer.partition("%")[0])
    # What a socket for both families makes of IPv4 (RFC 4291 section 2.5.5.2).
    return getattr(address, "ipv4_mapped", None) or address
