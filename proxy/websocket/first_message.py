"""The first message of a client, collected until it is whole (RFC 6455 section 5): bytes, no I/O.

What breaks the rules of framing is given up, and whoever reads the frames next says what becomes of
it. So is a message that is larger than what is collected, and it is said whether that may be a JSON
object: many servers read JSON whatever the opcode says.
"""

from __future__ import annotations

from typing import Final

from proxy.websocket.frames import (
    BINARY,
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

_OBJECT: Final = b"{"
_BLANK: Final = b" \t\r\n\x00\xef\xbb\xbf\xfe\xff"
"""What may stand in front of an object: white space and byte order marks, and every other byte of
UTF-16."""

_LOOKED_AT: Final = 256
"""Bytes in which a message begins; one that has only white space there may be anything."""


class FirstMessage:
    """What a client has sent up to the end of its first message, and what came behind it.

    Attributes:
        is_over: whether nothing more is collected.
        payload: the message, once it is whole; None before, and where it was given up.
        too_big: whether it was given up though it may be a JSON object.
    """

    __slots__ = ("_frames", "_opcode", "_received", "_unread", "is_over", "payload", "too_big")

    def __init__(self) -> None:
        self.is_over = False
        self.payload: bytes | None = None
        self.too_big = False
        self._opcode = TEXT
        # The frames of the message, their payload, and what is behind them.
        self._frames = bytearray()
        self._received = bytearray()
        self._unread = bytearray()

    @property
    def holds(self) -> bool:
        """Whether there is a part of something that is not whole yet."""
        return bool(self._frames or self._unread)

    @property
    def size(self) -> int:
        """The bytes that are kept, of frames and of what is in them."""
        return len(self._frames) + len(self._received) + len(self._unread)

    @property
    def may_be_object(self) -> bool:
        """Whether it may be a JSON object, as far as it has come."""
        return self._begins() in (b"", _OBJECT)

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
            if not self._frames:
                self._opcode = raw[0] & 0x0F
            self._frames += raw
            self._received += apply_mask(raw[head:], raw[head - 4 : head])
            if raw[0] & FIN:
                self.is_over, self.payload = True, bytes(self._received)
        return bytes(passed)

    def add(self, data: bytes) -> None:
        """Keep what has come behind the message."""
        self._unread += data

    def as_it_came(self) -> bytes:
        """All that was collected and is not passed on yet."""
        return bytes(self._frames + self._unread)

    def parts(self) -> tuple[bytes, bytes]:
        """The frames of the message, and what has come behind it."""
        return bytes(self._frames), bytes(self._unread)

    def with_payload(self, payload: bytes, key: bytes) -> bytes:
        """The same, with another message in one frame of the same kind.

        Args:
            payload: of the message.
            key: four bytes to mask it with.
        """
        return encode(self._opcode, payload, key) + bytes(self._unread)

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
                length = -1  # Not in its shortest form.
        elif length == LENGTH_64:
            head = 14
            if len(unread) < 10:
                return None
            length = int.from_bytes(unread[2:10], "big")
            if length <= MAX_MESSAGE:
                length = -1  # Not in its shortest form.
        if length < 0 or not self._is_next(first, length) or not second & MASKED:
            self.is_over = True
            return None
        if first & 0x0F < CLOSE and len(self._frames) + length > MAX_MESSAGE:
            self._give_up(head)
            return None
        return (head, head + length) if len(unread) >= head + length else None

    def _give_up(self, head: int) -> None:
        """Collect no more, unless nothing is known yet of what it is.

        Args:
            head: where the payload begins of the frame that is too large.
        """
        if self._frames or len(self._unread) >= head + _LOOKED_AT or self._begins(head) != b"":
            self.is_over = True
            self.too_big = self._begins(head) in (b"", _OBJECT)

    def _begins(self, head: int | None = None) -> bytes:
        """The first byte of the message that is no white space; empty where it has not come yet."""
        seen = bytes(self._received[:_LOOKED_AT])
        if not self._frames and self._unread:
            seen = self._peeked(_head_of(self._unread) if head is None else head)
        return seen.lstrip(_BLANK)[:1]

    def _peeked(self, head: int) -> bytes:
        """What has come of the frame that is not whole yet, if it is one of the message."""
        if self._unread[0] & 0x0F >= CLOSE or len(self._unread) <= head:
            return b""
        key = bytes(self._unread[head - 4 : head])
        return apply_mask(bytes(self._unread[head : head + _LOOKED_AT]), key)

    def _is_next(self, first: int, length: int) -> bool:
        """Whether a frame may come next that begins so, and is of that length."""
        opcode = first & 0x0F
        if first & RESERVED_BITS:
            return False
        if opcode >= CLOSE:
            return CLOSE < opcode <= PONG and bool(first & FIN) and length <= MAX_CONTROL_PAYLOAD
        return opcode == CONTINUATION if self._frames else opcode in (TEXT, BINARY)


def _head_of(frame: bytearray) -> int:
    """Bytes of the head of a frame that is masked."""
    length = frame[1] & 0x7F if len(frame) > 1 else 0
    return {LENGTH_16: 8, LENGTH_64: 14}.get(length, 6)
