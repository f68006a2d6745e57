"""Fixtures of the backend's own tests: one server for all that need nothing special of it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest
import pytest_asyncio

from tests.support.backend import Account, Backend, register


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def backend(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Backend]:
    """The server in the old dialect, purging allowed, without pauses in the script."""
    state_dir = tmp_path_factory.mktemp("backend")
    async with Backend(state_dir, allow_job_purge="on") as running:
        yield running
    assert "Traceback" not in running.errors


@pytest_asyncio.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    """A plain client."""
    async with aiohttp.ClientSession() as session:
        yield session


@pytest_asyncio.fixture
async def account(backend: Backend, http: aiohttp.ClientSession) -> Account:
    """A new user of the server."""
    return await register(http, backend.url)
