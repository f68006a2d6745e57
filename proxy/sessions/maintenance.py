"""What is due for sessions without any request: put back, renewed, removed, asked after."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final

from structlog.typing import FilteringBoundLogger

from proxy.errors import RecordUnreadable, StoreAway, StoreReadOnly
from proxy.sessions import rules
from proxy.sessions.cache import CachedSession
from proxy.sessions.metrics import Trigger
from proxy.sessions.renewals import Renewals
from proxy.sessions.repository import SessionRepository
from proxy.storage import cancellation

_ASK: Final = 5.0
"""Seconds between two questions whether the store is there, and how much it holds."""

_TRY: Final = 5.0
"""Seconds between two tries whether a store that is read-only can be written again."""

_TRIES: Final = 2
"""Of them in a row have to succeed: a disk on which there is room for a moment is a full one."""

_FILLING: Final = 0.9
_ROOMY: Final = 0.85
"""Parts of what the store may hold from which on it is told to fill up, and to have room again."""

_USED: Final = 60.0
"""Seconds between two notes that a session with an open WebSocket is in use."""

_AT_ONCE: Final = 8
"""Sessions that are renewed at the same time for their open WebSockets."""


class Maintenance:
    """Looks after sessions, one round after the other."""

    def __init__(
        self,
        repository: SessionRepository,
        renewals: Renewals,
        log: FilteringBoundLogger,
        purge: float,
    ) -> None:
        self._repository = repository
        self._renewals = renewals
        self._log = log
        self._purge = purge
        self._round: asyncio.Task[None] | None = None
        self._ask_at = 0.0
        self._purge_at = 0.0
        self._was_up = True
        self._was_filling = False
        self._was_read_only = False
        self._try_at = 0.0
        self._succeeded = 0

    def tick(self) -> None:
        """Begin a round, unless one is under way."""
        if self._round is None or self._round.done():
            self._round = asyncio.create_task(self._look_after())

    async def finish(self) -> bool:
        """Write what is unsaved, as far as the store lets us; whether nothing is left."""
        repository = self._repository
        with suppress(StoreAway):
            if repository.counts.read_only:
                await repository.asked(repository.store.writable)
                repository.written_again()
            await self._put_back(list(repository.cache.unsaved.values()))
        return not self._repository.cache.unsaved

    async def close(self) -> None:
        """Begin no more rounds."""
        if self._round is not None:
            await cancellation.end(self._round)

    async def _look_after(self) -> None:
        try:
            await self._ask()
            await self._try_to_write()
            await self._put_back(list(self._repository.cache.unsaved.values()))
            await self._keep_sockets()
            self._repository.cache.answers.remove(self._repository.clock.steady())
            await self._remove()
        except StoreAway:
            pass  # `_ask` says so.
        except Exception as error:  # noqa: BLE001 (the next round may fare better)
            self._log.error("the maintenance of sessions failed", kind=type(error).__name__)

    async def _ask(self) -> None:
        """Notice that the store is away, and that it is back."""
        repository = self._repository
        now = repository.clock.steady()
        if now >= self._ask_at or not self._was_up:
            self._ask_at = now + _ASK
            with suppress(StoreAway):
                repository.counts.open = await repository.asked(repository.store.count)
                self._tell_how_full()
        up = repository.counts.up
        if up is not self._was_up:
            self._was_up = up
            if up:
                self._log.info("the session store is back")
                repository.cache.recovered()
                # It may have lost what it was told last: what is known here is newer then.
                await self._put_back(repository.cache.all())
            else:
                self._log.warning("the session store is away", reason=repository.away)

    def _tell_how_full(self) -> None:
        """Warn before there is no room for one more session."""
        counts = self._repository.counts
        if not self._was_filling and counts.open >= counts.capacity * _FILLING:
            self._was_filling = True
            self._log.warning(
                "the session store is filling up", open=counts.open, capacity=counts.capacity
            )
        elif self._was_filling and counts.open < counts.capacity * _ROOMY:
            self._was_filling = False
            self._log.info(
                "the session store has room again", open=counts.open, capacity=counts.capacity
            )

    async def _try_to_write(self) -> None:
        """Notice that the store cannot be written, and that it can be again."""
        repository = self._repository
        now = repository.clock.steady()
        if not repository.counts.read_only:
            return
        if not self._was_read_only:
            self._was_read_only = True
            self._succeeded, self._try_at = 0, now + _TRY
            self._log.warning("the session store is read-only", reason=repository.unwritable)
        elif now >= self._try_at:
            self._try_at = now + _TRY
            try:
                await repository.asked(repository.store.writable)
            except StoreAway:
                self._succeeded = 0
                return
            self._succeeded += 1
            if self._succeeded >= _TRIES:
                self._was_read_only = False
                repository.written_again()
                self._log.info("the session store can be written again")
                repository.cache.recovered()
                await self._put_back(repository.cache.all())

    async def _put_back(self, sessions: list[CachedSession]) -> None:
        for cached in sessions:
            if self._repository.counts.read_only:
                return
            with suppress(RecordUnreadable):  # The next one may be in order.
                if await self._repository.reread(cached):
                    self._repository.saved(cached)

    async def _keep_sockets(self) -> None:
        """Renew sessions whose WebSockets are all that uses them, before it is too late."""
        repository = self._repository
        steady = repository.clock.steady
        due = []
        for cached in tuple(repository.cache.with_sockets.values()):
            now = repository.clock.now()
            if steady() >= cached.pace.note_at:
                left = cached.over - now
                cached.pace.note_at = steady() + (min(_USED, left / 2) if left > 0 else _USED)
                record = cached.record
                with suppress(RecordUnreadable):
                    with suppress(StoreReadOnly):
                        touch = repository.store.touch
                        await repository.told(
                            touch, record.session, now, record.version, record.cohort
                        )
                    await repository.reread(cached)
            due_at = rules.socket_due(cached.record)
            if due_at <= now < cached.over and self._renewals.may_refresh(cached):
                due.append(cached)
        for begin in range(0, len(due), _AT_ONCE):
            await asyncio.gather(
                *(
                    self._renewals.renew(
                        cached, cached.record.generation, Trigger.SOCKET, cached.context
                    )
                    for cached in due[begin : begin + _AT_ONCE]
                )
            )

    async def _remove(self) -> None:
        repository = self._repository
        now = repository.clock.steady()
        if now >= self._purge_at and not repository.counts.read_only:
            self._purge_at = now + self._purge
            await repository.told(repository.store.purge, repository.clock.now())
