"""The payload of a Close frame (RFC 6455 sections 5.5.1 and 7.4)."""

from __future__ import annotations

import pytest

from proxy.websocket.failures import Fault, read_close
from proxy.websocket.frames import NO_STATUS


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        pytest.param(b"", NO_STATUS, id="empty"),
        pytest.param(b"\x03\xe8", 1000, id="normal"),
        pytest.param(b"\x03\xe9going away", 1001, id="with-a-reason"),
        pytest.param(b"\x0f\xa1" + "grün".encode(), 4001, id="private-and-not-ascii"),
    ],
)
def test_a_code_is_read(payload: bytes, code: int) -> None:
    assert read_close(payload) == code


@pytest.mark.parametrize(
    ("payload", "code", "reason"),
    [
        pytest.param(b"\x03", 1002, "invalid close code", id="half-a-code"),
        pytest.param(b"\x03\xed", 1002, "invalid close code", id="1005"),
        pytest.param(b"\x00\x00", 1002, "invalid close code", id="0"),
        pytest.param(b"\xff\xff", 1002, "invalid close code", id="65535"),
        pytest.param(b"\x03\xe8\xff", 1007, "close reason is not UTF-8", id="not-utf-8"),
    ],
)
def test_what_is_wrong_is_said_without_its_bytes(payload: bytes, code: int, reason: str) -> None:
    assert read_close(payload) == Fault(code, reason)
