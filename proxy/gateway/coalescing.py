"""Polling relief: requests that ask the same at the same moment are answered together.

For each question there is at most one request at the server, and one that waits for its turn:

    not sent yet    who asks the same joins it
    sent            who asks the same waits for the next: no answer is older than its question
    answered        all who joined get the answer, and the next one is sent

A request to the server is a task of its own: no client's end cancels it while another one waits.
After an answer that was not for everybody, those who wait for the next ask alone, too.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass, replace
from time import perf_counter

from proxy.configuration.sections import Limits
from proxy.downstream.connection import ClientConnection
from proxy.downstream.request import Request
from proxy.gateway.flight import Begin, Carry, Flight, Outcome, Waiter, deliver
from proxy.http.headers import RawFields
from proxy.http.sharing import has_credentials, likeness, may_wait
from proxy.observability.access_log import Visit
from proxy.observability.metrics import Family, Metrics
from proxy.relay.exchange import Exchange
from proxy.snapshot import Snapshot
from proxy.upstream.connection import Connection


@dataclass(slots=True)
class _Lane:
    """What is asked of one question: now, and as soon as that is answered."""

    current: Flight
    next: Flight | None = None


class Relief:
    """Asks the server once for all who ask the same."""

    def __init__(self, metrics: Metrics, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._lanes: dict[Hashable, _Lane] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._waiting = 0
        self._received: Counter[str] = Counter()
        self._sent: Counter[str] = Counter()
        metrics.add(
            Family(
                "counter",
                "segue_relief_received",
                "GETs of clients on the routes of `relief`.",
                ("route",),
                lambda: [((route,), count) for route, count in self._received.items()],
            )
        )
        metrics.add(
            Family(
                "counter",
                "segue_relief_sent",
                "Requests that were made to the server for them; the difference is what sharing"
                " spared it.",
                ("route",),
                lambda: [((route,), count) for route, count in self._sent.items()],
            )
        )

    async def exchange(
        self,
        snapshot: Snapshot,
        client: ClientConnection,
        request: Request,
        visit: Visit,
        target: bytes,
        fields: RawFields,
        carry: Carry,
        begin: Begin,
    ) -> Exchange | None:
        """Answer a request together with others, where that can be.

        Args:
            snapshot: says on which routes, and how much may be held.
            client: is sent the answer.
            request: as it was received.
            visit: learns who was asked, and how long was waited.
            target, fields: of the request as the server is to see it, but for its token.
            carry: gets it there.
            begin: makes the exchange that carries it, if this is the request that is sent.

        Returns:
            The exchange with the server, which others may have had too; None if this request is to
            be sent alone.

        Raises:
            SegueError: there is no answer; every request that waited for it is told.
        """
        routes, exchange = snapshot.relief, None
        route = None if routes is None else routes.find(visit.method, target.partition(b"?")[0])
        if route is None:
            return None
        self._received[route.name] += 1
        limits = snapshot.config.limits
        if self._waiting < limits.shared_waiters and may_wait(
            request.method, request.version, fields
        ):
            # The snapshot is another one after each reload, and whoever waits keeps it alive.
            key = (id(snapshot), visit.cohort, likeness(target, fields))
            waiter = Waiter(client, visit, carry, begin, self._loop.create_future())
            exchange = await self._wait(self._join(key, route.name, fields, limits, waiter), waiter)
        if exchange is None:
            self._sent[route.name] += 1
        return exchange

    async def close(self) -> None:
        """Give up what is still asked of the server."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _wait(self, flight: Flight, waiter: Waiter) -> Exchange | None:
        """Wait for the answer and send it; None if there is none for this request."""
        visit, begun = waiter.visit, perf_counter()
        self._waiting += 1
        try:
            outcome = await waiter.outcome
            visit.waited += perf_counter() - begun
            if outcome is Outcome.ALONE:
                return None
            assert flight.visit is not None
            visit.upstream = flight.visit.upstream
            if flight.visit.request_id != visit.request_id:
                visit.shared_from = flight.visit.request_id
            if flight.error is not None:
                raise flight.error
            if outcome is Outcome.SHARED:
                await deliver(flight.response, waiter.client)
            return flight.exchange
        finally:
            self._waiting -= 1
            self._leave(flight, waiter)

    def _join(
        self, key: Hashable, route: str, fields: RawFields, limits: Limits, waiter: Waiter
    ) -> Flight:
        """Find the request to the server whose answer will be new enough, or begin one."""
        lane = self._lanes.get(key)
        flight = None
        if lane is not None:
            flight = lane.next if lane.current.sent else lane.current
        if flight is None:
            flight = Flight(
                key,
                route,
                self._detach,
                max_size=limits.shared_body,
                has_credentials=has_credentials(fields),
            )
        flight.waiters[waiter] = None
        if lane is None:
            self._lanes[key] = _Lane(flight)
            self._launch(flight)
        elif lane.current is not flight:
            lane.next = flight
        return flight

    def _launch(self, flight: Flight) -> None:
        self._sent[flight.route] += 1
        flight.task = self._loop.create_task(self._fly(flight, next(iter(flight.waiters))))
        self._tasks.add(flight.task)
        flight.task.add_done_callback(self._tasks.discard)

    async def _fly(self, flight: Flight, leader: Waiter) -> None:
        """Ask the server in the name of the first who waits."""

        def begin(connection: Connection) -> Exchange:
            flight.exchange = leader.begin(flight, connection)
            return flight.exchange

        visit = flight.visit = replace(leader.visit)
        error: Exception | None = None
        try:
            await leader.carry(visit, begin)
        except Exception as fault:  # noqa: BLE001 (whoever waits is told, and tells the journal)
            error = fault
        flight.land(error)
        self._advance(flight)

    def _advance(self, flight: Flight) -> None:
        """Let the next one be sent, where it is this one that it waits for."""
        lane = self._lanes.get(flight.key)
        if lane is None or lane.current is not flight:
            return
        if lane.next is None:
            del self._lanes[flight.key]
        else:
            lane.current, lane.next = lane.next, None
            self._launch(lane.current)

    def _detach(self, flight: Flight) -> None:
        """Keep nobody waiting for an answer that is not for everybody."""
        lane = self._lanes.get(flight.key)
        if lane is not None and lane.current is flight:
            del self._lanes[flight.key]
            if lane.next is not None:
                lane.next.dismiss()

    def _leave(self, flight: Flight, waiter: Waiter) -> None:
        """Let go of who has the answer, or has gone; give up what nobody waits for."""
        del flight.waiters[waiter]
        if flight.waiters or flight.landed:
            return
        lane = self._lanes.get(flight.key)
        if lane is not None and lane.next is flight:
            lane.next = None
        elif flight.task is not None:
            flight.task.cancel()
            self._advance(flight)
