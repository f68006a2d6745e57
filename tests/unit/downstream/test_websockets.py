"""The registry of open WebSockets, with connections that only remember what was asked of them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from proxy.downstream.websockets import Connections

SOON = 30.0
"""Seconds; no test comes near it."""


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


class Clock(asyncio.SelectorEventLoop):
    """A loop whose time goes on by itself to the next timer, so that nobody waits."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        select = self._selector.select  # type: ignore[attr-defined]

        def skip(timeout: float | None) -> object:
            self.now += timeout or 0.0
            return select(0)

        self._selector.select = skip  # type: ignore[attr-defined]

    def time(self) -> float:
        return self.now


def test_at_the_deadline_what_is_left_is_cut() -> None:
    async def run() -> None:
        connections = Connections()
        orderly = Socket(connections)
        stuck = [Socket(connections, is_orderly=False) for _ in range(2)]
        assert not await connections.drain(30.0)
        assert orderly.asked == ["drain"]
        assert [socket.asked for socket in stuck] == [["drain", "abort"]] * 2
        assert len(connections) == 0

    with asyncio.Runner(loop_factory=Clock) as runner:
        runner.run(run())


def told_when(work: Callable[[Connections, list[Socket]], Awaitable[object]]) -> list[float]:
    """Run something over five sockets; the seconds after which each was told to end."""
    loop, moments = Clock(), list[float]()

    async def run() -> None:
        connections = Connections()
        sockets = [Socket(connections) for _ in range(5)]
        for each in sockets:
            each.on_drain = lambda: moments.append(round(loop.time(), 3))
        await work(connections, sockets)

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(run())
    return moments


@pytest.mark.parametrize("timeout", [0.01, 1.0, 30.0, 600.0])
def test_closes_of_a_drain_are_spread_over_half_of_its_time(timeout: float) -> None:
    moments = told_when(lambda connections, _: connections.drain(timeout))
    assert moments == [round(timeout / 10 * number, 3) for number in range(5)]


def test_one_that_comes_late_gets_what_is_left_of_the_time() -> None:
    def late(connections: Connections, sockets: list[Socket]) -> Awaitable[object]:
        first, drained = sockets[0].on_drain, sockets[4].on_drain

        def one_more() -> None:
            assert first is not None
            first()
            Socket(connections).on_drain = drained

        sockets[0].on_drain = one_more
        return connections.drain(10.0)

    assert told_when(late) == [0.0, 1.0, 2.0, 3.0, 4.0, 4.0]


def test_those_that_are_chosen_are_closed_in_the_time_that_is_given() -> None:
    async def choose(connections: Connections, sockets: list[Socket]) -> None:
        gone = sockets[2]
        connections.discard(gone)
        assert await connections.close_each(sockets[1:4], 30.0) == 2
        assert [each.asked for each in sockets] == [[], ["drain"], [], ["drain"], []]

    assert told_when(choose) == [0.0, 20.0]


def test_who_has_gone_by_itself_is_not_waited_for() -> None:
    async def leave(connections: Connections, sockets: list[Socket]) -> None:
        loop = asyncio.get_running_loop()
        for each in sockets:
            loop.call_later(1.0, connections.discard, each)
        assert await connections.drain(1000.0)
        assert loop.time() == pytest.approx(1.0)

    assert told_when(leave) == [0.0]
