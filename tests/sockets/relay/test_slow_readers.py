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
    is_whole: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.downstream.connection._LINGER", 0.1)
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
        [connection] = proxy.server._listener.connections
        assert isinstance(connection, ClientConnection)
        async with asyncio.timeout(PATIENCE):
            while not connection.writing_paused or connection.is_busy:  # noqa: ASYNC110 (it tells nobody)
                await asyncio.sleep(0.01)
        await asyncio.sleep(1.2)  # Two looks at the deadlines, and many times the time to linger.
        peer.read_on()
        head = await peer.read_head()
        assert b"\r\nConnection: close\r\n" in head
        assert await peer.read(len(body)) == body
        assert await peer.read_all() == b""
        await peer.close()
