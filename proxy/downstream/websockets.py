"""The registry of open WebSockets: how many there are, and how they are drained."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Final, Protocol

_PACE: Final = 0.01
"""Seconds between two closes while there are few: 100 clients a second come back at most."""

_SHARE: Final = 0.5
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

    def __len__(self) -> int:
        return len(self._open)

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
        self._changed.set()

    def discard(self, connection: Drainable) -> None:
        """A connection has ended."""
        bucket = self._open.pop(connection, None)
        if bucket is not None:
            self._buckets[bucket] -= 1
            if not self._buckets[bucket]:
                del self._buckets[bucket]
        if not self._open:
            self._changed.set()

    async def drain(self, timeout: float) -> bool:
        """Close all connections, the oldest first, spread so that clients do not return at once.

        A handshake that was under way adds its connection meanwhile: that one is closed too.

        Args:
            timeout: seconds until those that are left are cut.

        Returns:
            Whether all ended in an orderly way.
        """
        pause = min(_PACE, timeout * _SHARE / max(len(self._open), 1))
        try:
            async with asyncio.timeout(timeout):
                closing: set[Drainable] = set()
                while self._open:
                    self._changed.clear()
                    for connection in tuple(self._open):
                        if connection in self._open and connection not in closing:
                            closing.add(connection)
                            connection.drain()
                            await asyncio.sleep(pause)
                    await self._changed.wait()
        except TimeoutError:
            for connection in tuple(self._open):
                connection.abort()
            return False
        return True
