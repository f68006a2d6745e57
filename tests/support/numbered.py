"""Numbered messages both ways on many WebSockets, and numbered requests: who got what, and when.

Server and clients are here, on one clock. The server numbers what it sends on each WebSocket, and
so does the client; an echo carries the marks that its request had when it reached the server.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import jwt
from aiohttp import web

from tests.support.explained import Client, Got, Marks
from tests.support.waiting import PATIENCE

RESTART = 1012
_SECRET = "of the server alone; nothing here verifies it"


def marks_of(message: dict[str, Any], names: Sequence[str]) -> Marks:
    """What a message shows; a mapping marks it twice, so that half of one would show."""
    for name in names:
        assert message.get(name) == message.get(f"{name}_too"), f"half a mapping: {message}"
    return tuple((name, message[name]) for name in names if name in message)


def fields_of(client: Client) -> dict[str, str]:
    """The fields of a client's requests."""
    return {"X-Client-Version": client.version, **bearer(client.user)}


def bearer(user: str) -> dict[str, str]:
    """The field of a client that says who it is."""
    now = int(time.time())
    claims = {"user_id": user, "token_type": "access", "iat": now, "exp": now + 3600}
    return {"Authorization": f"Bearer {jwt.encode(claims, _SECRET)}"}


@dataclass
class Numbered:
    """One WebSocket, from both ends.

    Attributes:
        client: whose it is.
        begun, opened: when its handshake was sent, and when it was answered.
        sent: when the server sent each message.
        got: the messages that the client got, in their order.
        told: how many the server said there were; None where it never came to that.
        spoken: when the client sent each message.
        heard: the messages that the server got, in their order.
        code, ended: how it was closed, and when.
    """

    client: Client
    begun: float = 0.0
    opened: float = 0.0
    sent: list[float] = field(default_factory=list)
    got: list[tuple[float, dict[str, Any]]] = field(default_factory=list)
    told: int | None = None
    spoken: list[float] = field(default_factory=list)
    heard: list[tuple[float, dict[str, Any]]] = field(default_factory=list)
    code: int | None = None
    ended: float = 0.0

    def from_server(self, names: Sequence[str]) -> list[Got]:
        return [Got(self.sent[m["number"]], at, marks_of(m, names)) for at, m in self.got]

    def from_client(self, names: Sequence[str]) -> list[Got]:
        return [Got(self.spoken[m["number"]], at, marks_of(m, names)) for at, m in self.heard]


@dataclass
class Echoed:
    """One request: when it was sent and answered, and what request and answer show."""

    client: Client
    sent: float
    arrived: float
    asked: dict[str, Any]
    answer: dict[str, Any]


@dataclass
class NumberedServer:
    """The old server.

    Attributes:
        url: where it is.
        pause: seconds between two messages on a WebSocket.
        sockets: by the number in their path.
    """

    url: str = ""
    pause: float = 0.4
    requests: int = 0
    sockets: dict[str, Numbered] = field(default_factory=dict)

    async def echo(self, request: web.Request) -> web.Response:
        self.requests += 1
        asked = json.loads(await request.read())
        answer = {"kind": "answer", "number": asked["number"], "asked": asked}
        return web.json_response(answer)

    async def talk(self, request: web.Request) -> web.WebSocketResponse:
        """Send numbered messages until asked to stop; then say how many there were."""
        ours = self.sockets[request.match_info["number"]]
        socket = web.WebSocketResponse(compress=False)
        await socket.prepare(request)
        stop = asyncio.Event()
        speaker = asyncio.create_task(self._speak(socket, ours, stop))
        try:
            async for message in socket:
                content = json.loads(message.data)
                ours.heard.append((time.monotonic(), content))
                if "stop" in content:
                    stop.set()
        finally:
            stop.set()
            await speaker
        return socket

    async def _speak(
        self, socket: web.WebSocketResponse, ours: Numbered, stop: asyncio.Event
    ) -> None:
        with suppress(ConnectionError):
            while not stop.is_set() and not socket.closed:
                ours.sent.append(time.monotonic())
                await socket.send_json({"kind": "jobStatus", "number": len(ours.sent) - 1})
                with suppress(TimeoutError):
                    async with asyncio.timeout(self.pause):
                        await stop.wait()
            if not socket.closed:
                await socket.send_json({"kind": "error", "sent": len(ours.sent)})
                await socket.close()


@asynccontextmanager
async def numbered_server(pause: float) -> AsyncIterator[NumberedServer]:
    """Run such a server."""
    state = NumberedServer(pause=pause)
    application = web.Application()
    application.router.add_post("/echo", state.echo)
    application.router.add_get("/ws/{number}", state.talk)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=1024).start()
    host, port = runner.addresses[0][:2]
    state.url = f"http://{host}:{port}"
    try:
        yield state
    finally:
        await runner.cleanup()


@dataclass
class NumberedLoad:
    """The clients.

    Attributes:
        address: of Segue.
        server: behind it.
        sockets: all WebSockets there were.
        echoes: all requests that were answered.
        faults: whatever was lost; empty if all is well.
    """

    address: str
    server: NumberedServer
    sockets: list[Numbered] = field(default_factory=list)
    echoes: list[Echoed] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    opened: int = 0
    stopping: asyncio.Event = field(default_factory=asyncio.Event)

    async def hold(self, http: aiohttp.ClientSession, client: Client) -> None:
        """Hold a WebSocket; after 1012, come back at once."""
        fields = fields_of(client)
        is_first = True
        while is_first or not self.stopping.is_set():
            ours = Numbered(client, begun=time.monotonic())
            number = str(len(self.sockets))
            self.sockets.append(ours)
            self.server.sockets[number] = ours
            try:
                async with http.ws_connect(
                    f"http://{self.address}/ws/{number}", headers=fields
                ) as socket:
                    ours.opened = time.monotonic()
                    self.opened += is_first
                    is_first = False
                    await self._follow(socket, ours)
            except (aiohttp.ClientError, OSError) as error:
                self.faults.append(f"websocket: {error!r}")
                return

    async def _follow(self, socket: aiohttp.ClientWebSocketResponse, ours: Numbered) -> None:
        speaking = asyncio.create_task(self._speak(socket, ours))
        try:
            async for message in socket:
                content = json.loads(message.data)
                if "sent" in content:
                    ours.told = content["sent"]
                    continue
                if content["number"] != len(ours.got):
                    self.faults.append(f"websocket: {content} after {len(ours.got)}")
                    return
                ours.got.append((time.monotonic(), content))
        finally:
            speaking.cancel()
            await asyncio.wait((speaking,))
        ours.code, ours.ended = socket.close_code, time.monotonic()

    async def _speak(self, socket: aiohttp.ClientWebSocketResponse, ours: Numbered) -> None:
        with suppress(ConnectionError):
            while not socket.closed:
                last = {"stop": True} if self.stopping.is_set() else {}
                ours.spoken.append(time.monotonic())
                await socket.send_json({"kind": "chat", "number": len(ours.spoken) - 1, **last})
                if last:
                    return
                with suppress(TimeoutError):
                    async with asyncio.timeout(self.server.pause):
                        await self.stopping.wait()

    async def ask(self, http: aiohttp.ClientSession, client: Client, rate: float) -> None:
        """Send one request after the other, no more than `rate` a second."""
        fields = fields_of(client)
        due = time.monotonic()
        while not self.stopping.is_set():
            number = len(self.echoes)
            sent = time.monotonic()
            try:
                async with http.post(
                    f"http://{self.address}/echo",
                    json={"kind": "question", "number": number},
                    headers=fields,
                ) as answer:
                    text = await answer.read()
                    if answer.status != 200:
                        self.faults.append(f"request: status {answer.status}: {text!r}")
                        return
                    content = json.loads(text)
            except (aiohttp.ClientError, OSError) as error:
                self.faults.append(f"request: {error!r}")
                return
            if content["number"] != number:
                self.faults.append(f"request: {content} for {number}")
            arrived = time.monotonic()
            self.echoes.append(Echoed(client, sent, arrived, content.pop("asked"), content))
            due = max(due + 1 / rate, arrived - 1)
            await asyncio.sleep(max(due - arrived, 0))

    @property
    def messages(self) -> int:
        """How many messages have arrived, at either end."""
        return sum(len(each.got) + len(each.heard) for each in self.sockets)

    async def pass_by(self, messages: int, requests: int) -> None:
        """Let this many more messages arrive, and requests be answered."""
        messages, requests = self.messages + messages, len(self.echoes) + requests
        async with asyncio.timeout(PATIENCE):
            while self.messages < messages or len(self.echoes) < requests:
                assert self.faults == []
                await asyncio.sleep(0.02)


@asynccontextmanager
async def numbered_load(
    address: str,
    server: NumberedServer,
    holding: Sequence[Client],
    asking: Sequence[Client],
    rate: float,
) -> AsyncIterator[NumberedLoad]:
    """Keep these clients busy until the end of the block.

    Args:
        address: of Segue.
        server: behind it.
        holding: each holds a WebSocket.
        asking: each sends requests, one after the other.
        rate: requests a second of all of them.
    """
    state = NumberedLoad(address, server)
    connector = aiohttp.TCPConnector(limit=0)
    timeout = aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as http:
        tasks = [asyncio.create_task(state.hold(http, client)) for client in holding]
        try:
            async with asyncio.timeout(PATIENCE):
                while state.opened < len(holding):
                    assert state.faults == []
                    await asyncio.sleep(0.02)
            share = rate / len(asking)
            tasks += [asyncio.create_task(state.ask(http, client, share)) for client in asking]
            yield state
        finally:
            state.stopping.set()
            _, pending = await asyncio.wait(tasks, timeout=PATIENCE)
            for task in pending:
                task.cancel()
        assert not pending, "clients hang"
        for task in tasks:
            task.result()
        assert state.faults == []
