"""One process leads, and another one when it is gone."""

from __future__ import annotations

from proxy.control.leadership import TTL, Leadership
from proxy.control.switch_store.memory import MemorySwitchStore


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def three() -> tuple[MemorySwitchStore, Clock, list[Leadership]]:
    store, clock = MemorySwitchStore(), Clock()
    return store, clock, [Leadership(store, "lease", name, clock) for name in ("a", "b", "c")]


async def test_the_first_has_it_and_keeps_it() -> None:
    _, clock, (a, b, c) = three()
    assert await a.hold()
    for _ in range(10):
        clock.now += TTL - 1
        assert not await b.hold()
        assert not await c.hold()
        assert await a.hold()
        assert (a.holder, b.holder) == ("a", "a")


async def test_one_of_the_others_takes_it_over_when_it_says_nothing() -> None:
    _, clock, (a, b, c) = three()
    assert await a.hold()
    assert not await b.hold()
    assert not await c.hold()
    clock.now += TTL
    assert await b.hold()
    assert not await c.hold()
    # The first was only slow: it sees that it leads no more.
    assert not await a.hold()
    assert (a.is_held, a.holder) == (False, "b")


async def test_who_has_just_come_waits_for_as_long_as_all() -> None:
    _, clock, (a, b, _) = three()
    assert await a.hold()
    clock.now += 10 * TTL
    assert not await b.hold()
    clock.now += TTL
    assert await b.hold()


async def test_what_is_given_up_is_free_at_once() -> None:
    store, _, (a, b, _) = three()
    assert await a.hold()
    await b.give_up()  # It has none.
    assert not await b.hold()
    await a.give_up()
    assert await store.value("lease") is None
    assert await b.hold()
    await a.give_up()
    assert b.is_held


async def test_of_two_who_try_at_once_one_has_it() -> None:
    _, clock, (a, b, c) = three()
    assert await a.hold()
    await b.hold()
    await c.hold()
    clock.now += TTL
    assert [await c.hold(), await b.hold()] == [True, False]


async def test_a_store_that_has_lost_it_gives_it_to_whoever_asks_first() -> None:
    store, _, (a, b, _) = three()
    assert await a.hold()
    found = await store.value("lease")
    assert await store.replace("lease", found, None)
    assert await b.hold()
    assert not await a.hold()
