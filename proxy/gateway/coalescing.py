"""Request coalescing: requests that ask the same at the same moment are answered together.

For each question there is at most one request at the server, and one that waits for its turn:

    not sent yet    who asks the same joins it
    sent            who asks the same waits for the next: no answer is older than its question
    answered        all who joined get the answer, and the next one is sent

A request to the server is a task of its own: no client's end cancels it while another one waits.
After an answer that was not for everybody, those who wait for the next ask alone, too.

Where it is known until when an answer holds (`proxy.gateway.freshness`), it is also given to those
who wait for the next, and to those who ask later.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter
from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from time import perf_counter

from proxy.configuration.sections import CoalescingRoute
from proxy.gateway.call import InFlightCall, Waiter, WaitOutcome, deliver, is_short
from proxy.gateway.context import RequestContext
from proxy.gateway.freshness import SAFE, Freshness, Question
from proxy.gateway.kept_answers import KeptAnswer
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

    def __init__(
        self,
        sender: Sender,
        freshness: Freshness,
        on_limit: Callable[[str, str], None],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        """Construct.

        Args:
            sender: asks the server.
            freshness: what is kept.
            on_limit: told the name of a limit that was reached and the client's address, each time.
            loop: in which all of it is.
        """
        self._on_limit = on_limit
        self._sender = sender
        self._freshness = freshness
        self._loop = loop
        self._queues: dict[Hashable, _Queue] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._waiting = 0
        self._secret = secrets.token_bytes(32)
        self.received: Counter[str] = Counter()
        self.sent: Counter[str] = Counter()

    async def exchange(self, context: RequestContext) -> Exchange | KeptAnswer:
        """Answer a request: together with others, where that can be, or with a kept answer.

        Returns:
            The exchange with the server, which others may have had too; or what was kept of one.

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
            if snapshot.fresh is None or request.method in SAFE:
                return await self._sender.carry(context)
            return await self._freshness.write(context, self._sender.carry(context))
        self.received[route.name] += 1
        question = self._freshness.question(context, route)
        if may_wait(request.method, request.version, context.fields):
            answer = await self._together(context, route, question)
            if answer is not None:
                return answer
        elif question is not None:
            await self._settle(route.name, self._freshness.due(question))
        self.sent[route.name] += 1
        return await self._sender.carry(context)

    async def _together(
        self, context: RequestContext, route: CoalescingRoute, question: Question | None
    ) -> Exchange | KeptAnswer | None:
        """Answer a request with what others get, or got; None where it is to be sent alone."""
        key = self._key(context)
        is_full = self._waiting >= context.snapshot.config.limits.shared_waiters
        if question is not None:
            kept = self._freshness.find(key, context.fields)
            if kept is not None and (is_short(kept.response) or not is_full):
                self._freshness.given[route.name] += 1
                await self._give(kept, context)
                return kept
        # Where nobody asks the same, one more waits only for itself, and may spare those to come.
        if is_full and (question is None or key in self._queues):
            self._on_limit("shared_waiters", context.info.client or context.info.peer)
            if question is not None:
                self._freshness.not_kept[route.name, "waiters"] += 1
            return None
        waiter = Waiter(context, self._loop.create_future())
        return await self._wait(self._join(key, route.name, waiter, question), waiter)

    async def _give(self, kept: KeptAnswer, context: RequestContext) -> None:
        info = context.info
        info.upstream, info.shared_from = kept.upstream, kept.request_id
        if info.trail is not None:
            info.trail.note("kept", age=round(kept.age_at(self._freshness.clock()), 3))
        age = kept.field_at(self._freshness.clock())
        self._waiting += 1
        try:
            with kept.hold:
                await deliver(kept.response, context.client, age)
        finally:
            self._waiting -= 1

    async def _settle(self, route: str, due: float) -> None:
        """Wait until a question may be sent."""
        clock = self._freshness.clock
        begun = clock()
        # A loop may wake whoever sleeps a moment too early.
        while (left := due - clock()) > 0:  # noqa: ASYNC110 (it waits for a time)
            await asyncio.sleep(left)
        if (waited := clock() - begun) > 0 and due > begun:
            self._freshness.settle(route, waited)

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

    def _join(
        self, key: Hashable, route: str, waiter: Waiter, question: Question | None
    ) -> InFlightCall:
        """Find the request to the server whose answer will be new enough, or begin one."""
        context, due = waiter.context, self._freshness.due(question)
        queue = self._queues.get(key)
        call = None
        if queue is not None:
            is_late = queue.current.sent or queue.current.not_before < due
            call = queue.next if is_late else queue.current
        if call is None:
            call = InFlightCall(
                key,
                route,
                self._detach,
                max_size=context.snapshot.config.limits.shared_body,
                has_credentials=has_credentials(context.fields),
                room=context.client.reserve(Kind.SHARED_ANSWER),
                question=question,
            )
        call.not_before = max(call.not_before, due)
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
            if call.question is not None:
                call.asked = self._freshness.ask(call.question)
            call.exchange = self._sender.exchange(leader.context, call, connection)
            return call.exchange

        info = call.info = replace(leader.context.info)
        error: Exception | None = None
        await self._settle(call.route, call.not_before)
        try:
            await self._sender.carry(leader.context, info, begin)
        except Exception as fault:  # noqa: BLE001 (whoever waits is told, and tells the log)
            error = fault
        call.land(error)
        kept = self._keep(call, leader)
        self._advance(call, kept=kept)

    def _keep(self, call: InFlightCall, leader: Waiter) -> bool:
        """Keep an answer for those who ask later, where that may be."""
        if call.question is None or call.asked is None or not call.is_whole:
            return False
        assert call.exchange is not None
        assert call.info is not None
        context = leader.context
        return self._freshness.keep(
            call.question, call.key, call.asked, context, call.exchange, call.response, call.info
        )

    def _advance(self, call: InFlightCall, *, kept: bool = False) -> None:
        """Let the next one be sent, where it is this one that it waits for.

        Args:
            call: the one that is over.
            kept: whether its answer holds for whoever waits for the next, too.
        """
        queue = self._queues.get(call.key)
        if queue is None or queue.current is not call:
            return
        if queue.next is None:
            del self._queues[call.key]
        elif kept:
            del self._queues[call.key]
            queue.next.land_with(call)
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

    def _key(self, context: RequestContext) -> Hashable:
        """Equal for requests that may have the same answer."""
        # What a reload has changed, it may have changed for this answer too.
        like = likeness(context.target, context.fields, self._secret)
        # Whose token is put in does not show in the fields: who has the token and lacks the
        # session's cookie, which goes no further than here, is somebody else.
        session = None if context.session is None else context.session.cached.record.session
        # What is done to the answer is done once for all who share it.
        return (context.snapshot, context.info.cohort, context.decision, session, like)
