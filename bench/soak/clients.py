"""The clients of a soak: orderly ones, slow ones, and those that reset their connections."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final, cast

from bench.soak.accounts import STEADY, TO_CLIENT, TO_SERVER, WILD, Ledger
from bench.soak.origin import BLOCK
from bench.soak.wire import CLOSE, Broken, Peer, accept_of, frame, new_key

VERSIONS: Final = {STEADY: b"2.1.0", WILD: b"9.0"}

_GONE: Final = (ConnectionError, asyncio.IncompleteReadError)


class Clients:
    """All of them, until `stop`.

    Attributes:
        stopping: whether each should end what it is at.
    """

    def __init__(self, address: str, ledger: Ledger) -> None:
        """Connect to nobody yet.

        Args:
            address: `host:port` of Segue.
            ledger: where they count.
        """
        self.stopping = False
        self._address = address
        self._ledger = ledger
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin."""
        kinds: list[tuple[int, str, Callable[[], Awaitable[None]]]] = [
            (4, "requests", self.keep_asking),
            (2, "new connections", self.ask_anew),
            (12, "polls", self.poll),
            (1, "slow download", self.download_slowly),
            (2, "reset transfers", self.reset_a_transfer),
            (6, "WebSocket", lambda: self.follow(burst=1)),
            (2, "WebSocket in bursts", lambda: self.follow(burst=50)),
            (2, "slow WebSocket", lambda: self.follow(burst=200, slow=True)),
            (3, "reset WebSockets", self.reset_a_socket),
        ]
        for count, name, client in kinds:
            for _ in range(count):
                self._tasks.append(asyncio.create_task(self._until_stopped(name, client)))

    async def stop(self) -> None:
        """Let each end what it is at."""
        self.stopping = True
        await asyncio.gather(*self._tasks)

    async def _until_stopped(self, name: str, client: Callable[[], Awaitable[None]]) -> None:
        while not self.stopping:
            try:
                await client()
            except (Broken, TimeoutError, OSError, asyncio.IncompleteReadError) as error:
                self._ledger.faults.append(f"{name}: {error!r}")
            if len(self._ledger.faults) > 20:
                return

    # HTTP.

    async def keep_asking(self) -> None:
        """Send requests with bodies on one connection."""
        peer = await Peer.connect(self._address)
        goes_on = True
        while goes_on and not self.stopping:
            goes_on = await self._echo(peer)
            await asyncio.sleep(random.uniform(0, 0.03))
        await peer.close()

    async def ask_anew(self) -> None:
        """Send one request on a connection of its own."""
        peer = await Peer.connect(self._address)
        await self._echo(peer, b"Connection: close\r\n")
        if await peer.reader.read():
            raise Broken("bytes behind the answer")
        await peer.close()
        await asyncio.sleep(random.uniform(0, 0.05))

    async def _echo(self, peer: Peer, fields: bytes = b"") -> bool:
        """Ask for a body to be sent back; whether the connection goes on."""
        body = random.randbytes(random.choice((0, 10, 1_000, 20_000, 200_000)))
        self._ledger.requests += 1
        head = b"POST /echo HTTP/1.1\r\nHost: soak\r\n" + fields
        if random.random() < 0.5:
            await peer.send(head, b"Content-Length: %d\r\n\r\n" % len(body), body)
        else:
            await peer.send(head, b"Transfer-Encoding: chunked\r\n\r\n")
            for start in range(0, len(body), 7_000):
                piece = body[start : start + 7_000]
                await peer.send(b"%x\r\n%b\r\n" % (len(piece), piece))
            await peer.send(b"0\r\n\r\n")
        answer = await peer.read_head()
        if answer.status != 200 or await peer.read_body(answer) != body:
            raise Broken(f"an echo was answered with {answer.first!r}")
        return answer.fields.get(b"connection") != b"close"

    async def poll(self) -> None:
        """Ask what others ask too; no answer may be older than the question."""
        peer = await Peer.connect(self._address)
        for _ in range(50):
            self._ledger.requests += 1
            self._ledger.polls += 1
            before = self._ledger.polled
            await peer.send(
                b"GET /api/jobs/1/ HTTP/1.1\r\nHost: soak\r\nAuthorization: Bearer a.b.c\r\n\r\n"
            )
            answer = await peer.read_head()
            body = await peer.read_body(answer)
            if answer.status != 200 or json.loads(body)["asked"] <= before:
                raise Broken(f"a poll was answered with {answer.first!r}")
            await asyncio.sleep(random.uniform(0, 0.1))
            if self.stopping:
                break
        await peer.close()

    async def download_slowly(self) -> None:
        """Read a large answer with pauses, as a client on a bad line does."""
        peer = await Peer.connect(self._address)
        self._ledger.requests += 1
        blocks = random.randrange(16, 256)
        await peer.send(b"GET /download?%d HTTP/1.1\r\nHost: soak\r\n\r\n" % blocks)
        await peer.read_head()
        transport = cast(asyncio.ReadTransport, peer.writer.transport)
        for number in range(blocks):
            if number % 40 == 20 and not self.stopping:
                transport.pause_reading()
                await asyncio.sleep(0.5)
                transport.resume_reading()
            if await peer.reader.readexactly(len(BLOCK)) != BLOCK:
                raise Broken("a download was changed")
        await peer.close()

    async def reset_a_transfer(self) -> None:
        """Break off in the middle of an answer, or of a body."""
        peer = await Peer.connect(self._address)
        self._ledger.requests += 1
        if random.random() < 0.5:
            await peer.send(b"GET /download?160 HTTP/1.1\r\nHost: soak\r\n\r\n")
            await peer.read_head()
            await peer.reader.readexactly(random.randrange(1, 1 << 20))
        else:
            await peer.send(
                b"POST /echo HTTP/1.1\r\nHost: soak\r\nExpect: 100-continue\r\n"
                b"Content-Length: 1000000\r\n\r\n"
            )
            await peer.read_head()  # It was read as a request: it will be counted.
            await peer.send(bytes(random.randrange(1, 900_000)))
        peer.reset()
        self._ledger.resets += 1
        await asyncio.sleep(random.uniform(0, 0.2))

    # WebSocket.

    async def follow(self, *, burst: int, slow: bool = False) -> None:
        """Hold a socket for some seconds, and end it in an orderly way: nothing may be missing."""
        peer = await self._shake_hands(STEADY, burst)
        speaker = asyncio.create_task(self._chat(peer, random.uniform(2, 8)))
        transport = cast(asyncio.ReadTransport, peer.writer.transport)
        last, count = -1, 0
        try:
            while (message := await peer.read_message()) is not None:
                self._count(STEADY, message)
                if message["kind"] == "end":
                    continue
                count += 1
                if message["number"] < last or message["big"] != 10**30:
                    raise Broken(f"message {message['number']} after {last}")
                last = message["number"]
                if slow and not self.stopping and count % 2000 == 1000:
                    transport.pause_reading()
                    await asyncio.sleep(random.uniform(0.5, 3))
                    transport.resume_reading()
            await peer.send(frame((1000).to_bytes(2, "big"), opcode=CLOSE, mask=True))
            if await peer.reader.read():
                raise Broken("bytes behind the Close frame")
        finally:
            speaker.cancel()
            with suppress(asyncio.CancelledError, *_GONE):
                await speaker
            await peer.close()

    async def reset_a_socket(self) -> None:
        """Break a socket off in the middle of a stream both ways."""
        peer = await self._shake_hands(WILD, random.choice((1, 50, 200)))
        speaker = asyncio.create_task(self._chat(peer, None))
        try:
            async with asyncio.timeout(random.uniform(0, 1)):
                while (message := await peer.read_message()) is not None:
                    self._count(WILD, message)
        except TimeoutError:
            pass
        finally:
            peer.reset()
            self._ledger.resets += 1
            speaker.cancel()
            with suppress(asyncio.CancelledError, *_GONE):
                await speaker

    async def _shake_hands(self, who: str, burst: int) -> Peer:
        peer = await Peer.connect(self._address)
        key = new_key()
        self._ledger.requests += 1
        await peer.send(
            b"GET /ws?who=%b&burst=%d HTTP/1.1\r\nHost: soak\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %b\r\n"
            b"X-Client-Version: %b\r\n\r\n" % (who.encode(), burst, key, VERSIONS[who])
        )
        answer = await peer.read_head()
        if answer.status != 101 or answer.fields[b"sec-websocket-accept"] != accept_of(key):
            raise Broken(f"a handshake was answered with {answer.first!r}")
        self._ledger.handshakes += 1
        return peer

    async def _chat(self, peer: Peer, seconds: float | None) -> None:
        """Send messages; after some seconds ask for the end, and send no more."""
        who = WILD if seconds is None else STEADY
        loop = asyncio.get_running_loop()
        end = None if seconds is None else loop.time() + seconds
        chats, sent = 0, self._ledger.sent
        while end is None or (loop.time() < end and not self.stopping):
            kind = random.choices(("chat", "typing", "plain"), (6, 2, 2))[0]
            chats += kind == "chat"
            sent[who, TO_SERVER, kind] += 1
            await peer.send(frame({"kind": kind, "text": "hallo ☃"}, mask=True))
            await asyncio.sleep(random.uniform(0, 0.1))
        sent[who, TO_SERVER, "stop"] += 1
        await peer.send(frame({"kind": "stop", "chats": chats}, mask=True))

    def _count(self, who: str, message: dict[str, Any]) -> None:
        """Count what arrived under the kind that was sent, and look at what the mapping did."""
        kind = message["kind"]
        if kind in {"jobStatus", "noise"} or (kind == "batch") is not ("event" in message):
            raise Broken(f"a message of kind {kind} that was not mapped")
        if kind == "status":
            kind = "jobStatus"
        self._ledger.arrived[who, TO_CLIENT, kind] += 1
