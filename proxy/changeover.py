"""What is exchanged while clients go on: certificate, connections to the server, the process.

After a reload new handshakes get the new certificate, and new requests go over connections of a new
pool; whatever has begun ends with what it began with. A process can take its listening socket over
from whoever started it, so that the next one finds the clients that came in between.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Mapping
from typing import Final

from proxy.upstream.pool import Pool
from proxy.upstream.target import Target

_FIRST_INHERITED: Final = 3
"""The descriptor of the first socket that is handed over (sd_listen_fds(3))."""


class Certificate:
    """The TLS context of new handshakes, behind one that a listener can keep.

    Attributes:
        current: the newest; None where the listener speaks plain TCP.
    """

    def __init__(self, current: ssl.SSLContext | None) -> None:
        self.current = current

    def behind(self, outer: ssl.SSLContext | None) -> ssl.SSLContext | None:
        """Let every handshake that begins with `outer` go on with the newest context."""
        if outer is not None:
            # Called for clients that name no host too (SSL_CTX_set_tlsext_servername_callback(3)).
            outer.sni_callback = self._choose
        return outer

    def _choose(self, handshake: ssl.SSLObject, _name: str | None, _outer: ssl.SSLContext) -> None:
        if self.current is not None:
            handshake.context = self.current


class Pools:
    """The pool of connections to the server, and those that end with their last exchange.

    Attributes:
        current: for new requests.
        counters: of all of them, from the start.
    """

    def __init__(self, target: Target, loop: asyncio.AbstractEventLoop) -> None:
        self.current = Pool(target, loop)
        self.counters = self.current.counters
        self._loop = loop
        self._retired: list[Pool] = []

    @property
    def busy(self) -> int:
        """How many connections carry an exchange."""
        return sum(pool.busy for pool in (self.current, *self._retired))

    @property
    def idle(self) -> int:
        """How many connections wait for use."""
        return self.current.idle

    def change(self, target: Target) -> None:
        """Use a new pool from here on; unused connections of the old one are closed now."""
        old = self.current
        self.current = Pool(target, self._loop, self.counters)
        old.retire()
        self._retired.append(old)

    def check(self, now: float) -> None:
        """Give up exchanges that are past their deadline; called about once a second."""
        self.current.check(now)
        for pool in self._retired:
            pool.check(now)
        self._retired = [pool for pool in self._retired if pool.busy]

    def close(self) -> None:
        """Close the unused connections and abort the others."""
        for pool in (self.current, *self._retired):
            pool.close()


def inherited_socket(env: Mapping[str, str]) -> socket.socket | None:
    """Return the listening socket that a supervisor handed over, None where there is none.

    The protocol is systemd's (sd_listen_fds(3)). The supervisor holds the socket too, so clients
    that connect between the end of one process and the start of the next wait in its queue. With
    SO_REUSEPORT each process has a queue of its own, and what waits in it is reset when the
    process closes it.

    Raises:
        OSError: the descriptor is no socket.
    """
    if env.get("LISTEN_PID") != str(os.getpid()) or env.get("LISTEN_FDS", "0") == "0":
        return None
    inherited = socket.socket(fileno=_FIRST_INHERITED)
    inherited.settimeout(0)
    return inherited
