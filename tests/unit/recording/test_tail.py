"""Watching on the data path: what each watcher gets, and the bounds of it."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator

import pytest

from proxy.mapping.engine.explanation import MessageOutcome
from proxy.observability import log as logs
from proxy.recording.tail import (
    MAX_OF_ONE,
    MAX_QUEUED,
    MAX_SHOWN,
    MAX_WATCHERS,
    Budget,
    Tail,
    TooManyWatchers,
    WatchedMessages,
    Watcher,
)
from proxy.recording.tap import Observed, TapPoint, Taps
from proxy.types import Direction
from tests.support.tapped import FAILURE, FakeSocket
from tests.support.waiting import PATIENCE

POINT = TapPoint(Direction.TO_CLIENT, "modern", "id-1")


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def taps() -> Taps:
    return Taps()


@pytest.fixture
async def tail(taps: Taps) -> AsyncIterator[Tail]:
    writer = logs.Writer(io.StringIO())
    log = logs.build(writer, "debug", "json", is_terminal=False)
    yield Tail(taps, asyncio.get_running_loop(), log)
    writer.close()


def observed(
    message: bytes = b"{}", made: tuple[bytes, ...] | None = None, *, failed: bool = False
) -> Observed:
    return Observed(POINT, None, message, made, FAILURE if failed else None, 1.0)


async def waiting(watcher: Watcher) -> list[Observed]:
    """What waits in its queue."""
    found: list[Observed] = []
    async for batch in watcher.batches(pause=0.001):
        if not batch:
            break
        found += batch
    return found


def test_budget_is_a_second_s_worth_and_comes_back_with_time() -> None:
    budget = Budget(2, 0.0)
    assert [budget.take(1, 0.0) for _ in range(3)] == [True, True, False]
    assert budget.take(1, 0.5)
    assert not budget.take(1, 0.5)
    assert [budget.take(1, 100.0) for _ in range(3)] == [True, True, False]
    assert not budget.take(3, 200.0)


async def test_invariant_8_what_is_above_the_rate_is_left_out_and_counted(clock: Clock) -> None:
    watcher = Watcher(WatchedMessages(rate=3), Budget(1e9, clock()), clock)
    for _ in range(10):
        watcher.note(observed())
    assert watcher.left_out == {"rate": 7}
    clock.now += 1
    watcher.note(observed(b"[1]"))
    assert [each.message for each in await waiting(watcher)] == [b"{}"] * 3 + [b"[1]"]


async def test_invariant_8_bytes_a_second_are_bounded_too_for_all_together(clock: Clock) -> None:
    budget = Budget(10, clock())
    watcher, other = (Watcher(WatchedMessages(rate=100), budget, clock) for _ in range(2))
    watcher.note(observed(b"1234", (b"56", b"78")))
    other.note(observed(b"12345"))
    watcher.note(observed(b"12"))
    assert (watcher.left_out, other.left_out) == ({}, {"bytes": 1})
    assert [each.message for each in await waiting(watcher)] == [b"1234", b"12"]


async def test_invariant_8_a_watcher_that_does_not_read_holds_so_much_and_no_more(
    clock: Clock,
) -> None:
    watcher = Watcher(WatchedMessages(rate=200), Budget(1e9, clock()), clock)
    for _ in range(MAX_QUEUED + 5):
        clock.now += 1
        watcher.note(observed())
    assert watcher.left_out == {"queue": 5}
    assert len(await waiting(watcher)) == MAX_QUEUED
    watcher.left_out.clear()
    large = b"x" * MAX_SHOWN
    for _ in range(20):
        clock.now += 1
        watcher.note(observed(large))
    assert watcher.left_out == {"queue": 4}
    assert len(await waiting(watcher)) == 16
    # What was taken makes room.
    watcher.note(observed(large))
    assert len(await waiting(watcher)) == 1


async def test_of_a_message_that_is_too_large_nothing_is_kept_but_what_it_was(
    clock: Clock,
) -> None:
    watcher = Watcher(WatchedMessages(), Budget(1e9, clock()), clock)
    watcher.note(observed(b"x" * (MAX_SHOWN - 1), (b"y", b"z")))
    [found] = await waiting(watcher)
    assert (found.message, found.made, found.cut) == (b"", (b"", b""), MAX_SHOWN + 1)
    assert found.outcome is MessageOutcome.MAPPED
    passed = observed(b"x").without_content()
    assert (passed.outcome, passed.cut) == (MessageOutcome.PASSED, 1)


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [("mapped", [b"1"]), ("passed", [b"2"]), ("dropped", [b"3"]), ("failed", [b"4"])],
)
async def test_only_the_outcome_that_is_wanted(
    clock: Clock, outcome: str, expected: list[bytes]
) -> None:
    watcher = Watcher(WatchedMessages(outcome=MessageOutcome(outcome)), Budget(1e9, clock()), clock)
    for each in (
        observed(b"1", (b"a",)),
        observed(b"2"),
        observed(b"3", ()),
        observed(b"4", failed=True),
    ):
        watcher.note(each)
    assert [each.message for each in await waiting(watcher)] == expected
    assert not watcher.left_out


async def test_a_kind_is_found_however_it_is_spelled(clock: Clock) -> None:
    """What cannot be of it is left alone on the data path; the rest is looked at by the reader."""
    watcher = Watcher(WatchedMessages(kind="größer"), Budget(1e9, clock()), clock)
    spelled = [
        json.dumps({"kind": "größer"}).encode(),
        json.dumps({"kind": "größer"}, ensure_ascii=False).encode(),
        b'{"kind": "gr\\u00F6\\u00dfe\\u0072"}',
    ]
    for message in (*spelled, b'{"kind": "other"}'):
        watcher.note(observed(message))
    assert [each.message for each in await waiting(watcher)] == spelled
    watcher.note(observed(b'"\\' + b"x" * MAX_SHOWN))
    assert watcher.left_out == {"unreadable": 1}


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (WatchedMessages(), True),
        (WatchedMessages(cohort="modern", direction=Direction.TO_CLIENT, mapping="a"), True),
        (WatchedMessages(cohort="legacy"), False),
        (WatchedMessages(direction=Direction.TO_SERVER), False),
        (WatchedMessages(mapping="c"), False),
    ],
)
def test_where_messages_are_wanted(clock: Clock, wanted: WatchedMessages, expected: bool) -> None:
    assert Watcher(wanted, Budget(1, 0), clock).wants(POINT, ("a", "b")) is expected


async def test_while_nobody_watches_sockets_hold_the_very_handling_they_were_given(
    taps: Taps, tail: Tail
) -> None:
    socket = FakeSocket()
    taps.attach(socket, "modern")
    assert socket.is_untouched()
    watcher = tail.watch(WatchedMessages(), 60, raw=False, author="anna")
    assert not socket.is_untouched()
    assert socket.server.frame_filter.handling.rewrite(b"a") == (b"A",)
    begun = socket.server.frame_filter.handling
    tail.leave(watcher, author="anna", shown=0, left_out=0)
    tail.leave(watcher, author="anna", shown=0, left_out=0)
    assert socket.is_untouched()
    assert begun.rewrite(b"late") == (b"LATE",)
    watcher.skip()
    assert [each.message for each in await waiting(watcher)] == [b"a"]
    assert not watcher.left_out
    assert watcher.ended == "the watcher left"


async def test_invariant_8_there_are_so_many_watchers_and_none_when_the_process_ends(
    taps: Taps, tail: Tail
) -> None:
    watchers = [
        tail.watch(WatchedMessages(), 60, raw=False, author="bert") for _ in range(MAX_OF_ONE)
    ]
    with pytest.raises(TooManyWatchers):
        tail.watch(WatchedMessages(), 60, raw=False, author="bert")
    watchers += [
        tail.watch(WatchedMessages(), 60, raw=False, author="anna")
        for _ in range(MAX_WATCHERS - MAX_OF_ONE)
    ]
    with pytest.raises(TooManyWatchers):
        tail.watch(WatchedMessages(), 60, raw=False, author="carl")
    tail.leave(watchers.pop(), author="anna", shown=0, left_out=0)
    watchers.append(tail.watch(WatchedMessages(), 60, raw=False, author="anna"))
    tail.close()
    assert {each.ended for each in watchers} == {"drain"}
    for each in watchers:
        tail.leave(each, author="anna", shown=0, left_out=0)
    assert not taps.are_used
    with pytest.raises(TooManyWatchers):
        tail.watch(WatchedMessages(), 60, raw=False, author="anna")


async def test_a_watch_ends_with_its_time_and_what_came_before_is_given(
    taps: Taps, tail: Tail
) -> None:
    socket = FakeSocket()
    taps.attach(socket, None)
    watcher = tail.watch(WatchedMessages(), 0.02, raw=False, author="anna")
    socket.server.frame_filter.handling.rewrite(b"a")
    watcher.skip()
    async with asyncio.timeout(PATIENCE):
        found = [each.message async for batch in watcher.batches() for each in batch]
    assert found == [b"a"]
    assert watcher.left_out == {"unreadable": 1}
    assert watcher.ended == "time"
