"""The line in which look-ups of unknown tokens wait, before they wait for the store.

Anybody can make up tokens, each of which is looked for once. In the store's own queue, saves and
renewals would wait behind them; so few are there at a time, and the others wait here, where
nothing else does.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from proxy.errors import StoreBusy

AT_ONCE: Final = 8
"""Look-ups that the store is asked at the same time: no more than these are before a save."""

MAX_WAITING: Final = 1000
"""Look-ups that wait; more are refused at once."""

_PATIENCE: Final = 1.0
"""Seconds that a look-up waits for its turn."""


class LookUps:
    """Lets a few look-ups of this process in at a time, in the order in which they came."""

    def __init__(self) -> None:
        self._free = asyncio.Semaphore(AT_ONCE)
        self._waiting = 0

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
