"""The wire format of frames, against another implementation."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.utils import apply_mask as websockets_mask

from proxy.websocket.frames import (
    BINARY,
    CLOSE,
    TEXT,
    apply_mask,
    encode,
    encode_close,
    is_valid_close_code,
)
from tests.support.rfc6455 import walk, wire


def test_close_codes_that_may_travel() -> None:
    valid = {code for code in range(65_536) if is_valid_close_code(code)}
    assert valid == {
        *(1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014),
        *range(3000, 5000),
    }


@given(payload=st.binary(max_size=300), key=st.binary(min_size=4, max_size=4))
def test_masking_agrees_with_another_implementation(payload: bytes, key: bytes) -> None:
    masked = apply_mask(payload, key)
    assert masked == websockets_mask(payload, key)
    assert apply_mask(masked, key) == payload


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65_535, 65_536])
@pytest.mark.parametrize("key", [None, b"\x00\xff\x10\x01"])
def test_encoded_frames_agree_with_another_implementation(size: int, key: bytes | None) -> None:
    payload = bytes(range(256)) * (size // 256 + 1)
    assert encode(TEXT, payload[:size], key) == wire(TEXT, payload[:size], key=key)
    if key is None:
        plain = Frame(Opcode.BINARY, payload[:size]).serialize(mask=False)
        assert encode(BINARY, payload[:size]) == plain


@example(reason="é" * 100)
@given(reason=st.text(st.characters(exclude_categories=["Cs"]), max_size=200))
def test_a_close_reason_is_cut_at_a_character(reason: str) -> None:
    out, frame_filter = walk(frame := encode_close(1012, reason))
    assert out == frame
    assert frame_filter.close_code == 1012
    text = frame[4:].decode()
    assert reason.startswith(text)
    assert text == reason or len(frame[4:]) > 123 - 4


def test_a_close_frame_for_a_server_is_masked() -> None:
    frame = encode_close(1001, "proxy restart", b"\x01\x02\x03\x04")
    assert walk(frame, masked=True)[1].close_code == 1001
    assert frame == wire(CLOSE, b"\x03\xe9proxy restart", key=b"\x01\x02\x03\x04")
