"""A process that adds to a counter in a record, in competition with others like it."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import replace

from proxy.sessions.record import Record
from proxy.sessions.store.base import Store
from tests.support.records import session_of
from tests.support.storages import store_at

TIMES = {"compare": 50, "lease": 50, "aloud": 1_000_000}


async def loaded(store: Store) -> Record:
    found = await store.load(session_of(1))
    assert found is not None
    return found


async def by_comparing(store: Store, _: str) -> None:
    saved = None
    while saved is None:
        found = await loaded(store)
        saved = await store.save(replace(found, refreshes=found.refreshes + 1))


async def aloud(store: Store, _: str) -> None:
    """Say each revision once it is stored."""
    saved = await store.save(await loaded(store))
    assert saved is not None
    sys.stdout.write(f"{saved.revision}\n")
    sys.stdout.flush()


async def under_a_lease(store: Store, owner: str) -> None:
    fence = None
    while fence is None:
        fence = await store.acquire(session_of(1), owner, 60)
    found = await loaded(store)
    # Nobody else writes meanwhile: the first try succeeds.
    saved = await store.save(replace(found, refreshes=found.refreshes + 1), fence=fence)
    assert saved is not None
    await store.release(session_of(1), owner)


async def main(mode: str, address: str, owner: str) -> None:
    store = store_at(address)
    add = {"compare": by_comparing, "lease": under_a_lease, "aloud": aloud}[mode]
    for _ in range(TIMES[mode]):
        await add(store, owner)
    await store.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
