"""Which process leads, of those on one store of switches: one, and another one when it is gone.

The lease is a named value that its holder writes anew every few seconds. Whoever sees it unchanged
for `TTL` seconds takes it, by a compare-and-set that one of them wins. No clock but one's own is
asked, and what is done under the lease has to be right even if two believe to have it for a moment.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from proxy.control.switch_store.base import SwitchStore

TTL: Final = 8.0
"""Seconds after which the lease of a process that says nothing is free."""


class Leadership:
    """The lease, as one process sees it.

    Attributes:
        is_held: whether this process had it when it looked last.
        holder: the name of the process that had it then; empty for none.
    """

    def __init__(
        self,
        store: SwitchStore,
        lease: str,
        name: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Construct; nothing is asked for yet.

        Args:
            store: of the switches.
            lease: the name of the value.
            name: of this process; no other uses it.
            clock: seconds.
        """
        self._store = store
        self._lease = lease
        self._name = name
        self._clock = clock
        self._seen: bytes | None = None
        self._seen_at = 0.0
        self._turn = 0
        self.is_held = False
        self.holder = ""

    async def hold(self) -> bool:
        """Take the lease, or keep it, if nobody else has it; whether this process has it.

        Raises:
            StoreAway: the store does not answer. Nobody is known to lead then.
        """
        self.is_held = False
        now = self._clock()
        found = await self._store.value(self._lease)
        if found != self._seen:
            self._seen, self._seen_at = found, now
        is_own = found is not None and _holder(found) == self._name
        if found is None or is_own or now - self._seen_at >= TTL:
            self._turn += 1
            mine = f"{self._name} {self._turn}".encode()
            if await self._store.replace(self._lease, found, mine):
                self._seen, self._seen_at, self.is_held = mine, now, True
                self.holder = self._name
                return True
        self.holder = "" if self._seen is None else _holder(self._seen)
        return False

    async def give_up(self) -> None:
        """Leave the lease to others, if this process has it.

        Raises:
            StoreAway: the store does not answer: it is free after `TTL` seconds.
        """
        if self.is_held:
            self.is_held = False
            await self._store.replace(self._lease, self._seen, None)


def _holder(value: bytes) -> str:
    return value.decode("ascii", "replace").partition(" ")[0]
