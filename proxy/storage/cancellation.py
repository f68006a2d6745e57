"""Ending a task that may be waiting for Redis."""

from __future__ import annotations

import asyncio
from typing import Any, Final

_AGAIN: Final = 0.5
"""Seconds after which what has not ended is told to end again."""


async def end(task: asyncio.Task[Any]) -> None:
    """Cancel a task, and wait until it has ended; what it raises is dropped.

    The Redis client now and then takes a cancellation for a time-out of its own, and goes on: so
    the task is told again.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait((task,), timeout=_AGAIN)
