"""One tap for all who look: they share it, come and go, and none sees less for the others."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from proxy.configuration.document import parse
from proxy.mapping.catalog import CohortBinding, build
from proxy.mapping.engine.program import Program
from proxy.recording.tap import Observed, TapPoint, Taps, untapped
from proxy.rewriting import MessageCopy, MessageCounts, MessageHandling
from proxy.types import NONE, Direction
from proxy.websocket.filter import FrameFilter
from tests.support.rfc6455 import CONTINUATION, LIMITS, TEXT, wire
from tests.support.tapped import FakeSocket, Upper, carried
from tests.support.waiting import PATIENCE

MAPPING = """\
name: parts
description: A field gets another name.
channel: websocket
direction: to_client
rules:
  - name: rename
    match: {field: a, exists: true}
    do: [{rename: {a: b}}]
    examples: [{in: {a: 1}, out: {b: 1}}]
"""
FIELDS = [(b"Content-Type", b"application/json")]


class Looker:
    """Wants the messages of one direction, or all."""

    def __init__(self, direction: Direction | None = None) -> None:
        self.direction = direction
        self.found: list[Observed] = []
        self.skipped = 0
        self.asked: list[tuple[str, tuple[str, ...]]] = []

    def wants(self, point: TapPoint, mappings: Sequence[str]) -> bool:
        self.asked.append((point.request_id, tuple(mappings)))
        return self.direction in (None, point.direction)

    def note(self, observed: Observed) -> None:
        self.found.append(observed)

    def skip(self) -> None:
        self.skipped += 1

    @property
    def messages(self) -> list[bytes]:
        return [each.message for each in self.found]


class Before:
    """Looked at the messages before."""

    def __init__(self) -> None:
        self.seen: list[bytes] = []
        self.missed: list[bool] = []

    def note(self, message: bytes) -> None:
        self.seen.append(message)

    def miss(self, *, too_large: bool) -> None:
        self.missed.append(too_large)

    def begin(self) -> MessageCopy:
        raise AssertionError("who looks now collects for it")


@pytest.fixture
def taps() -> Taps:
    return Taps()


def test_several_look_through_one_tap_and_each_sees_what_it_wants(taps: Taps) -> None:
    socket = FakeSocket()
    taps.attach(socket, "modern", "id-1")
    first, second = Looker(), Looker(Direction.TO_SERVER)
    taps.add(first)
    taps.add(second)
    handling = socket.server.frame_filter.handling
    assert untapped(handling) is socket.handlings[1]
    assert handling.rewrite(b"a") == (b"A",)
    assert carried(socket.client.frame_filter.handling, b"b") is None
    assert (first.messages, second.messages) == ([b"a", b"b"], [b"b"])
    assert first.found[1] is second.found[0]
    assert first.found[0].point == TapPoint(Direction.TO_CLIENT, "modern", "id-1")
    assert first.asked[-1] == ("id-1", (NONE,))


def test_messages_that_nothing_rewrites_are_copied_and_those_that_find_no_room_are_counted(
    taps: Taps,
) -> None:
    before = Before()
    original = MessageHandling(None, MessageCounts(), observer=before)
    looker, point = Looker(), TapPoint(Direction.TO_SERVER, NONE)
    assert taps.tapped(original, point) is original
    taps.add(looker)
    handling = taps.tapped(original, point)
    assert handling.rewriter is None
    assert untapped(handling) is original
    frame_filter = FrameFilter(masked=False, handling=handling, random=bytes, limits=LIMITS)
    for part in (wire(TEXT, b"a", fin=False), wire(CONTINUATION, b"b")):
        assert frame_filter.feed(part) == [part]
    taps._room.left = 1
    for part in (wire(TEXT, b"c", fin=False), wire(CONTINUATION, b"d")):
        assert frame_filter.feed(part) == [part]
    assert (looker.messages, looker.skipped) == ([b"ab"], 1)
    assert (before.seen, before.missed) == ([b"ab"], [False])
    assert taps._room.left == 1


def test_who_stays_sees_on_when_another_one_goes(taps: Taps) -> None:
    socket = FakeSocket()
    taps.attach(socket, None)
    first, second = Looker(), Looker()
    taps.add(first)
    taps.add(second)
    taps.remove(first)
    taps.remove(first)
    socket.server.frame_filter.handling.rewrite(b"a")
    assert (first.messages, second.messages) == ([], [b"a"])
    taps.remove(second)
    assert not taps.are_used
    assert socket.is_untouched()


async def test_many_sockets_are_gone_through_in_several_steps_and_all_are_reached(
    taps: Taps,
) -> None:
    sockets = [FakeSocket() for _ in range(250)]
    for socket in sockets:
        taps.attach(socket, None)

    def tapped() -> int:
        return sum(not socket.is_untouched() for socket in sockets)

    async def all_gone_through() -> list[int]:
        seen = [tapped()]
        async with asyncio.timeout(PATIENCE):
            while taps._is_stepping:
                await asyncio.sleep(0)
                seen.append(tapped())
        return seen

    first, second = Looker(), Looker()
    taps.add(first)
    assert await all_gone_through() == [100, 200, 250]
    # Who comes while others are being reached looks at all of them, too; one that ends is left.
    taps.remove(first)
    taps.add(second)
    taps.detach(sockets[-1])
    await all_gone_through()
    for socket in sockets:
        socket.server.frame_filter.handling.rewrite(b"a")
    assert len(second.messages) == 249
    taps.remove(second)
    assert await all_gone_through() != [0]
    assert tapped() == 1


def test_socket_whose_handling_is_exchanged_keeps_the_new_one(taps: Taps) -> None:
    """As a change of what is mapped does with sockets that are open."""
    socket, looker = FakeSocket(), Looker()
    taps.attach(socket, None)
    taps.add(looker)
    changed = MessageHandling(Upper(), MessageCounts())
    point = TapPoint(Direction.TO_SERVER, NONE)
    socket.client.frame_filter.handling = taps.tapped(changed, point)
    assert socket.client.frame_filter.handling.rewrite(b"a") == (b"A",)
    assert looker.messages == [b"a"]
    taps.remove(looker)
    assert socket.client.frame_filter.handling is changed


def test_program_inside_of_another_tap_is_found(taps: Taps) -> None:
    bindings = {"all": CohortBinding(to_client=("parts",))}
    program = build([parse(MAPPING, "parts.yaml")], bindings).for_cohort("all").to_client
    assert program is not None

    class Another:
        """A tap of somebody else's."""

        def __init__(self, inner: Program | None) -> None:
            self.program = inner

        def apply(self, message: bytes) -> tuple[bytes, ...] | None:
            return None if self.program is None else self.program.apply(message)

    looker = Looker()
    taps.add(looker)
    point = TapPoint(Direction.TO_CLIENT, "modern")
    taps.tapped(MessageHandling(Another(program), MessageCounts()), point).rewrite(b"{}")
    taps.tapped(MessageHandling(Another(None), MessageCounts()), point).rewrite(b"{}")
    assert [names for _, names in looker.asked] == [program.mappings, (NONE,)]
    assert [each.program for each in looker.found] == [program, None]


def test_bodies_are_collected_once_for_all_who_want_them(taps: Taps) -> None:
    def point(way: Direction) -> TapPoint:
        return TapPoint(way, "modern", "id-2", "POST /api/")

    assert taps.observer(list(Direction), point, FIELDS) is None
    first, second = Looker(), Looker(Direction.TO_SERVER)
    taps.add(first)
    taps.add(second)
    observer = taps.observer(list(Direction), point, FIELDS)
    assert observer is not None
    observer.request_piece(b"[1]")
    observer.response_head(FIELDS)
    observer.response_piece(b"[2]")
    observer.end()
    assert (first.messages, second.messages) == ([b"[1]", b"[2]"], [b"[1]"])
    assert first.found[0].point.route == "POST /api/"
    taps.remove(first)
    assert taps.observer([Direction.TO_CLIENT], point, FIELDS) is None
    too_long = taps.observer([Direction.TO_SERVER], point, FIELDS)
    assert too_long is not None
    too_long.request_piece(b"1" * 300_000)
    too_long.end()
    assert second.skipped == 1
    assert second.messages == [b"[1]"]
