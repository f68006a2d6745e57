"""A thread of its own for what blocks: calls from the loop wait in a bounded queue."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Final, TypeVar

from proxy.errors import StoreAway, StoreBusy

_T = TypeVar("_T")

MAX_WAITING: Final = 1000
"""Calls that wait for the thread; more are refused at once."""


class Worker:
    """Runs one call after the other in one thread.

    The thread is a daemon: a disk that hangs does not keep the process from ending.
    """

    def __init__(self, name: str, of: str = "session store") -> None:
        """Start the thread.

        Args:
            name: of the thread.
            of: what errors call the store that it works for.
        """
        self._of = of
        self._finished = 0
        self._calls: queue.Queue[tuple[Future[Any], Callable[[], Any]] | None] = queue.Queue(
            MAX_WAITING
        )
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(self, work: Callable[[], _T]) -> Future[_T]:
        """Let the thread do something.

        Raises:
            StoreBusy: too much waits for it already.
        """
        future: Future[_T] = Future()
        try:
            self._calls.put_nowait((future, work))
        except queue.Full:
            raise StoreBusy(f"too many calls wait for the {self._of}") from None
        return future

    async def call(self, work: Callable[[], _T], timeout: float) -> _T:
        """Let the thread do something, and wait for it for `timeout` seconds.

        What has not begun by then, or when the caller is cancelled, is not done at all.

        Raises:
            StoreAway: it took longer.
            StoreBusy: too much waits, or it was others' turn all the time.
        """
        finished, submitted = self._finished, self.submit(work)
        future = asyncio.wrap_future(submitted)
        try:
            async with asyncio.timeout(timeout):
                return await future
        except TimeoutError:
            # What has not begun is cancelled. Where others succeeded meanwhile, nothing hangs.
            if submitted.cancel() and self._finished != finished:
                raise StoreBusy(f"too many calls wait for the {self._of}") from None
            raise StoreAway(f"the {self._of} did not answer in time") from None

    def end(self) -> None:
        """Let the thread end after what it has been given."""
        self._calls.put(None)

    def _run(self) -> None:
        while (call := self._calls.get()) is not None:
            future, work = call
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(work())
            except BaseException as error:  # noqa: BLE001 (the caller's to deal with)
                future.set_exception(error)
            else:
                self._finished += 1
            # Nothing of a call outlives it here while the thread waits for the next.
            del call, future, work
