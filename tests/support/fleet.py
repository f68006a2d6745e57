"""Several processes of Segue in front of one server, and the users they keep logged in."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import jwt

from proxy.tokens.sealing import new_key
from tests.support.backend import Account, Backend, register
from tests.support.hops import ServerHop
from tests.support.process import Process, running
from tests.support.rig import CONFIG

KEY = new_key()
"""Seals what every process here keeps."""


@dataclass(frozen=True, slots=True)
class Servers:
    """One server in two processes: tokens live for a second at the one, for an hour at the other.

    A crowd takes longer to be served than tokens live that tests can wait for the end of.
    """

    brief: Backend
    steady: Backend


def settings(upstream: str, store: str, **more: str) -> dict[str, str]:
    """The environment of a process.

    Args:
        upstream: the URL of the server.
        store: the URL of the store.
        more: further settings.
    """
    return {
        "SEGUE_UPSTREAM__URL": upstream,
        "SEGUE_STORE__URL": store,
        "SEGUE_STORE__KEYS": KEY,
        "SEGUE_LOG__LEVEL": "debug",
        # How long a crowd waits for the server is a matter of the machine.
        "SEGUE_TIMEOUTS__RESPONSE": "300s",
        **more,
    }


@asynccontextmanager
async def processes(number: int, env: Mapping[str, str]) -> AsyncIterator[list[Process]]:
    """Run the shipped configuration so many times, with these settings."""
    async with AsyncExitStack() as stack:
        runs = (stack.enter_async_context(running(CONFIG, env=env)) for _ in range(number))
        yield list(await asyncio.gather(*runs))


@asynccontextmanager
async def crowd() -> AsyncIterator[aiohttp.ClientSession]:
    """A client with as many connections as it has requests."""
    connector = aiohttp.TCPConnector(limit=0)
    timeout = aiohttp.ClientTimeout(total=300)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        yield session


async def me(http: aiohttp.ClientSession, process: Process, token: str) -> int:
    """Ask who one is; the status."""
    headers = {"Authorization": f"Bearer {token}"}
    url = f"http://{process.address}/api/auth/me/"
    async with http.get(url, headers=headers) as response:
        await response.read()
        return response.status


async def exchange(
    http: aiohttp.ClientSession, process: Process, refresh: str
) -> tuple[int, dict[str, Any]]:
    """Refresh as a client does by itself: status and answer."""
    url = f"http://{process.address}/api/auth/token/refresh/"
    async with http.post(url, json={"refresh": refresh}) as response:
        return response.status, await response.json(content_type=None)


async def ended(*tokens: str) -> None:
    """Wait until nobody takes any of these tokens any more.

    Segue counts a token's life from when it came, for clocks differ: on a slow machine that ends
    later than the token says.
    """
    came = time.time()
    claims = [jwt.decode(token, options={"verify_signature": False}) for token in tokens]
    ends = [max(said["exp"], came + said["exp"] - said["iat"]) for said in claims]
    await asyncio.sleep(max(ends) - came + 0.05)


async def expired(
    hop: ServerHop, servers: Servers, process: Process, number: int = 1
) -> list[Account]:
    """Users whose access tokens have ended; those that are issued from here on live long."""
    hop.server = servers.brief.url
    async with aiohttp.ClientSession() as http:
        users = [await register(http, f"http://{process.address}") for _ in range(number)]
    hop.server = servers.steady.url
    await ended(*(user.access for user in users))
    return users


def kept_by(directory: Path) -> bytes:
    """All bytes of all files in a directory."""
    return b"".join(file.read_bytes() for file in sorted(directory.rglob("*")) if file.is_file())
