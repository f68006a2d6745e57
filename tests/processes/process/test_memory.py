"""What strangers can make a process of, by its resident memory: under what the manifest allows it.

Real bytes on real sockets, with the defaults of every limit.
"""

from __future__ import annotations

import asyncio
import re
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

import pytest
import yaml

from proxy.configuration.sections import LimitSettings
from tests.support.checkout import ROOT
from tests.support.process import Process, running
from tests.support.rfc6455 import CONTINUATION, TEXT, wire
from tests.support.rig import RawPeer, raw_server, status_of
from tests.support.sockets import MASK, accept_of, fields_of, handshake, switch
from tests.support.waiting import PATIENCE

MIB: Final = 1 << 20
CONNECTIONS: Final = 64

RULES = """\
name: {name}
description: For a test.
channel: {channel}
direction: {direction}
rules:
  - name: a
    match: {{field: a, exists: true}}
    do: [rename: {{a: b}}]
    examples: [{{in: {{a: 1}}, out: {{b: 1}}}}]
"""

CONFIGURATION = """\
upstream: {{url: "{url}"}}
cohorts:
  - name: modern
    versions: ">=2"
    websocket: {{to_client: [out], to_server: [in]}}
    http: [{{path: /mapped, to_client: [body-out], to_server: [body-in]}}]
coalescing: [{{name: polled, path: "/polled/{{}}"}}]
"""

MODERN = b"X-Client-Version: 2.1"
POST = b"POST /mapped HTTP/1.1\r\nHost: h\r\n" + MODERN + b"\r\nContent-Type: application/json\r\n"
GET = b"GET %b HTTP/1.1\r\nHost: h\r\n" + MODERN + b"\r\n\r\n"
LARGE_ANSWER = b'{"a":"%b"}' % (b"x" * (7 * MIB))
SHARED_ANSWER = MIB - 4096


def allowed() -> int:
    """The bytes of memory that the shipped manifest allows a process."""
    text = (ROOT / "deploy/kubernetes/deployment.yaml").read_text(encoding="utf-8")
    (container,) = yaml.safe_load(text)["spec"]["template"]["spec"]["containers"]
    amount = str(container["resources"]["limits"]["memory"])
    assert amount.endswith("Mi")
    return int(amount[:-2]) * MIB


def peak(process: Process) -> int:
    """The most bytes that it has had in memory."""
    status = Path(f"/proc/{process.child.pid}/status").read_text()
    found = re.search(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)
    assert found is not None
    return int(found[1]) << 10


async def answer(peer: RawPeer) -> None:
    """The script of the server; for some of its clients nothing ends before the test does."""
    with suppress(TimeoutError):
        await _answer(peer)


async def _answer(peer: RawPeer) -> None:
    while True:
        head = await peer.read_head()
        if b"pgrade: websocket" in head:
            (key,) = fields_of(head, b"sec-websocket-key")
            await peer.send(switch(accept=accept_of(key)))
            await peer.send(wire(TEXT, b'{"a":"hello"}'))
            await peer.read_all()
            return
        lengths = re.findall(rb"(?i)\r\ncontent-length: (\d+)\r\n", head)
        body = await peer.read(int(lengths[0])) if lengths else b""
        if head.startswith(b"GET /waits"):
            await peer.read_all()
            return
        if head.startswith(b"GET /polled"):
            await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % SHARED_ANSWER)
            await peer.send(b"x" * (SHARED_ANSWER - 1))
            await peer.read_all()  # The rest never comes.
            return
        if head.startswith(b"GET /mapped"):
            body = LARGE_ANSWER
        fields = b"Content-Type: application/json\r\nContent-Length: %d\r\n" % len(body)
        await peer.send(b"HTTP/1.1 200 OK\r\n" + fields + b"\r\n" + body)


@asynccontextmanager
async def serving(directory: Path) -> AsyncIterator[Process]:
    """A Segue with mappings for everything, in front of that server."""
    (directory / "mappings").mkdir()
    for name, channel, direction in (
        ("in", "websocket", "to_server"),
        ("out", "websocket", "to_client"),
        ("body-in", "http", "to_server"),
        ("body-out", "http", "to_client"),
    ):
        text = RULES.format(name=name, channel=channel, direction=direction)
        (directory / "mappings" / f"{name}.yaml").write_text(text, encoding="utf-8")
    async with raw_server(answer) as server:
        config = directory / "config.yaml"
        config.write_text(CONFIGURATION.format(url=server.url), encoding="utf-8")
        state = {"SEGUE_STATE_DIR": str(directory), "SEGUE_SESSIONS__ENABLED": "false"}
        async with running(config, env=state) as process:
            yield process


class Stranger:
    """Connections that send what they are told to and read nothing."""

    def __init__(self, process: Process) -> None:
        host, _, port = process.address.rpartition(":")
        self._to = host, int(port)
        self._sockets: list[socket.socket] = []
        self._tasks: list[asyncio.Task[None]] = []

    def begin(self, address: str, pieces: list[bytes]) -> None:
        """Open a connection from an address, and send as much of these as is taken."""
        sock = socket.socket()
        sock.setblocking(False)
        sock.bind((address, 0))
        self._sockets.append(sock)
        self._tasks.append(asyncio.get_running_loop().create_task(self._send(sock, pieces)))

    async def _send(self, sock: socket.socket, pieces: list[bytes]) -> None:
        loop = asyncio.get_running_loop()
        with suppress(OSError):
            await loop.sock_connect(sock, self._to)
            for piece in pieces:
                await loop.sock_sendall(sock, piece)

    def end(self) -> None:
        for task in self._tasks:
            task.cancel()
        for sock in self._sockets:
            # With a reset: one that has finished sending may still wait for an answer.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.close()


def bodies(stranger: Stranger, addresses: list[str]) -> None:
    """Bodies of mapped routes that are never whole."""
    size = LimitSettings().body
    for number in range(CONNECTIONS * len(addresses)):
        head = POST + b"Content-Length: %d\r\n\r\n" % size
        pieces = [head, *[b" " * (MIB - 1)] * (size // MIB)]
        stranger.begin(addresses[number % len(addresses)], pieces)


def messages(stranger: Stranger, addresses: list[str]) -> None:
    """WebSocket messages in fragments that are never whole."""
    frames = [
        wire(TEXT if not number else CONTINUATION, b" " * (MIB - 1), fin=False, key=MASK)
        for number in range(LimitSettings().message // MIB)
    ]
    for number in range(CONNECTIONS * len(addresses)):
        stranger.begin(addresses[number % len(addresses)], [handshake(b"/ws/", MODERN), *frames])


def answers(stranger: Stranger, addresses: list[str]) -> None:
    """Answers that are shared, each asked for by somebody who reads nothing."""
    for number in range(4 * CONNECTIONS * len(addresses)):
        pieces = [GET % (b"/polled/%d" % number)]
        stranger.begin(addresses[number % len(addresses)], pieces)


def readers(stranger: Stranger, addresses: list[str]) -> None:
    """Large answers of mapped routes for those who read nothing."""
    for number in range(CONNECTIONS * len(addresses)):
        stranger.begin(addresses[number % len(addresses)], [GET % b"/mapped"])


LARGE_FIELDS = b"".join(b"X-%d: %b\r\n" % (number, b"x" * 15_000) for number in range(4))


def heads(stranger: Stranger, addresses: list[str]) -> None:
    """Heads that are never whole."""
    for number in range(8 * CONNECTIONS * len(addresses)):
        stranger.begin(
            addresses[number % len(addresses)], [b"GET / HTTP/1.1\r\nHost: h\r\n" + LARGE_FIELDS]
        )


WAITS = b"GET /waits HTTP/1.1\r\nHost: h\r\n" + LARGE_FIELDS + b"\r\n"


def waiting(stranger: Stranger, addresses: list[str]) -> None:
    """Requests with large heads that the server does not answer."""
    for number in range(14 * CONNECTIONS * len(addresses)):
        stranger.begin(addresses[number % len(addresses)], [WAITS])


async def served(process: Process) -> None:
    """Somebody else has a body and a message rewritten."""
    host, _, port = process.address.rpartition(":")
    peer = RawPeer(*await asyncio.open_connection(host, int(port)))
    try:
        body = b'{"a":"%b"}' % (b"x" * 50_000)
        await peer.send(POST + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        head, said = await peer.read_response()
        assert status_of(head) == 200, head + said
        assert said == body.replace(b'"a"', b'"b"')
    finally:
        await peer.close()
    peer = RawPeer(*await asyncio.open_connection(host, int(port)))
    try:
        await peer.send(handshake(b"/ws/", MODERN))
        assert status_of(await peer.read_head()) == 101
        assert await peer.read(15) == b'\x81\x0d{"b":"hello"}'
    finally:
        peer.reset()


async def until(process: Process, name: str, condition: Callable[[float], bool]) -> None:
    """Wait until a sum of the metrics is as it has to be."""
    async with asyncio.timeout(PATIENCE):
        while not condition(await process.total(name)):  # noqa: ASYNC110 (it tells nobody)
            await asyncio.sleep(0.05)


REFUSED: Final = "segue_memory_refusals_total"
RESERVED: Final = "segue_memory_reserved_bytes"

ONE: Final = ["127.0.7.1"]
MANY: Final = [f"127.0.8.{number}" for number in range(1, 7)]


@pytest.mark.parametrize("addresses", [ONE, MANY], ids=["one address", "many addresses"])
async def test_strangers_stay_under_what_the_manifest_allows_and_others_are_served(
    tmp_path: Path, addresses: list[str], record_property: Callable[[str, object], None]
) -> None:
    async with serving(tmp_path) as process:
        await served(process)
        figures = {"before": process.resident()}
        for attempt in (bodies, messages, answers, readers, heads, waiting):
            refused = await process.total(REFUSED)
            stranger = Stranger(process)
            attempt(stranger, addresses)
            try:
                # It has got to where there is no room.
                await until(process, REFUSED, refused.__lt__)
                for _ in range(5):
                    await served(process)
                figures[attempt.__name__] = process.resident()
            finally:
                stranger.end()
            await until(process, RESERVED, lambda value: not value)
        figures["after"], figures["peak"] = process.resident(), peak(process)
        shown = {name: round(size / MIB) for name, size in figures.items()}
        record_property("MiB resident", shown)
        assert figures["peak"] < allowed(), shown


async def test_the_head_of_a_request_that_waits_is_held_once(tmp_path: Path) -> None:
    count = 400
    async with serving(tmp_path) as process:
        await served(process)
        before = process.resident()
        stranger = Stranger(process)
        try:
            for _ in range(count):
                stranger.begin(ONE[0], [WAITS])
            await until(process, RESERVED, lambda value: value > count * len(LARGE_FIELDS))
            each = (process.resident() - before) / count
        finally:
            stranger.end()
        await until(process, RESERVED, lambda value: not value)
        # Beside what any connection takes: twice would be more than that.
        assert each < 1.8 * len(WAITS), each
