"""A limit of time: it ends what is late, and nothing else. asyncio's own does the same."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest

from proxy.upstream.deadline import Deadline

Limit = Callable[[float], AbstractAsyncContextManager[object]]


@asynccontextmanager
async def own(seconds: float) -> AsyncIterator[None]:
    with Deadline(asyncio.get_running_loop(), seconds):
        yield


limits = pytest.mark.parametrize("limit", [own, asyncio.timeout], ids=["segue", "asyncio"])


@limits
async def test_what_takes_too_long_is_cancelled_and_the_task_goes_on(limit: Limit) -> None:
    with pytest.raises(TimeoutError):
        async with limit(0.0):
            await asyncio.Event().wait()
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


@limits
async def test_what_is_in_time_is_not_cancelled_later(limit: Limit) -> None:
    async with limit(0.001):
        pass
    await asyncio.sleep(0.01)


@limits
async def test_a_cancellation_from_elsewhere_stays_one(limit: Limit) -> None:
    begun = asyncio.Event()

    async def work() -> None:
        async with limit(30):
            begun.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@limits
async def test_a_cancellation_at_the_same_moment_wins(limit: Limit) -> None:
    async def work() -> None:
        task = asyncio.current_task()
        assert task is not None
        async with limit(0.0):
            try:
                await asyncio.Event().wait()
            finally:
                task.cancel()  # Somebody else's, while the limit's own is on its way.

    with pytest.raises(asyncio.CancelledError):
        await asyncio.create_task(work())


@limits
async def test_an_error_inside_goes_through(limit: Limit) -> None:
    with pytest.raises(ValueError, match="inside"):
        async with limit(30):
            raise ValueError("inside")


@limits
async def test_the_inner_of_two_limits_is_the_one_that_is_reached(limit: Limit) -> None:
    async with limit(30):
        with pytest.raises(TimeoutError):
            async with limit(0.0):
                await asyncio.Event().wait()
