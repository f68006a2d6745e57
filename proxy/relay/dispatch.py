"""Getting a request to the server: over a kept connection or a new one, and again if it was stale.

A request is sent twice only where that does no harm: its method has no effect on the server, none
of its body was sent, and not a byte of an answer had come.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import perf_counter
from typing import Final

from proxy.changeover import Pools
from proxy.errors import UpstreamError, UpstreamTimeout
from proxy.relay.http import Exchange
from proxy.relay.takeover import Request
from proxy.upstream.connection import Connection
from proxy.visits import Visit

_SAFE_TO_REPEAT: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
"""Methods without an effect on the server (RFC 9110 section 9.2.1)."""

Begin = Callable[[Connection], Exchange]
"""Makes the exchange that a connection is to carry."""


class Dispatcher:
    """Chooses the connection for each request, and counts the time that the server takes."""

    def __init__(self, pools: Pools) -> None:
        self._pools = pools

    async def exchange(self, visit: Visit, request: Request, head: bytes, begin: Begin) -> Exchange:
        """Relay a request and its response; on a fresh connection if a kept one was stale.

        Args:
            visit: learns which server it was, and how long was waited for it.
            request: from the client.
            head: the head of the request as the server is to see it.
            begin: called for each connection that is tried.

        Returns:
            The exchange, which says how it went.

        Raises:
            UpstreamError: there is no connection to the server.
        """
        connection = self._pools.current.take() or await self._connect(visit)
        exchange = await self._run(visit, connection, head, begin)
        # A server that is slow is not asked twice; one that had closed the connection is.
        closed = type(exchange.error) is UpstreamError
        stale = connection.used and not connection.answered and closed
        if stale and request.method in _SAFE_TO_REPEAT and not exchange.request_size:
            exchange = await self._run(visit, await self._connect(visit), head, begin)
        return exchange

    async def handshake(
        self, visit: Visit, head: bytes, begin: Begin, timeout: float
    ) -> tuple[Exchange, Connection]:
        """Relay a handshake and its response, on a connection that can change protocols.

        Args:
            visit, head, begin: as for `exchange`.
            timeout: seconds for all of it.

        Returns:
            The exchange, which says how it went, and the connection that carried it.

        Raises:
            UpstreamError: there is no connection to the server.
        """
        connection: Connection | None = None
        exchange: Exchange | None = None
        try:
            async with asyncio.timeout(timeout):
                connection = await self._connect(visit)
                exchange = begin(connection)
                await exchange.run(head)
        except TimeoutError:
            late = UpstreamTimeout("the server did not answer the handshake in time")
            if connection is None or exchange is None:
                raise late from None
            exchange.error = late  # A refusal may have been on its way: it must not look complete.
        finally:
            visit.waited += 0.0 if exchange is None else exchange.waited
        return exchange, connection

    async def _run(
        self, visit: Visit, connection: Connection, head: bytes, begin: Begin
    ) -> Exchange:
        visit.upstream = self._pools.current.target.name
        exchange = begin(connection)
        try:
            await exchange.run(head)
        finally:
            visit.waited += exchange.waited
        return exchange

    async def _connect(self, visit: Visit) -> Connection:
        pool = self._pools.current
        visit.upstream = pool.target.name
        begun = perf_counter()
        try:
            return await pool.connect()
        finally:
            visit.waited += perf_counter() - begun
