"""Bounded traffic through a proxy, both of its ends in the test: nothing may be lost on the way.

The server numbers what it sends on each WebSocket, and says at the end how much that was; the
client counts what it gets. Requests are POST, which no client repeats by itself.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import aiohttp
from aiohttp import web

from tests.support.waiting import PATIENCE

_PAUSE = 0.004
_RESTART = 1012
_CLEAN = 1000


@dataclass
class Origin:
    """The old server: echoes requests, and sends numbered messages on WebSockets."""

    url: str = ""
    requests: int = 0
    sent: int = 0
    received: int = 0

    async def echo(self, request: web.Request) -> web.Response:
        self.requests += 1
        return web.Response(body=await request.read())

    async def talk(self, request: web.Request) -> web.WebSocketResponse:
        """Send messages of the old kind until asked to stop; then say how many there were."""
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        stop = asyncio.Event()
        speaker = asyncio.create_task(self._speak(socket, stop))
        try:
            async for _ in socket:
                self.received += 1
                stop.set()
        finally:
            stop.set()
            await speaker
        return socket

    async def _speak(self, socket: web.WebSocketResponse, stop: asyncio.Event) -> None:
        number = 0
        with suppress(ConnectionError):
            while not stop.is_set() and not socket.closed:
                await socket.send_json({"kind": "jobStatus", "number": number, "big": 10**30})
                number += 1
                self.sent += 1
                await asyncio.sleep(_PAUSE)
            if not socket.closed:
                await socket.send_json({"kind": "error", "sent": number})
                self.sent += 1
                await socket.close()


@asynccontextmanager
async def origin() -> AsyncIterator[Origin]:
    """Run such a server."""
    state = Origin()
    application = web.Application()
    application.router.add_post("/echo", state.echo)
    application.router.add_get("/ws", state.talk)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    state.url = f"http://{host}:{port}"
    try:
        yield state
    finally:
        await runner.cleanup()


@dataclass
class Session:
    """What one WebSocket has got: the messages, in their order, and the code that ended it."""

    messages: list[dict[str, Any]] = field(default_factory=list)
    code: int | None = None


@dataclass
class Load:
    """The clients.

    Attributes:
        answered: requests that were answered rightly.
        sessions: all WebSockets there were.
        faults: whatever was lost; empty if all is well.
    """

    address: str
    headers: dict[str, str]
    answered: int = 0
    sessions: list[Session] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    stopping: bool = False
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    @property
    def messages(self) -> int:
        """How many messages the WebSockets have got."""
        return sum(len(session.messages) for session in self.sessions)

    async def pass_by(self, more: int = 20) -> None:
        """Let this many more requests be answered, and messages arrive."""
        requests, messages = self.answered + more, self.messages + more
        async with asyncio.timeout(PATIENCE):
            while self.answered < requests or self.messages < messages:
                await asyncio.sleep(_PAUSE)
                assert not self.faults, self.faults

    async def end(self) -> None:
        """Let every client finish what it is at; whatever was lost fails the test."""
        self.stopping = True
        _, pending = await asyncio.wait(self.tasks, timeout=PATIENCE)
        for task in pending:
            task.cancel()
        assert not pending, "clients hang"
        for task in self.tasks:
            task.result()
        assert self.faults == []

    async def ask(self, *, keep: bool) -> None:
        """Send one request after the other, on one connection or each on its own."""
        connector = aiohttp.TCPConnector(force_close=not keep)
        async with aiohttp.ClientSession(connector=connector) as client:
            for number in count():
                if self.stopping:
                    return
                body = b"%d" % number * 50
                try:
                    async with client.post(f"http://{self.address}/echo", data=body) as answer:
                        if answer.status != 200 or await answer.read() != body:
                            self.faults.append(f"request: status {answer.status}")
                        else:
                            self.answered += 1
                except (aiohttp.ClientError, OSError) as error:
                    self.faults.append(f"request: {error!r}")
                await asyncio.sleep(_PAUSE)

    async def stay(self) -> None:
        """Open one more WebSocket, to the end; it has got its first message on return."""
        session = Session()
        self.tasks.append(asyncio.create_task(self.listen(None, session)))
        async with asyncio.timeout(PATIENCE):
            while not session.messages:  # noqa: ASYNC110 (a count tells nobody)
                await asyncio.sleep(_PAUSE)

    async def listen(self, lifetime: float | None, first: Session | None = None) -> None:
        """Hold a WebSocket, for some seconds or to the end; after 1012 come back at once."""
        loop = asyncio.get_running_loop()
        async with aiohttp.ClientSession() as client:
            while not self.stopping:
                session, first = first or Session(), None
                self.sessions.append(session)
                end = None if lifetime is None else loop.time() + lifetime
                try:
                    async with client.ws_connect(
                        f"http://{self.address}/ws", headers=self.headers
                    ) as socket:
                        await self._follow(socket, session, end)
                except (aiohttp.ClientError, OSError) as error:
                    self.faults.append(f"websocket: {error!r}")

    async def _follow(
        self, socket: aiohttp.ClientWebSocketResponse, session: Session, end: float | None
    ) -> None:
        loop = asyncio.get_running_loop()
        asked = False
        async for message in socket:
            content = json.loads(message.data)
            if "sent" in content:
                if content["sent"] != len(session.messages):
                    self.faults.append(f"websocket: {len(session.messages)} of {content['sent']}")
                continue
            if content["number"] != len(session.messages) or content["big"] != 10**30:
                self.faults.append(f"websocket: {content} after {len(session.messages)}")
            session.messages.append(content)
            if not asked and (self.stopping or (end is not None and loop.time() > end)):
                asked = True
                await socket.send_json({"kind": "chat", "content": "stop"})
        session.code = socket.close_code
        if session.code != _RESTART and not (asked and session.code == _CLEAN):
            self.faults.append(f"websocket: ended with {session.code}")


@asynccontextmanager
async def load(
    address: str, version: str | None = "2.0", *, lifetime: float = 0.3
) -> AsyncIterator[Load]:
    """Keep clients busy until the end of the block; whatever was lost fails the test.

    Four send requests, two of them on a new connection each time; four hold WebSockets, two of
    them for `lifetime` seconds each.
    """
    headers = {} if version is None else {"X-Client-Version": version}
    state = Load(address, headers)
    clients = [state.ask(keep=keep) for keep in (True, True, False, False)]
    clients += [state.listen(time) for time in (None, None, lifetime, lifetime)]
    state.tasks = [asyncio.create_task(client) for client in clients]
    try:
        await state.pass_by()
        yield state
        if not state.stopping:
            await state.pass_by()
    finally:
        await state.end()


@asynccontextmanager
async def balancer(target: Callable[[], str]) -> AsyncIterator[str]:
    """Stand for a load balancer: each new connection goes to where `target` says; its address."""

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
            if writer.can_write_eof():
                writer.write_eof()

    carrying: set[asyncio.Task[None]] = set()

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        carrying.add(task)
        task.add_done_callback(carrying.discard)
        host, _, port = target().removeprefix("http://").rpartition(":")
        back, forth = await asyncio.open_connection(host, int(port))
        try:
            await asyncio.gather(copy(reader, forth), copy(back, writer))
        finally:
            forth.close()
            writer.close()

    server = await asyncio.start_server(carry, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    try:
        yield f"{host}:{port}"
    finally:
        server.close()
        # The clients have got all they waited for; a connection may still be half open.
        for task in tuple(carrying):
            task.cancel()
        await asyncio.gather(*carrying, return_exceptions=True)
