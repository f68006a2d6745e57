"""Which message is held: a number of its own, whatever comes in between."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from proxy.rewriting import MessageCounts, MessageHandling
from proxy.websocket.failures import MESSAGE_TOO_SLOW
from proxy.websocket.filter import FrameFilter
from proxy.websocket.frames import BINARY, CONTINUATION, PING, TEXT
from tests.support.rfc6455 import CUTS, LIMITS, ByFirstByte, Keys, split, streams, wire

LONG = b"x" * 300


def filtering(*, rewrites: bool = True) -> FrameFilter:
    handling = MessageHandling(ByFirstByte() if rewrites else None, MessageCounts())
    return FrameFilter(masked=False, handling=handling, random=Keys(), limits=LIMITS)


def names(*chunks: bytes, rewrites: bool = True) -> list[int]:
    """What is held after each chunk."""
    frame_filter = filtering(rewrites=rewrites)
    held = []
    for chunk in chunks:
        frame_filter.feed(chunk)
        held.append(frame_filter.holds)
    return held


def test_whole_messages_are_not_held() -> None:
    assert names(wire(TEXT, LONG), wire(TEXT, LONG) * 3, wire(BINARY, LONG)) == [0, 0, 0]


def test_a_frame_in_pieces_is_one_message_until_it_is_whole() -> None:
    frame = wire(TEXT, LONG)
    assert names(frame[:9], frame[9:200], frame[200:201], frame[201:]) == [1, 1, 1, 0]


def test_fragments_are_one_message_whatever_control_frames_come_in_between() -> None:
    ping = wire(PING, b"p" * 20)
    begin, piece = wire(TEXT, b"x", fin=False), wire(CONTINUATION, b"y", fin=False)
    chunks = (begin, ping, piece, ping[:5], ping[5:] + piece, ping, wire(CONTINUATION, b"z"))
    assert names(*chunks) == [1, 1, 1, 1, 1, 1, 0]


def test_the_next_message_has_another_name_also_where_it_begins_in_the_same_chunk() -> None:
    frame = wire(TEXT, LONG)
    assert names(frame[:100], frame[100:] + frame[:50], frame[50:] * 1 + frame[:3]) == [1, 2, 0]
    fragments = wire(TEXT, b"x", fin=False) + wire(CONTINUATION, b"y")
    first = wire(TEXT, b"x", fin=False)
    assert names(first, wire(CONTINUATION, b"y") + fragments + first, first) == [1, 3, 3]


def test_what_is_passed_on_as_it_comes_is_not_held() -> None:
    frame = wire(TEXT, LONG)
    assert names(frame[:100], frame[100:], wire(TEXT, b"x", fin=False), rewrites=False) == [0, 0, 0]
    binary = wire(BINARY, LONG)
    assert names(binary[:100], binary[100:], wire(BINARY, b"x", fin=False)) == [0, 0, 0]


def test_given_up_it_forgets_what_it_held_and_reads_no_more() -> None:
    frame_filter = filtering()
    frame_filter.feed(wire(TEXT, LONG, fin=False) + wire(CONTINUATION, LONG)[:200])
    frame_filter.give_up(MESSAGE_TOO_SLOW)
    state = frame_filter.state()
    assert (state.held, state.raw, state.payload, frame_filter.holds) == (b"", b"", b"", 0)
    assert (frame_filter.ended, state.fault) == (True, "message took too long")
    assert frame_filter.feed(wire(CONTINUATION, LONG)) == []
    assert frame_filter.at_boundary, "nothing is half sent"


@given(stream=streams(masked=False, may_break=False), cuts=CUTS)
def test_a_name_is_there_where_payload_is_and_never_comes_back(
    stream: bytes, cuts: list[float]
) -> None:
    frame_filter = filtering()
    before: list[int] = []
    for chunk in split(stream, cuts):
        frame_filter.feed(chunk)
        state, now = frame_filter.state(), frame_filter.holds
        if state.payload:
            assert now, "a part of a message is held under no name"
        if not (state.held or state.raw or state.holding):
            assert not now
        if now and before and now != before[-1]:
            assert now not in before
        before.append(now or (before[-1] if before else 0))


@given(st.integers(1, 400))
def test_a_state_that_holds_goes_on_to_hold(at: int) -> None:
    begun = wire(TEXT, LONG, fin=False) + wire(CONTINUATION, LONG, fin=False)
    one, other = filtering(), filtering()
    one.feed(begun[: 304 + at - 1])
    other.resume(one.state())
    assert bool(other.holds) is bool(one.holds)
    other.feed(wire(PING))
    other.feed(begun[304 + at - 1 :])
