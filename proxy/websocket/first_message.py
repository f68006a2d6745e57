"""The first message of a client, collected until it is whole (RFC 6455 section 5): bytes, no I/O.

Nothing is judged here: what is no text message of a bounded size, and all that breaks the rules of
framing, is given up, and whoever reads the frames next says what becomes of it.
"""

from __future__ import annotations

from typing import Final

from proxy.websocket.frames import (
    CLOSE,
    CONTINUATION,
    FIN,
    LENGTH_16,
    LENGTH_64,
    MASKED,
    MAX_CONTROL_PAYLOAD,
    PONG,
    RESERVED_BITS,
    TEXT,
    apply_mask,
    encode,
)

MAX_MESSAGE: Final = 0xFFFF
"""Bytes of the largest message that is collected, with the heads of its frames: as much as a frame
of the second length says (RFC 6455 section 5.2)."""


class FirstMessage:
    """What a client has sent up to the end of its first message, and what came behind it.

    Attributes:
        is_over: whether nothing more is collected.
        text: the message, once it is whole; None before, and where it was given up.
    """

    __slots__ = ("_frames", "_payload", "_unread", "is_over", "text")

    def __init__(self) -> None:
        self.is_over = False
        self.text: bytes | None = None
        # The frames of the message, their payload, and what is behind them.
        self._frames = bytearray()
        self._payload = bytearray()
        self._unread = bytearray()

    @property
    def holds(self) -> bool:
        """Whether there is a part of something that is not whole yet."""
        return bool(self._frames or self._unread)

    @property
    def size(self) -> int:
        """The bytes that are kept, of frames and of what is in them."""
        return len(self._frames) + len(self._payload) + len(self._unread)

    def feed(self, data: bytes) -> bytes:
        """Take what has come; return the control frames in it, which overtake the message."""
        self._unread += data
        passed = bytearray()
        while not self.is_over and (frame := self._next()) is not None:
            head, stop = frame
            raw = bytes(self._unread[:stop])
            del self._unread[:stop]
            if raw[0] & 0x0F >= CLOSE:
                passed += raw
                continue
            self._frames += raw
            self._payload += apply_mask(raw[head:], raw[head - 4 : head])
            if raw[0] & FIN:
                self.is_over, self.text = True, bytes(self._payload)
        return bytes(passed)

    def add(self, data: bytes) -> None:
        """Keep what has come behind the message."""
        self._unread += data

    def as_it_came(self) -> bytes:
        """All that was collected and is not passed on yet."""
        return bytes(self._frames + self._unread)

    def with_text(self, text: bytes, key: bytes) -> bytes:
        """The same, with another message in one frame.

        Args:
            text: of the message.
            key: four bytes to mask it with.
        """
        return encode(TEXT, text, key) + bytes(self._unread)

    def _next(self) -> tuple[int, int] | None:
        """Where the payload of the next frame begins and ends; None where it is not whole yet."""
        unread = self._unread
        if len(unread) < 2:
            return None
        first, second = unread[0], unread[1]
        length, head = second & 0x7F, 6
        if length == LENGTH_16:
            head = 8
            if len(unread) < 4:
                return None
            length = unread[2] << 8 | unread[3]
            if length < LENGTH_16:
                length = LENGTH_64 << 16  # Not in its shortest form.
        elif length == LENGTH_64:
            length <<= 16  # Too large, or not in its shortest form.
        if not self._is_next(first, length) or not second & MASKED:
            self.is_over = True
            return None
        return (head, head + length) if len(unread) >= head + length else None

    def _is_next(self, first: int, length: int) -> bool:
        """Whether a frame may come next that begins so, and is of that length."""
        opcode = first & 0x0F
        if first & RESERVED_BITS:
            return False
        if opcode >= CLOSE:
            return CLOSE < opcode <= PONG and bool(first & FIN) and length <= MAX_CONTROL_PAYLOAD
        expected = CONTINUATION if self._frames else TEXT
        return opcode == expected and len(self._frames) + length <= MAX_MESSAGE
