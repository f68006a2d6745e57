"""The registry of open WebSockets: how many there are, and how they are drained."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Final, Protocol

CLOSING: Final = 0.5
"""The part of the drain time over which closes are spread; the rest is for the answers."""


class Drainable(Protocol):
    """An open connection."""

    def drain(self) -> None:
        """Begin to close it in an orderly way."""

    def abort(self) -> None:
        """Close it at once."""


class Connections:
    """The open WebSockets of this process."""

    def __init__(self) -> None:
        self._open: dict[Drainable, str] = {}
        self._buckets: Counter[str] = Counter()
        # Set when one has come or the last has gone.
        self._changed = asyncio.Event()
        # Set while there is none.
        self._empty = asyncio.Event()
        self._empty.set()

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[Drainable]:
        """Those that are open now, the oldest first."""
        return iter(tuple(self._open))

    def open_from(self, bucket: str) -> int:
        """How many there are for one client address, as `add` was told."""
        return self._buckets[bucket]

    def add(self, connection: Drainable, bucket: str = "") -> None:
        """Count a connection from here on.

        Args:
            connection: not yet among them.
            bucket: whose it is; empty for nobody's.
        """
        self._open[connection] = bucket
        self._buckets[bucket] += 1
        self._empty.clear()
        self._changed.set()

    def discard(self, connection: Drainable) -> None:
        """A connection has ended."""
        bucket = self._open.pop(connection, None)
        if bucket is not None:
            self._buckets[bucket] -= 1
            if not self._buckets[bucket]:
                del self._buckets[bucket]
        if not self._open:
            self._empty.set()
            self._changed.set()

    async def close_each(self, chosen: Sequence[Drainable], seconds: float) -> int:
        """Close these in an orderly way, spread so that their clients do not return at once.

        Args:
            chosen: in this order; those that have ended by their turn are left alone.
            seconds: from the first to where one more would follow the last.

        Returns:
            How many were told.
        """
        loop, pause, told = asyncio.get_running_loop(), seconds / max(len(chosen), 1), 0
        begin = loop.time()
        for number, connection in enumerate(chosen):
            if connection not in self._open:
                continue
            with suppress(TimeoutError):
                async with asyncio.timeout_at(begin + number * pause):
                    await self._empty.wait()
            if connection in self._open:
                connection.drain()
                told += 1
        return told

    async def drain(self, timeout: float) -> bool:
        """Close all connections, the oldest first, spread over half of the time.

        A handshake that was under way adds its connection meanwhile: that one is closed too.

        Args:
            timeout: seconds until those that are left are cut.

        Returns:
            Whether all ended in an orderly way.
        """
        loop = asyncio.get_running_loop()
        spread = loop.time() + timeout * CLOSING
        try:
            async with asyncio.timeout(timeout):
                closing: set[Drainable] = set()
                while self._open:
                    self._changed.clear()
                    chosen = [each for each in self._open if each not in closing]
                    closing.update(chosen)
                    await self.close_each(chosen, max(spread - loop.time(), 0))
                    if all(each in closing for each in self._open) and self._open:
                        await self._changed.wait()
        except TimeoutError:
            for connection in tuple(self._open):
                connection.abort()
            return False
        return True
