"""Clients that read slowly, but do read: none of them loses what it was sent."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Final

import pytest

from proxy.downstream.connection import ClientConnection
from tests.sockets.relay.test_bodies import CONFIG_TEXT, MAPPINGS
from tests.support.rig import RawPeer, Segue, raw_server, segue
from tests.support.waiting import PATIENCE

MIB: Final = 1 << 20
LARGE: Final = 12 * MIB
"""More than the kernel keeps for Segue to send."""

PIECE: Final = 32 << 10


async def slow_client(proxy: Segue) -> RawPeer:
    """A client whose system takes little more than it reads itself."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 10)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, (proxy.host, proxy.port))
    return RawPeer(*await asyncio.open_connection(sock=sock, limit=PIECE))


@pytest.mark.parametrize("is_whole", [True, False], ids=["answered", "early"])
async def test_connection_that_ends_with_its_answer_waits_until_it_is_taken(
    is_whole: bool, tmp_path: Path
) -> None:
    # What is held for a mapping is written in one go.
    (tmp_path / "mappings").mkdir()
    for name, text in MAPPINGS.items():
        (tmp_path / "mappings" / f"{name}.yaml").write_text(text)
    file = tmp_path / "config.yaml"
    file.write_text(CONFIG_TEXT.replace("4KiB", "16MiB"))
    body = b'{"a": "%b"}' % (b"x" * LARGE)

    async def script(peer: RawPeer) -> None:
        await peer.read_head()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n")
        await peer.send(b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
        await peer.read_all()

    async with raw_server(script) as server, segue(server.url, config=file) as proxy:
        peer = await slow_client(proxy)
        peer.stop_reading()
        await peer.send(
            b"POST /api/jobs/1/ HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"2\r\nhi\r\n%b" % (b"0\r\n\r\n" if is_whole else b"")
        )
        [connection] = proxy.server._data.listener.connections
        assert isinstance(connection, ClientConnection)
        async with asyncio.timeout(PATIENCE):
            while not connection.writing_paused or connection.is_busy:  # noqa: ASYNC110 (it tells nobody)
                await asyncio.sleep(0.01)
        proxy.look_ahead(30)  # Many times the time to linger.
        peer.read_on()
        head = await peer.read_head()
        assert b"\r\nConnection: close\r\n" in head
        assert await peer.read(len(body)) == body
        assert await peer.read_all() == b""
        await peer.close()


SLOW: Final = 64
"""Pieces that are taken slowly: for several times as long as nothing may be taken."""


async def read_slowly(reader: asyncio.StreamReader, size: int) -> bytes:
    """Read that many bytes, the first of them in small pieces with pauses."""
    received = bytearray()
    async with asyncio.timeout(PATIENCE):
        for _ in range(SLOW):
            received += await reader.readexactly(PIECE)
            await asyncio.sleep(0.08)
        received += await reader.readexactly(size - len(received))
    return bytes(received)


async def test_response_of_which_only_the_kernel_sends_is_not_cut() -> None:
    body = bytes(range(256)) * (LARGE // 256)

    async def script(peer: RawPeer) -> None:
        await peer.read_head()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        await peer.read_all()

    env = {"SEGUE_TIMEOUTS__KEEPALIVE": "1500ms"}
    async with raw_server(script) as server, segue(server.url, env) as proxy:
        peer = await slow_client(proxy)
        await peer.send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        await peer.read_head()
        assert await read_slowly(peer.reader, len(body)) == body
        await peer.close()


async def test_request_of_which_only_the_kernel_sends_is_not_cut() -> None:
    body = bytes(range(256)) * (LARGE // 256)
    received: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        received.append(await read_slowly(reader, len(body)))
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 10)
        listening.bind(("127.0.0.1", 0))
        server = await asyncio.start_server(serve, sock=listening, limit=PIECE)
        env = {"SEGUE_TIMEOUTS__RESPONSE": "1500ms"}
        async with segue(f"http://127.0.0.1:{listening.getsockname()[1]}", env) as proxy:
            async with proxy.client() as peer:
                await peer.send(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n" % len(body))
                await peer.send(b"\r\n" + body)
                head = await peer.read_head()
        server.close()
    assert head.startswith(b"HTTP/1.1 200 ")
    assert received == [body]
