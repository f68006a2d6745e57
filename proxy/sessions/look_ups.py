"""The line in which look-ups of unknown tokens wait, before they wait for the store.

Anybody can make up tokens, each of which is looked for once. In the store's own queue, saves and
renewals would wait behind them; so few are there at a time, and the others wait here, where
nothing else does. A page that opens asks many things with one token, which a replica may see for
the first time: that is one look-up.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final, TypeVar

from proxy.errors import StoreBusy

AT_ONCE: Final = 8
"""Look-ups that the store is asked at the same time: no more than these are before a save."""

MAX_WAITING: Final = 1000
"""Look-ups that wait; more are refused at once."""

_PATIENCE: Final = 1.0
"""Seconds that a look-up waits for its turn."""


_T = TypeVar("_T")


class LookUps:
    """Lets a few look-ups of this process in at a time, in the order in which they came."""

    def __init__(self) -> None:
        self._free = asyncio.Semaphore(AT_ONCE)
        self._waiting = 0
        self._under_way: dict[Hashable, asyncio.Task[Any]] = {}

    async def shared(self, key: Hashable, ask: Callable[[], Awaitable[_T]]) -> _T:
        """Ask when it is its turn: once for all who ask the same meanwhile.

        It goes on without whoever began it. What `ask` raises is raised for all of them.

        Args:
            key: equal for the same question.
            ask: asks the store.

        Raises:
            StoreBusy: see `turn`.
        """
        task: asyncio.Task[_T] | None = self._under_way.get(key)
        if task is None:
            task = asyncio.create_task(self._in_turn(ask))
            self._under_way[key] = task
            task.add_done_callback(partial(self._answered, key))
        return await asyncio.shield(task)

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for a turn, and have it.

        Raises:
            StoreBusy: too many wait, or it took too long.
        """
        if self._waiting >= MAX_WAITING:
            raise StoreBusy("too many unknown tokens are looked up")
        self._waiting += 1
        try:
            async with asyncio.timeout(_PATIENCE):
                await self._free.acquire()
        except TimeoutError:
            raise StoreBusy("too many unknown tokens are looked up") from None
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._free.release()

    async def _in_turn(self, ask: Callable[[], Awaitable[_T]]) -> _T:
        async with self.turn():
            return await ask()

    def _answered(self, key: Hashable, task: asyncio.Task[Any]) -> None:
        del self._under_way[key]
        # Whoever asked may have gone; nobody is told then that nobody was.
        _ = task.cancelled() or task.exception()
