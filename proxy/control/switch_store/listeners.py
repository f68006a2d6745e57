"""Who wants to be told that something may have changed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Listeners:
    """Those of one store; each is called by the loop, never in the midst of something else."""

    def __init__(self) -> None:
        self._listeners: list[Callable[[], None]] = []

    def add(self, told: Callable[[], None]) -> None:
        """Have something called from now on, once soon after this."""
        self._listeners.append(told)
        self._soon(told)

    def tell(self) -> None:
        """Have all called, soon."""
        for told in self._listeners:
            self._soon(told)

    def end(self) -> None:
        """Have nobody called any more."""
        self._listeners.clear()

    def _soon(self, told: Callable[[], None]) -> None:
        asyncio.get_running_loop().call_soon(self._call, told)

    def _call(self, told: Callable[[], None]) -> None:
        if told in self._listeners:
            told()
