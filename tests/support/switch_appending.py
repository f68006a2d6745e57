"""A process that appends revisions, in competition with others like it."""

from __future__ import annotations

import asyncio
import sys

from proxy.control.switch_store.base import SwitchStore
from tests.support.switch_storages import revision, switch_store_at

TIMES = {"compete": 30, "aloud": 1_000_000}


async def append(store: SwitchStore, name: str) -> int:
    """Try until it has won; the number that it has won with."""
    while True:
        number = await store.number() + 1
        if await store.append(revision(number, name)):
            return number


async def main(mode: str, address: str, name: str) -> None:
    store = switch_store_at(address)
    for _ in range(TIMES[mode]):
        sys.stdout.write(f"{await append(store, name)}\n")
        sys.stdout.flush()
    await store.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
