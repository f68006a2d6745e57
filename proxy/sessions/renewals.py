"""Renewing a session: once for all who wait, over all processes.

A renewal is a task of its own, a flight. No request's end cancels it, and whoever waits for it
gives up alone. It holds the session's lease; what it does under that is `presenting`.

One that a client asks for by itself is a flight too, and its answer is the server's own: who asks
by itself and finds one of Segue's under way waits for that, and then makes its own.
"""

from __future__ import annotations

import asyncio
import itertools
import secrets
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final

from structlog.typing import FilteringBoundLogger

from proxy.configuration.sessions import SessionSettings
from proxy.errors import SessionUnavailable, StoreAway
from proxy.http.headers import RawFields
from proxy.sessions import carried_fields
from proxy.sessions.cache import CachedSession, RefreshCall, RenewalOutcome
from proxy.sessions.client_refresh import ClientRefresh
from proxy.sessions.lease import holding
from proxy.sessions.metrics import Trigger
from proxy.sessions.presenting import Presenter, Wish
from proxy.sessions.record import Record
from proxy.sessions.repository import SessionRepository
from proxy.tokens.credentials import carried
from proxy.upstream.health import SignsOfLife

_REMEMBERED: Final = 60.0
"""Seconds between two writes of what a session's client has sent."""


class Renewals:
    """Makes sessions have newer tokens."""

    def __init__(
        self,
        repository: SessionRepository,
        presenter: Presenter,
        settings: Callable[[], SessionSettings],
        log: FilteringBoundLogger,
        signs: SignsOfLife,
    ) -> None:
        self._repository = repository
        self._signs = signs
        self._presenter = presenter
        self._settings = settings
        self._log = log
        self._tasks: set[asyncio.Task[Any]] = set()
        self._owners = (f"{secrets.token_hex(8)}-{number}" for number in itertools.count())

    @property
    def under_way(self) -> set[asyncio.Task[Any]]:
        """The flights that have not landed, and what else is to be done to its end."""
        return set(self._tasks)

    def next_owner(self) -> str:
        """A name for the holder of a lease."""
        return next(self._owners)

    async def renew(
        self, cached: CachedSession, seen: int, trigger: Trigger, fields: RawFields
    ) -> RenewalOutcome:
        """Wait until a session has a newer generation of tokens than the one that was seen.

        Args:
            cached: the session.
            seen: the generation whose access token will not do.
            trigger: why not.
            fields: those of the request, as they are forwarded.
        """
        deadline = self._deadline()
        while True:
            if cached.record.ended is not None:
                return RenewalOutcome.ENDED
            if cached.record.generation > seen:
                return RenewalOutcome.RENEWED
            if self._presenter.is_over(cached, trigger):
                return RenewalOutcome.ENDED
            if cached.call is None and not self.may_refresh(cached):
                return RenewalOutcome.UNAVAILABLE
            call = self._joined(cached) or self._take_off(
                cached, Wish(seen, trigger, carried(fields))
            )
            outcome = await _landed(call, deadline)
            if outcome is None or (outcome is RenewalOutcome.UNAVAILABLE and call.asked is None):
                return RenewalOutcome.UNAVAILABLE

    def may_refresh(self, cached: CachedSession) -> bool:
        """Whether nothing has failed a moment ago that is likely to fail again."""
        return cached.pace.may_refresh(self._repository.clock.steady(), self._signs)

    async def ask(self, cached: CachedSession, asked: ClientRefresh) -> RenewalOutcome:
        """Make a refresh that a client asks for by itself, or have part in another client's.

        What the server has said to it is `asked.answered` then; None where it has said nothing.
        """
        deadline = self._deadline()
        while cached.record.ended is None:
            call = self._joined(cached) or self._take_off(
                cached, Wish(cached.record.generation, Trigger.CLIENT, (), asked)
            )
            try:
                outcome = await _landed(call, deadline)
            except asyncio.CancelledError:
                asked.give_up()
                raise
            if outcome is None:
                asked.give_up()
                return RenewalOutcome.UNAVAILABLE
            made = call.asked
            if made is None:
                continue  # One of Segue's own: in its answer is nothing for this client.
            answered = made.answered
            if answered is None and (made is asked or outcome is RenewalOutcome.UNAVAILABLE):
                # One that was too large had tokens, perhaps, and nothing that could be sent on.
                return outcome
            if answered is not None and answered.likeness == asked.likeness:
                if made is not asked:
                    asked.answer(answered.for_another())
                return outcome
        return RenewalOutcome.ENDED

    async def current(
        self, cached: CachedSession, trigger: Trigger, fields: RawFields
    ) -> str | None:
        """The access token of a session, renewed; None where the session has ended.

        Raises:
            SessionUnavailable: the one there is has ended, and cannot be renewed at the moment.
        """
        generation = cached.record.generation
        outcome = await self.renew(cached, generation, trigger, fields)
        if outcome is RenewalOutcome.RENEWED or (
            outcome is RenewalOutcome.UNAVAILABLE and self._repository.clock.now() < cached.expires
        ):
            return cached.access or None
        if outcome is RenewalOutcome.ENDED:
            return None
        raise SessionUnavailable("the session cannot be renewed at the moment")

    def remember(self, cached: CachedSession, fields: RawFields) -> None:
        """Remember those of a client's fields that refreshes of its session go with.

        They are written at once, but no more often than once a minute.
        """
        repository, known = self._repository, cached.carried
        before = repository.carried(cached)
        after = carried_fields.remembered(before, fields, self._settings().carry)
        if after is not before:
            known.fields, known.unsaved = after, True
        if known.unsaved and repository.clock.steady() >= known.write_at:
            known.write_at = repository.clock.steady() + _REMEMBERED
            self.soon(self._write_carried(cached))

    async def _write_carried(self, cached: CachedSession) -> None:
        repository, fields = self._repository, cached.carried.fields
        sealed = repository.sealer.seal(carried_fields.written(fields))

        def change(current: Record) -> Record | None:
            return None if current.ended is not None else replace(current, carried=sealed)

        with suppress(StoreAway):
            if await repository.update(cached, change) and cached.carried.fields is fields:
                cached.carried.sealed, cached.carried.unsaved = sealed, False

    def soon(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Do something that no request's end cancels, and that the drain waits for."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _deadline(self) -> float:
        return asyncio.get_running_loop().time() + self._settings().wait

    def _joined(self, cached: CachedSession) -> RefreshCall | None:
        if cached.call is not None:
            self._repository.counts.waiters += 1
        return cached.call

    def _take_off(self, cached: CachedSession, wish: Wish) -> RefreshCall:
        def landed(task: asyncio.Task[RenewalOutcome]) -> None:
            self._tasks.discard(task)
            cached.call = None

        task = asyncio.create_task(self._make(cached, wish))
        cached.call = call = RefreshCall(task, wish.asked)
        self._tasks.add(task)
        task.add_done_callback(landed)
        return call

    async def _make(self, cached: CachedSession, wish: Wish) -> RenewalOutcome:
        try:
            async with holding(self._repository, cached, self.next_owner()) as fence:
                return await self._presenter.renew(cached, wish, fence)
        except StoreAway:
            # Without a record of what is presented nothing is presented.
            return self._presenter.failed(cached, wish.trigger, "store_away")
        except Exception as error:  # noqa: BLE001 (waiters get an answer whatever happens)
            self._log.error("a refresh failed", kind=type(error).__name__)
            return self._presenter.failed(cached, wish.trigger, "unavailable")


async def _landed(call: RefreshCall, deadline: float) -> RenewalOutcome | None:
    """What has come of a refresh; None where nothing has by then, or nothing will."""
    left = deadline - asyncio.get_running_loop().time()
    done, _ = await asyncio.wait((call.task,), timeout=max(left, 0))
    return call.task.result() if done and not call.task.cancelled() else None
