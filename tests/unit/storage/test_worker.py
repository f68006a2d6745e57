"""The thread for what blocks: one call after the other, a bounded queue, nothing done too late."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from functools import partial

import pytest

from proxy.errors import StoreAway, StoreBusy
from proxy.storage.worker import MAX_WAITING, Worker


@pytest.fixture
def worker() -> Iterator[Worker]:
    worker = Worker("test")
    yield worker
    worker.end()
    worker._thread.join(10)
    assert not worker._thread.is_alive()


async def test_calls_run_in_one_thread_in_their_order(worker: Worker) -> None:
    ran: list[tuple[int, int]] = []

    def call(number: int) -> int:
        ran.append((number, threading.get_ident()))
        return number

    numbers = await asyncio.gather(*(worker.call(partial(call, n), 10) for n in range(50)))
    assert numbers == [number for number, _ in ran] == list(range(50))
    assert {ident for _, ident in ran}.isdisjoint({threading.get_ident()})
    assert len({ident for _, ident in ran}) == 1


async def test_an_error_is_the_callers(worker: Worker) -> None:
    with pytest.raises(ZeroDivisionError):
        await worker.call(lambda: 1 // 0, 10)
    assert await worker.call(lambda: 1, 10) == 1


async def test_what_waits_too_long_is_given_up_and_never_begun(worker: Worker) -> None:
    free = threading.Event()
    ran: list[str] = []
    blocking = worker.submit(free.wait)
    with pytest.raises(StoreAway, match="in time") as given_up:
        await worker.call(lambda: ran.append("late"), 0.01)
    assert not isinstance(given_up.value, StoreBusy), "the thread hangs"
    cancelled = asyncio.create_task(worker.call(lambda: ran.append("cancelled"), 10))
    await asyncio.sleep(0)
    cancelled.cancel()
    await asyncio.wait((cancelled,))
    free.set()
    await worker.call(lambda: ran.append("after"), 10)
    assert blocking.result()
    assert ran == ["after"]


async def test_a_thread_that_hangs_bounds_what_waits_for_it(worker: Worker) -> None:
    free, begun = threading.Event(), threading.Event()

    def hang() -> None:
        begun.set()
        free.wait()

    worker.submit(hang)
    begun.wait()
    waiting = [worker.submit(lambda: None) for _ in range(MAX_WAITING)]
    with pytest.raises(StoreBusy, match="too many"):
        await worker.call(lambda: None, 10)
    free.set()
    for each in waiting:
        each.result(10)
    await worker.call(lambda: None, 10)


async def test_whose_turn_does_not_come_is_told_that_others_had_theirs(worker: Worker) -> None:
    one, another, begun = threading.Event(), threading.Event(), threading.Event()

    def second() -> None:
        begun.set()
        another.wait()

    worker.submit(one.wait)
    worker.submit(second)
    waiting = asyncio.create_task(worker.call(lambda: None, 0.5))
    await asyncio.sleep(0)
    one.set()
    assert await asyncio.to_thread(begun.wait, 10)
    with pytest.raises(StoreBusy):
        await waiting
    another.set()


async def test_what_has_begun_and_hangs_is_no_matter_of_others(worker: Worker) -> None:
    one, free = threading.Event(), threading.Event()
    worker.submit(one.wait)
    waiting = asyncio.create_task(worker.call(free.wait, 0.05))
    await asyncio.sleep(0)
    one.set()
    with pytest.raises(StoreAway) as given_up:
        await waiting
    assert not isinstance(given_up.value, StoreBusy)
    free.set()
