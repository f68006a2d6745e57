"""Kept connections to one server: reused while both sides may, bounded, and never waited for."""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from dataclasses import replace
from time import perf_counter

from proxy.errors import UpstreamError, UpstreamTimeout, UpstreamUnreachable
from proxy.upstream.connection import Connection
from proxy.upstream.target import Counters, Target


class Pool:
    """Connections to one server: the newest unused one first, so that spare ones go stale."""

    def __init__(
        self, target: Target, loop: asyncio.AbstractEventLoop, counters: Counters | None = None
    ) -> None:
        """Begin without a connection.

        Args:
            target: the server.
            loop: of all transports.
            counters: those of an earlier pool, to go on with.
        """
        self.target = target
        self.loop = loop
        self.counters = Counters() if counters is None else counters
        self._idle: deque[Connection] = deque()
        self._open: set[Connection] = set()

    @property
    def idle(self) -> int:
        """How many connections wait for use."""
        return len(self._idle)

    @property
    def busy(self) -> int:
        """How many connections carry an exchange."""
        return len(self._open) - len(self._idle)

    def take(self) -> Connection | None:
        """Return an unused connection, or None: then `connect` makes one."""
        while self._idle:
            connection = self._idle.pop()
            if not connection.transport.is_closing():
                self.counters.reuses += 1
                return connection
        return None

    async def connect(self) -> Connection:
        """Open a connection.

        Raises:
            UpstreamUnreachable: refused, unknown host, or TLS failed.
            UpstreamTimeout: not open in time.
        """
        target = self.target
        begun = perf_counter()
        try:
            async with asyncio.timeout(target.connect_timeout):
                _, connection = await self.loop.create_connection(
                    lambda: Connection(self),
                    target.host,
                    target.port,
                    ssl=target.tls,
                    server_hostname=target.server_name if target.tls is not None else None,
                )
        except TimeoutError:
            error: UpstreamError = UpstreamTimeout("no connection to the server in time")
        except ssl.SSLError:
            error = UpstreamUnreachable("the server's certificate or TLS was not acceptable")
        except OSError:
            error = UpstreamUnreachable("no connection to the server")
        else:
            self.counters.connects += 1
            self.counters.connect_time.observe(perf_counter() - begun)
            if not connection.transport.is_closing():
                self.counters.up = True
                return connection
            # Its end has been reported already, and to nobody: no exchange had begun.
            error = UpstreamUnreachable("the server closed the connection at once")
        self.counters.up = False
        self.counters.fail(error.label)
        raise error

    def retire(self) -> None:
        """Keep no connection from here on: unused ones are closed now, others after their use."""
        self.target = replace(self.target, max_idle=0)
        while self._idle:
            self._idle.pop().transport.close()

    def put_back(self, connection: Connection) -> None:
        """Keep a connection for the next exchange, within `max_idle`."""
        self._idle.append(connection)
        if len(self._idle) > self.target.max_idle:
            self._idle.popleft().transport.close()

    def remember(self, connection: Connection) -> None:
        """A connection is open."""
        self._open.add(connection)

    def forget(self, connection: Connection) -> None:
        """A connection is closed, or no longer the pool's."""
        self._open.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)

    def check(self, now: float) -> None:
        """Give up exchanges that are past their deadline; called about once a second."""
        for connection in tuple(self._open):
            connection.check(now)

    def close(self) -> None:
        """Close the unused connections and abort the others."""
        for connection in tuple(self._open):
            connection.abort()
