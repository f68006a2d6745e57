"""The rules of framing, against a second, slow reading of RFC 6455 and bytes written by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.streams import StreamReader

from proxy.rewriting import MessageCounts, MessageHandling, Rewriter
from proxy.websocket.failures import Blame, Fault
from proxy.websocket.frames import BINARY, CLOSE, CONTINUATION, NO_STATUS, PING, PONG, TEXT
from tests.support.rfc6455 import (
    CUTS,
    ByFirstByte,
    Keys,
    outcomes,
    second_reading,
    split,
    streams,
    walk,
    wire,
)

_both_sides = pytest.mark.parametrize("masked", [False, True], ids=["server", "client"])
_rewriters = st.sampled_from([None, ByFirstByte()])


@_both_sides
@given(data=st.data(), rewriter=_rewriters, cuts=CUTS, cut_off=st.floats(0, 1))
def test_any_chunks_of_any_prefix_give_what_a_second_reading_of_the_rules_gives(
    masked: bool, data: st.DataObject, rewriter: Rewriter | None, cuts: list[float], cut_off: float
) -> None:
    whole = data.draw(streams(masked=masked))
    stream = whole[: int(cut_off * len(whole))] if data.draw(st.booleans()) else whole
    expected = second_reading(stream, masked=masked, rewriter=rewriter)
    for chunks in ([stream], split(stream, cuts)):
        out, frame_filter = walk(*chunks, masked=masked, rewriter=rewriter)
        assert out == expected.out
        assert (frame_filter.fault.code if frame_filter.fault else None) == expected.code
        assert frame_filter.close_code == expected.close_code
        assert outcomes(frame_filter.handling.counts) == outcomes(expected.counts)
        assert frame_filter.at_boundary == (expected.half_sent == 0)
        assert frame_filter.ended == (expected.code is not None or expected.close_code is not None)
        if frame_filter.ended:
            assert frame_filter.feed(wire(TEXT, b"late", key=b"mask" if masked else None)) == []


@given(stream=st.binary(max_size=400), masked=st.booleans(), rewriter=_rewriters, cuts=CUTS)
def test_arbitrary_bytes_raise_nothing_and_fail_as_the_second_reading_does(
    stream: bytes, masked: bool, rewriter: Rewriter | None, cuts: list[float]
) -> None:
    expected = second_reading(stream, masked=masked, rewriter=rewriter)
    out, frame_filter = walk(*split(stream, cuts), masked=masked, rewriter=rewriter)
    assert out == expected.out
    assert (frame_filter.fault.code if frame_filter.fault else None) == expected.code
    assert frame_filter.close_code == expected.close_code


@_both_sides
@given(data=st.data(), cuts=CUTS)
def test_without_a_rewriter_the_output_is_the_input(
    masked: bool, data: st.DataObject, cuts: list[float]
) -> None:
    stream = data.draw(streams(masked=masked, may_break=False))
    # A stream that ends inside its last frame's head holds those bytes back; a whole one, none.
    out, frame_filter = walk(*split(stream, cuts), masked=masked)
    assert out == stream or (frame_filter.close_code is not None and stream.startswith(out))
    assert frame_filter.fault is None


@_both_sides
@given(
    data=st.data(),
    rewriter=_rewriters,
    size=st.sampled_from([0, 1, 4, 125, 126, 127, 128, 139, 255, 256, 65_535, 65_536, 69_001]),
    verdict=st.sampled_from([b"", b"P", b"D", b"C", b"0", b"1", b"3", b"x"]),
    before=st.sampled_from(["nothing", "a fragment", "half a frame", "a Close frame", "an end"]),
)
def test_a_chunk_of_one_whole_frame_is_treated_as_the_same_frame_in_pieces(
    masked: bool,
    data: st.DataObject,
    rewriter: Rewriter | None,
    size: int,
    verdict: bytes,
    before: str,
) -> None:
    key = b"mask" if masked else None
    frame = bytearray(wire(TEXT, verdict + b"." * size, key=key))
    if data.draw(st.booleans()):  # A head that says something else, and mostly something wrong.
        frame[data.draw(st.integers(0, 1))] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):  # Not in its shortest form, or not of this length.
        frame[2:4] = data.draw(st.binary(min_size=2, max_size=2))
    earlier = {
        "a fragment": wire(TEXT, b"1he", fin=False, key=key),
        "half a frame": wire(BINARY, b"b" * (len(frame) + 3), key=key)[: -len(frame)],
        "a Close frame": wire(CLOSE, b"\x03\xe8", key=key),
    }.get(before, b"")
    results = []
    for chunks in ([bytes(frame)], [bytes(frame[:1]), bytes(frame[1:])]):
        keys = Keys()
        _, frame_filter = walk(earlier, masked=masked, rewriter=rewriter, keys=keys)
        if before == "an end":
            frame_filter.finish()
        out = b"".join(b"".join(frame_filter.feed(chunk)) for chunk in chunks)
        results.append(
            (
                *(
                    out,
                    frame_filter.fault,
                    frame_filter.close_code,
                    frame_filter.at_boundary,
                    keys.given,
                ),
                outcomes(frame_filter.handling.counts),
                b"".join(frame_filter.feed(wire(PING, b"!", key=key))),
            )
        )
    assert results[0] == results[1]


@_both_sides
@pytest.mark.parametrize("first", [0x81, 0x01, 0x82, 0xC1])
def test_no_second_byte_is_taken_for_a_length_that_it_is_not(masked: bool, first: int) -> None:
    for second in range(256):
        # As long as the second byte would have it, or the two behind it, whatever they mean.
        tails = [bytes(4 * masked + size) for size in {second & 0x7F, second, second ^ 0x80}]
        for tail in (*tails, b"\x01\x00" + bytes(4 * masked + 256)):
            frame = bytes([first, second]) + tail
            whole, pieces = walk(frame, masked=masked), walk(frame[:1], frame[1:], masked=masked)
            assert whole[0] == pieces[0]
            assert whole[1].fault == pieces[1].fault
            assert outcomes(whole[1].handling.counts) == outcomes(pieces[1].handling.counts)


def test_every_byte_alone_gives_the_same_as_one_chunk() -> None:
    frames = [
        wire(PING, b"p" * 125),
        wire(TEXT, b"1he", fin=False),
        wire(PONG),
        wire(CONTINUATION, b"llo"),
        wire(BINARY, b"b" * 300),
        wire(TEXT, b"", fin=True),
        wire(CLOSE, b"\x03\xe8bye"),
    ]
    stream = b"".join(frames)
    out, frame_filter = walk(*(bytes([byte]) for byte in stream), rewriter=ByFirstByte())
    assert out == b"".join([frames[0], frames[2], wire(TEXT, b"hello!"), *frames[4:]])
    assert frame_filter.close_code == 1000
    assert outcomes(frame_filter.handling.counts) == {"mapped": 1, "passed": 2}


# Ending in the middle.


@_both_sides
@given(
    data=st.data(),
    rewriter=_rewriters,
    where=st.floats(0, 1),
    ending=st.sampled_from(["finish", "discard", "discard, finish", "finish, discard"]),
    cuts=CUTS,
)
def test_after_an_end_only_the_half_sent_frame_goes_on_and_the_rest_is_undelivered(
    masked: bool,
    data: st.DataObject,
    rewriter: Rewriter | None,
    where: float,
    ending: str,
    cuts: list[float],
) -> None:
    stream = data.draw(streams(masked=masked, may_break=False))
    place = int(where * len(stream))
    before = second_reading(stream[:place], masked=masked, rewriter=rewriter)
    received = second_reading(stream, masked=masked, rewriter=rewriter).counts.received
    _, frame_filter = walk(*split(stream[:place], cuts), masked=masked, rewriter=rewriter)
    for call in ending.split(", "):
        if call == "finish":
            reached = frame_filter.finish()
            assert reached == (before.half_sent == 0 or ending.startswith("discard"))
        else:
            frame_filter.discard()
    rest = b"".join(b"".join(frame_filter.feed(chunk)) for chunk in split(stream[place:], cuts))
    goes_on = ending == "finish"
    assert rest == (stream[place : place + before.half_sent] if goes_on else b"")
    delivered = before.counts.received + (goes_on and before.half_sent_ends_message)
    counts = frame_filter.handling.counts
    assert counts.received == received
    assert counts.undelivered == received - delivered


def test_a_frame_of_segues_own_waits_for_the_end_of_the_half_sent_frame() -> None:
    frame = wire(BINARY, b"0123456789")
    out, frame_filter = walk(frame[:5])
    assert out == frame[:5]
    boundaries = [frame_filter.at_boundary, frame_filter.finish(), frame_filter.finish()]
    assert frame_filter.feed(frame[5:8]) == [frame[5:8]]
    boundaries.append(frame_filter.at_boundary)
    assert frame_filter.feed(frame[8:] + wire(TEXT, b"more") + wire(PING)) == [frame[8:]]
    assert boundaries == [False] * 4
    assert frame_filter.at_boundary
    assert frame_filter.finish()
    assert outcomes(frame_filter.handling.counts) == {"passed": 1, "undelivered": 1}


def test_a_close_frame_is_still_read_after_an_end() -> None:
    _, frame_filter = walk(b"")
    frame_filter.discard()
    assert frame_filter.feed(wire(TEXT, b"late") + wire(CLOSE, b"\x03\xe9")) == []
    assert frame_filter.close_code == 1001


def test_a_message_held_at_the_end_is_counted_once_as_undelivered() -> None:
    _, frame_filter = walk(wire(TEXT, b"1held", fin=False), rewriter=ByFirstByte())
    assert frame_filter.finish()
    assert frame_filter.feed(wire(CONTINUATION, b"and", fin=False)) == []
    assert frame_filter.feed(wire(CONTINUATION, b"whole")) == []
    assert outcomes(frame_filter.handling.counts) == {"undelivered": 1}


# MessageHandling.


def test_rewritten_messages_are_written_by_hand() -> None:
    out, frame_filter = walk(
        b"\x81\x031hi\x81\x010\x81\x023x\x89\x00\x81\x02no", rewriter=ByFirstByte()
    )
    assert out == b"\x81\x03hi!" + b"\x81\x01x\x81\x00\x81\x02xx" + b"\x89\x00" + b"\x81\x02no"
    counts = frame_filter.handling.counts
    assert outcomes(counts) == {"mapped": 2, "dropped": 1, "passed": 1, "added": 2}


@pytest.mark.parametrize("fin", [True, False], ids=["one frame", "fragments"])
@pytest.mark.parametrize("verdict", ["P", "D", "C"])
def test_a_failed_message_goes_the_way_of_its_on_error(verdict: str, fin: bool) -> None:
    frames = wire(TEXT, verdict.encode() + b"...", fin=fin) + (b"" if fin else b"\x80\x01z")
    after = wire(TEXT, b"after")
    out, frame_filter = walk(wire(PING) + frames + after, rewriter=ByFirstByte())
    assert out == wire(PING) + {"P": frames + after, "D": after, "C": b""}[verdict]
    counts = frame_filter.handling.counts
    assert counts.failed == 1
    assert counts.failures == {verdict: 1}
    closed = Fault(1011, "message could not be mapped", Blame.MAPPING)
    assert frame_filter.fault == (closed if verdict == "C" else None)


def test_each_rewritten_client_frame_has_a_fresh_mask() -> None:
    keys = Keys()
    sent = wire(TEXT, b"3abc", key=b"\1\2\3\4") + wire(TEXT, b"1d", key=b"\1\2\3\4")
    out, _ = walk(sent, masked=True, rewriter=ByFirstByte(), keys=keys)
    reader = StreamReader()
    reader.feed_data(out)
    read = []
    for _ in range(4):
        step = Frame.parse(reader.read_exact, mask=True)
        with pytest.raises(StopIteration) as parsed:
            next(step)
        read.append(parsed.value.value)
    assert [frame.data for frame in read] == [b"abc", b"", b"abcabc", b"d!"]
    assert {(frame.opcode, frame.fin) for frame in read} == {(Opcode.TEXT, True)}
    assert len(set(keys.given)) == 4
    assert all(key in out for key in keys.given)


def test_an_unchanged_fragmented_message_keeps_its_fragments_byte_for_byte() -> None:
    masks = [b"\1\2\3\4", b"\5\6\7\x08", b"abcd"]
    fragments = [
        wire(TEXT, b"un", fin=False, key=masks[0]),
        wire(CONTINUATION, b"", fin=False, key=masks[1]),
        wire(CONTINUATION, b"changed", key=masks[2]),
    ]
    ping = wire(PING, b"?", key=b"ping")
    stream = [fragments[0], ping, fragments[1], fragments[2]]
    out, frame_filter = walk(*stream, masked=True, rewriter=ByFirstByte())
    assert out == ping + b"".join(fragments)
    assert outcomes(frame_filter.handling.counts) == {"passed": 1}


def test_a_new_treatment_holds_from_the_next_message_on() -> None:
    out, frame_filter = walk(wire(TEXT, b"1a"), rewriter=ByFirstByte())
    first = frame_filter.handling.counts
    frame_filter.handling = MessageHandling(None, second := MessageCounts())
    out += b"".join(frame_filter.feed(wire(TEXT, b"1b", fin=False)))
    frame_filter.handling = MessageHandling(ByFirstByte(), third := MessageCounts())
    out += b"".join(frame_filter.feed(wire(CONTINUATION, b"c", fin=False)))
    out += b"".join(frame_filter.feed(wire(CONTINUATION, b"d") + wire(TEXT, b"1e", fin=False)))
    frame_filter.handling = MessageHandling(None, MessageCounts())
    out += b"".join(frame_filter.feed(wire(CONTINUATION, b"f")))
    unchanged = [(TEXT, b"1b", False), (CONTINUATION, b"c", False), (CONTINUATION, b"d", True)]
    assert out == (
        wire(TEXT, b"a!")
        + b"".join(wire(opcode, payload, fin=fin) for opcode, payload, fin in unchanged)
        + wire(TEXT, b"ef!")
    )
    assert [outcomes(counts) for counts in (first, second, third)] == [
        {"mapped": 1},
        {"passed": 1},
        {"mapped": 1},
    ]
    assert outcomes(frame_filter.handling.counts) == {}


def test_binary_messages_are_never_rewritten() -> None:
    stream = wire(BINARY, b"1a") + wire(BINARY, b"1b", fin=False) + wire(CONTINUATION, b"c")
    out, frame_filter = walk(stream, rewriter=ByFirstByte())
    assert out == stream
    assert outcomes(frame_filter.handling.counts) == {"passed": 2}


# Close frames.


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (b"", NO_STATUS),
        (b"\x03\xe8", 1000),
        (b"\x0f\xa1no job", 4001),
        (b"\x13\x87" + b"r" * 123, 4999),
    ],
)
def test_a_close_frame_passes_and_nothing_after_it(payload: bytes, code: int) -> None:
    close = wire(CLOSE, payload)
    out, frame_filter = walk(wire(TEXT, b"a") + close + wire(TEXT, b"b"))
    assert out == wire(TEXT, b"a") + close
    assert frame_filter.close_code == code
    assert frame_filter.ended
    assert outcomes(frame_filter.handling.counts) == {"passed": 1}
