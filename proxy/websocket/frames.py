"""The wire format of WebSocket frames (RFC 6455 section 5.2): codes, masks, writing one."""

from __future__ import annotations

from struct import Struct
from typing import Final

CONTINUATION: Final = 0x0
TEXT: Final = 0x1
BINARY: Final = 0x2
CLOSE: Final = 0x8
PING: Final = 0x9
PONG: Final = 0xA

NO_STATUS: Final = 1005
"""The code that stands for a Close frame without one (RFC 6455 section 7.4.1)."""

MAX_CONTROL_PAYLOAD: Final = 125
"""RFC 6455 section 5.5."""

FIN: Final = 0x80
RESERVED_BITS: Final = 0x70
MASKED: Final = 0x80
LENGTH_16: Final = 126
LENGTH_64: Final = 127

_head_16 = Struct("!BBH").pack
_head_64 = Struct("!BBQ").pack


def is_valid_close_code(code: int) -> bool:
    """Whether a close code may stand in a frame.

    RFC 6455 section 7.4: 1000 to 1003 and 1007 to 1011, what IANA has registered since (1012 to
    1014), and 3000 to 4999. 1004, 1005, 1006 and 1015 never travel.
    """
    return 1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999


def apply_mask(payload: bytes, key: bytes) -> bytes:
    """Mask or unmask a payload with a key of four bytes (RFC 6455 section 5.3).

    One exclusive-or of two big integers: linear, and about 1 microsecond for a kilobyte.
    """
    size = len(payload)
    keys = (key * (size // 4 + 1))[:size]
    masked = int.from_bytes(payload, "little") ^ int.from_bytes(keys, "little")
    return masked.to_bytes(size, "little")


def encode(opcode: int, payload: bytes, key: bytes | None = None) -> bytes:
    """Return one final frame, masked where a key is given (RFC 6455 section 5.2)."""
    size = len(payload)
    if key is None and LENGTH_16 <= size < 0x10000:
        return _head_16(FIN | opcode, LENGTH_16, size) + payload  # As nearly all are.
    mask_bit = 0 if key is None else MASKED
    if size < LENGTH_16:
        head = bytes((FIN | opcode, mask_bit | size))
    elif size < 0x10000:
        head = _head_16(FIN | opcode, mask_bit | LENGTH_16, size)
    else:
        head = _head_64(FIN | opcode, mask_bit | LENGTH_64, size)
    return head + payload if key is None else head + key + apply_mask(payload, key)


def encode_close(code: int, reason: str = "", key: bytes | None = None) -> bytes:
    """Return a Close frame. The reason is cut to fit a control frame, at a character."""
    text = reason.encode()[: MAX_CONTROL_PAYLOAD - 2].decode(errors="ignore").encode()
    return encode(CLOSE, code.to_bytes(2, "big") + text, key)
