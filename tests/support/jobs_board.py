"""A server of jobs that have versions, which tells of each change when a test says so."""

from __future__ import annotations

import asyncio
import json
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from proxy.freshness.generations import Sign
from tests.support.authority import Authority, Client, Received, authority, proxied, response
from tests.support.rfc6455 import TEXT
from tests.support.rig import RawPeer, Segue
from tests.support.sockets import Socket, accept_of, fields_of, handshake, switch, turn
from tests.support.waiting import PATIENCE

ROUTE: Final = (
    "[{name: job, path: '/api/jobs/{id}/',"
    " fresh_until: {message: {jobId: id}, socket: '/ws/jobs/{id}/'}, at_most: 1h}]"
)


_HEARD: Final = (Sign.MESSAGE, Sign.UNREADABLE, Sign.COPY)


@dataclass
class Board:
    """A session's view of the server, and the server's own.

    Attributes:
        server, proxy, client: the parts.
        versions: of the jobs, as they are committed.
        asked: GETs that came to the server, by job.
        also: further fields of its answers.
        status: of its answers.
        padding: characters that they have besides.
        opened: the clients' ends of WebSockets.
        sockets: the server's ends, by job, in the order in which they came.
        holding: answers wait for it, where it is not set.
        arrived: one for each GET.
    """

    server: Authority
    proxy: Segue
    client: Client
    versions: Counter[str] = field(default_factory=Counter)
    asked: Counter[str] = field(default_factory=Counter)
    also: tuple[bytes, ...] = ()
    status: int = 200
    padding: int = 0
    sockets: defaultdict[str, list[Socket]] = field(default_factory=lambda: defaultdict(list))
    opened: list[Socket] = field(default_factory=list)
    holding: asyncio.Event = field(default_factory=asyncio.Event)
    arrived: asyncio.Queue[str] = field(default_factory=asyncio.Queue)

    def add(self, job: str) -> None:
        """Have a job of that name."""

        async def answer(_: Authority, __: RawPeer, received: Received) -> bytes:
            if received.head.startswith(b"GET "):
                self.asked[job] += 1
                found = {"id": job, "version": self.versions[job], "padding": "a" * self.padding}
                body = json.dumps(found).encode()
                self.arrived.put_nowait(job)
                await self.holding.wait()
                return response(self.status, body, *self.also)
            self.versions[job] += 1
            return response(200, b"{}")

        async def shake(_: Authority, peer: RawPeer, received: Received) -> bytes:
            (key,) = fields_of(received.head, b"sec-websocket-key")
            self.sockets[job].append(Socket(peer, is_client=False))
            return switch(accept=accept_of(key))

        self.server.answers[f"/api/jobs/{job}/"] = answer
        self.server.answers[f"/ws/jobs/{job}/"] = shake

    async def open(self, job: str = "1", client: Client | None = None) -> Socket:
        """Open a WebSocket for a job; the client's end."""
        peer = await self.proxy.connect()
        token = (client or self.client).access
        target = f"/ws/jobs/{job}/?token={token}" if token else f"/ws/jobs/{job}/"
        await peer.send(handshake(target.encode()))
        assert b" 101 " in await peer.read_head()
        socket = Socket(peer, is_client=True)
        self.opened.append(socket)
        return socket

    async def get(self, job: str = "1", *fields: bytes, client: Client | None = None) -> int:
        """Fetch a job; the version that came."""
        status, _, body = await (client or self.client).send(
            "GET", f"/api/jobs/{job}/", None, *fields
        )
        assert status == self.status, body
        return int(json.loads(body)["version"])

    async def tell(self, job: str = "1", message: Any = None) -> None:
        """Send a message to each WebSocket of a job; by default one that names it."""
        if message is None:
            message = {"kind": "jobStatus", "jobId": job, "version": self.versions[job]}
        for socket in self.sockets[job]:
            await socket.send(TEXT, json.dumps(message).encode())

    async def other(self) -> Client:
        """Somebody else, logged in."""
        client = Client(self.proxy)
        await client.log_in()
        return client

    async def counts(self) -> tuple[float, float, float]:
        """What the metrics page says: GETs received, sent on, and answered with what was kept."""
        names = ("requests", "upstream_requests", "given")
        found = [
            await self.proxy.metric(f"segue_coalescing_{name}_total", route="job") for name in names
        ]
        return found[0], found[1], found[2]

    async def reasons(self) -> dict[str, float]:
        """Why nothing was kept, as the metrics page says."""
        return {
            dict(labels)["reason"]: value
            for (name, labels), value in (await self.proxy.metrics()).items()
            if name == "segue_coalescing_not_kept_total" and value
        }


@asynccontextmanager
async def board(state_dir: Path, route: str = ROUTE, **settings: str) -> AsyncIterator[Board]:
    """Run it, with the jobs `1` and `2`, behind a Segue in which somebody has logged in."""
    async with (
        authority() as server,
        proxied(server, state_dir, COALESCING=route, **settings) as proxy,
    ):
        client = Client(proxy)
        await client.log_in()
        it = Board(server, proxy, client)
        it.holding.set()
        for job in ("1", "2"):
            it.add(job)
        try:
            yield it
        finally:
            it.holding.set()
            for socket in it.opened:
                await socket.peer.close()


async def heard(proxy: Segue, count: int) -> None:
    """Wait until so many messages were taken note of."""
    signs = proxy.server._data.freshness.generations.signs
    async with asyncio.timeout(PATIENCE):
        while sum(signs[each] for each in _HEARD) < count:  # noqa: ASYNC110 (it tells nobody)
            await asyncio.sleep(0.002)
    await turn()
