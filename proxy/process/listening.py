"""The socket of the public listener, and what is said of an address that cannot be listened on."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Callable
from typing import Final

from proxy.configuration.reading import Config
from proxy.errors import ConfigError, Diagnostic

_BACKLOG: Final = 4096


async def listen(
    protocol: Callable[[], asyncio.Protocol],
    tls: ssl.SSLContext | None,
    config: Config,
    inherited: socket.socket | None,
) -> asyncio.Server:
    """Listen for clients.

    Args:
        protocol: makes a connection of one.
        tls: None for plain TCP.
        config: where to listen, and how long a TLS handshake may take.
        inherited: listens already; None to begin.

    Raises:
        OSError: it cannot be listened there.
    """
    create, place = asyncio.get_running_loop().create_server, config.listen.address
    handshake = None if tls is None else config.timeouts.tls_handshake
    if inherited is None:
        server = await create(
            protocol,
            place.host,
            place.port,
            ssl=tls,
            backlog=_BACKLOG,
            ssl_handshake_timeout=handshake,
        )
    else:
        server = await create(
            protocol,
            sock=inherited,
            ssl=tls,
            backlog=_BACKLOG,
            ssl_handshake_timeout=handshake,
        )
    for listening in server.sockets:
        # Connections inherit it: a client that vanished is noticed some time, however silent.
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    return server


def authority_of(address: tuple[object, ...]) -> str:
    """Write where a socket is, as `host:port`."""
    host, port = address[0], address[1]
    return f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}"


def cannot_listen(path: str, address: str, error: OSError) -> ConfigError:
    """Say why it cannot be listened at an address, which a setting names."""
    # The loop puts the address in front of the system's text; a resolver's codes are negative.
    code = error.errno or 0
    reason = os.strerror(code) if code > 0 else error.strerror or "not possible"
    return ConfigError([Diagnostic(address, 0, 0, path, f"cannot listen there: {reason.lower()}")])
