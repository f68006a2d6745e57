"""Free memory goes back to the kernel after much was held, and not after little."""

from __future__ import annotations

import asyncio

from proxy.process.heap import MUCH, Heap
from tests.support.waiting import PATIENCE


async def test_it_is_given_back_once_when_much_less_is_held_than_before() -> None:
    loop = asyncio.get_running_loop()
    times, trimmed = 0, asyncio.Event()

    def trim() -> None:
        nonlocal times
        times += 1
        loop.call_soon_threadsafe(trimmed.set)

    heap = Heap(loop, trim)
    for held in (0, 5 * MUCH, 5 * MUCH - 1, 6 * MUCH, 5 * MUCH + 1):
        heap.check(held)
    await asyncio.sleep(0)
    assert times == 0
    heap.check(5 * MUCH)
    async with asyncio.timeout(PATIENCE):
        await trimmed.wait()
    for held in (5 * MUCH, 4 * MUCH + 1):
        heap.check(held)
    assert times == 1


async def test_the_c_library_takes_both_calls() -> None:
    heap = Heap(asyncio.get_running_loop())
    heap._trim()
