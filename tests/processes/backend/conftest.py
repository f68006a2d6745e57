"""The real server in both dialects, and what tests do with it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import aiohttp
import pytest
import pytest_asyncio

from tests.conftest import require_component
from tests.support.backend import Backend
from tests.support.fleet import Servers
from tests.support.hops import ServerHop, server_hop
from tests.support.storages import RedisServer


@contextmanager
def running(backend: Backend) -> Iterator[Backend]:
    # On a loop of its own: the loops of the tests come and go, this server stays.
    asyncio.run(backend.start())
    try:
        yield backend
    finally:
        asyncio.run(backend.stop())
    assert "Traceback" not in backend.errors


@pytest.fixture(scope="session")
def old_backend(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    """The server as it is, with a PRD of 400 KiB and a short pause before each frame."""
    state_dir = tmp_path_factory.mktemp("old")
    with running(Backend(state_dir, prd_size=400 * 1024, script_delay=0.02)) as backend:
        yield backend


@pytest.fixture(scope="session")
def new_backend(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    """Its successor, which sends the new kinds."""
    with running(Backend(tmp_path_factory.mktemp("new"), dialect="new")) as backend:
        yield backend


@pytest_asyncio.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    """A plain client."""
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        yield session


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A store for a fleet; what tests leave in it are sessions of their own users."""
    server = RedisServer(require_component("redis-server"), tmp_path_factory.mktemp("fleet"))
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    state_dir = tmp_path_factory.mktemp("two-lives")
    with (
        # Of one second, a token that is issued where a second ends has `exp` equal to `iat`.
        running(Backend(state_dir, access_lifetime=2)) as brief,
        running(Backend(state_dir)) as steady,
    ):
        yield Servers(brief, steady)


@pytest_asyncio.fixture
async def hop(servers: Servers) -> AsyncIterator[ServerHop]:
    """In front of the server whose tokens live for an hour."""
    async with server_hop(servers.steady.url) as between:
        yield between
