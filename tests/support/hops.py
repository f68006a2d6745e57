"""What stands between Segue and its neighbours in a test: it counts, writes down, and holds.

Each process under test is the real one, and so are the server and the store. What a test wants to
stop at a certain moment, it stops on the wire.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, Final

import aiohttp
from aiohttp import web

from tests.support.waiting import PATIENCE

REFRESH: Final = "/api/auth/token/refresh/"
_ROOM: Final = 2048
"""Connections that wait to be accepted: a thousand come at once."""

_END_TO_END: Final = frozenset(
    {"authorization", "content-type", "www-authenticate", "host", "accept", "allow", "vary"}
)


class Place(Enum):
    """Where a hop holds something."""

    REQUEST = auto()
    ANSWER = auto()


class Gate:
    """Where what was sent waits, until it is known what is to become of it."""

    def __init__(self) -> None:
        self._arrived = asyncio.Event()
        self._fate: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    async def reached(self) -> None:
        """Wait until something waits here."""
        async with asyncio.timeout(PATIENCE):
            await self._arrived.wait()

    def open(self) -> None:
        """Let it go on, and whatever comes later."""
        if not self._fate.done():
            self._fate.set_result(True)

    def drop(self) -> None:
        """Lose it, because its sender has died."""
        if not self._fate.done():
            self._fate.set_result(False)

    async def pass_by(self) -> bool:
        """Wait for one's fate: whether to go on."""
        self._arrived.set()
        return await asyncio.shield(self._fate)


@dataclass
class Presentation:
    """A refresh token that came by on its way to the server.

    Attributes:
        token: the token.
        answered: the status of the server's answer, once it has been passed on; 0 before.
    """

    token: str
    answered: int = 0


@dataclass
class ServerHop:
    """In front of the server, for HTTP; it knows every token that was ever issued.

    Attributes:
        server: the URL of where it leads to; may be changed at any time.
        issuer: the same for the routes of tokens, where that is another one.
        url: where it listens.
        requests: all that came by, by method and path.
        refused: answers with 401, by path.
        presented: the refresh tokens, in the order of their arrival.
        issued: all tokens in the server's answers, and whether each is for access or refresh.
    """

    server: str
    issuer: str = ""
    url: str = ""
    requests: Counter[tuple[str, str]] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    presented: list[Presentation] = field(default_factory=list)
    issued: dict[str, str] = field(default_factory=dict)
    _gates: dict[tuple[Place, str], Gate] = field(default_factory=dict)

    def _target(self, path: str) -> str:
        is_issuing = path.startswith("/api/auth/") and path != "/api/auth/me/"
        return self.issuer if self.issuer and is_issuing else self.server

    def hold(self, place: Place, key: str) -> Gate:
        """Hold what comes to a place, in front of the gate that is returned.

        Args:
            place: where.
            key: which: refreshes with this token, or other requests for this path.
        """
        return self._gates.setdefault((place, key), Gate())

    async def _goes_on(self, place: Place, key: str) -> bool:
        gate = self._gates.get((place, key))
        return gate is None or await gate.pass_by()

    def lose(self) -> None:
        """Lose whatever is held, and hold nothing any more."""
        for gate in self._gates.values():
            gate.drop()
        self._gates.clear()

    def presentations(self, token: str) -> list[int]:
        """What came of each presentation of a token: a status, or 0."""
        return [each.answered for each in self.presented if each.token == token]

    @property
    def twice_though_known(self) -> list[str]:
        """Tokens that were presented again after the answer to the first time had arrived."""
        known: set[str] = set()
        guilty = []
        for each in self.presented:
            if each.token in known:
                guilty.append(each.token)
            if each.answered:
                known.add(each.token)
        return guilty

    async def carry(
        self, client: aiohttp.ClientSession, request: web.BaseRequest
    ) -> web.StreamResponse:
        """Pass a request on, and its answer back."""
        self.requests[request.method, request.path] += 1
        body = await request.read()
        presentation = Presentation(request.path)
        if request.path == REFRESH:
            presentation.token = json.loads(body)["refresh"]
            self.presented.append(presentation)
        if not await self._goes_on(Place.REQUEST, presentation.token):
            return web.Response(status=499)  # Nobody reads it: the server never heard of it.
        async with client.request(
            request.method,
            self._target(request.path) + request.path_qs,
            headers=_carried(request.headers),
            data=body,
        ) as answer:
            content = await answer.read()
        self.issued |= _tokens(content)
        if answer.status == 401:
            self.refused[request.path] += 1
        if not await self._goes_on(Place.ANSWER, presentation.token):
            return web.Response(status=499)
        response = web.Response(
            status=answer.status, body=content, headers=_carried(answer.headers)
        )
        with suppress(ConnectionError):
            await response.prepare(request)
            await response.write_eof()
            if not _is_gone(request):
                presentation.answered = answer.status
        return response


def _is_gone(request: web.BaseRequest) -> bool:
    return request.transport is None or request.transport.is_closing()


def _carried(fields: Any) -> list[tuple[str, str]]:
    return [(name, value) for name, value in fields.items() if name.lower() in _END_TO_END]


def _tokens(content: bytes) -> dict[str, str]:
    if b'"access"' not in content:
        return {}
    said = json.loads(content)
    return {said[kind]: kind for kind in ("access", "refresh") if kind in said}


@asynccontextmanager
async def server_hop(server: str) -> AsyncIterator[ServerHop]:
    """Run a hop in front of a server.

    Args:
        server: its URL.
    """
    hop = ServerHop(server)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as client:

        async def handle(request: web.BaseRequest) -> web.StreamResponse:
            return await hop.carry(client, request)

        listener = web.Server(handle, access_log=None)
        loop = asyncio.get_running_loop()
        serving = await loop.create_server(listener, "127.0.0.1", 0, backlog=_ROOM)
        hop.url = f"http://127.0.0.1:{serving.sockets[0].getsockname()[1]}"
        try:
            yield hop
        finally:
            hop.lose()
            serving.close()
            await listener.shutdown(1)


@dataclass(frozen=True, slots=True)
class Step:
    """A command on its way to Redis.

    Attributes:
        script: the text of the script that it runs.
        place: whether it is held before Redis has done it, or only its answer.
        nth: which of these, from when the hop was told to watch for it.
    """

    script: str
    place: Place
    nth: int = 1


@dataclass
class _Watch:
    """A step that has not come yet, and how many more like it come before it."""

    step: Step
    gate: Gate
    left: int


class StoreHop:
    """In front of Redis; holds commands, or their answers.

    Attributes:
        port: where it listens.
    """

    def __init__(self, port: int) -> None:
        self.port = 0
        self._redis = port
        self._watches: list[_Watch] = []
        self._gates: list[Gate] = []

    def hold(self, step: Step) -> Gate:
        """Stop the next command that is this step, in front of the gate that is returned."""
        gate = Gate()
        self._watches.append(_Watch(step, gate, step.nth))
        self._gates.append(gate)
        return gate

    def lose(self) -> None:
        """Lose whatever is held, and hold nothing any more."""
        self._watches.clear()
        for gate in self._gates:
            gate.drop()

    async def carry(self, near: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        """Pass the commands of one connection on, and their answers back."""
        try:
            far, forth = await asyncio.open_connection("127.0.0.1", self._redis)
        except BaseException:
            back.close()
            raise
        held: Gate | None = None

        async def answer() -> None:
            while data := await far.read(65536):
                if held is not None and not await held.pass_by():
                    break
                back.write(data)
            back.close()

        answering = asyncio.create_task(answer())
        try:
            while command := await _command(near):
                raw, words = command
                held = None
                watch = self._watched(words)
                if watch is not None and watch.step.place is Place.ANSWER:
                    held = watch.gate
                elif watch is not None and not await watch.gate.pass_by():
                    break
                forth.write(raw)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            # Before anything is waited for: the end of the test may come at every wait.
            forth.close()
            back.close()
            answering.cancel()
            await asyncio.wait((answering,))

    def _watched(self, words: list[bytes]) -> _Watch | None:
        for watch in self._watches:
            if words[0] == b"EVALSHA" and words[1] == _sha(watch.step.script):
                watch.left -= 1
                if not watch.left:
                    self._watches.remove(watch)
                    return watch
        return None


def _sha(script: str) -> bytes:
    # The name that Redis gives a script; no secret hangs on it.
    return hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest().encode()


async def _command(reader: asyncio.StreamReader) -> tuple[bytes, list[bytes]] | None:
    """The next command (an array of strings, RESP 2), raw and in words; None at the end."""
    line = await reader.readline()
    if not line:
        return None
    raw, words = bytearray(line), []
    for _ in range(int(line[1:])):
        size = await reader.readline()
        word = await reader.readexactly(int(size[1:]) + 2)
        raw += size + word
        words.append(word[:-2])
    return bytes(raw), words


@asynccontextmanager
async def store_hop(port: int) -> AsyncIterator[StoreHop]:
    """Run a hop in front of a Redis on this port."""
    hop = StoreHop(port)
    carrying: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        carrying.add(task)
        task.add_done_callback(carrying.discard)
        await hop.carry(reader, writer)

    serving = await asyncio.start_server(accept, "127.0.0.1", 0)
    hop.port = serving.sockets[0].getsockname()[1]
    try:
        yield hop
    finally:
        hop.lose()
        serving.close()
        for task in tuple(carrying):
            task.cancel()
        await asyncio.gather(*carrying, return_exceptions=True)
