"""The line of look-ups: a few at a time, in their order, and no more wait than are told."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from proxy.errors import StoreBusy
from proxy.sessions import look_ups
from proxy.sessions.look_ups import AT_ONCE, MAX_WAITING, LookUps


async def settled() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


async def test_a_few_have_their_turn_and_the_others_follow_in_their_order() -> None:
    line, done, begun = LookUps(), asyncio.Event(), list[int]()

    async def look_up(number: int) -> None:
        async with line.turn():
            begun.append(number)
            await done.wait()

    tasks = [asyncio.create_task(look_up(number)) for number in range(2 * AT_ONCE)]
    await settled()
    assert begun == list(range(AT_ONCE))
    tasks[AT_ONCE].cancel()  # A client that goes keeps nobody from anything.
    done.set()
    await asyncio.wait(tasks)
    assert begun == [number for number in range(2 * AT_ONCE) if number != AT_ONCE]


async def test_a_turn_is_given_back_by_whoever_fails() -> None:
    line = LookUps()
    for _ in range(2 * AT_ONCE):
        with pytest.raises(ZeroDivisionError):
            async with line.turn():
                raise ZeroDivisionError
    assert line._free._value == AT_ONCE


async def test_more_than_may_wait_are_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(look_ups, "_PATIENCE", 600.0)
    line, done = LookUps(), asyncio.Event()

    async def look_up() -> None:
        async with line.turn():
            await done.wait()

    tasks = [asyncio.create_task(look_up()) for _ in range(AT_ONCE + MAX_WAITING)]
    await settled()
    with pytest.raises(StoreBusy):
        await look_up()
    done.set()
    await asyncio.gather(*tasks)
    await look_up()


async def test_who_waits_too_long_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(look_ups, "_PATIENCE", 0.01)
    line = LookUps()
    for _ in range(AT_ONCE):
        await line._free.acquire()
    with pytest.raises(StoreBusy):
        async with line.turn():
            pass
    line._free.release()
    async with line.turn():
        pass


async def test_equal_look_ups_are_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(look_ups, "_PATIENCE", 600.0)
    line, answer, asked = LookUps(), asyncio.Event(), list[str]()

    def asking(what: str) -> Callable[[], Awaitable[str]]:
        async def ask() -> str:
            asked.append(what)
            await answer.wait()
            return what.upper()

        return ask

    # Far more than may wait, of two kinds.
    tasks = [
        asyncio.create_task(line.shared(number % 2, asking("ab"[number % 2])))
        for number in range(2 * MAX_WAITING)
    ]
    await settled()
    tasks[0].cancel()  # Who began it has gone; the others get their answer.
    answer.set()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert asked == ["a", "b"]
    assert isinstance(found[0], asyncio.CancelledError)
    assert found[1:] == ["BA"[number % 2] for number in range(len(tasks) - 1)]
    # Who comes after the answer asks anew.
    assert await line.shared(0, asking("c")) == "C"


async def test_a_look_up_that_fails_fails_for_all_and_is_forgotten() -> None:
    line, begun = LookUps(), list[int]()

    async def fail() -> None:
        begun.append(1)
        raise ZeroDivisionError

    found = await asyncio.gather(
        *(line.shared("same", fail) for _ in range(3)), return_exceptions=True
    )
    assert [type(each) for each in found] == [ZeroDivisionError] * 3
    with pytest.raises(ZeroDivisionError):
        await line.shared("same", fail)
    assert begun == [1, 1]
    alone = asyncio.create_task(line.shared("same", fail))
    await asyncio.sleep(0)
    alone.cancel()  # Nobody is left to be told, and nobody is told that nobody was.
    await settled()
    assert not line._under_way
