"""The registry of open WebSockets, with connections that only remember what was asked of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from proxy.downstream.websockets import Connections

SOON = 30.0
"""Seconds; no test comes near it."""

AT_ONCE = 0.05
"""Seconds until a drain gives up, where the test is about giving up."""


class Socket:
    """An open connection.

    Attributes:
        asked: what it was told to do.
        on_drain: called when it is to close in an orderly way.
    """

    def __init__(self, connections: Connections, *, is_orderly: bool = True) -> None:
        self._connections = connections
        self._is_orderly = is_orderly
        self.asked: list[str] = []
        self.on_drain: Callable[[], object] | None = None
        connections.add(self)

    def drain(self) -> None:
        self.asked.append("drain")
        if self.on_drain is not None:
            self.on_drain()
        if self._is_orderly:
            self._connections.discard(self)

    def abort(self) -> None:
        self.asked.append("abort")
        self._connections.discard(self)


@pytest.fixture
def connections() -> Connections:
    return Connections()


def test_the_registry_counts_what_is_open(connections: Connections) -> None:
    first, _ = Socket(connections), Socket(connections)
    connections.add(first)
    assert len(connections) == 2
    connections.discard(first)
    connections.discard(first)
    assert len(connections) == 1


async def test_a_drain_of_nothing_is_over_at_once(connections: Connections) -> None:
    assert await connections.drain(SOON)


async def test_a_drain_closes_the_oldest_first_and_waits_for_the_last(
    connections: Connections,
) -> None:
    order: list[str] = []
    all_asked = asyncio.Event()

    def newest_is_asked() -> None:
        order.append("newest")
        all_asked.set()

    sockets = [Socket(connections, is_orderly=number != 1) for number in range(3)]
    sockets[0].on_drain = lambda: order.append("oldest")
    sockets[1].on_drain = lambda: order.append("slow")
    sockets[2].on_drain = newest_is_asked
    draining = asyncio.create_task(connections.drain(SOON))
    await all_asked.wait()
    await asyncio.sleep(0.03)
    assert not draining.done()
    assert len(connections) == 1
    connections.discard(sockets[1])
    assert await draining
    assert order == ["oldest", "slow", "newest"]
    assert [socket.asked for socket in sockets] == [["drain"]] * 3


async def test_at_the_deadline_what_is_left_is_cut(connections: Connections) -> None:
    orderly = Socket(connections)
    stuck = [Socket(connections, is_orderly=False) for _ in range(2)]
    assert not await connections.drain(AT_ONCE)
    assert orderly.asked == ["drain"]
    assert [socket.asked for socket in stuck] == [["drain", "abort"]] * 2
    assert len(connections) == 0


async def test_no_time_at_all_still_cuts_everything(connections: Connections) -> None:
    sockets = [Socket(connections, is_orderly=False) for _ in range(3)]
    assert not await connections.drain(0)
    assert [socket.asked[-1] for socket in sockets] == ["abort"] * 3


async def test_a_connection_that_ended_meanwhile_is_left_alone(connections: Connections) -> None:
    first, second = Socket(connections), Socket(connections)
    first.on_drain = lambda: connections.discard(second)
    assert await connections.drain(SOON)
    assert second.asked == []


@pytest.mark.parametrize("is_slow", [False, True], ids=["with the first", "after the others"])
async def test_a_connection_whose_handshake_was_under_way_is_drained_too(
    connections: Connections, is_slow: bool
) -> None:
    first = Socket(connections, is_orderly=False)
    draining = asyncio.create_task(connections.drain(SOON))
    await asyncio.sleep(0.05 if is_slow else 0)
    late = Socket(connections)
    late.on_drain = lambda: connections.discard(first)
    assert await draining
    assert [first.asked, late.asked] == [["drain"], ["drain"]]


@pytest.mark.parametrize(("count", "pause"), [(3, 0.01), (1000, 0.0005)])
async def test_closes_are_spread_over_at_most_half_of_the_time(
    connections: Connections, monkeypatch: pytest.MonkeyPatch, count: int, pause: float
) -> None:
    asked: list[str] = []
    for _ in range(count):
        Socket(connections).on_drain = lambda: asked.append("drain")
    sleep = asyncio.sleep

    async def remembered(seconds: float) -> None:
        asked.append("sleep")
        assert seconds == pytest.approx(pause)
        await sleep(0)

    monkeypatch.setattr(asyncio, "sleep", remembered)
    assert await connections.drain(1.0)
    assert asked == ["drain", "sleep"] * count
