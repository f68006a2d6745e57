"""The switches that are in force in this process, kept in step with the store.

All processes on the same store read its tables there: they are told that there is a new one, and
look by themselves every few seconds besides. What is in force ends as a snapshot: the one that
serves is replaced by one with another table, in one step of the loop.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Final, Literal

from structlog.typing import FilteringBoundLogger

from proxy.configuration.switching import Switching
from proxy.control.canary_key import CanaryKey
from proxy.control.last_known import LastKnown
from proxy.control.switch_history import SwitchHistory
from proxy.control.switch_store.base import Newest, SwitchStore
from proxy.errors import StoreAway
from proxy.mapping.switched import SwitchedCatalog
from proxy.snapshot import Live, Snapshot, SwitchChange
from proxy.storage import cancellation
from proxy.switching.effective import (
    Effective,
    Serving,
    effective,
    orphans,
    rollout,
    turned_by_name,
)
from proxy.switching.history import Revision, Unreadable, read_table, write_table
from proxy.switching.table import EMPTY, OpenSockets, SwitchName, Table, for_file
from proxy.versions.cohorts import Cohorts

POLL: Final = 5.0
"""Seconds between two looks at the store's newest revision, whoever tells of one meanwhile."""

_RETRY: Final = 0.5
"""Seconds between two looks at a store that is away."""


class CurrentSwitches:
    """What is in force here, and how far the store was read.

    Attributes:
        history: of the store.
        turn: held by whoever reads the store to put what it has to work, and while a change is
            made: else an older table could come last.
        stored: the newest table of the store, as far as it was read.
        newest: the revision that it is of.
        read_at: when that was, on the clock of `time.monotonic`.
        away_since: since when the store has not answered, in seconds since 1970; None while it
            does.
        trouble: why it does not.
        canary_key: tells who is in a canary.
        unapplied: the switches that are set in the store and do nothing here, because they are not
            in this process's files, or `stands_on` is not empty. All others are as the store says.
        stands_on: the digest of the configuration that the newest revision is about, where the file
            is the authority and another one serves here; empty otherwise.
        is_kept: whether the store outlives the process.
    """

    def __init__(
        self,
        live: Live,
        store: SwitchStore,
        keys: Sequence[str],
        log: FilteringBoundLogger,
        on_installed: Callable[[SwitchChange], None],
        on_found: Callable[[Revision], None],
        *,
        is_kept: bool,
        last_known: LastKnown | None = None,
    ) -> None:
        """Nothing is read yet; what serves is what the configuration says.

        Args:
            live: holds what serves.
            store: of the switches.
            keys: that seal what is in it; the first is in use.
            log: told of the store.
            on_installed: brings what was put to work to the open sockets.
            on_found: told once of each revision that came into the store since the process began to
                read it, but for those that it was told itself to be made.
            is_kept: whether the store outlives the process.
            last_known: what was read from it last, for a start while it is away; None where it
                cannot be.
        """
        self._live = live
        self._store = store
        self._log = log
        self._on_installed = on_installed
        self._on_found = on_found
        self._last_known = last_known
        self._saved = b"", b""
        self.is_kept = is_kept
        self.history = SwitchHistory(store)
        self.turn = asyncio.Lock()
        self.stored = EMPTY
        self.newest = Newest()
        self.read_at = time.monotonic()
        self.away_since: float | None = None
        self.trouble = ""
        self.canary_key = CanaryKey(store, keys, log)
        self.unapplied: tuple[SwitchName, ...] = ()
        self.stands_on = ""
        self._removed: set[SwitchName] = set()
        self._orphaned: tuple[SwitchName, ...] = ()
        # What open sockets were told of last; after a reload, another table can be in force.
        self._rolled_out = EMPTY
        self._has_read = False
        self._is_stale = False
        self._serial = 0
        self._hinted = asyncio.Event()
        self._running: asyncio.Task[None] | None = None

    @property
    def in_force(self) -> SwitchedCatalog:
        """What applies to whom."""
        return self._live.current.switches

    @property
    def switching(self) -> Switching:
        """What the files that serve say of switches."""
        return self._live.current.config.switching

    @property
    def authority(self) -> Literal["live", "file"]:
        """Who has the say."""
        return self._live.current.config.switching.authority

    @property
    def is_file(self) -> bool:
        """Whether the configuration file has."""
        return self.authority == "file"

    @property
    def cohorts(self) -> Cohorts:
        """Those of the files that serve."""
        return self._live.current.config.ordered_cohorts()

    @property
    def digest(self) -> str:
        """Of the files that serve."""
        return self._live.current.digest

    @property
    def policy(self) -> OpenSockets:
        """What open sockets do where no change says it."""
        return OpenSockets(self._live.current.config.switching.open_sockets)

    @property
    def base(self) -> Table:
        """What changes build on: what is stored, as whoever serves this file has it."""
        return for_file(self.stored, self.digest if self.is_file else None)

    @property
    def orphans(self) -> tuple[SwitchName, ...]:
        """The switches that somebody has set, of mappings that no cohort names here.

        They do nothing. Where the mapping comes back, so does what its switch was set to; one that
        was renamed has a new switch, in the first state that the configuration gives it.
        """
        return orphans(self.in_force.table, self.in_force.first)

    async def start(self, on_read: Callable[[], Awaitable[None]]) -> None:
        """Read the store, if it answers, and keep in step with it from now on.

        Args:
            on_read: awaited after each later look at the store that it has answered.
        """
        try:
            await self.read_in_turn()
        except StoreAway:
            self._recall()
        self._store.listen(self.look)
        self._running = asyncio.create_task(self._run(on_read))

    async def close(self) -> None:
        """Look no more, and give up the store."""
        if self._running is not None:
            await cancellation.end(self._running)
            self._running = None
        with suppress(StoreAway):
            await self._store.close()

    def look(self) -> None:
        """Have the store looked at soon."""
        self._hinted.set()

    def under(self, snapshot: Snapshot) -> Snapshot:
        """Put a snapshot that was read from files under the switches that are in force."""
        # How what is stored applies to these files is seen at the next look.
        self._is_stale = True
        self._removed |= set(self.in_force.first)
        is_known = snapshot.digest in (self.stored.digest, *self.stored.others)
        return self._with(snapshot, self.stored if is_known else self.in_force.table)

    def reloaded(self) -> None:
        """The configuration was read anew."""
        orphans = self.orphans
        if set(orphans) - set(self._orphaned):
            self._log.warning(
                "switches are set whose mappings no cohort names any more",
                switches=[str(name) for name in orphans],
            )
        self._orphaned = orphans
        self.look()

    async def read_in_turn(self) -> None:
        """Do what `read` does, while nobody makes a change.

        Raises:
            StoreAway: see there.
        """
        async with self.turn:
            await self.read()
        await self._save()

    async def read(self) -> None:
        """Read what is new in the store, and put it to work; the caller has its `turn`.

        Raises:
            StoreAway: it does not answer, or with what cannot be read.
        """
        is_stale, self._is_stale = self._is_stale, False
        try:
            newest = await self._store.newest()
            await self._read_key()
            if newest != self.newest or is_stale:
                newest, table = await self.history.newest()
                missed = await self._missed(newest)
                by_name = turned_by_name(missed)
                self._removed = {each for each in self._removed if str(each) not in by_name}
                if not self._has_read:
                    self._removed |= set(orphans(table, self.in_force.first))
                steps = await self.history.steps(table, missed)
                self._tell_of_losses(newest)
                self.newest = newest
                for earlier, policy in steps[:-1]:
                    self.apply(earlier, policy)
                self.apply(table, steps[-1][1])
                for revision in missed:
                    self._on_found(revision)
        except StoreAway as error:
            self._is_stale |= is_stale
            self.is_away(error)
            raise
        self._has_read = True
        self.read_at = time.monotonic()
        if self.away_since is not None:
            self._log.info("the store of switches is back", revision=self.stored.number)
            self.away_since, self.trouble = None, ""

    def apply(self, table: Table, policy: OpenSockets) -> None:
        """Put a table of the store to work.

        Args:
            table: the newest one of the store.
            policy: what open sockets do.
        """
        self.stored = table
        serving = self._serving
        found = effective(table, serving)
        if (found.stands_on, found.unapplied) != (self.stands_on, self.unapplied):
            self._tell(found)
        self.stands_on, self.unapplied = found.stands_on, found.unapplied
        told = rollout(self._rolled_out, found.table, policy, serving)
        if told is not None:
            self._install(found.table, told.scope, told.policy)

    def is_away(self, error: StoreAway) -> None:
        """The store has not answered."""
        if self.away_since is None:
            self.away_since = time.time()
            self._log.warning("the store of switches is away", reason=error.detail)
        self.trouble = error.detail

    def _tell_of_losses(self, newest: Newest) -> None:
        """Log that the store lacks a revision that it has had."""
        number, tag = self.newest
        if newest.number < number or (newest.number == number and tag not in ("", newest.tag)):
            self._log.warning(
                "the store of switches went back", revision=newest.number, before=number
            )

    def _tell(self, found: Effective) -> None:
        """Log what of the newest revision is not put to work here."""
        switches = [str(name) for name in found.unapplied]
        if found.stands_on:
            self._log.warning(
                "a revision is of another configuration than serves here",
                revision=self.stored.number,
                configuration=found.stands_on,
                serving=self.digest,
                switches=switches,
            )
        elif found.unapplied:
            self._log.error(
                "a revision names switches that are not in the configuration here",
                revision=self.stored.number,
                switches=switches,
            )

    @property
    def _serving(self) -> Serving:
        digest = self.digest if self.is_file else None
        return Serving(self.in_force.first, self._removed, digest, self.policy)

    async def _run(self, on_read: Callable[[], Awaitable[None]]) -> None:
        while True:
            pause = POLL if self.away_since is None else _RETRY
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._hinted.wait()
            self._hinted.clear()
            try:
                await self.read_in_turn()
                await on_read()
            except StoreAway:
                pass  # It has been said.
            except Exception as error:  # noqa: BLE001 (the next look may fare better)
                self._log.error("switches failed", fault=type(error).__name__)

    async def _save(self) -> None:
        if self._last_known is None:
            return
        known = write_table(self.stored), self.canary_key.sealed
        if known != self._saved:
            await self._last_known.save(*known)
            self._saved = known

    def _recall(self) -> None:
        """Put to work what was read last, because the store is away."""
        known = None if self._last_known is None else self._last_known.load()
        if known is None:
            return
        try:
            table = read_table(known.table)
        except Unreadable:
            return
        self.canary_key.recall(known.key)
        self.stored, self._has_read = table, True
        self.newest = Newest(table.number)
        self._removed |= set(orphans(table, self.in_force.first))
        self._install(table, None, self.policy)
        self._log.warning(
            "switches are as they were when the store was last read", revision=table.number
        )

    async def _read_key(self) -> None:
        if await self.canary_key.read():
            self._install(self.in_force.table, None, self.policy)

    async def _missed(self, newest: Newest) -> list[Revision]:
        """The revisions up to the newest that came since the store was read, in their order."""
        if not (self.newest.number or self._has_read):
            return []
        return await self.history.between(self.newest, newest)

    def _install(
        self, table: Table, scope: frozenset[SwitchName] | None, policy: OpenSockets
    ) -> None:
        self._rolled_out = table
        self._live.replace(self._with(self._live.current, table))
        self._on_installed(SwitchChange(self._live.current, scope, policy))

    def _with(self, snapshot: Snapshot, table: Table) -> Snapshot:
        settings = snapshot.config.switching
        table = for_file(table, snapshot.digest if settings.authority == "file" else None)
        self._serial += 1
        switches = SwitchedCatalog(
            snapshot.catalog, settings.first(), table, self.canary_key.key, serial=self._serial
        )
        return replace(snapshot, switches=switches)
