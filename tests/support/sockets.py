"""Raw WebSockets on both sides of a running Segue: frames in and out, written and read by hand.

A test holds both ends of one relay and says what each of them sends, byte for byte.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.support.rfc6455 import CLOSE, CONTINUATION, TEXT, wire
from tests.support.rig import CONFIG, RawPeer, Segue, raw_server, segue
from tests.support.waiting import PATIENCE

KEY: Final = b"dGhlIHNhbXBsZSBub25jZQ=="
"""The key of the example in RFC 6455 section 1.3."""

ACCEPT: Final = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
"""What the same section says is the answer to it."""

MASK: Final = b"\x37\xfa\x21\x3d"
"""The mask of the examples in section 5.7."""


def handshake(target: bytes = b"/ws/jobs/1/", *fields: bytes) -> bytes:
    """A browser's handshake, with further field lines."""
    return b"\r\n".join(
        (
            b"GET " + target + b" HTTP/1.1",
            b"Host: app.example.com",
            b"Connection: Upgrade",
            b"Upgrade: websocket",
            b"Sec-WebSocket-Version: 13",
            b"Sec-WebSocket-Key: " + KEY,
            *fields,
            b"\r\n",
        )
    )


def switch(*fields: bytes, accept: bytes = ACCEPT) -> bytes:
    """A server's 101, with further field lines."""
    return b"\r\n".join(
        (
            b"HTTP/1.1 101 Switching Protocols",
            b"Upgrade: websocket",
            b"Connection: Upgrade",
            b"Sec-WebSocket-Accept: " + accept,
            *fields,
            b"\r\n",
        )
    )


def status_of(head: bytes) -> int:
    return int(head.split(b" ", 2)[1])


def fields_of(head: bytes, name: bytes) -> list[bytes]:
    """The values of a field in a head, by its lower-case name."""
    lines = head.split(b"\r\n")[1:]
    pairs = (line.partition(b":") for line in lines if line)
    return [value.strip() for key, _, value in pairs if key.lower() == name]


def closing(code: int | None, reason: str = "") -> bytes:
    """The payload of a Close frame; empty without a code."""
    return b"" if code is None else code.to_bytes(2, "big") + reason.encode()


def accept_of(key: bytes) -> bytes:
    return base64.b64encode(
        hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()  # RFC 6455 section 1.3
    )


@dataclass(frozen=True)
class Frame:
    """One frame as it was received, unmasked."""

    opcode: int
    payload: bytes
    fin: bool
    masked: bool
    raw: bytes


@dataclass
class Socket:
    """One end of a WebSocket after its handshake. A client masks what it sends."""

    peer: RawPeer
    is_client: bool

    async def send(self, opcode: int, payload: bytes = b"", *, fin: bool = True) -> bytes:
        """Send one frame; its bytes."""
        frame = self.frame(opcode, payload, fin=fin)
        await self.peer.send(frame)
        return frame

    def frame(self, opcode: int, payload: bytes = b"", *, fin: bool = True) -> bytes:
        return wire(opcode, payload, fin=fin, key=MASK if self.is_client else None)

    async def receive(self) -> Frame:
        """Read one frame."""
        head = await self.peer.read(2)
        size = head[1] & 0x7F
        if size > 125:
            extended = await self.peer.read(2 if size == 126 else 8)
            head += extended
            size = int.from_bytes(extended, "big")
        masked = bool(head[1] & 0x80)
        key = await self.peer.read(4) if masked else b""
        raw = await self.peer.read(size)
        payload = bytes(byte ^ key[i % 4] for i, byte in enumerate(raw)) if masked else raw
        return Frame(head[0] & 0x0F, payload, bool(head[0] & 0x80), masked, head + key + raw)

    async def message(self) -> bytes:
        """Read one data message, whole; control frames in between are an error."""
        payload = b""
        while True:
            frame = await self.receive()
            assert frame.opcode in (CONTINUATION, TEXT, 2), frame
            assert frame.masked is not self.is_client
            payload += frame.payload
            if frame.fin:
                return payload

    async def close_frame(self) -> tuple[int | None, str]:
        """Read a Close frame: its code and reason."""
        frame = await self.receive()
        assert frame.opcode == CLOSE, frame
        code = int.from_bytes(frame.payload[:2], "big") if frame.payload else None
        return code, frame.payload[2:].decode()

    async def ended(self) -> None:
        """Wait for the end of the stream; not a byte may come before it."""
        assert await self.peer.read_all() == b""


@dataclass
class Origin:
    """A server that does what the test says, on each connection that Segue opens to it."""

    url: str
    arrived: asyncio.Queue[RawPeer]

    async def connection(self) -> RawPeer:
        """The next connection."""
        async with asyncio.timeout(PATIENCE):
            return await self.arrived.get()

    async def accept(self, *fields: bytes, behind: bytes = b"") -> tuple[Socket, bytes]:
        """Answer the next handshake with a 101, and bytes behind it; the socket, and its head."""
        peer = await self.connection()
        head = await peer.read_head()
        (key,) = fields_of(head, b"sec-websocket-key")
        await peer.send(switch(*fields, accept=accept_of(key)) + behind)
        return Socket(peer, is_client=False), head


@asynccontextmanager
async def origin(tls: ssl.SSLContext | None = None) -> AsyncIterator[Origin]:
    """Run such a server."""
    arrived: asyncio.Queue[RawPeer] = asyncio.Queue()
    finished = asyncio.Event()

    async def script(peer: RawPeer) -> None:
        arrived.put_nowait(peer)
        await finished.wait()

    async with raw_server(script, tls) as server:
        try:
            yield Origin(server.url, arrived)
        finally:
            finished.set()


@dataclass
class Pair:
    """Both ends of one relay."""

    segue: Segue
    origin: Origin
    client: Socket
    server: Socket


async def open_pair(
    proxy: Segue,
    upstream: Origin,
    *,
    target: bytes = b"/ws/jobs/1/",
    fields: Sequence[bytes] = (),
    tls: ssl.SSLContext | None = None,
) -> Pair:
    """Open one WebSocket through Segue."""
    client = await proxy.connect(tls)
    await client.send(handshake(target, *fields))
    server, _ = await upstream.accept()
    assert status_of(await client.read_head()) == 101
    return Pair(proxy, upstream, Socket(client, is_client=True), server)


@asynccontextmanager
async def relayed(
    env: Mapping[str, str] | None = None,
    *fields: bytes,
    config: Path = CONFIG,
) -> AsyncIterator[Pair]:
    """One WebSocket through a Segue of its own."""
    async with origin() as upstream, segue(upstream.url, env, config) as proxy:
        pair = await open_pair(proxy, upstream, fields=fields)
        try:
            yield pair
        finally:
            await pair.client.peer.close()
            await pair.server.peer.close()


async def gone(proxy: Segue, left: int = 0) -> None:
    """Wait until no more than `left` WebSockets are open in Segue."""
    async with asyncio.timeout(PATIENCE):
        while len(proxy.server._data.connections) > left:  # noqa: ASYNC110 (it tells nobody)
            await asyncio.sleep(0.002)


async def turn() -> None:
    """Let every transport of this loop read and write what it can."""
    for _ in range(6):
        await asyncio.sleep(0)


EARLY_FROM_CLIENT: Final = (
    wire(TEXT, b"early", key=MASK)
    + wire(TEXT, b"frag", fin=False, key=MASK)
    + wire(9, b"ping", key=MASK)
    + wire(CONTINUATION, b"ment", key=MASK)
)
EARLY_FROM_SERVER: Final = (
    wire(TEXT, '{"kind": "error", "message": "früh"}'.encode())
    + wire(2, b"\x00" * 130, fin=False)
    + wire(CONTINUATION, b"")
)


async def shake_hands_in_pieces(
    proxy: Segue, upstream: Origin, cut: float, tls: ssl.SSLContext | None = None
) -> None:
    """One WebSocket where each side's handshake and first frames come in two pieces.

    Args:
        cut: where each side's bytes are cut, between 0 and 1.
    """
    sent = handshake() + EARLY_FROM_CLIENT
    at = round(cut * len(sent))
    client = await proxy.connect(tls)
    await client.send(sent[:at])
    await turn()
    await client.send(sent[at:])

    server = await upstream.connection()
    await server.read_head()
    sent = switch() + EARLY_FROM_SERVER
    at = round(cut * len(sent))
    await server.send(sent[:at])
    await turn()
    await server.send(sent[at:])

    assert status_of(await client.read_head()) == 101
    assert await client.read(len(EARLY_FROM_SERVER)) == EARLY_FROM_SERVER
    assert await server.read(len(EARLY_FROM_CLIENT)) == EARLY_FROM_CLIENT
    await client.close()
    assert await server.read_all() == b""
    await server.close()


LONGEST: Final = max(len(handshake() + EARLY_FROM_CLIENT), len(switch() + EARLY_FROM_SERVER))
"""Cutting at each 1/LONGEST cuts both sides at each of their positions."""
