"""What the filter refuses, with which close code, and how much memory a peer can make it hold."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.rewriting import Rewriter
from proxy.websocket.failures import Blame, Fault
from proxy.websocket.filter import FrameFilter
from proxy.websocket.frames import BINARY, CLOSE, CONTINUATION, PONG, TEXT
from tests.support.rfc6455 import (
    CUTS,
    MAX_CONTROLS,
    MAX_FRAGMENTS,
    MAX_FRAME,
    MAX_MESSAGE,
    ByFirstByte,
    outcomes,
    split,
    walk,
    wire,
)

_BAD_CLOSE = Fault(1002, "invalid close code")
_NOT_SHORTEST = Fault(1002, "length not in its shortest form")
_BAD_CONTROL = Fault(1002, "invalid control frame")
_UNEXPECTED = Fault(1002, "unexpected data frame")
_RESERVED = Fault(1002, "reserved bits set without an extension")
_OPCODE = Fault(1002, "reserved opcode")
_TOO_LONG = Fault(1002, "length beyond 63 bits")
_TOO_BIG = Fault(1009, "message too big", limit="message")
_FRAME_TOO_BIG = Fault(1009, "frame too big", limit="frame")
_TOO_MANY = Fault(1009, "too many fragments", limit="fragments")
_rewriters = pytest.mark.parametrize(
    "rewriter", [None, ByFirstByte()], ids=["passing", "rewriting"]
)


@pytest.mark.parametrize(
    ("sent", "fault"),
    [
        pytest.param(b"\xc1\x00", _RESERVED, id="RSV1"),
        pytest.param(b"\xa1\x00", _RESERVED, id="RSV2"),
        pytest.param(b"\x99\x00", _RESERVED, id="RSV3, control frame"),
        *[pytest.param(bytes([0x80 | n, 0]), _OPCODE, id=f"opcode {n}") for n in range(3, 8)],
        *[pytest.param(bytes([0x80 | n, 0]), _OPCODE, id=f"opcode {n}") for n in range(11, 16)],
        pytest.param(b"\x09\x00", _BAD_CONTROL, id="fragmented ping"),
        pytest.param(b"\x89\x7e\x00\x7e", _BAD_CONTROL, id="ping of 126 bytes"),
        pytest.param(b"\x81\x7e\x00\x7d", _NOT_SHORTEST, id="125 in 16 bits"),
        pytest.param(b"\x81\x7f" + (0xFFFF).to_bytes(8, "big"), _NOT_SHORTEST, id="65535 in 64"),
        pytest.param(b"\x81\x7f" + (1 << 63).to_bytes(8, "big"), _TOO_LONG, id="top bit of 64"),
        pytest.param(
            b"\x81\x7f" + ((1 << 64) - 1).to_bytes(8, "big"), _TOO_LONG, id="all bits of 64"
        ),
        pytest.param(b"\x81\x7f" + ((1 << 63) - 1).to_bytes(8, "big"), _TOO_BIG, id="63 bits"),
        pytest.param(b"\x01\x00\x83\x00", _OPCODE, id="opcode 3 inside a message"),
        pytest.param(b"\x81\x7f" + (70_001).to_bytes(8, "big"), _TOO_BIG, id="one byte too many"),
        pytest.param(b"\x81\x80", Fault(1002, "masked frame"), id="masked frame of a server"),
        pytest.param(b"\x80\x00", Fault(1002, "continuation of nothing"), id="continuation"),
        pytest.param(b"\x01\x00\x81\x00", _UNEXPECTED, id="text inside a message"),
        pytest.param(b"\x02\x00\x02\x00", _UNEXPECTED, id="binary inside a message"),
        pytest.param(b"\x88\x01\x03", _BAD_CLOSE, id="half a close code"),
        pytest.param(b"\x88\x02\x03\xed", _BAD_CLOSE, id="close code 1005"),
        pytest.param(
            b"\x88\x03\x03\xe8\xff", Fault(1007, "close reason is not UTF-8"), id="close reason"
        ),
    ],
)
@_rewriters
def test_broken_framing_is_a_fault_of_the_sender(
    sent: bytes, fault: Fault, rewriter: Rewriter | None
) -> None:
    good = wire(PONG, b"good")
    out, frame_filter = walk(good + sent + b"tail", rewriter=rewriter)
    assert frame_filter.fault == fault
    assert fault.blame is Blame.SENDER
    # What was sent before the fault may be there, nothing of the broken frame.
    assert out.startswith(good)
    assert len(out) - len(good) <= len(sent) - 2
    assert frame_filter.close_code is None
    assert frame_filter.feed(good) == []


def test_an_unmasked_frame_of_a_client_is_a_fault() -> None:
    out, frame_filter = walk(wire(TEXT, b"bare"), masked=True)
    assert out == b""
    assert frame_filter.fault == Fault(1002, "unmasked frame")


@_rewriters
def test_the_size_limit_is_for_the_message_over_all_its_frames(rewriter: Rewriter | None) -> None:
    first = wire(TEXT, b"x" * MAX_FRAME, fin=False)
    exact = first + wire(CONTINUATION, b"y" * (MAX_MESSAGE - MAX_FRAME))
    out, frame_filter = walk(exact * 2, rewriter=rewriter)
    assert out == exact * 2
    assert outcomes(frame_filter.handling.counts) == {"passed": 2}
    # The declared length is enough: no byte of the payload has come.
    frame_filter.feed(first)
    assert frame_filter.feed(b"\x80\x7e" + (MAX_MESSAGE - MAX_FRAME + 1).to_bytes(2, "big")) == []
    assert frame_filter.fault == _TOO_BIG


@_rewriters
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
@pytest.mark.parametrize("before", [b"", b"\x01\x00"], ids=["a message", "a fragment"])
def test_a_frame_may_have_the_limit_of_its_own_and_no_more(
    rewriter: Rewriter | None, opcode: int, before: bytes
) -> None:
    opcode = CONTINUATION if before else opcode
    exact = before + wire(opcode, b"x" * MAX_FRAME)
    out, frame_filter = walk(exact, rewriter=rewriter)
    assert (out, frame_filter.fault) == (exact, None)
    head = wire(opcode, b"x" * (MAX_FRAME + 1))[:10]
    assert b"".join(frame_filter.feed(before + head)) in (b"", before)
    assert frame_filter.fault == _FRAME_TOO_BIG


@_rewriters
def test_a_message_may_have_the_limit_of_fragments_and_no_more(rewriter: Rewriter | None) -> None:
    first = wire(TEXT, b"", fin=False)
    more = wire(CONTINUATION, b"", fin=False)
    whole = first + more * (MAX_FRAGMENTS - 2) + b"\x80\x00"
    out, frame_filter = walk(whole * 2, rewriter=rewriter)
    assert (out, frame_filter.fault) == (whole * 2, None)
    frame_filter.feed(first + more * (MAX_FRAGMENTS - 1))
    assert frame_filter.fault is None
    frame_filter.feed(b"\x80\x00")
    assert frame_filter.fault == _TOO_MANY


def test_control_frames_are_limited_until_some_are_forgotten() -> None:
    out, frame_filter = walk(b"", wire(PONG) * MAX_CONTROLS)
    assert (out, frame_filter.fault) == (wire(PONG) * MAX_CONTROLS, None)
    frame_filter.control_frames -= 1.5
    assert frame_filter.feed(wire(PONG)[:1]) == []
    assert frame_filter.feed(wire(PONG)[1:] + wire(TEXT, b"between")) != []
    # Half a frame's worth is left, which is enough for one.
    assert frame_filter.feed(wire(PONG)) == [wire(PONG)]
    assert frame_filter.fault is None
    assert frame_filter.feed(wire(CLOSE)) == []
    assert frame_filter.fault == Fault(1008, "too many control frames", limit="control_frames")


def buffered(frame_filter: FrameFilter) -> int:
    """The bytes of memory in a frame filter's buffers."""
    # Not by `__slots__`: compiled, the class has none.
    slots = (getattr(frame_filter, name) for name in vars(FrameFilter) if not name.startswith("__"))
    return sum(sys.getsizeof(slot) for slot in slots if isinstance(slot, bytes | bytearray))


def test_a_message_that_passes_is_never_collected() -> None:
    empty = buffered(walk(b"")[1])
    frame = wire(BINARY, b"b" * MAX_FRAME, key=b"mask")
    _, frame_filter = walk(b"", masked=True)
    for place in range(0, len(frame), 1000):
        chunk = frame[place : place + 1000]
        assert frame_filter.feed(chunk) == [chunk]
        assert buffered(frame_filter) <= empty + 100


def test_nothing_is_kept_of_what_follows_a_close_frame() -> None:
    _, frame_filter = walk(wire(CLOSE))
    empty = buffered(frame_filter)
    _, frame_filter = walk(wire(CLOSE) + b"z" * 100_000, b"z" * 100_000)
    assert buffered(frame_filter) == empty


@given(cuts=CUTS, sizes=st.lists(st.integers(0, MAX_MESSAGE // 2), max_size=6))
def test_what_is_held_is_bounded_by_the_size_limit(cuts: list[float], sizes: list[int]) -> None:
    _, frame_filter = walk(b"", rewriter=ByFirstByte())
    stream = b"\x01\x00" + b"".join(wire(CONTINUATION, b"x" * size, fin=False) for size in sizes)
    for chunk in split(stream, cuts):
        frame_filter.feed(chunk)
        # The frames, their payload, the frame in progress and its chunk, and what growing costs.
        assert buffered(frame_filter) < 4 * 1.125 * (MAX_MESSAGE + 200) + len(chunk)


@pytest.mark.parametrize(
    ("head", "size"),
    [(b"\x81\x7e\x00\x7d", 125), (b"\x81\x7f" + (200).to_bytes(8, "big"), 200)],
)
@_rewriters
def test_a_whole_frame_whose_length_is_not_the_shortest_is_a_fault(
    head: bytes, size: int, rewriter: Rewriter | None
) -> None:
    out, frame_filter = walk(head + b"x" * size, rewriter=rewriter)
    assert (out, frame_filter.fault) == (b"", _NOT_SHORTEST)
