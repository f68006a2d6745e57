"""Request coalescing: requests that ask the same at the same moment are answered together.

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

from proxy.gateway.call import InFlightCall, Waiter, WaitOutcome, deliver
from proxy.gateway.context import RequestContext
from proxy.gateway.sending import Sender
from proxy.http.sharing import has_credentials, likeness, may_wait
from proxy.memory import Kind
from proxy.relay.exchange import Exchange
from proxy.upstream.connection import Connection


@dataclass(slots=True)
class _Queue:
    """What is asked of one question: now, and as soon as that is answered."""

    current: InFlightCall
    next: InFlightCall | None = None


class Coalescer:
    """Asks the server once for all who ask the same.

    Attributes:
        received: GETs on the routes of `coalescing`, by the route's name.
        sent: requests to the server for them.
    """

    def __init__(self, sender: Sender, loop: asyncio.AbstractEventLoop) -> None:
        self._sender = sender
        self._loop = loop
        self._queues: dict[Hashable, _Queue] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._waiting = 0
        self.received: Counter[str] = Counter()
        self.sent: Counter[str] = Counter()

    async def exchange(self, context: RequestContext) -> Exchange:
        """Answer a request: together with others, where that can be.

        Returns:
            The exchange with the server, which others may have had too.

        Raises:
            SegueError: there is no answer; every request that waited for it is told.
        """
        request, snapshot = context.request, context.snapshot
        route = None
        if snapshot.coalescing is not None and request.method == "GET":
            route = snapshot.coalescing.find(request.method, context.path)
        if context.info.trail is not None:
            context.info.trail.note("coalescing", route=None if route is None else route.name)
        if route is None:
            return await self._sender.carry(context)
        self.received[route.name] += 1
        if self._waiting < snapshot.config.limits.shared_waiters and may_wait(
            request.method, request.version, context.fields
        ):
            waiter = Waiter(context, self._loop.create_future())
            exchange = await self._wait(self._join(route.name, waiter), waiter)
            if exchange is not None:
                return exchange
        self.sent[route.name] += 1
        return await self._sender.carry(context)

    async def close(self) -> None:
        """Give up what is still asked of the server."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _wait(self, call: InFlightCall, waiter: Waiter) -> Exchange | None:
        """Wait for the answer and send it; None if there is none for this request."""
        info, begun = waiter.context.info, perf_counter()
        self._waiting += 1
        try:
            outcome = await waiter.outcome
            info.waited += perf_counter() - begun
            if outcome is WaitOutcome.ALONE:
                return None
            assert call.info is not None
            info.upstream = call.info.upstream
            if call.info.request_id != info.request_id:
                info.shared_from = call.info.request_id
            if call.error is not None:
                raise call.error
            if outcome is WaitOutcome.SHARED:
                await deliver(call.response, waiter.context.client)
            return call.exchange
        finally:
            self._waiting -= 1
            self._leave(call, waiter)

    def _join(self, route: str, waiter: Waiter) -> InFlightCall:
        """Find the request to the server whose answer will be new enough, or begin one."""
        context = waiter.context
        # What a reload has changed, it may have changed for this answer too.
        like = likeness(context.target, context.fields)
        # Whose token is put in does not show in the fields: who has the token and lacks the
        # session's cookie, which goes no further than here, is somebody else.
        session = None if context.session is None else context.session.cached.record.session
        # What is done to the answer is done once for all who share it.
        key = (context.snapshot, context.info.cohort, context.decision, session, like)
        queue = self._queues.get(key)
        call = None
        if queue is not None:
            call = queue.next if queue.current.sent else queue.current
        if call is None:
            call = InFlightCall(
                key,
                route,
                self._detach,
                max_size=context.snapshot.config.limits.shared_body,
                has_credentials=has_credentials(context.fields),
                room=context.client.reserve(Kind.SHARED_ANSWER),
            )
        call.waiters[waiter] = None
        if queue is None:
            self._queues[key] = _Queue(call)
            self._launch(call)
        elif queue.current is not call:
            queue.next = call
        return call

    def _launch(self, call: InFlightCall) -> None:
        self.sent[call.route] += 1
        call.task = self._loop.create_task(self._ask(call, next(iter(call.waiters))))
        self._tasks.add(call.task)
        call.task.add_done_callback(self._tasks.discard)

    async def _ask(self, call: InFlightCall, leader: Waiter) -> None:
        """Ask the server in the name of the first who waits."""

        def begin(connection: Connection) -> Exchange:
            call.exchange = self._sender.exchange(leader.context, call, connection)
            return call.exchange

        info = call.info = replace(leader.context.info)
        error: Exception | None = None
        try:
            await self._sender.carry(leader.context, info, begin)
        except Exception as fault:  # noqa: BLE001 (whoever waits is told, and tells the log)
            error = fault
        call.land(error)
        self._advance(call)

    def _advance(self, call: InFlightCall) -> None:
        """Let the next one be sent, where it is this one that it waits for."""
        queue = self._queues.get(call.key)
        if queue is None or queue.current is not call:
            return
        if queue.next is None:
            del self._queues[call.key]
        else:
            queue.current, queue.next = queue.next, None
            self._launch(queue.current)

    def _detach(self, call: InFlightCall) -> None:
        """Keep nobody waiting for an answer that is not for everybody."""
        queue = self._queues.get(call.key)
        if queue is not None and queue.current is call:
            del self._queues[call.key]
            if queue.next is not None:
                queue.next.dismiss()

    def _leave(self, call: InFlightCall, waiter: Waiter) -> None:
        """Let go of who has the answer, or has gone; give up what nobody waits for."""
        del call.waiters[waiter]
        if call.waiters:
            return
        call.forget()
        if call.landed:
            return
        queue = self._queues.get(call.key)
        if queue is not None and queue.next is call:
            queue.next = None
        elif call.task is not None:
            call.task.cancel()
            self._advance(call)
