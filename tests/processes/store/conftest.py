"""The storages of the contract: a file, and one server for all tests that need one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import require_component
from tests.support.storages import RedisServer, SqliteStorage, Storage, valkey_program


@pytest.fixture(scope="session")
def running_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(require_component("redis-server"), tmp_path_factory.mktemp("redis"))
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture
def redis_server(running_redis: RedisServer) -> RedisServer:
    """The server, with nothing in it."""
    running_redis.empty()
    return running_redis


@pytest.fixture(scope="session")
def running_valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(valkey_program(), tmp_path_factory.mktemp("valkey"))
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture
def valkey_server(running_valkey: RedisServer) -> RedisServer:
    """The same of Valkey."""
    running_valkey.empty()
    return running_valkey


@pytest.fixture
def sqlite(tmp_path: Path) -> SqliteStorage:
    return SqliteStorage(tmp_path)


@pytest.fixture(params=["sqlite", "redis_server", "valkey_server"])
def storage(request: pytest.FixtureRequest) -> Storage:
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Storage)
    return found
