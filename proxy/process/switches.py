"""What a process needs for its switches: the store, the board, and who is told of changes."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Final, NamedTuple

from structlog.typing import FilteringBoundLogger

from proxy.configuration.sessions import StoreSettings
from proxy.control.current_switches import CurrentSwitches
from proxy.control.guard_watch import Count, GuardWatch
from proxy.control.last_known import LastKnown
from proxy.control.replicas import Replicas
from proxy.control.switch_store.base import SwitchStore
from proxy.control.switch_store.memory import MemorySwitchStore
from proxy.control.switch_store.opening import open_switch_store
from proxy.control.switchboard import Switchboard
from proxy.errors import ConfigError
from proxy.gateway.rollover import Rollover
from proxy.gateway.shadow import Shadows
from proxy.mapping.language.model import MappingFile
from proxy.mapping.switched import SwitchedCatalog
from proxy.snapshot import Live, SwitchChange
from proxy.storage.state_directory import development_key
from proxy.switching.guards import Verdict
from proxy.switching.history import Revision
from proxy.switching.table import SwitchName, Table
from proxy.tokens.sealing import new_key
from proxy.types import Publish

_FILE: Final = "sqlite:"


class OpenedStore(NamedTuple):
    """Where switches are kept.

    Attributes:
        store: keeps them.
        keys: seal what is in it.
        is_kept: whether it outlives the process.
        last_known: what was read last of one on another machine; None for a file.
    """

    store: SwitchStore
    keys: tuple[str, ...]
    is_kept: bool
    last_known: LastKnown | None = None


def open_switches(
    settings: StoreSettings, state_dir: Path, log: FilteringBoundLogger
) -> OpenedStore:
    """Open the store; where no file can be written, they live in memory.

    Raises:
        ConfigError: a store that is no file cannot be used, or one that is there and can be written
            is damaged, locked, or of a later version: without it, what was off would be on.
    """
    try:
        store = open_switch_store(settings, state_dir)
        keys = settings.keys or (development_key(state_dir),)
        is_file = settings.url.startswith(_FILE)
        last_known = None if is_file else LastKnown(state_dir, settings.url, log)
        return OpenedStore(store, keys, is_kept=True, last_known=last_known)
    except ConfigError as error:
        if not settings.url.startswith(_FILE):
            raise
        file = state_dir / settings.url.removeprefix(_FILE)
        if file.is_file() and os.access(file, os.W_OK):
            raise
        log.warning(
            "switches are kept in memory alone, and end with the process",
            reasons=[str(problem) for problem in error.problems],
        )
        return OpenedStore(MemorySwitchStore(), (new_key(),), is_kept=False)


class Switches:
    """The board of a process, and everything that follows it.

    Attributes:
        current: what is in force, kept in step with the store.
        board: takes changes.
        rollover: brings them to open sockets.
        replicas: tells the others of this process, and knows of them.
        guards: judge what was turned.
    """

    def __init__(
        self,
        live: Live,
        opened: OpenedStore,
        rollover: Rollover,
        shadows: Shadows,
        log: FilteringBoundLogger,
        on_made: Callable[[Revision], None],
        on_found: Callable[[Revision], None],
        publish: Publish,
        version: str,
        count: Count,
        on_observed: Callable[[SwitchName, Verdict], None],
    ) -> None:
        """Construct; nothing is read yet.

        Args:
            live: holds what serves.
            opened: where switches are kept.
            rollover, shadows: follow the board.
            log: told of revisions, and of the store.
            on_made: told of each revision that was made here.
            on_found: told of each other one that is new in the store.
            publish: told of each revision that is in force here.
            version: of Segue.
            count: tells what this process has counted for guards.
            on_observed: told of what a guard would have done, which only observes.
        """
        self._publish = publish
        self.rollover = rollover
        self._live = live
        self._shadows = shadows
        self._shadowed: dict[SwitchName, MappingFile] = {}
        self._told = (0, False)
        self.current = CurrentSwitches(
            live,
            opened.store,
            opened.keys,
            log,
            self._installed,
            on_found,
            is_kept=opened.is_kept,
            last_known=opened.last_known,
        )
        self.board = Switchboard(self.current, opened.store, log, on_made, self._raises_sockets)
        self.replicas = Replicas(
            opened.store, self.current, live, lambda: rollover.behind().total(), version, log
        )

        self.guards = GuardWatch(
            self.board,
            opened.store,
            self.replicas.name,
            lambda: live.current.config.switching,
            count,
            log,
            on_observed,
        )

    async def start(self) -> None:
        """Read the store, and follow it."""
        await self.board.start()
        self.replicas.start()
        self.guards.start()
        self._follow()

    def reloaded(self) -> None:
        """The configuration was read anew."""
        self._follow()
        self.current.reloaded()
        self.replicas.changed()

    @property
    def trouble(self) -> str:
        """What is wrong, for `/readyz`; empty where nothing is."""
        current = self.current
        if current.away_since is not None:
            return f"away: {current.trouble}"
        if current.stands_on:
            names = ", ".join(map(str, current.unapplied))
            return (
                f"revision {current.stored.number} is not applied: it is of the configuration"
                f" {current.stands_on}, and {self._live.current.digest} serves here"
                + (f" (it turns {names})" if names else "")
            )
        if current.unapplied:
            names = ", ".join(map(str, current.unapplied))
            return f"not in the configuration here, and set in the store: {names}"
        if current.canary_key.trouble:
            return f"nobody is in a canary: {current.canary_key.trouble}"
        return "" if current.is_kept else "in memory alone"

    async def close(self) -> None:
        """The process ends."""
        await self.guards.close()
        await self.replicas.close()
        await self.board.close()
        await self.rollover.close()

    async def _raises_sockets(self, table: Table, scope: Collection[SwitchName]) -> bool:
        """Whether an open WebSocket may have more rewritten by a table than it has.

        Of those of other processes is known how many are behind, and not what they have.

        Raises:
            StoreAway: what others have cannot be asked.
        """
        await self.rollover.finished()
        now = self.current.in_force
        would = SwitchedCatalog(now.catalog, now.first, table, now.key)
        if await self.rollover.raises(would, scope):
            return True
        others = (await self.replicas.look()).replicas.items()
        return any(each.sockets_behind for name, each in others if name != self.replicas.name)

    def _installed(self, change: SwitchChange) -> None:
        self._follow()
        self.rollover.begin(change)
        self.replicas.changed()
        self.guards.changed()
        table = change.snapshot.switches.table
        told = (table.number, table.all_off)
        if told == self._told:
            return  # The key of the canaries was read, or the file says otherwise: no revision.
        self._told = told
        self._publish(
            "switches_changed",
            revision=table.number,
            scope=None if change.scope is None else sorted(map(str, change.scope)),
            open_sockets=change.policy.value,
            all_off=table.all_off,
        )

    def _follow(self) -> None:
        """Have compared what is in shadow now, and nothing else."""
        switches = self._live.current.switches
        files = switches.catalog.files
        now = {switch: files[switch.mapping] for switch in switches.in_shadow()}
        # First, so that there is room for others: not all that there can be are compared.
        for switch in self._shadowed.keys() - now.keys():
            self._shadows.end(str(switch))
        for switch, file in now.items():
            if switch not in self._shadowed:
                self._shadows.begin(str(switch))
            elif self._shadowed[switch] != file:
                self._shadows.renew(str(switch))
        self._shadowed = now
