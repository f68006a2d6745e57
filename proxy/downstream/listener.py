"""Who accepts client connections, and how many: aiohttp's low-level server with Segue's own."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import cast

from aiohttp.web import BaseRequest, RequestHandler, Server, StreamResponse

from proxy.downstream.connection import ClientConnection, Refuse, Serve
from proxy.downstream.limits import ClientLimits, is_in
from proxy.downstream.websockets import Connections
from proxy.errors import (
    NO_FILES,
    AddressFull,
    ConnectionsFull,
    OutOfResources,
    SegueError,
    Unavailable,
)
from proxy.memory import MemoryBudget


class Listener(Server):
    """aiohttp's low-level server with Segue's connections.

    Attributes:
        serve: answers one request.
        refuse: answers what is not a request.
        on_limit: told the name of a limit that was reached without an error, and the address of the
            client.
        memory: what may be held for clients.
        elsewhere: the connections that were taken over and are still open.
        draining: whether every connection ends with its current request.
    """

    def __init__(
        self,
        serve: Serve,
        refuse: Refuse,
        limits: ClientLimits,
        elsewhere: Connections,
        on_limit: Callable[[str, str], None],
        memory: MemoryBudget,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        super().__init__(_unused, handler_cancellation=True, loop=loop)
        self.serve = serve
        self.refuse = refuse
        self.limits = limits
        self.elsewhere = elsewhere
        self.on_limit = on_limit
        self.memory = memory
        self.draining = False
        self._buckets: Counter[str] = Counter()
        self._empty = asyncio.Event()

    def __call__(self) -> ClientConnection:
        """Return the protocol of a new connection; a wrong argument is an error, not a default."""
        return ClientConnection(self, self._loop)

    @property
    def open(self) -> int:
        """How many client connections are open, those that were taken over included."""
        return len(self._connections) + len(self.elsewhere)

    def refusal_of(self, connection: ClientConnection) -> SegueError | None:
        """Return why a connection that has just been made is one too many; None where it is not."""
        limits, bucket = self.limits, connection.bucket
        if self.open > limits.connections:
            return ConnectionsFull("too many connections")
        count = self._buckets[bucket] + self.elsewhere.open_from(bucket)
        if (
            bucket
            and count > limits.connections_per_address
            and not is_in(limits.trusted_proxies, connection.address)
        ):
            return AddressFull("too many connections from one address")
        return OutOfResources(NO_FILES) if connection.file >= limits.files else None

    def check(self, now: float) -> None:
        """Close the connections whose time is up; called about twice a second."""
        for connection in self.connections:
            cast(ClientConnection, connection).check(now)

    def connection_made(self, handler: RequestHandler, transport: asyncio.Transport) -> None:
        """Count a connection."""
        super().connection_made(handler, transport)
        self._buckets[cast(ClientConnection, handler).bucket] += 1

    def connection_lost(
        self,
        handler: RequestHandler,
        exc: BaseException | None = None,  # noqa: ARG002 (aiohttp's signature)
    ) -> None:
        """Forget a connection that has ended or was taken over."""
        if self._connections.pop(handler, None) is not None:
            bucket = cast(ClientConnection, handler).bucket
            self._buckets[bucket] -= 1
            if not self._buckets[bucket]:
                del self._buckets[bucket]
        if not self._connections:
            self._empty.set()

    async def drain(self, timeout: float) -> bool:
        """Let the requests in progress finish. Returns whether all did within the time."""
        self.draining = True
        for connection in self.connections:
            cast(ClientConnection, connection).stop()
        try:
            async with asyncio.timeout(timeout):
                while self._connections:
                    self._empty.clear()
                    await self._empty.wait()
        except TimeoutError:
            for connection in self.connections:
                over = Unavailable("cut: `timeouts.drain` was over")
                cast(ClientConnection, connection).cut = over
                cast(ClientConnection, connection).abort()
            return False
        return True


async def _unused(_: BaseRequest) -> StreamResponse:
    raise RuntimeError("requests are served by ClientConnection.start")
