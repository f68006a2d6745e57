"""Reading messages beside whoever carries them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.rewriting import Room
from proxy.websocket.message_reader import MAX_READ, MessageReader
from tests.support.rfc6455 import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    TEXT,
    split,
    wire,
)

ROOM = 4 * MAX_READ


def read(*chunks: bytes, room: Room | None = None) -> list[bytes | None]:
    reader = MessageReader(room or Room(ROOM))
    return [message for chunk in chunks for message in reader.feed(chunk)]


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65535, 65536, 200_000])
def test_a_whole_text_is_read_whatever_its_length(size: int) -> None:
    text = b"a" * size
    assert read(wire(TEXT, text)) == [text]
    assert read(wire(TEXT, text) + wire(TEXT, b"b")) == [text, b"b"]


messages = st.lists(
    st.tuples(st.sampled_from([TEXT, BINARY]), st.lists(st.binary(max_size=300), min_size=1)),
    max_size=5,
)


@given(messages, st.lists(st.floats(0, 1), max_size=8), st.booleans())
def test_messages_are_read_however_they_are_cut(
    sent: list[tuple[int, list[bytes]]],
    cuts: list[float],
    pings: bool,
) -> None:
    data, expected = b"", list[bytes | None]()
    for opcode, parts in sent:
        for index, part in enumerate(parts):
            first = opcode if index == 0 else CONTINUATION
            data += wire(first, part, fin=index == len(parts) - 1)
            if pings:
                data += wire(PING, b"between")
        expected.append(b"".join(parts) if opcode == TEXT else None)
    room = Room(ROOM)
    reader = MessageReader(room)
    found = list[bytes | None]()
    for chunk in split(data, cuts):
        found += reader.feed(chunk)
    assert found == expected
    assert not reader.begun
    assert not reader.is_over
    assert room.left == ROOM


def test_a_part_of_a_message_is_known_to_have_begun() -> None:
    data = wire(TEXT, b"ab", fin=False) + wire(CONTINUATION, b"cd")
    reader = MessageReader(Room(ROOM))
    for position in range(len(data) - 1):
        assert reader.feed(data[position : position + 1]) == []
        assert reader.begun
    assert reader.feed(data[-1:]) == [b"abcd"]
    assert not reader.begun


@pytest.mark.parametrize(
    "data",
    [
        wire(CLOSE),
        wire(CLOSE, b"\x03\xe8bye"),
        wire(CONTINUATION, b"of nothing"),
        wire(TEXT, b"a", fin=False) + wire(TEXT, b"b"),
        wire(3, b"reserved"),
        wire(11, b"reserved"),
        wire(PING, b"a", fin=False),
        wire(PING, b"a" * 126),
        wire(TEXT, b"masked", key=b"\x37\xfa\x21\x3d"),
        wire(TEXT, b"m" * 126, key=b"\x37\xfa\x21\x3d"),
        b"\xc1\x01a",
        b"\x81\x7e\x00\x01a",
        b"\x81\x7e\x00\x01ab",
        b"\x81\x7f" + (1).to_bytes(8, "big") + b"a",
        b"\x81\x7f" + (0xFFFF).to_bytes(8, "big"),
    ],
)
def test_what_ends_a_side_ends_the_reading(data: bytes) -> None:
    room = Room(ROOM)
    reader = MessageReader(room)
    assert reader.feed(wire(TEXT, b"before") + data) == [b"before"]
    assert reader.is_over
    assert not reader.begun
    assert reader.feed(wire(TEXT, b"after")) == []
    assert room.left == ROOM


def test_a_length_that_is_not_in_its_shortest_form_ends_it_at_once() -> None:
    reader = MessageReader(Room(ROOM))
    assert reader.feed(b"\x81\x7e\x00\x01a") == []
    assert reader.is_over


@pytest.mark.parametrize("size", [200, 70_000])
def test_the_head_of_a_frame_may_come_in_parts(size: int) -> None:
    data = wire(TEXT, b"a" * size)
    reader = MessageReader(Room(ROOM))
    for position in range(12):
        assert reader.feed(data[position : position + 1]) == []
        assert reader.begun
    assert reader.feed(data[12:]) == [b"a" * size]


def test_a_message_that_is_too_large_is_not_read_and_the_next_one_is() -> None:
    part = b"a" * 65536
    frames = [wire(TEXT, part, fin=False)]
    frames += [wire(CONTINUATION, part, fin=False) for _ in range(MAX_READ // len(part))]
    room = Room(ROOM)
    assert read(*frames, wire(CONTINUATION, part), wire(TEXT, b"b"), room=room) == [None, b"b"]
    assert room.left == ROOM


def test_what_finds_no_room_is_not_read_and_holds_none() -> None:
    room = Room(10)
    one, other = MessageReader(room), MessageReader(room)
    one.feed(wire(TEXT, b"12345678", fin=False))
    assert room.left == 2
    assert other.feed(wire(TEXT, b"123", fin=False)) == []
    assert other.feed(wire(CONTINUATION, b"4")) == [None]
    assert other.feed(wire(TEXT, b"a whole one takes none of it")) == [
        b"a whole one takes none of it"
    ]
    one.stop()
    one.stop()
    assert room.left == 10
