"""Messages that somebody looks at and nothing rewrites: they go on as if nobody did."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from proxy.rewriting import MessageCopy, MessageCounts, MessageHandling, Room
from proxy.websocket.failures import MESSAGE_TOO_SLOW
from proxy.websocket.filter import FrameFilter
from proxy.websocket.frames import BINARY, CLOSE, CONTINUATION, PING, TEXT
from tests.support.rfc6455 import (
    CUTS,
    LIMITS,
    ByFirstByte,
    Keys,
    outcomes,
    split,
    streams,
    wire,
)

MOST = 1000
LONG = b"x" * 300
KEY = b"\x01\x80\xff\x7e"


class Looker:
    """Looks at messages of at most `MOST` bytes."""

    def __init__(self, room: int = 1 << 20) -> None:
        self.room = Room(room)
        self.seen: list[bytes] = []
        self.missed: list[bool] = []

    def note(self, message: bytes) -> None:
        self.seen.append(message)

    def miss(self, *, too_large: bool) -> None:
        self.missed.append(too_large)

    def begin(self) -> MessageCopy:
        return MessageCopy(self, MOST, self.room)


def filtering(looker: Looker | None, *, masked: bool = False) -> FrameFilter:
    handling = MessageHandling(None, MessageCounts(), observer=looker)
    return FrameFilter(masked=masked, handling=handling, random=Keys(), limits=LIMITS)


def looked_at(*chunks: bytes, masked: bool = False) -> Looker:
    """What is seen of chunks that all go on at once."""
    looker = Looker()
    frame_filter = filtering(looker, masked=masked)
    for chunk in chunks:
        assert b"".join(frame_filter.feed(chunk)) == chunk
        assert not frame_filter.holds
    return looker


@given(masked=st.booleans(), cuts=CUTS, data=st.data())
def test_the_bytes_are_the_same_and_leave_with_the_same_chunk(
    masked: bool, cuts: list[float], data: st.DataObject
) -> None:
    stream = data.draw(streams(masked=masked, may_break=True))
    looker = Looker()
    seen, alone = filtering(looker, masked=masked), filtering(None, masked=masked)
    for chunk in split(stream, cuts):
        assert seen.feed(chunk) == alone.feed(chunk)
        left = (seen.fault, seen.close_code, seen.holds, seen.undisturbed, seen.state())
        assert left == (
            alone.fault,
            alone.close_code,
            alone.holds,
            alone.undisturbed,
            alone.state(),
        )
    assert outcomes(seen.handling.counts) == outcomes(alone.handling.counts)
    # What stands in the way of a rewriter as well: it is offered the same messages, whole.
    whole: list[bytes] = []

    class Noting:
        def apply(self, message: bytes) -> None:
            whole.append(message)

    handling = MessageHandling(Noting(), MessageCounts())
    held = FrameFilter(masked=masked, handling=handling, random=Keys(), limits=LIMITS)
    held.feed(stream)
    short = [each for each in whole if len(each) <= MOST]
    assert [each for each in looker.seen if len(each) <= MOST] == short
    assert len(looker.seen) + len(looker.missed) == len(whole)
    seen.forget_copy()
    assert looker.room.left == 1 << 20


def test_whole_messages_are_seen_whether_or_not_they_come_alone() -> None:
    for masked, key in ((False, None), (True, KEY)):
        frames = [wire(TEXT, b"a", key=key), wire(TEXT, LONG, key=key), wire(TEXT, b"", key=key)]
        seen = [b"a", LONG, b""]
        assert looked_at(*frames, masked=masked).seen == seen
        assert looked_at(b"".join(frames), masked=masked).seen == seen


def test_a_frame_in_pieces_goes_on_in_pieces_and_is_seen_whole() -> None:
    frame = wire(TEXT, LONG, key=KEY)
    looker = looked_at(frame[:8], frame[8:9], frame[9:14], frame[14:203], frame[203:], masked=True)
    assert looker.seen == [LONG]


def test_fragments_go_on_and_are_seen_whole_whatever_control_frames_come_in_between() -> None:
    begin, end = wire(TEXT, b"a" * 7, fin=False, key=KEY), wire(CONTINUATION, b"b", key=KEY)
    ping = wire(PING, b"p", key=KEY)
    empty = wire(CONTINUATION, b"", fin=False, key=KEY)
    assert looked_at(begin, ping, empty + ping, end, masked=True).seen == [b"a" * 7 + b"b"]
    assert looked_at(begin + empty + end, masked=True).seen == [b"a" * 7 + b"b"]


def test_nobody_looks_at_binary_messages() -> None:
    frame = wire(BINARY, LONG)
    fragments = wire(BINARY, LONG, fin=False), wire(CONTINUATION, LONG)
    assert looked_at(frame, frame[:9], frame[9:], *fragments).seen == []


def test_what_is_larger_than_what_is_looked_at_goes_on_and_is_counted() -> None:
    part = b"x" * 400
    parts = [wire(TEXT, part, fin=False), *[wire(CONTINUATION, part, fin=False)] * 2]
    looker = Looker()
    frame_filter = filtering(looker)
    for frame, copied in zip(parts, (400, 800, 0), strict=True):
        assert frame_filter.feed(frame) == [frame]
        assert (frame_filter.waiting, looker.room.left) == (copied, (1 << 20) - copied)
    assert frame_filter.feed(wire(CONTINUATION, b"")) == [wire(CONTINUATION, b"")]
    assert (looker.seen, looker.missed) == ([], [True])
    assert frame_filter.handling.counts.passed == 1


def test_all_messages_together_have_no_more_than_there_is_room_for() -> None:
    looker = Looker(500)
    first, second = filtering(looker), filtering(looker)
    first.feed(wire(TEXT, LONG, fin=False))
    second.feed(wire(TEXT, LONG, fin=False))
    assert (first.waiting, second.waiting, looker.room.left) == (300, 0, 200)
    first.feed(wire(CONTINUATION, b"!"))
    second.feed(wire(CONTINUATION, b"!"))
    assert (looker.seen, looker.missed, looker.room.left) == ([LONG + b"!"], [False], 500)
    second.feed(wire(TEXT, LONG, fin=False))
    assert second.waiting == 300


def test_what_is_never_whole_is_forgotten_and_not_seen() -> None:
    begin, piece = wire(TEXT, LONG, fin=False), wire(TEXT, LONG)[:100]
    for chunk in (begin, piece):
        for end in (
            FrameFilter.discard,
            FrameFilter.forget_copy,
            lambda each: each.give_up(MESSAGE_TOO_SLOW),
        ):
            looker = Looker()
            frame_filter = filtering(looker)
            frame_filter.feed(chunk)
            assert frame_filter.waiting
            end(frame_filter)
            frame_filter.forget_copy()
            assert (frame_filter.waiting, looker.room.left) == (0, 1 << 20)
            assert (looker.seen, looker.missed) == ([], [])


def test_what_is_not_delivered_is_not_seen() -> None:
    looker = Looker()
    frame_filter = filtering(looker)
    frame_filter.feed(wire(TEXT, LONG, fin=False))
    assert frame_filter.finish()
    assert frame_filter.feed(wire(CONTINUATION, b"y") + wire(TEXT, b"z")) == []
    assert (looker.seen, looker.missed, looker.room.left) == ([], [], 1 << 20)
    assert frame_filter.handling.counts.undelivered == 2


def test_a_message_whose_last_frame_is_delivered_is_seen() -> None:
    looker, frame = Looker(), wire(TEXT, LONG)
    frame_filter = filtering(looker)
    frame_filter.feed(frame[:50])
    assert not frame_filter.finish()
    assert frame_filter.feed(frame[50:] + frame) == [frame[50:]]
    assert (looker.seen, frame_filter.handling.counts.passed) == ([LONG], 1)


def test_who_looks_no_more_is_told_of_the_message_that_had_begun() -> None:
    looker = Looker()
    frame_filter = filtering(looker)
    plain = frame_filter.handling._replace(observer=None)
    frame_filter.feed(wire(TEXT, b"a", fin=False))
    frame_filter.handling = plain
    frame_filter.feed(wire(CONTINUATION, b"b") + wire(TEXT, b"c"))
    assert looker.seen == [b"ab"]


def test_a_message_that_had_begun_is_not_seen_by_who_comes() -> None:
    looker = Looker()
    frame_filter = filtering(None)
    frame_filter.feed(wire(TEXT, b"a", fin=False))
    frame_filter.handling = frame_filter.handling._replace(observer=looker)
    frame_filter.feed(wire(CONTINUATION, b"b") + wire(TEXT, b"c"))
    assert looker.seen == [b"c"]


def test_a_rewriter_is_what_sees_messages_where_there_is_one() -> None:
    looker = Looker()
    handling = MessageHandling(ByFirstByte(), MessageCounts(), observer=looker)
    frame_filter = FrameFilter(masked=False, handling=handling, random=Keys(), limits=LIMITS)
    assert frame_filter.feed(wire(TEXT, b"P", fin=False)) == []
    frame_filter.feed(wire(CONTINUATION, b"") + wire(TEXT, b"P") + wire(CLOSE, b""))
    assert (looker.seen, looker.missed) == ([], [])


def test_another_filter_goes_on_without_the_copy() -> None:
    one, looker = filtering(Looker()), Looker()
    one.feed(wire(TEXT, b"a", fin=False))
    other = filtering(looker)
    other.resume(one.state())
    assert other.feed(wire(CONTINUATION, b"b")) == [wire(CONTINUATION, b"b")]
    assert (looker.seen, other.handling.counts.passed) == ([], 1)


def test_a_copy_that_is_given_up_keeps_nothing_of_what_comes_later() -> None:
    looker = Looker()
    copy = looker.begin()
    for part in (b"a" * MOST, b"b", b"c"):
        copy.add(part)
    assert (copy.size, copy.is_kept, looker.room.left) == (0, False, 1 << 20)
    copy.end()
    assert (looker.seen, looker.missed) == ([], [True])
