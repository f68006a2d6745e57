"""The first message of a client, collected from frames that come in any pieces."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from proxy.websocket.first_message import MAX_MESSAGE, FirstMessage
from tests.support.rfc6455 import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, wire

KEY = b"\x37\xfa\x21\x3d"
STREAM = (
    wire(PING, b"1", key=KEY)
    + wire(TEXT, b"a" * 200, fin=False, key=KEY)
    + wire(PONG, key=KEY)
    + wire(CONTINUATION, fin=False, key=KEY)
    + wire(CONTINUATION, b"b", key=KEY)
    + wire(PING, b"2", key=KEY)
    + wire(TEXT, b"next", key=KEY)
)
CONTROLS = wire(PING, b"1", key=KEY) + wire(PONG, key=KEY)
BEHIND = wire(PING, b"2", key=KEY) + wire(TEXT, b"next", key=KEY)


@example(cuts=list(range(1, len(STREAM))))
@given(cuts=st.lists(st.integers(0, len(STREAM)), max_size=6).map(sorted))
def test_a_message_is_collected_whatever_its_pieces(cuts: list[int]) -> None:
    first, passed = FirstMessage(), b""
    for start, stop in zip([0, *cuts], [*cuts, len(STREAM)], strict=True):
        if first.is_over:
            first.add(STREAM[start:stop])
        else:
            passed += first.feed(STREAM[start:stop])
    assert first.text == b"a" * 200 + b"b"
    assert passed == CONTROLS
    assert first.holds
    assert first.with_text(b"x", KEY) == wire(TEXT, b"x", key=KEY) + BEHIND
    frames = STREAM.removesuffix(BEHIND).removeprefix(wire(PING, b"1", key=KEY))
    assert first.as_it_came() == frames.replace(wire(PONG, key=KEY), b"") + BEHIND


def fragments(*sizes: int) -> bytes:
    opcodes = [TEXT, *[CONTINUATION] * len(sizes)]
    return b"".join(
        wire(opcode, b"x" * size, fin=False, key=KEY)
        for opcode, size in zip(opcodes, sizes, strict=False)
    )


@pytest.mark.parametrize(
    "stream",
    [
        wire(BINARY, b"x", key=KEY),
        wire(CONTINUATION, b"x", key=KEY),
        wire(CLOSE, key=KEY),
        wire(3, key=KEY),
        wire(11, key=KEY),
        wire(PING, fin=False, key=KEY),
        wire(PING, b"x" * 126, key=KEY),
        wire(TEXT, b"x"),
        b"\xc1" + wire(TEXT, b"x", key=KEY)[1:],
        b"\x81\xfe\x00\x7d" + KEY,
        b"\x81\xff",
        wire(TEXT, b"x" * (MAX_MESSAGE + 1), key=KEY),
        fragments(1, 1) + wire(TEXT, b"x", key=KEY),
        fragments(60_000, 6_000),
        fragments(*[0] * 11_000),
    ],
    ids=range(15),
)
def test_all_else_is_given_up_and_lost_is_nothing(stream: bytes) -> None:
    first = FirstMessage()
    assert first.feed(stream) == b""
    assert first.is_over
    assert first.text is None
    assert first.as_it_came() == stream


def test_the_largest_is_collected() -> None:
    first = FirstMessage()
    assert not first.holds
    assert first.feed(wire(TEXT, b"x" * MAX_MESSAGE, key=KEY)) == b""
    assert first.text == b"x" * MAX_MESSAGE
