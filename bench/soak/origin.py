"""The server behind Segue in a soak: echoes, downloads, polls, and WebSockets that keep count."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final
from urllib.parse import parse_qs

from bench.soak.accounts import STEADY, TO_CLIENT, TO_SERVER, Ledger
from bench.soak.wire import CLOSE, LINE_LIMIT, Broken, Head, Peer, accept_of, frame

BLOCK: Final = bytes(range(256)) * 256
"""64 KiB, of which downloads consist."""

_PAUSE: Final = 0.05
_FILLER: Final = 'Die Antwort enthält Umlaute, "quotes" and a \\ backslash. ' * 10


class Origin:
    """Serves raw connections.

    Attributes:
        address: `host:port`.
    """

    def __init__(self, ledger: Ledger) -> None:
        self.address = ""
        self._ledger = ledger
        self._serving: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Accept connections until the end of the block."""
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0, limit=LINE_LIMIT)
        host, port = server.sockets[0].getsockname()
        self.address = f"{host}:{port}"
        try:
            yield
        finally:
            server.close()
            for task in tuple(self._serving):
                task.cancel()
            await asyncio.gather(*self._serving, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)
        peer = Peer(reader, writer)
        try:
            while await self._serve(peer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # Clients that were reset; whether others were is told by the accounts.
        except (Broken, TimeoutError, ValueError) as error:
            self._ledger.faults.append(f"server: {error!r}")
        finally:
            await peer.close()

    async def _serve(self, peer: Peer) -> bool:
        """Answer one request; whether another may follow."""
        head = await peer.read_head()
        target = head.first.split(b" ")[1].decode()
        path, _, query = target.partition("?")
        if path == "/ws":
            options = {name: values[0] for name, values in parse_qs(query).items()}
            await self._talk(peer, head, options)
            return False
        if path == "/echo":
            if head.fields.get(b"expect"):
                await peer.send(b"HTTP/1.1 100 Continue\r\n\r\n")
            await self._echo(peer, head, await peer.read_body(head))
        elif path.startswith("/api/jobs/"):
            self._ledger.polled += 1
            body = json.dumps({"asked": self._ledger.polled, "text": _FILLER}).encode()
            await asyncio.sleep(random.uniform(0, 0.01))  # Long enough for others to ask.
            await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body), body)
        else:
            blocks = int(query)
            size = blocks * len(BLOCK)
            await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
            for _ in range(blocks):
                await peer.send(BLOCK)
        return True

    async def _echo(self, peer: Peer, head: Head, body: bytes) -> None:
        if b"transfer-encoding" not in head.fields:
            await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body), body)
            return
        await peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for start in range(0, len(body), 10_000):
            piece = body[start : start + 10_000]
            await peer.send(b"%x\r\n%b\r\n" % (len(piece), piece))
        await peer.send(b"0\r\n\r\n")

    async def _talk(self, peer: Peer, head: Head, options: dict[str, str]) -> None:
        """Hold a WebSocket: send until asked to stop, then say how much it was, and close.

        Options:
            who: the cohort.
            burst: messages that are sent at once, before a pause.
        """
        who, burst = options["who"], int(options["burst"])
        await peer.send(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: %b\r\n\r\n" % accept_of(head.fields[b"sec-websocket-key"])
        )
        stop = asyncio.Event()
        listener = asyncio.create_task(self._listen(peer, who, stop))
        try:
            sent = await self._speak(peer, who, burst, stop)
            self._ledger.sent[who, TO_CLIENT, "end"] += 1
            await peer.send(frame({"kind": "end", "sent": sent}))
            await peer.send(frame((1000).to_bytes(2, "big"), opcode=CLOSE))
            await listener
        finally:
            listener.cancel()
            with suppress(asyncio.CancelledError, ConnectionError, asyncio.IncompleteReadError):
                await listener

    async def _speak(self, peer: Peer, who: str, burst: int, stop: asyncio.Event) -> int:
        sent, books = 0, self._ledger.sent
        while not stop.is_set():
            frames = []
            for _ in range(burst):
                kind = random.choices(
                    ("jobStatus", "plain", "batch", "noise", "clash"), (60, 20, 10, 5, 5)
                )[0]
                message = {"kind": kind, "number": sent, "text": _FILLER, "big": 10**30}
                if kind == "batch":
                    message["events"] = [1, 2.50, {"three": 3}]
                elif kind == "clash":
                    message["n"] = 0
                frames.append(frame(message))
                books[who, TO_CLIENT, kind] += 1
                sent += 1
            await peer.send(*frames)
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), _PAUSE * random.uniform(0.5, 1.5))
        return sent

    async def _listen(self, peer: Peer, who: str, stop: asyncio.Event) -> None:
        """Count what the client sends, and heed its wish to end."""
        arrived: dict[str, int] = {}
        try:
            while (message := await peer.read_message()) is not None:
                kind = message["kind"]
                self._ledger.arrived[who, TO_SERVER, kind] += 1
                arrived[kind] = arrived.get(kind, 0) + 1
                if kind == "chat" and "content" not in message:
                    raise Broken("a message that was not mapped")
                if kind == "stop":
                    if who == STEADY and message["chats"] != arrived.get("chat", 0):
                        raise Broken(f"{arrived.get('chat', 0)} of {message['chats']} chats")
                    stop.set()
        finally:
            stop.set()
