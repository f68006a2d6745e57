"""A job on the real server, watched by several clients at once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final

import aiohttp
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from tests.support.backend import Account, Backend, create_job, register
from tests.support.rig import Segue
from tests.support.waiting import PATIENCE

NEW: Final = "client-version.2.1.0"
OLD: Final = "client-version.1.4"

FRAMES: Final = 10
"""How many frames a job sends, the user's own words among them."""

# Written down from the table in the description of the server: old kind, new kind, fields.
KINDS: Final = {
    "jobStatus": ("status", ["jobId", "status", "message", "timestamp"]),
    "agentDialogue": ("step", ["jobId", "agent", "message", "order", "timestamp"]),
    "stageUpdate": (
        "chat",
        ["jobId", "role", "sender", "content", "metadata", "timestamp"],
    ),
    "prdReady": ("app", ["jobId", "spec", "prdMarkdown", "timestamp"]),
}
OLD_ORDER: Final = [
    "stageUpdate",
    "jobStatus",
    "jobStatus",
    "agentDialogue",
    "stageUpdate",
    "agentDialogue",
    "jobStatus",
    "agentDialogue",
    "prdReady",
    "jobStatus",
]
NEW_ORDER: Final = [
    "chat",
    "status",
    "status",
    "step",
    "chat",
    "step",
    "status",
    "step",
    "app",
    "status",
]


@asynccontextmanager
async def watching(base: str, path: str, *subprotocols: str) -> AsyncIterator[ClientConnection]:
    """Open a job's WebSocket as a browser does: with `?token=` and an `Origin`."""
    async with connect(
        base.replace("http", "ws", 1) + path,
        subprotocols=[Subprotocol(name) for name in subprotocols] or None,
        origin="http://localhost:3000",  # type: ignore[arg-type]  # A text with a name of its own.
        max_size=None,
        ping_interval=None,
    ) as socket:
        yield socket


async def messages(socket: ClientConnection, count: int) -> list[str]:
    """The next messages, as they were sent."""
    received = []
    async with asyncio.timeout(PATIENCE):
        for _ in range(count):
            message = await socket.recv()
            assert isinstance(message, str)
            received.append(message)
    return received


class Job:
    """A new job of a new user."""

    def __init__(self, account: Account, data: dict[str, Any]) -> None:
        self.account = account
        self.data = data

    @property
    def path(self) -> str:
        return f"/ws/jobs/{self.data['id']}/?token={self.account.access}"

    @classmethod
    async def create(cls, http: aiohttp.ClientSession, base: str) -> Job:
        account = await register(http, base)
        return cls(account, await create_job(http, base, account))


async def watch_a_job(
    http: aiohttp.ClientSession, backend: Backend, proxy: Segue, *clients: str | None
) -> tuple[list[str], list[list[str]]]:
    """Run a job from its first chat message to its end.

    Args:
        clients: for each client behind the proxy the subprotocol that it offers.

    Returns:
        What a client at the backend itself got, and what each of the others got.
    """
    job = await Job.create(http, proxy.url)
    async with AsyncExitStack() as stack:
        direct = await stack.enter_async_context(watching(backend.url, job.path))
        sockets = [
            await stack.enter_async_context(
                watching(proxy.url, job.path, *([] if offered is None else [offered]))
            )
            for offered in clients
        ]
        for socket, offered in zip(sockets, clients, strict=True):
            assert socket.subprotocol == offered
        await sockets[0].send(json.dumps({"kind": "chat", "content": "Für Köche"}))
        gathered = await asyncio.gather(
            *(messages(socket, FRAMES) for socket in (direct, *sockets))
        )
    return gathered[0], gathered[1:]


def members(message: str) -> list[tuple[str, Any]]:
    """The members of a message in their order, with numbers as they are spelled."""
    return list(json.loads(message, parse_int=str, parse_float=str).items())
