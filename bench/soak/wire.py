"""Just enough HTTP/1.1 and WebSocket to be both ends of a proxy; none of it is Segue's own code."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os
import random
import socket
import struct
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

TEXT: Final = 1
CLOSE: Final = 8
PING: Final = 9
PONG: Final = 10
LINE_LIMIT: Final = 1 << 20
PATIENCE: Final = 60.0
"""Seconds after which something that must come is missing."""

_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 section 1.3


class Broken(Exception):
    """The other side, or the proxy in between, did not do what it must."""


@dataclass(frozen=True, slots=True)
class Head:
    """The head of a request or response: its first line, and the fields by lower-case name."""

    first: bytes
    fields: dict[bytes, bytes]

    @property
    def status(self) -> int:
        """Of a response."""
        return int(self.first.split(b" ", 2)[1])


@dataclass(frozen=True, slots=True)
class Peer:
    """One end of a connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @classmethod
    async def connect(cls, address: str) -> Peer:
        """Open a connection to `host:port`."""
        host, _, port = address.rpartition(":")
        return cls(*await asyncio.open_connection(host, int(port), limit=LINE_LIMIT))

    async def send(self, *data: bytes) -> None:
        self.writer.write(b"".join(data))
        await self.writer.drain()

    async def read_head(self) -> Head:
        async with asyncio.timeout(PATIENCE):
            text = await self.reader.readuntil(b"\r\n\r\n")
        first, *lines = text[:-4].split(b"\r\n")
        pairs = (line.partition(b":") for line in lines)
        return Head(first, {name.lower(): value.strip() for name, _, value in pairs})

    async def read_body(self, head: Head) -> bytes:
        """Read a body that has a length or comes in chunks; none otherwise."""
        async with asyncio.timeout(PATIENCE):
            if b"transfer-encoding" not in head.fields:
                return await self.reader.readexactly(int(head.fields.get(b"content-length", b"0")))
            body = bytearray()
            while size := int(await self.reader.readuntil(b"\r\n"), 16):
                body += (await self.reader.readexactly(size + 2))[:-2]
            await self.reader.readexactly(2)
            return bytes(body)

    async def read_frame(self) -> tuple[int, bytes]:
        """Read one frame: its opcode and payload. Nobody here fragments."""
        async with asyncio.timeout(PATIENCE):
            first, second = await self.reader.readexactly(2)
            size = second & 0x7F
            if size == 126:
                (size,) = struct.unpack("!H", await self.reader.readexactly(2))
            elif size == 127:
                (size,) = struct.unpack("!Q", await self.reader.readexactly(8))
            mask = await self.reader.readexactly(4) if second & 0x80 else b""
            payload = await self.reader.readexactly(size)
        if not first & 0x80:
            raise Broken("a fragment that nobody sent")
        return first & 0x0F, _masked(payload, mask) if mask else payload

    async def read_message(self) -> dict[str, Any] | None:
        """Read the next JSON message; None at the end, whose Close frame is answered."""
        while True:
            opcode, payload = await self.read_frame()
            if opcode == TEXT:
                message: dict[str, Any] = json.loads(payload)
                return message
            if opcode == CLOSE:
                return None
            if opcode not in (PING, PONG):
                raise Broken(f"opcode {opcode}")

    async def close(self) -> None:
        """End in an orderly way."""
        self.writer.close()
        with suppress(ConnectionError):
            await self.writer.wait_closed()

    def reset(self) -> None:
        """End as a process does that dies: with a TCP reset."""
        sock = self.writer.transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


def frame(message: dict[str, Any] | bytes, *, opcode: int = TEXT, mask: bool = False) -> bytes:
    """Return one frame: a JSON message as Python writes it, or a payload."""
    payload = message if isinstance(message, bytes) else json.dumps(message).encode()
    size, flag = len(payload), 0x80 if mask else 0
    if size < 126:
        head = struct.pack("!BB", 0x80 | opcode, flag | size)
    elif size < 1 << 16:
        head = struct.pack("!BBH", 0x80 | opcode, flag | 126, size)
    else:
        head = struct.pack("!BBQ", 0x80 | opcode, flag | 127, size)
    if not mask:
        return head + payload
    key = os.urandom(4)
    return head + key + _masked(payload, key)


def _masked(payload: bytes, key: bytes) -> bytes:
    pattern = key * (len(payload) // 4 + 1)
    number = int.from_bytes(payload, "big") ^ int.from_bytes(pattern[: len(payload)], "big")
    return number.to_bytes(len(payload), "big")


def accept_of(key: bytes) -> bytes:
    """The answer to a handshake's key (RFC 6455 section 4.2.2)."""
    return base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())


def new_key() -> bytes:
    """A key for a handshake."""
    return base64.b64encode(random.randbytes(16))
