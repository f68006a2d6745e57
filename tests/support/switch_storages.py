"""The storages that the contract of the store of switches is held against, each a real one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Protocol

from proxy.control.switch_store.base import StoredRevision, SwitchStore
from proxy.control.switch_store.memory import MemorySwitchStore
from proxy.control.switch_store.redis import RedisSwitchStore
from proxy.control.switch_store.sqlite import SqliteSwitchStore
from tests.support.storages import TIMEOUT, Storage
from tests.support.waiting import PATIENCE


class SwitchStorage(Protocol):
    """Something that keeps what stores of switches write."""

    def switches(self) -> AbstractAsyncContextManager[SwitchStore]:
        """Another store on this storage, as another process would have it."""


class Memory:
    """One process's memory: whoever opens it has the same store."""

    def __init__(self) -> None:
        self._store = MemorySwitchStore()

    @asynccontextmanager
    async def switches(self) -> AsyncIterator[SwitchStore]:
        yield self._store
        await self._store.close()


class Shared:
    """What sessions are kept in, too."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage

    @asynccontextmanager
    async def switches(self, *, timeout: float = TIMEOUT) -> AsyncIterator[SwitchStore]:
        store = switch_store_at(self.storage.address, timeout=timeout)
        try:
            yield store
        finally:
            await store.close()


def switch_store_at(address: str, *, timeout: float = TIMEOUT) -> SwitchStore:
    if address.startswith("sqlite:"):
        return SqliteSwitchStore(Path(address.removeprefix("sqlite:")), timeout=timeout)
    return RedisSwitchStore(address, timeout=timeout, connections=4)


class Listener:
    """What was heard since it was last waited for."""

    def __init__(self, store: SwitchStore) -> None:
        self._heard = asyncio.Event()
        store.listen(self._heard.set)

    async def hears(self) -> None:
        """Wait until something is heard."""
        async with asyncio.timeout(PATIENCE):
            await self._heard.wait()
        self._heard.clear()

    async def hears_until(self, store: SwitchStore, number: int) -> None:
        """Read after each hint, until the store has this number: as a replica does."""
        while await store.number() != number:
            await self.hears()


def revision(number: int, text: str = "") -> StoredRevision:
    """A revision of this number, with something that tells it from others."""
    return StoredRevision(
        number, f"revision {number} {text}".encode(), f"state {number} {text}".encode()
    )


async def appended(store: SwitchStore, *numbers: int) -> None:
    """Append revisions of these numbers."""
    for number in numbers:
        assert await store.append(revision(number))
