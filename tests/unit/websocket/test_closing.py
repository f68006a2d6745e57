"""The closing of a WebSocket: the tables, and every state that any order of events leads to."""

from __future__ import annotations

from collections import deque
from copy import copy, deepcopy
from itertools import product
from typing import NamedTuple

import pytest

from proxy.websocket.closing import (
    SAID,
    TOLD,
    Act,
    Closing,
    Command,
    Event,
    Said,
    Side,
    Told,
)
from proxy.websocket.failures import FRAME_TOO_BIG, Blame, Fault

C, S = Side.CLIENT, Side.SERVER
BROKEN = Fault(1002, "invalid control frame")
UNMAPPED = Fault(1011, "message could not be mapped", Blame.MAPPING)


class World:
    """A closing, and what a relay does for it: the frames that a side was sent, and its ends."""

    def __init__(self) -> None:
        self.half_sent = {C: False, S: False}
        self.sent: dict[Side, list[str]] = {C: [], S: []}
        self.held: dict[Side, str] = {}
        self.over = {C: False, S: False}
        self.withheld: set[Side] = set()
        self.discarded: set[Side] = set()
        self.stopped: set[Side] = set()
        self.waiting = False
        self.ended = 0
        self.limits: list[str] = []
        self.closing = Closing(lambda side: not self.half_sent[side])

    def copy(self) -> World:
        """Another one in the same state."""
        made = World()
        for name in ("half_sent", "sent", "held", "over", "withheld", "discarded", "stopped"):
            setattr(made, name, deepcopy(getattr(self, name)))
        made.waiting, made.ended, made.limits = self.waiting, self.ended, [*self.limits]
        for name in Closing.__slots__:
            if name != "_at_boundary":
                setattr(made.closing, name, copy(getattr(self.closing, name)))
        return made

    def carry_out(self, commands: list[Command]) -> None:
        for act, side, code, text in commands:
            match act:
                case Act.SAY:
                    assert side not in self.held
                    self.held[side] = f"{code}"
                    self.stopped.add(side.other)
                case Act.FLUSH:
                    assert not self.half_sent[side], "a Close frame within another frame"
                    assert not self.over[side], "a Close frame behind the end"
                    self.sent[side].append(self.held.pop(side))
                case Act.END_SENDING | Act.CLOSE_TRANSPORT:
                    assert act is Act.CLOSE_TRANSPORT or not self.over[side], "shut twice"
                    assert not self.half_sent[side] or side.other in self.closing.lost, (
                        "cut within a frame whose end could still come"
                    )
                    self.over[side] = True
                case Act.WITHHOLD:
                    self.withheld.add(side)
                case Act.DISCARD:
                    self.discarded.add(side)
                case Act.LIMIT:
                    self.limits.append(text)
                case Act.WAIT:
                    self.waiting = True
                case Act.END:
                    self.ended += 1
            assert len(self.sent[side]) <= 1, "two Close frames"

    # What can happen to a relay, and when.

    def events(self) -> list[str]:
        found: list[str] = []
        if self.ended:
            return found
        if not self.waiting:
            found.append("leave")
        for side in (C, S):
            if side in self.closing.lost:
                continue
            name = side.name
            found += [f"gone {name}", f"eof {name}"]
            if self.closing.said[side] is Said.OPEN:
                found += [f"close {name}", f"broken {name}", f"half {name}"]
            elif self.closing.said[side] is not Said.BROKEN:
                found.append(f"close {name}")  # Told again with whatever comes behind it.
            if self.half_sent[side.other]:
                found.append(f"whole {name}")
        if self.waiting:
            found.append("late")
        return found

    def happen(self, event: str) -> None:
        what, _, name = event.partition(" ")
        if what == "leave":
            self.carry_out(self.closing.leave(1012, "restart", "restart"))
        elif what == "late":
            self.carry_out(self.closing.late())
        else:
            getattr(self, f"_{what}")(Side[name])

    def _gone(self, side: Side) -> None:
        self.over[side] = True
        self.half_sent[side] = False
        self.carry_out(self.closing.gone(side))

    def _eof(self, side: Side) -> None:
        stays = self.closing.sending_ended(side)
        assert stays <= (self.closing.said[side] is Said.HALF_CLOSED)

    def _delivers(self, side: Side) -> bool:
        return side not in self.stopped | self.discarded and not self.over[side.other]

    def _half(self, side: Side) -> None:
        """A frame of this side is on its way to the other."""
        self.half_sent[side.other] = self.half_sent[side.other] or self._delivers(side)

    def _whole(self, side: Side) -> None:
        """Its end has come."""
        self.half_sent[side.other] = False
        self.carry_out(self.closing.boundary(side.other))

    def _broken(self, side: Side) -> None:
        self._whole(side)
        self.carry_out(self.closing.failed(side, BROKEN))

    def _close(self, side: Side) -> None:
        self._whole(side)
        is_first = self.closing.said[side] is Said.OPEN
        if is_first and self._delivers(side) and side not in self.withheld:
            assert self.sent[side.other] == [], "a Close frame behind another one"
            self.sent[side.other].append("passed")
        self.carry_out(self.closing.closed(side))

    def key(self) -> tuple[object, ...]:
        closing = self.closing
        sides = [
            (
                closing.said[side],
                closing.told[side],
                closing.own.get(side),
                side in closing.lost,
                self.half_sent[side],
                tuple(self.sent[side]),
                self.held.get(side),
                self.over[side],
                side in self.withheld,
                side in self.discarded,
                side in self.stopped,
            )
            for side in (C, S)
        ]
        whole = (closing.fault is None, closing.fault_side, closing.culprit)
        return (*sides, *whole, self.waiting, self.ended)


class Reached(NamedTuple):
    world: World
    path: tuple[str, ...]


def reachable() -> list[Reached]:
    """Every state that any order of events leads to."""
    first = Reached(World(), ())
    found = {first.world.key(): first}
    ahead = deque([first])
    while ahead:
        world, path = ahead.popleft()
        for event in world.events():
            after = world.copy()
            try:
                after.happen(event)
            except AssertionError as error:
                raise AssertionError(f"{error}: after {' > '.join((*path, event))}") from None
            if after.key() not in found:
                reached = Reached(after, (*path, event))
                found[after.key()] = reached
                ahead.append(reached)
    return list(found.values())


@pytest.fixture(scope="module")
def states() -> list[Reached]:
    return reachable()


def test_no_order_of_events_sends_two_close_frames_or_one_behind_the_end(
    states: list[Reached],
) -> None:
    """What `World.carry_out` asserts, in every state, in some hundreds of them."""
    assert len(states) > 250


def test_whatever_has_begun_to_end_has_a_time_to_end_in(states: list[Reached]) -> None:
    for world, path in states:
        closing = world.closing
        begun = (
            any(each is not Told.OPEN for each in closing.told.values())
            or closing.fault is not None
            or closing.lost
        )
        assert world.waiting or world.ended or not begun, path


def test_it_is_over_exactly_when_both_have_gone(states: list[Reached]) -> None:
    for world, path in states:
        assert world.ended == (1 if world.closing.lost == {C, S} else 0), path


def test_a_side_that_is_alone_is_shut_or_was_told_to_close(states: list[Reached]) -> None:
    for world, path in states:
        closing = world.closing
        if len(closing.lost) == 1:
            (gone,) = closing.lost
            assert world.over[gone.other] or closing.own.get(gone.other), path
            assert gone.other in world.discarded, path


def test_the_culprit_is_told_by_the_others_last_word_its_end_or_a_time(
    states: list[Reached],
) -> None:
    for world, path in states:
        culprit = world.closing.culprit
        if culprit is None or world.ended:
            continue
        for event in (f"close {culprit.other.name}", f"gone {culprit.other.name}", "late"):
            if event not in world.events():
                continue
            after = world.copy()
            after.happen(event)
            assert after.closing.culprit is None, (path, event)
            assert after.over[culprit] or culprit in after.held, (path, event)


def test_a_close_frame_that_is_withheld_is_never_the_first_word(states: list[Reached]) -> None:
    for world, path in states:
        assert world.withheld <= world.closing.own.keys(), path


def test_a_close_frame_that_is_held_goes_out_when_the_frame_before_it_is_whole(
    states: list[Reached],
) -> None:
    """Whatever its receiver has said by then: its own Close frame is no answer to one unheard."""
    for world, path in states:
        for side, event in ((C, "whole SERVER"), (S, "whole CLIENT")):
            if side in world.held and event in world.events():
                after = world.copy()
                after.happen(event)
                assert after.sent[side] == [world.held[side]], path
                has_ended = after.closing.said[side] is not Said.OPEN
                assert after.over[side] is has_ended, path


def test_a_side_says_its_last_word_once(states: list[Reached]) -> None:
    """What comes behind it is told of again, and changes nothing."""
    for world, path in states:
        for side in (C, S):
            if f"close {side.name}" in world.events() and world.closing.said[side] in {
                Said.CLOSED,
                Said.HALF_CLOSED,
            }:
                after = world.copy()
                assert after.closing.closed(side) == [], path
                assert after.key() == world.key(), path


def test_who_ended_first_is_known_from_then_on(states: list[Reached]) -> None:
    for world, path in states:
        first = next((event[5:] for event in path if event.startswith("gone ")), None)
        ended_first = world.closing.ended_first
        assert (None if ended_first is None else ended_first.name) == first, path


def test_everything_ends_when_both_sides_go(states: list[Reached]) -> None:
    for world, path in states:
        after = world.copy()
        for side in (C, S):
            if side not in after.closing.lost:
                after.happen(f"gone {side.name}")
        assert after.ended == 1, path


@pytest.mark.parametrize(("said", "event"), list(product(Said, Event)))
def test_what_a_side_has_said_changes_by_the_table_alone(said: Said, event: Event) -> None:
    closing = Closing(lambda _: True)
    closing.said[C] = said
    closing._hear(C, event)
    assert closing.said[C] is SAID.get((said, event), said)


@pytest.mark.parametrize(("told", "event"), list(product(Told, Event)))
def test_what_a_side_was_told_changes_by_the_table_alone(told: Told, event: Event) -> None:
    closing = Closing(lambda _: True)
    closing.told[C] = told
    closing._tell(C, event)
    assert closing.told[C] is TOLD.get((told, event), told)
    # It is never told less than it was.
    order = list(Told)
    assert order.index(closing.told[C]) >= order.index(told)


@pytest.mark.parametrize(
    ("side", "fault", "onward"),
    [
        (C, BROKEN, 1001),
        (S, BROKEN, 1001),
        (C, FRAME_TOO_BIG, 1009),
        (S, FRAME_TOO_BIG, 1009),
        (C, UNMAPPED, 1011),
        (S, UNMAPPED, 1011),
    ],
)
def test_each_side_is_told_what_concerns_it(side: Side, fault: Fault, onward: int) -> None:
    world = World()
    world.carry_out(world.closing.failed(side, fault))
    assert world.sent == {side.other: [str(onward)], side: []}
    assert world.limits == ([fault.limit] if fault.limit else [])
    world.happen(f"close {side.other.name}")
    assert world.sent[side] == [str(fault.code)]
    assert world.over == {C: True, S: True}


def test_a_client_whose_server_has_gone_without_a_word_is_told_so() -> None:
    world = World()
    world.happen("gone SERVER")
    assert world.sent == {C: ["1001"], S: []}
    assert world.over[C] is False  # It answers, or is late.
    world.happen("close CLIENT")
    assert world.over[C] is True


def test_what_it_is_told_can_be_chosen() -> None:
    closing = Closing(lambda _: True, 1012)
    assert [command.code for command in closing.gone(S) if command.act is Act.SAY] == [1012]


@pytest.mark.parametrize("before", ["half SERVER", "close SERVER", "close CLIENT"])
def test_it_is_not_told_within_a_frame_or_behind_a_last_word(before: str) -> None:
    world = World()
    world.happen(before)
    sent = [*world.sent[C]]
    world.happen("gone SERVER")
    assert world.sent[C] == sent
    assert world.over[C] is True


def test_a_server_whose_client_has_gone_is_told_nothing() -> None:
    world = World()
    world.happen("gone CLIENT")
    assert world.sent == {C: [], S: []}
    assert world.over[S] is True
