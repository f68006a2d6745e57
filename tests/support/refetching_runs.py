"""Runs of the real client's pattern: the server's messages come before, at or after their commit.

A commit is an instant of the clock and not a step of a task, so that a busy machine does not have
the server break its word: a message overtakes what it tells of by less than `OVERTAKES`.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from dataclasses import dataclass, field
from typing import Final

from tests.support.authority import Authority, Client, Received, response
from tests.support.jobs_board import Board
from tests.support.rfc6455 import TEXT
from tests.support.rig import RawPeer
from tests.support.sockets import Socket, accept_of, fields_of, switch
from tests.support.waiting import PATIENCE

OVERTAKES: Final = 0.045
"""Seconds by which a message is before its commit at most."""

MESSAGES: Final = 3


@dataclass
class Run:
    """One page and one job.

    Attributes:
        asked: GETs at the server.
        gets: GETs of the page.
        stale: answers that lacked what a frame had told before the page asked.
        shown: the version that the page shows in the end.
    """

    board: Board
    client: Client
    job: str
    chance: random.Random
    asked: int = 0
    gets: int = 0
    stale: int = 0
    shown: int = 0
    _commits: list[tuple[float, int]] = field(default_factory=list)
    _servers: list[Socket] = field(default_factory=list)
    _sent: int = 0
    _received: int = 0
    _told: int = 0
    _due: asyncio.Queue[None] = field(default_factory=asyncio.Queue)
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)
    _opened: list[Socket] = field(default_factory=list)

    async def go(self) -> None:
        """Run it, until nothing more is on its way."""
        answers = self.board.server.answers
        paths = f"/api/jobs/{self.job}/", f"/ws/jobs/{self.job}/"
        answers[paths[0]], answers[paths[1]] = self._answer, self._shake
        most = self.chance.randint(1, 6)
        refetching = asyncio.create_task(self._refetch(most))
        try:
            self._due.put_nowait(None)
            await self._open()
            for version in range(1, MESSAGES + 1):
                await self._change(version)
                await asyncio.sleep(self.chance.choice((0, 0, 0.01, 0.03, 0.08)))
            async with asyncio.timeout(PATIENCE):
                while self._received < self._sent:  # noqa: ASYNC110 (it tells nobody)
                    await asyncio.sleep(0.005)
                await self._due.join()
        finally:
            for task in (refetching, *self._tasks):
                task.cancel()
            for socket in self._opened:
                socket.peer.abort()
            for path in paths:
                answers.pop(path)

    @property
    def _version(self) -> int:
        now = time.monotonic()
        return max((version for at, version in self._commits if at <= now), default=0)

    async def _answer(self, _: Authority, __: RawPeer, ___: Received) -> bytes:
        self.asked += 1
        version = self._version  # As it is when the question comes: the oldest that may be said.
        await asyncio.sleep(self.chance.choice((0, 0, 0.002, 0.01)))
        return response(200, json.dumps({"version": version}).encode())

    async def _shake(self, _: Authority, peer: RawPeer, received: Received) -> bytes:
        (key,) = fields_of(received.head, b"sec-websocket-key")
        await peer.send(switch(accept=accept_of(key)))
        self._servers.append(Socket(peer, is_client=False))
        await peer.read_all()
        return b""

    async def _change(self, version: int) -> None:
        """Commit and tell, in one order or the other."""
        overtakes = self.chance.choice((0.0, self.chance.uniform(0.0, OVERTAKES), -0.01))
        self._commits.append((time.monotonic() + max(overtakes, 0.0), version))
        if overtakes < 0:
            await asyncio.sleep(self.chance.uniform(0.0, -overtakes))
        message = json.dumps({"kind": "jobStatus", "jobId": self.job, "version": version}).encode()
        for socket in tuple(self._servers):
            self._sent += 1
            await socket.send(TEXT, message)
            await asyncio.sleep(0)

    async def _open(self) -> None:
        socket = await self.board.open(self.job, self.client)
        self._opened.append(socket)
        self._tasks.append(asyncio.create_task(self._read(socket)))

    async def _read(self, socket: Socket) -> None:
        while True:
            told = json.loads(await socket.message())["version"]
            self._told = max(self._told, told)
            self._due.put_nowait(None)
            self._received += 1

    async def _refetch(self, most: int) -> None:
        """Fetch once for each frame, one after the other; render, and open a WebSocket for it."""
        while True:
            await self._due.get()
            told = self._told
            self.gets += 1
            status, _, body = await self.client.send("GET", f"/api/jobs/{self.job}/")
            assert status == 200
            self.shown = json.loads(body)["version"]
            self.stale += self.shown < told
            if len(self._opened) < most:
                await self._open()
            self._due.task_done()
