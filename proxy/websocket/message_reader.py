"""Reading the messages of one side of a WebSocket beside whoever carries them: bytes in, texts out.

For whoever has to know what a server says before anything of it goes on. It reads frames without
masks (RFC 6455 section 5.2), as servers send them, and holds nothing up. What breaks the rules of
framing ends it; what becomes of the connection then is for `proxy.websocket.filter`.
"""

from __future__ import annotations

from typing import Final

from proxy.rewriting import Room
from proxy.websocket.frames import (
    BINARY,
    CLOSE,
    FIN,
    LENGTH_16,
    LENGTH_64,
    MASKED,
    MAX_CONTROL_PAYLOAD,
    PONG,
    RESERVED_BITS,
    TEXT,
)

MAX_READ: Final = 1024 * 1024
"""Bytes of the largest message that is read; what is larger is not collected."""

_WHOLE_TEXT: Final = FIN | TEXT


class MessageReader:
    """Collects messages that come in parts, within bounds.

    Attributes:
        begun: whether there is a part of something that is not whole yet.
        is_over: whether nothing more is read: a Close frame came, or what is no frame.
    """

    __slots__ = (
        "_collected",
        "_final",
        "_head",
        "_in_control",
        "_is_kept",
        "_left",
        "_opcode",
        "_room",
        "begun",
        "is_over",
    )

    def __init__(self, room: Room) -> None:
        """Begin at the boundary of a message.

        Args:
            room: for all that is collected at the same time; what finds none is not read.
        """
        self._room = room
        self._head = b""
        # The payload bytes still to come of a frame, and what that is.
        self._left = 0
        self._final = False
        self._in_control = False
        # The message in progress: its opcode (0: none), and its text as far as it has come.
        self._opcode = 0
        self._collected = bytearray()
        self._is_kept = True
        self.begun = False
        self.is_over = False

    def feed(self, data: bytes) -> list[bytes | None]:
        """Take the next bytes; return the messages that are whole with them.

        Returns:
            Their texts, in order; None for one that is not read: a binary one, one that is too
            large, one for which there was no room.
        """
        if self.is_over:
            return []
        size = len(data)
        # Most chunks are one whole text message in one frame.
        if not self.begun and size > 1 and data[0] == _WHOLE_TEXT:
            length, head = data[1], 2
            if length == LENGTH_16 and size > 3:
                length, head = data[2] << 8 | data[3], 4
                if length < LENGTH_16:
                    length = -1
            if data[1] <= LENGTH_16 and head + length == size:
                return [data[head:]]
        messages: list[bytes | None] = []
        if self._head:
            data = self._head + data
        self._rest(self._walk(data, messages))
        return messages

    def _walk(self, data: bytes, messages: list[bytes | None]) -> bytes:
        """Read frames, and what there is of the last one; return what cannot be read yet."""
        position, end = 0, len(data)
        while True:
            if self._left:
                stop = min(position + self._left, end)
                if not self._in_control:
                    self._collect(data[position:stop])
                self._left -= stop - position
                position = stop
                if self._left:
                    return b""
                self._end_frame(messages)
            head = self._begin_frame(data, position, end, messages)
            if not head:
                return data[position:]
            position += head

    def _rest(self, head: bytes) -> None:
        """Keep the beginning of a frame's head, unless nothing more is read."""
        self._head = head
        if self.is_over:
            self.stop()
        self.begun = bool(self._opcode or self._left or self._head)

    def stop(self) -> None:
        """Read nothing more, and keep nothing."""
        self.is_over = True
        self._drop()
        self._head = b""
        self._opcode = self._left = 0
        self.begun = False

    def _begin_frame(
        self, data: bytes, position: int, end: int, messages: list[bytes | None]
    ) -> int:
        """Read the head of a frame; return its size, 0 where it is not whole or is none."""
        if end - position < 2:
            return 0
        first, second = data[position], data[position + 1]
        opcode, length, size = first & 0x0F, second & 0x7F, 2
        if length >= LENGTH_16:
            size = 4 if length == LENGTH_16 else 10
            if end - position < size:
                return 0
            extended = int.from_bytes(data[position + 2 : position + size], "big")
            self.is_over = extended < (0x10000 if length == LENGTH_64 else LENGTH_16)
            length = extended
        is_control = opcode >= CLOSE
        if is_control:
            self.is_over |= opcode == CLOSE or opcode > PONG or not first & FIN
            self.is_over |= length > MAX_CONTROL_PAYLOAD
        else:
            self.is_over |= opcode > BINARY or bool(opcode) == bool(self._opcode)
        if self.is_over or first & RESERVED_BITS or second & MASKED:
            self.is_over = True
            return 0
        self._in_control = is_control
        self._final = bool(first & FIN)
        self._left = length
        if opcode and not is_control:
            self._opcode = opcode
            self._is_kept = opcode == TEXT
        if not length:
            self._end_frame(messages)
        return size

    def _end_frame(self, messages: list[bytes | None]) -> None:
        if self._in_control or not self._final:
            return
        self._opcode = 0
        messages.append(bytes(self._collected) if self._is_kept else None)
        self._drop()

    def _collect(self, part: bytes) -> None:
        if not self._is_kept:
            return
        size = len(part)
        if len(self._collected) + size > MAX_READ or size > self._room.left:
            self._is_kept = False
            self._drop()
        else:
            self._collected += part
            self._room.left -= size

    def _drop(self) -> None:
        self._room.left += len(self._collected)
        self._collected = bytearray()
