"""A running Segue, and raw peers on both sides of it: sockets that send the bytes they are told to.

Nothing here parses HTTP or WebSocket with the code under test.
"""

from __future__ import annotations

import asyncio
import io
import re
import socket
import ssl
import struct
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, cast

import aiohttp
import pytest
from aiohttp.http_parser import HttpRequestParser, HttpRequestParserPy
from prometheus_client.parser import text_string_to_metric_families

from proxy.control.loading import load
from proxy.observability import log as logs
from proxy.process.server import Server
from tests.support.checkout import ROOT
from tests.support.waiting import PATIENCE

CONFIG = ROOT / "config.yaml"

compiled_only = pytest.mark.skipif(
    HttpRequestParser is HttpRequestParserPy,
    reason="aiohttp's parser in Python takes it off without looking; it is not forwarded",
)
"""For tests of what only the compiled parser of requests looks at."""

Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Segue:
    """Segue in this process, on sockets of its own."""

    server: Server
    log: io.StringIO

    @property
    def host(self) -> str:
        return self.server.address.rpartition(":")[0]

    @property
    def port(self) -> int:
        return int(self.server.address.rpartition(":")[2])

    @property
    def url(self) -> str:
        return f"http://{self.server.address}"

    async def connect(self, tls: ssl.SSLContext | None = None) -> RawPeer:
        """Open a raw client connection."""
        name = "localhost" if tls is not None else None
        streams = await asyncio.open_connection(
            self.host, self.port, ssl=tls, server_hostname=name, limit=1 << 24
        )
        return RawPeer(*streams)

    @asynccontextmanager
    async def client(self, tls: ssl.SSLContext | None = None) -> AsyncIterator[RawPeer]:
        """A raw client connection that is closed in the end."""
        peer = await self.connect(tls)
        try:
            yield peer
        finally:
            await peer.close()

    async def ask(self, request: bytes) -> bytes:
        """Send bytes on a connection of their own; return all that comes back until its end."""
        async with self.client() as peer:
            await peer.send(request)
            return await peer.read_all()

    def look_ahead(self, seconds: float) -> None:
        """Have it look at the deadlines of its connections as if so much time had passed."""
        now = asyncio.get_running_loop().time() + seconds
        self.server._data.listener.check(now)
        self.server._data.fleet.check(now)

    @property
    def state_directory(self) -> str:
        """Where its Unix socket is: what commands on this machine are told."""
        assert self.server.admin_socket is not None
        return str(self.server.admin_socket.parent)

    @asynccontextmanager
    async def admin(self, **fields: str) -> AsyncIterator[aiohttp.ClientSession]:
        """A client of the admin API that comes by the Unix socket."""
        assert self.server.admin_socket is not None
        connector = aiohttp.UnixConnector(path=str(self.server.admin_socket))
        async with aiohttp.ClientSession(
            "http://localhost", connector=connector, headers=fields
        ) as client:
            yield client

    async def metrics(self) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
        """Scrape the metrics page: (sample name, its labels) to value."""
        async with (
            aiohttp.ClientSession() as client,
            client.get(f"http://{self.server.admin_address}/metrics") as response,
        ):
            assert response.status == 200
            text = await response.text()
        return {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    async def metric(self, name: str, **labels: str) -> float:
        """The sum of the samples that have these labels; 0 where there is none yet."""
        wanted = labels.items()
        return sum(
            value
            for (found, pairs), value in (await self.metrics()).items()
            if found == name and wanted <= pairs
        )


@dataclass
class RawPeer:
    """One end of a connection, byte for byte."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def send_bytewise(self, data: bytes) -> None:
        """One byte at a time, each in a segment of its own as far as TCP lets us."""
        for index in range(len(data)):
            self.writer.write(data[index : index + 1])
            await self.writer.drain()
            await asyncio.sleep(0)

    def stop_reading(self) -> None:
        """Take nothing from the socket any more, until `read_on`."""
        cast(asyncio.ReadTransport, self.writer.transport).pause_reading()

    def read_on(self) -> None:
        cast(asyncio.ReadTransport, self.writer.transport).resume_reading()

    async def read_head(self) -> bytes:
        """Read up to and including the empty line."""
        async with asyncio.timeout(PATIENCE):
            return await self.reader.readuntil(b"\r\n\r\n")

    async def read(self, size: int) -> bytes:
        async with asyncio.timeout(PATIENCE):
            return await self.reader.readexactly(size)

    async def read_response(self) -> tuple[bytes, bytes]:
        """Read a response whose body has a `Content-Length`, or none: its head and its body."""
        head = await self.read_head()
        lengths = re.findall(rb"(?i)\r\ncontent-length: (\d+)\r\n", head)
        return head, await self.read(int(lengths[0])) if lengths else b""

    async def ended_by_reset(self) -> bool:
        """Read to the end of the stream; whether it was a reset."""
        try:
            async with asyncio.timeout(PATIENCE):
                while await self.reader.read(65536):
                    pass
        except ConnectionError:
            return True
        return False

    async def read_all(self) -> bytes:
        """Read to the end of the stream; a reset ends it too."""
        received = bytearray()
        async with asyncio.timeout(PATIENCE):
            with suppress(ConnectionError):
                while data := await self.reader.read(65536):
                    received += data
        return bytes(received)

    async def close(self) -> None:
        self.writer.close()
        with suppress(ConnectionError, ssl.SSLError):
            await self.writer.wait_closed()

    def abort(self) -> None:
        self.writer.transport.abort()

    def reset(self) -> None:
        """End with a TCP reset, as a process does that dies with unread bytes."""
        sock = self.writer.transport.get_extra_info("socket")
        if sock is not None:  # Otherwise the other side was quicker.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.abort()


@dataclass
class RawServer:
    """A scripted server: every connection runs the script; what it raises fails the test."""

    url: str
    connections: int = 0
    errors: list[BaseException] = field(default_factory=list)


def answering(
    response: bytes, heads: list[bytes] | None = None
) -> Callable[[RawPeer], Awaitable[None]]:
    """A script that answers every request without a body with the same bytes, and keeps open."""

    async def script(peer: RawPeer) -> None:
        while True:
            head = await peer.read_head()
            if heads is not None:
                heads.append(head)
            await peer.send(response)

    return script


def status_of(response: bytes) -> int:
    """The status code of a raw response."""
    return int(response.split(b" ", 2)[1])


@asynccontextmanager
async def raw_server(
    script: Callable[[RawPeer], Awaitable[None]], tls: ssl.SSLContext | None = None
) -> AsyncIterator[RawServer]:
    """Run a scripted server on a free port."""
    state = RawServer("")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        state.connections += 1
        peer = RawPeer(reader, writer)
        try:
            await script(peer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # Segue ended the connection: the test says whether it should have.
        except Exception as error:  # noqa: BLE001 (handed to the test)
            state.errors.append(error)
        finally:
            await peer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls, limit=1 << 24)
    scheme, name = ("http", "127.0.0.1") if tls is None else ("https", "localhost")
    state.url = f"{scheme}://{name}:{server.sockets[0].getsockname()[1]}"
    try:
        yield state
    finally:
        server.close()
    assert not state.errors, state.errors


class Direct(logs.Writer):
    """A writer whose lines can be read at once, without waiting for its thread."""

    def msg(self, line: str) -> None:
        self._stream.write(line + "\n")

    debug = info = warning = error = critical = msg


PATIENT: Final = {
    f"SEGUE_TIMEOUTS__{name}": f"{PATIENCE}s"
    for name in (
        *("TLS_HANDSHAKE", "HEADER", "BODY", "CONNECT", "RESPONSE", "IDLE"),
        *("WEBSOCKET_HANDSHAKE", "WEBSOCKET_CLOSE"),
    )
}
"""Settings under which nothing ends because the machine is slow."""


def _patient(config: Path) -> Mapping[str, str]:
    """Those; none where the file has times of its own, which settings would take the place of."""
    return {} if config.is_file() and "timeouts" in config.read_text("utf-8") else PATIENT


@asynccontextmanager
async def segue(
    upstream: str | None,
    env: Mapping[str, str] | None = None,
    config: Path = CONFIG,
    level: str = "debug",
    *,
    required: bool = True,
) -> AsyncIterator[Segue]:
    """Run Segue in front of `upstream`, with settings as environment variables.

    Unless they say otherwise it is patient: what should end by itself must not be seen to end by
    the clock.

    Args:
        upstream: the URL of the server; None where the configuration says it.
        env: the settings.
        config: the file.
        level: of the log.
        required: whether the file has to be there.
    """
    with tempfile.TemporaryDirectory(prefix="segue-state-") as state:
        snapshot = load(
            config,
            {
                **_patient(config),
                "SEGUE_TIMEOUTS__DRAIN": "2s",
                "SEGUE_SESSIONS__ENABLED": "false",
                "SEGUE_STATE_DIR": state,
                **(env or {}),
            },
            {"listen": "127.0.0.1:0", "admin": "127.0.0.1:0", "upstream": upstream},
            required=required,
        )
        stream = io.StringIO()
        writer = Direct(stream)
        log = logs.build(writer, level, "json", is_terminal=False)
        server = Server(snapshot, log, writer)
        await server.start()
        try:
            yield Segue(server, stream)
        finally:
            await server.drain()
            writer.close()
