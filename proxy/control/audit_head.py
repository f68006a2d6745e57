"""The head of the audit, kept in the store: how far the files have got.

A MAC does not tell that the last lines were cut off; the store does. The head is written after the
line, so that it never knows of one that is not on the disk; who cuts the lines between the two off
is not found out, which is why it is written at once, and its age is shown.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, Protocol

from structlog.typing import FilteringBoundLogger

from proxy.errors import ConfigError, Unavailable
from proxy.storage import cancellation
from proxy.tokens.audit_chain import (
    AuditKeys,
    Head,
    Link,
    has_head,
    read_head,
    value_name,
    with_head,
)

_RETRY: Final = 1.0
"""Seconds between two attempts to reach the store."""


class HeadStore(Protocol):
    """What the store of switches has for small named values."""

    async def value(self, name: str) -> bytes | None:
        """The value of this name."""
        ...

    async def replace(self, name: str, expected: bytes | None, new: bytes) -> bool:
        """Set it, if it is what is expected; None expects that there is none."""
        ...


class HeadKeeper:
    """Brings the head into the store.

    Attributes:
        keys: those of the audit; known from the first line on.
        trouble: whether the newest attempt failed.
    """

    def __init__(
        self,
        store: HeadStore | None,
        contradict: Callable[[Link], Awaitable[bool]],
        missing: Callable[[int], None],
        log: FilteringBoundLogger,
    ) -> None:
        """Nothing is known yet.

        Args:
            store: None for none: nothing is kept.
            contradict: whether the files have another line in that place, or none.
            missing: told the number of a line that the store knew of, and the files do not have; 0
                where what the store has cannot be read.
            log: told of that, and of a store that is away.
        """
        self._store = store
        self._contradict = contradict
        self._missing = missing
        self._log = log
        self._head: Head | None = None
        self._behind_since: float | None = None
        self._due = asyncio.Event()
        self._reached = asyncio.Event()
        self._running: asyncio.Task[None] | None = None
        self.keys: AuditKeys | None = None
        self.trouble = False

    @property
    def behind(self) -> float:
        """Seconds for which the store has not known of the last line; 0 where it does."""
        return 0.0 if self._behind_since is None else time.monotonic() - self._behind_since

    def moved(self, head: Head) -> None:
        """The files have got so far."""
        self._head = head
        if self._store is None:
            return
        if self._behind_since is None:
            self._behind_since = time.monotonic()
        self._reached.clear()
        self._due.set()

    def start(self) -> None:
        """Begin to keep it."""
        if self._store is not None:
            self._running = asyncio.create_task(self._run(self._store))

    async def close(self, timeout: float) -> None:
        """Bring the last head into the store, for `timeout` seconds, and end."""
        if self._running is None:
            return
        if self._behind_since is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(timeout):
                    await self._reached.wait()
        await cancellation.end(self._running)
        self._running = None

    async def _run(self, store: HeadStore) -> None:
        while True:
            await self._due.wait()
            self._due.clear()
            try:
                await self._keep(store)
            except (Unavailable, OSError, ConfigError) as error:
                if not self.trouble:
                    self._log.warning("audit head not kept", reason=str(error))
                self.trouble = True
                self._due.set()
                await asyncio.sleep(_RETRY)
                continue
            if self.trouble:
                self.trouble = False
                self._log.info("audit head kept again")
            if not self._due.is_set():
                self._behind_since = None
                self._reached.set()

    async def _keep(self, store: HeadStore) -> None:
        """Let the store know of the newest head, unless it knows of a later one.

        Raises:
            Unavailable: the store is away, or cannot be written.
        """
        head, keys = self._head, self.keys
        assert head is not None
        assert keys is not None
        name = value_name(head.audit)
        while True:
            value = await store.value(name)
            known = read_head(value, head.audit, keys)
            if known is None and has_head(value, head.audit):
                self._tell_missing(0)
            elif known is not None:
                if await self._contradict(known.link):
                    self._tell_missing(known.link.sequence)
                elif known.link.sequence >= head.link.sequence:
                    return  # Of another process, which has appended since.
            if await store.replace(name, value, with_head(value, head, keys)):
                return

    def _tell_missing(self, sequence: int) -> None:
        self._log.error("audit lines missing", line=sequence)
        self._missing(sequence)
