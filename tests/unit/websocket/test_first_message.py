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
    assert first.payload == b"a" * 200 + b"b"
    assert passed == CONTROLS
    assert first.holds
    assert first.with_payload(b"x", KEY) == wire(TEXT, b"x", key=KEY) + BEHIND
    frames = STREAM.removesuffix(BEHIND).removeprefix(wire(PING, b"1", key=KEY))
    assert first.as_it_came() == frames.replace(wire(PONG, key=KEY), b"") + BEHIND
    assert first.parts() == (first.as_it_came().removesuffix(BEHIND), BEHIND)


def fragments(*sizes: int) -> bytes:
    opcodes = [TEXT, *[CONTINUATION] * len(sizes)]
    return b"".join(
        wire(opcode, b"x" * size, fin=False, key=KEY)
        for opcode, size in zip(opcodes, sizes, strict=False)
    )


@pytest.mark.parametrize(
    "stream",
    [
        wire(BINARY, b"x", fin=False, key=KEY) + wire(BINARY, b"x", key=KEY),
        wire(CONTINUATION, b"x", key=KEY),
        wire(CLOSE, key=KEY),
        wire(3, key=KEY),
        wire(11, key=KEY),
        wire(PING, fin=False, key=KEY),
        wire(PING, b"x" * 126, key=KEY),
        wire(TEXT, b"x"),
        b"\xc1" + wire(TEXT, b"x", key=KEY)[1:],
        b"\x81\xfe\x00\x7d" + KEY,
        b"\x81\xff" + bytes(7) + b"\x7d" + KEY,
        b"\x81\xff\xff" + bytes(7) + KEY + b"x",
        wire(TEXT, b"x" * (MAX_MESSAGE + 1), key=KEY),
        fragments(1, 1) + wire(TEXT, b"x", key=KEY),
        fragments(60_000, 6_000),
    ],
    ids=range(15),
)
def test_all_else_is_given_up_and_lost_is_nothing(stream: bytes) -> None:
    first = FirstMessage()
    assert first.feed(stream) == b""
    assert first.is_over
    assert first.payload is None
    assert not first.too_big
    assert first.as_it_came() == stream


def test_the_largest_is_collected() -> None:
    first = FirstMessage()
    assert not first.holds
    assert first.feed(wire(TEXT, b"x" * MAX_MESSAGE, key=KEY)) == b""
    assert first.payload == b"x" * MAX_MESSAGE


def test_a_binary_message_stays_one() -> None:
    first = FirstMessage()
    assert first.feed(wire(BINARY, b"{", fin=False, key=KEY)) == b""
    assert first.feed(wire(CONTINUATION, b"}", key=KEY)) == b""
    assert first.payload == b"{}"
    assert first.with_payload(b"x", KEY) == wire(BINARY, b"x", key=KEY)


LARGE = b"x" * (MAX_MESSAGE + 1)


@pytest.mark.parametrize(
    "stream",
    [
        wire(TEXT, b"{" + LARGE, key=KEY),
        wire(BINARY, b" \r\n\t{" + LARGE, key=KEY),
        wire(TEXT, ("\ufeff{" + "x" * MAX_MESSAGE).encode(), key=KEY),
        wire(BINARY, ("{" + "x" * MAX_MESSAGE).encode("utf-16"), key=KEY),
        wire(TEXT, b" " * MAX_MESSAGE + b"{", key=KEY),
        wire(TEXT, b"{", fin=False, key=KEY) + wire(CONTINUATION, LARGE, key=KEY),
        wire(TEXT, b"{", fin=False, key=KEY) + wire(CONTINUATION, b"x" * 65_530, key=KEY)[:8],
        fragments(*[0] * 11_000),
    ],
    ids=range(8),
)
def test_what_is_too_large_and_may_be_an_object_is_known_as_soon_as_it_can_be(
    stream: bytes,
) -> None:
    first = FirstMessage()
    for start in range(0, len(stream), 7):
        assert first.feed(stream[start : start + 7]) == b""
        assert first.size <= 2 * MAX_MESSAGE
        if first.is_over:
            break
    assert first.too_big
    assert first.payload is None


def test_it_is_waited_for_what_a_message_begins_with() -> None:
    head = wire(TEXT, LARGE, key=KEY)[:14]
    for begins, too_big in ((b"x", False), (b"{", True), (b" [", False), (b"\n{", True)):
        first = FirstMessage()
        masked = wire(TEXT, begins + LARGE, key=KEY)[14:]
        assert first.feed(head) == b""
        assert (first.is_over, first.may_be_object) == (False, True)
        assert first.feed(masked[: len(begins)]) == b""
        assert (first.is_over, first.too_big) == (True, too_big)


@pytest.mark.parametrize(
    ("part", "may_be"),
    [
        (b"", True),
        (b"\x81", True),
        (wire(TEXT, b"{}", key=KEY)[:-1], True),
        (wire(TEXT, b"xx", key=KEY)[:-1], False),
        (wire(TEXT, b"x" * 200, key=KEY)[:-1], False),
        (wire(TEXT, b"x" * 200, key=KEY)[:5], True),
        (wire(PING, b"xx", key=KEY)[:-1], True),
        (wire(TEXT, b"[", fin=False, key=KEY), False),
        (wire(TEXT, b"[", fin=False, key=KEY) + wire(PING, b"{", key=KEY)[:-1], False),
        (wire(TEXT, b" ", fin=False, key=KEY), True),
    ],
)
def test_whether_it_may_be_an_object_is_known_while_it_comes(part: bytes, *, may_be: bool) -> None:
    first = FirstMessage()
    first.feed(part)
    assert first.may_be_object is may_be
