"""Who may present a session's refresh token: one holder of its lease, over all processes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

from proxy.errors import StoreAway
from proxy.sessions.cache import CachedSession
from proxy.sessions.repository import SessionRepository
from proxy.storage import cancellation

TTL: Final = 6.0
"""Seconds after which the lease of a process that died is free. While its holder lives it is
extended three times as often, so that it outlives every call that is made under it."""

_PATIENCE: Final = 30.0
_FIRST_PAUSE: Final = 0.02
_LONGEST_PAUSE: Final = 0.25


@asynccontextmanager
async def holding(
    repository: SessionRepository, cached: CachedSession, owner: str
) -> AsyncIterator[int]:
    """Hold the lease of a session; yields its fencing number.

    What is known of the session has then been read again, so that whatever the holder before has
    done is known too.

    Args:
        repository: memory and store.
        cached: the session.
        owner: a name of this holder; no other uses it.

    Raises:
        StoreAway: the store does not answer, or somebody else does not give the lease back.
    """
    fence = await _acquired(repository, cached, owner)
    keeper = asyncio.create_task(_extend(repository, cached, owner))
    try:
        await repository.reread(cached)
        yield fence
    finally:
        await cancellation.end(keeper)
        # Whatever the call before came to: a lease that is not given back keeps everybody waiting.
        with suppress(StoreAway):
            await repository.store.release(cached.record.session, owner)


async def _acquired(repository: SessionRepository, cached: CachedSession, owner: str) -> int:
    store, session = repository.store, cached.record.session
    fence = await repository.told(store.acquire, session, owner, TTL)
    if fence is not None:
        return fence
    repository.counts.lease_waits += 1
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _PATIENCE
    pause = _FIRST_PAUSE
    while loop.time() < deadline:
        # A store that has lost the session gives no lease of it either: this puts it back.
        await repository.reread(cached)
        await asyncio.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)
        fence = await repository.told(store.acquire, session, owner, TTL)
        if fence is not None:
            return fence
    raise StoreAway("another process holds the session's lease for too long")


async def _extend(repository: SessionRepository, cached: CachedSession, owner: str) -> None:
    while True:
        await asyncio.sleep(TTL / 3)
        with suppress(StoreAway):
            if not await repository.told(
                repository.store.extend, cached.record.session, owner, TTL
            ):
                return  # Too late. Whoever has it now has a higher fencing number.
