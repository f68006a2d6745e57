"""A limit of time for what one task awaits.

`asyncio.timeout` asks three times which loop is running, and before Python 3.12 each of these is a
system call (`getpid`). With two limits that was 4 % of a handshake.
"""

from __future__ import annotations

import asyncio
from types import TracebackType


class Deadline:
    """Use it as `with Deadline(loop, seconds):`; what is awaited inside is cancelled when it ends.

    A cancellation that comes from elsewhere goes through as one, also at the same moment.
    """

    __slots__ = ("_before", "_expired", "_loop", "_seconds", "_task", "_timer")

    _timer: asyncio.TimerHandle

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float) -> None:
        self._loop = loop
        self._seconds = seconds
        self._expired = False

    def __enter__(self) -> None:
        task = asyncio.current_task(self._loop)
        assert task is not None
        self._task = task
        self._before = task.cancelling()
        self._timer = self._loop.call_later(self._seconds, self._expire)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        """End it.

        Raises:
            TimeoutError: the time was up.
        """
        self._timer.cancel()
        if self._expired:
            # As `asyncio.Timeout` does: what is left of requests to cancel came from elsewhere.
            own = self._task.uncancel() <= self._before
            if own and kind is asyncio.CancelledError:
                raise TimeoutError from error

    def _expire(self) -> None:
        self._expired = True
        self._task.cancel()
