"""Asking each server from time to time whether it is well (active health).

A probe is one plain GET on a connection of its own, of whose answer only the status counts; the
rest is not read. It has no part in the counts of the pool, nor in what requests say of the server.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from proxy.errors import OutOfResources, UpstreamError
from proxy.http.headers import serialize
from proxy.upstream.connection import Connection
from proxy.upstream.pool import Pool, open_connection
from proxy.upstream.response import Head
from proxy.upstream.target import Counters, Target


@dataclass(frozen=True, slots=True)
class Check:
    """How a server is asked. Times in seconds.

    Attributes:
        path: in origin form, the query included.
        host: what `Host` says; the server's own authority where empty.
        interval: from one answer to the next question.
        timeout: for connection and answer together.
        healthy, unhealthy: how many in a row it takes to change what is thought of the server.
        statuses: those that say that it is well.
    """

    path: str
    host: str
    interval: float
    timeout: float
    healthy: int
    unhealthy: int
    statuses: frozenset[int]


class Prober:
    """Probes the servers of a fleet, each in a task of its own."""

    def __init__(
        self,
        report: Callable[[Pool], None],
        exhausted: Callable[[OutOfResources], None],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        """Begin with nothing to do.

        Args:
            report: called where probes have changed what is thought of a server.
            exhausted: called where a server could not be asked, for want of something here.
            loop: to run on.
        """
        self._report = report
        self._exhausted = exhausted
        self._loop = loop
        self._check: Check | None = None
        self._tasks: dict[Pool, asyncio.Task[None]] = {}

    def change(self, pools: Sequence[Pool], check: Check | None) -> None:
        """Probe these servers from here on; what is known of those that stay is kept.

        Args:
            pools: the servers.
            check: how; None for not at all.
        """
        for pool, task in tuple(self._tasks.items()):
            if check != self._check or pool not in pools:
                del self._tasks[pool]
                task.cancel()
                if check is None or pool not in pools:
                    pool.health.stop_probing()
        self._check = check
        if check is not None:
            for number, pool in enumerate(pools):
                if pool not in self._tasks:
                    # Spread, so that a shared database is not asked by all of them at once.
                    delay = check.interval * number / len(pools)
                    watch = self._watch(pool, check, delay)
                    self._tasks[pool] = self._loop.create_task(watch)

    def close(self) -> None:
        """Probe no more."""
        self.change((), None)

    async def _watch(self, pool: Pool, check: Check, delay: float) -> None:
        await asyncio.sleep(delay)
        while True:
            try:
                passed = await probe(pool.target, check, self._loop)
            except OutOfResources as error:
                self._exhausted(error)
            else:
                self._conclude(pool, check, passed=passed)
            await asyncio.sleep(check.interval)

    def _conclude(self, pool: Pool, check: Check, *, passed: bool) -> None:
        if passed:
            pool.counters.up = True
            pool.signs.answers += 1
        if pool.health.probed(passed=passed, healthy=check.healthy, unhealthy=check.unhealthy):
            self._report(pool)


async def probe(target: Target, check: Check, loop: asyncio.AbstractEventLoop) -> bool:
    """Ask a server once; return whether it answered in time that it is well.

    Raises:
        OutOfResources: it could not be asked, which says nothing of it.
    """
    answer = _Answer(loop)
    connection: Connection | None = None
    try:
        async with asyncio.timeout(check.timeout):
            connection = await open_connection(answer, target)
            connection.begin(answer, is_head=False)
            connection.transport.write(_question(check, target))
            return await answer.status in check.statuses
    except (TimeoutError, UpstreamError):
        return False
    finally:
        if connection is not None:
            connection.abort()


def _question(check: Check, target: Target) -> bytes:
    return serialize(
        b"GET %b HTTP/1.1" % check.path.encode(),
        [
            (b"Host", check.host.encode() or target.authority),
            (b"User-Agent", b"segue-probe"),
            (b"Accept", b"*/*"),
            (b"Connection", b"close"),
        ],
    )


class _Answer:
    """Owner and sink of the connection of one probe."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.counters = Counters()
        self.epoch = 0
        self.status: asyncio.Future[int] = loop.create_future()

    def on_head(self, head: Head) -> None:
        """Take the status."""
        if not self.status.done():
            self.status.set_result(head.status)

    def on_fault(self, error: UpstreamError) -> None:
        """There is no answer, or no whole one."""
        if not self.status.done():
            self.status.set_exception(error)

    def on_informational(self, head: Head) -> None:
        """Wait for the final response."""

    def on_body(self, data: bytes) -> None:
        """Not of interest."""

    def on_end(self) -> None:
        """Not of interest: the status was there before."""

    def on_flush(self) -> None:
        """Nothing is passed on."""

    def on_writable(self) -> None:
        """Nothing is left to be sent."""

    def remember(self, connection: Connection) -> None:
        """There is only this one."""

    def forget(self, connection: Connection) -> None:
        """There is only this one."""

    def put_back(self, connection: Connection) -> None:
        """It is not used again."""

    def answered(self, status: int, epoch: int) -> None:
        """The sink takes it."""

    def failed(self, epoch: int, reason: str) -> None:
        """The sink takes it."""

    def abandoned(self, epoch: int) -> None:
        """The timeout says so."""
