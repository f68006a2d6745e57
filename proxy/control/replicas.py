"""What the processes on one store of switches say of themselves, and what is known of the others.

Each announces itself in the store every few seconds, and at once after each revision that it has
put to work; whoever has said nothing for a while is forgotten. So a replica that does not reach the
store is not on the list: what it serves, nobody but itself can say.
"""

from __future__ import annotations

import asyncio
import os
import re
import secrets
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Annotated, Final, NamedTuple

import msgspec
from structlog.typing import FilteringBoundLogger

from proxy.control.current_switches import CurrentSwitches
from proxy.control.switch_store.base import MAX_NUMBER, SwitchStore
from proxy.errors import StoreAway
from proxy.snapshot import Live
from proxy.storage import cancellation

EVERY: Final = 2.0
"""Seconds between two announcements."""

TTL: Final = 10.0
"""Seconds after which a process that says nothing is forgotten."""

_FAREWELL: Final = 0.001
"""Seconds for which the announcement of a process that ends is kept."""

_LAST_WORDS: Final = 1.0
"""Seconds for which an end waits for that."""

MAX_UNAPPLIED: Final = 20
"""Names of switches that an announcement has at most."""

_NOT_IN_A_NAME: Final = re.compile(r"[^A-Za-z0-9.-]")

_Count = Annotated[int, msgspec.Meta(ge=0, le=MAX_NUMBER)]
_Moment = Annotated[float, msgspec.Meta(ge=0, le=1e12)]
_Text = Annotated[str, msgspec.Meta(max_length=256)]
_Names = Annotated[tuple[_Text, ...], msgspec.Meta(max_length=MAX_UNAPPLIED)]


class Replica(msgspec.Struct, frozen=True, kw_only=True):
    """What a process says of itself. Fields that a later version adds are passed over.

    Attributes:
        version: of Segue.
        pid: its process id, on its machine.
        since: when it was started, in seconds since 1970.
        configuration: the digest of the files that serve.
        revision: the newest one in force.
        stored: the newest one that it has read.
        unapplied: switches that are set in the store and do nothing here, because its
            configuration lacks them or is another one; the first of them.
        sockets_behind: WebSockets that are not on the revision in force.
    """

    version: _Text
    pid: _Count
    since: _Moment
    configuration: _Text
    revision: _Count
    stored: _Count
    unapplied: _Names = ()
    sockets_behind: _Count = 0


class Seen(NamedTuple):
    """What the store had of all replicas at one moment.

    Attributes:
        newest: the number of its newest revision.
        replicas: by their names, this one included.
    """

    newest: int
    replicas: Mapping[str, Replica]

    def is_current(self, replica: Replica) -> bool:
        """Whether it has put the newest revision to work."""
        return replica.revision == self.newest


class Replicas:
    """Announces this process, and knows of the others.

    Attributes:
        name: of this process: its machine's, and a part that is made anew at each start.
        last: what was seen when this process announced itself last; None while the store is away.
    """

    def __init__(
        self,
        store: SwitchStore,
        current: CurrentSwitches,
        live: Live,
        behind: Callable[[], int],
        version: str,
        log: FilteringBoundLogger,
    ) -> None:
        """Nothing is said yet.

        Args:
            store: of the switches.
            current: what is in force here.
            live: holds what serves.
            behind: gives the number of WebSockets that are not on the revision in force.
            version: of Segue.
            log: told what must not happen; that the store is away, `current` says.
        """
        self._store = store
        self._current = current
        self._live = live
        self._behind = behind
        self._version = version
        self._log = log
        self._since = time.time()
        self.name = _name_of(socket.gethostname(), secrets.token_hex(4))
        self.last: Seen | None = None
        self._due = asyncio.Event()
        self._running: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Announce this process from now on."""
        self._running = asyncio.create_task(self._run(), name="switches: announce")

    def changed(self) -> None:
        """A revision was put to work: say so at once."""
        self._due.set()

    async def close(self) -> None:
        """Have this process forgotten, if the store answers soon. The store is left open."""
        if self._running is None:
            return
        await cancellation.end(self._running)
        self._running = None
        with suppress(StoreAway, TimeoutError):
            async with asyncio.timeout(_LAST_WORDS):
                await self._store.announce(self.name, b"{}", _FAREWELL)

    def this(self) -> Replica:
        """What this process says of itself now."""
        return Replica(
            version=self._version,
            pid=os.getpid(),
            since=self._since,
            configuration=self._live.current.digest,
            revision=self._current.in_force.table.number,
            stored=self._current.stored.number,
            unapplied=tuple(map(str, self._current.unapplied[:MAX_UNAPPLIED])),
            sockets_behind=self._behind(),
        )

    async def look(self) -> Seen:
        """Ask the store what all say; of this process, what is so now.

        What cannot be read is left out: whoever has written it is of another kind.

        Raises:
            StoreAway: the store does not answer.
        """
        return await self._seen(self.this())

    async def _seen(self, this: Replica) -> Seen:
        newest = await self._store.number()
        found = {}
        for name, document in (await self._store.announced()).items():
            with suppress(msgspec.MsgspecError):
                found[name] = _READER.decode(document)
        return Seen(newest, {**found, self.name: this})

    async def _run(self) -> None:
        while True:
            self._due.clear()
            this = self.this()
            try:
                # Where it cannot be written it may be read all the same.
                with suppress(StoreAway):
                    await self._store.announce(self.name, msgspec.json.encode(this), TTL)
                self.last = await self._seen(this)
            except StoreAway:
                self.last = None
            except Exception as error:  # noqa: BLE001 (the next time may go better)
                self._log.error("replica not announced", fault=type(error).__name__)
            with suppress(TimeoutError):
                async with asyncio.timeout(EVERY):
                    await self._due.wait()


_READER: Final = msgspec.json.Decoder(Replica)


def _name_of(machine: str, chance: str) -> str:
    """A name that every store takes, and no terminal minds."""
    return f"{_NOT_IN_A_NAME.sub('-', machine)[:100] or 'segue'}-{chance}"
