"""Getting a request to a server: which one, over which connection, and when it is tried again.

What was not sent can be sent elsewhere: where no connection to one server can be opened, another is
tried. What was sent is sent again only where that does no harm: the method has no effect on the
server, none of a body was sent, and not a byte of an answer had come. The first time on a fresh
connection to the same server, if the first one was kept and may have been stale; then to others,
`upstream.retries` of them, and none that would begin later than an answer had to come. A server
that is slow is not asked twice, nor is another in its place: it may be at work.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from time import perf_counter
from typing import Final, NamedTuple

from proxy.downstream.request import Request
from proxy.errors import OutOfResources, UpstreamError, UpstreamTimeout
from proxy.http.request_head import RequestHead
from proxy.observability.access_log import RequestInfo
from proxy.relay.exchange import Exchange
from proxy.upstream.connection import Connection
from proxy.upstream.deadline import Deadline
from proxy.upstream.fleet import Fleet
from proxy.upstream.pool import Pool

_SAFE_TO_REPEAT: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
"""Methods without an effect on the server (RFC 9110 section 9.2.1)."""

_UNREACHED: Final = "unreached"
_UNANSWERED: Final = "unanswered"
_STALE: Final = "stale"

Begin = Callable[[Connection], Exchange]
"""Makes the exchange that a connection is to carry."""


class HandshakeResult(NamedTuple):
    """How a handshake went, and what carried it."""

    exchange: Exchange
    connection: Connection
    pool: Pool


class Dispatcher:
    """Chooses server and connection for each request, and counts the time that they take."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet

    async def exchange(
        self,
        info: RequestInfo,
        request: Request,
        head: RequestHead,
        begin: Begin,
        watched: Collection[int] = (),
    ) -> Exchange:
        """Relay a request and its response.

        Args:
            info: learns which server it was, and how long was waited for it.
            request: from the client.
            head: the head of the request as the server is to see it.
            begin: called for each connection that is tried.
            watched: a response with one of these statuses is held (`Exchange.held`).

        Returns:
            The newest exchange, which says how it went.

        Raises:
            UpstreamError: there is no connection to any server that was tried.
            OutOfResources: none can be made here.
        """
        tries = _Tries(self._fleet, info)
        look = not (self._fleet.retries and _is_repeatable(request))
        fresh = False  # A kept connection was stale: the next one must not be.
        while True:
            pool = tries.pool
            pool.in_flight += 1
            exchange: Exchange | None = None
            try:
                connection = None if fresh else pool.take(look=look)
                fresh = False
                if connection is None:
                    connection = await self._connect(info, pool)
                _asked(info, pool)
                exchange = begin(connection)
                exchange.watched = watched
                await exchange.run(head.for_server(connection.target.authority))
            except (UpstreamError, OutOfResources) as error:
                if not (_may_reach_another(error) and tries.go_on(_UNREACHED)):
                    raise
            else:
                if not _may_repeat(request, exchange):
                    return exchange
                if connection.stale and self._fleet.retries:
                    fresh = True
                    pool.counters.retries[_STALE] += 1
                elif not tries.go_on(_UNANSWERED):
                    return exchange
            finally:
                pool.in_flight -= 1
                if exchange is not None:
                    info.waited += exchange.waited

    async def handshake(
        self,
        info: RequestInfo,
        head: RequestHead,
        begin: Begin,
        timeout: float,
        watched: Collection[int] = (),
    ) -> HandshakeResult:
        """Relay a handshake and its response, on a connection that can change protocols.

        Args:
            info, head, begin, watched: as for `exchange`.
            timeout: seconds for all of it.

        Raises:
            UpstreamError: there is no connection to any server that was tried.
            OutOfResources: none can be made here.
        """
        tries = _Tries(self._fleet, info)
        exchange: Exchange | None = None
        connection: Connection | None = None
        pool, epoch = tries.pool, 0
        pool.in_flight += 1
        try:
            with Deadline(pool.loop, timeout):
                while connection is None:
                    epoch = pool.epoch
                    try:
                        connection = await self._connect(info, pool)
                    except (UpstreamError, OutOfResources) as error:
                        if not (_may_reach_another(error) and tries.go_on(_UNREACHED)):
                            raise
                        pool.in_flight -= 1
                        pool = tries.pool
                        pool.in_flight += 1
                _asked(info, pool)
                exchange = begin(connection)
                exchange.watched = watched
                await exchange.run(head.for_server(connection.target.authority))
        except TimeoutError:
            late = UpstreamTimeout("the server did not answer the handshake in time")
            if exchange is None or exchange.head is None:
                pool.failed(epoch, late.detail)
            if connection is None or exchange is None:
                raise late from None
            exchange.error = late  # A refusal may have been on its way: it must not look complete.
        finally:
            pool.in_flight -= 1
            info.waited += 0.0 if exchange is None else exchange.waited
        return HandshakeResult(exchange, connection, pool)

    async def _connect(self, info: RequestInfo, pool: Pool) -> Connection:
        info.upstream = pool.name
        begun = perf_counter()
        try:
            return await pool.connect()
        finally:
            info.waited += perf_counter() - begun


class _Tries:
    """The servers that one request is tried on.

    Attributes:
        pool: the one whose turn it is.
    """

    __slots__ = ("_begun", "_fleet", "_info", "_tried", "pool")

    def __init__(self, fleet: Fleet, info: RequestInfo) -> None:
        self._fleet = fleet
        self._info = info
        self._begun = perf_counter()
        self._tried: list[Pool] = []
        self.pool = fleet.choose()

    def go_on(self, reason: str) -> bool:
        """Move on to another server, if there is one, and tries and time are left."""
        failed = self.pool
        self._tried.append(failed)
        late = perf_counter() - self._begun > failed.target.response_timeout
        if late or len(self._tried) > self._fleet.retries:
            return False
        other = self._fleet.another(self._tried)
        if other is None:
            return False
        failed.counters.retries[reason] += 1
        self.pool = other
        if self._info.trail is not None:
            self._info.trail.note("retry", failed=failed.name, reason=reason, next=other.name)
        return True


def _asked(info: RequestInfo, pool: Pool) -> None:
    """A server is about to be sent the request."""
    info.upstream = pool.name
    if info.trail is not None:
        info.trail.note("target", upstream=pool.name, healthy=pool.health.is_healthy)


def _may_reach_another(error: UpstreamError | OutOfResources) -> bool:
    """Whether another server may be reached where one could not be."""
    return isinstance(error, UpstreamError) or error.elsewhere


def _is_repeatable(request: Request) -> bool:
    """Whether a request may be sent twice: it has no effect on the server, and no body."""
    return request.method in _SAFE_TO_REPEAT and not (request.chunked or request.shape.has_length)


def _may_repeat(request: Request, exchange: Exchange) -> bool:
    """Whether a request that was sent may be sent once more."""
    return (
        isinstance(exchange.error, UpstreamError)
        and exchange.error.may_be_repeated
        and exchange.unanswered
        and request.method in _SAFE_TO_REPEAT
        and not exchange.request_size
        and request.payload.is_eof()
    )
