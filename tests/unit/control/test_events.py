"""The ring of what happened in the control plane: bounded, numbered, and read from any position."""

from __future__ import annotations

import pytest

from proxy.control.events import (
    KEPT,
    MAX_FACT,
    MAX_OF_ONE,
    MAX_SUBSCRIBERS,
    ControlEvents,
    Subscription,
    TooManySubscribers,
)


@pytest.fixture
def events() -> ControlEvents:
    return ControlEvents()


def taken(subscription: Subscription) -> tuple[bool, list[int]]:
    lost, found = subscription.take()
    return lost, [each.number for each in found]


async def test_who_watches_is_woken_and_gets_what_comes(events: ControlEvents) -> None:
    events.publish("before")
    subscription = events.subscribe()
    assert taken(subscription) == (False, [])
    events.publish("reloaded", serving="abc")
    assert subscription.changed.is_set()
    lost, [event] = subscription.take()
    assert (lost, event.number, event.kind, event.facts) == (
        False,
        2,
        "reloaded",
        {"serving": "abc"},
    )
    assert not subscription.changed.is_set()
    assert taken(subscription) == (False, [])
    events.leave(subscription)
    events.publish("after")
    assert not subscription.changed.is_set()


async def test_who_comes_back_gets_what_it_has_missed(events: ControlEvents) -> None:
    for _ in range(5):
        events.publish("something")
    assert taken(events.subscribe(events.id_of(3))) == (False, [4, 5])
    assert taken(events.subscribe(events.id_of(5))) == (False, [])


@pytest.mark.parametrize(
    "last_id",
    [
        "",
        "3",
        "-3",
        "ORIGIN-",
        "ORIGIN-x",
        "ORIGIN-٣",
        "ORIGIN--1",
        "ORIGIN-6",
        "ORIGIN-" + "9" * 5000,
        "0123abcd-3",
        "\n",
    ],
)
async def test_who_knows_nothing_of_this_process_gets_all_that_is_kept_behind_a_gap(
    events: ControlEvents, last_id: str
) -> None:
    for _ in range(5):
        events.publish("something")
    subscription = events.subscribe(last_id.replace("ORIGIN", events.origin))
    assert taken(subscription) == (True, [1, 2, 3, 4, 5])
    assert taken(subscription) == (False, [])


async def test_invariant_8_the_newest_are_kept_and_who_reads_too_slowly_is_told(
    events: ControlEvents,
) -> None:
    subscription = events.subscribe()
    for _ in range(KEPT + 3):
        events.publish("something", text="x" * (MAX_FACT + 1))
    lost, found = subscription.take()
    assert lost
    assert [each.number for each in found] == list(range(4, KEPT + 4))
    assert found[0].facts == {"text": "x" * MAX_FACT}
    assert taken(events.subscribe(events.id_of(2)))[0]
    assert not taken(events.subscribe(events.id_of(3)))[0]


async def test_invariant_8_there_are_so_many_who_watch_and_none_at_the_end(
    events: ControlEvents,
) -> None:
    subscriptions = [events.subscribe(reader="anna") for _ in range(MAX_OF_ONE)]
    with pytest.raises(TooManySubscribers):
        events.subscribe(reader="anna")
    subscriptions += [events.subscribe() for _ in range(MAX_SUBSCRIBERS - MAX_OF_ONE)]
    for reader in ("", "bert"):
        with pytest.raises(TooManySubscribers):
            events.subscribe(reader=reader)
    events.leave(subscriptions[0])
    again = events.subscribe(reader="anna")
    events.publish("stopped")
    events.close()
    assert events.ended == "drain"
    assert again.changed.is_set()
    assert taken(again) == (False, [1])
    events.leave(again)
    with pytest.raises(TooManySubscribers):
        events.subscribe()


async def test_ids_of_two_processes_are_not_taken_for_each_other() -> None:
    first, second = ControlEvents(), ControlEvents()
    first.publish("a")
    second.publish("b")
    assert taken(second.subscribe(first.id_of(1))) == (True, [1])
