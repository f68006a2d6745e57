"""The board of switches: takes changes, makes revisions of them, and puts them to work.

Whatever is decided ends as a snapshot: a change is appended to the store, and where it was taken,
the snapshot that serves is replaced by one with the new table, in one step of the loop. All other
processes on the same store read it there: they are told that there is one, and look by themselves
every few seconds besides.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Final, Literal, NamedTuple

from structlog.typing import FilteringBoundLogger

from proxy.control.canary_key import KeySealed, opened, sealed_canary_key
from proxy.control.last_known import LastKnown
from proxy.control.switch_store.base import MAX_PAGE, StoredRevision, SwitchStore
from proxy.errors import StoreAway
from proxy.mapping.switched import SwitchedCatalog
from proxy.snapshot import Live, Snapshot, SwitchChange
from proxy.switching.changes import (
    AllOff,
    Change,
    ChangeRefused,
    DropException,
    Expire,
    Follow,
    Restore,
    RestoreSwitch,
    SetSwitch,
    Undo,
    Why,
    changed,
    keeps_to_file,
    touched,
)
from proxy.switching.history import (
    Revision,
    Unreadable,
    read_revision,
    read_table,
    revision_of,
    write_revision,
    write_table,
)
from proxy.switching.limits import NO_LIMITS, RAISES, Limits, beyond
from proxy.switching.table import EMPTY, OpenSockets, SwitchName, Table
from proxy.switching.terms import due

POLL: Final = 5.0
"""Seconds between two looks at the store's newest revision, whoever tells of one meanwhile."""

_TRIES: Final = 5
"""How often a change is tried when others are made at the same moment."""

_RETRY: Final = 0.5
"""Seconds between two looks at a store that is away."""

_STRENGTH: Final = (OpenSockets.KEEP, OpenSockets.RECONNECT, OpenSockets.NEXT_MESSAGE)
"""Of what several revisions ask of open sockets, the last of these is done."""

SEGUE: Final = "segue"
"""The author of what nobody has asked for."""


class Author(NamedTuple):
    """Who makes a change, as it is written down.

    Attributes:
        name, role: of theirs.
        limits: of what they may change.
    """

    name: str
    role: str
    limits: Limits = NO_LIMITS


class Switchboard:
    """The switches of this process, which are those of all processes on the same store.

    Attributes:
        stored: the newest table of the store, as far as it was read.
        read_at: when that was, on the clock of `time.monotonic`.
        away_since: since when the store has not answered, in seconds since 1970; None while it
            does.
        trouble: why it does not.
        key_trouble: why nobody is in a canary here; empty while the key can be had.
        unapplied: the switches that the newest revision turns and that are not turned here, because
            they are not in this process's files, or `stands_on` is not empty; what is in force is
            the revision before it then.
        stands_on: the digest of the configuration that the newest revision is about, where the file
            is the authority and another one serves here; empty where it is put to work.
    """

    def __init__(
        self,
        live: Live,
        store: SwitchStore,
        keys: Sequence[str],
        log: FilteringBoundLogger,
        on_installed: Callable[[SwitchChange], None],
        on_revision: Callable[[Revision], None],
        *,
        is_kept: bool,
        last_known: LastKnown | None = None,
    ) -> None:
        """Nothing is read yet; what serves is what the configuration says.

        Args:
            live: holds what serves.
            store: of the switches.
            keys: that seal what is in it; the first is in use.
            log: told of revisions, and of the store.
            on_installed: brings what was put to work to the open sockets.
            on_revision: told of each revision that was made here.
            is_kept: whether the store outlives the process.
            last_known: what was read from it last, for a start while it is away; None where it
                cannot be.
        """
        self._last_known = last_known
        self._sealed_key = b""
        self._saved = b"", b""
        self._live = live
        self._store = store
        self._keys = tuple(keys)
        self._log = log
        self._on_installed = on_installed
        self._on_revision = on_revision
        self.is_kept = is_kept
        self.stored = EMPTY
        self.read_at = time.monotonic()
        self.away_since: float | None = None
        self.trouble = ""
        self.key_trouble = ""
        self.unapplied: tuple[SwitchName, ...] = ()
        self.stands_on = ""
        self._key = b""
        self._orphaned: tuple[SwitchName, ...] = ()
        self._followed = ""
        # What open sockets were told of last; after a reload, another table can be in force.
        self._brought = EMPTY
        self._has_read = False
        self._is_stale = False
        self._serial = 0
        self._changing = asyncio.Lock()
        self._told = asyncio.Event()
        self._running: asyncio.Task[None] | None = None

    @property
    def in_force(self) -> SwitchedCatalog:
        """What applies to whom."""
        return self._live.current.switches

    async def start(self) -> None:
        """Read the store, if it answers, and keep in step with it from now on."""
        try:
            await self._read_in_turn()
        except StoreAway:
            self._recall()
        self._store.listen(self._told.set)
        self._running = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Look no more, and give up the store."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait((self._running,))
            self._running = None
        with suppress(StoreAway):
            await self._store.close()

    def dressed(self, snapshot: Snapshot) -> Snapshot:
        """Give a snapshot that was read from files the switches that are in force."""
        # How what is stored applies to these files is seen at the next look.
        self._is_stale = True
        # What is unapplied for the want of a file is applied with it.
        has_all = not self.unapplied or bool(self.stands_on)
        fits = self.stored.digest == snapshot.digest and has_all
        return self._dressed(snapshot, self.stored if fits else self.in_force.table)

    def reloaded(self) -> None:
        """The configuration was read anew: where the file is the authority, it is a revision."""
        orphans = self.orphans
        if set(orphans) - set(self._orphaned):
            self._log.warning(
                "switches are set whose mappings no cohort names any more",
                switches=[str(name) for name in orphans],
            )
        self._orphaned = orphans
        self._told.set()

    @property
    def orphans(self) -> tuple[SwitchName, ...]:
        """The switches that somebody has set, of mappings that no cohort names here.

        They do nothing. Where the mapping comes back, so does what its switch was set to; one that
        was renamed has a new switch, in the first state that the configuration gives it.
        """
        switched = self.in_force
        return tuple(
            name
            for name, state in switched.table.states.items()
            if name not in switched.first and state.setting is not None
        )

    @property
    def _is_file(self) -> bool:
        return self._live.current.config.switching.authority == "file"

    @property
    def authority(self) -> Literal["live", "file"]:
        """Who has the say."""
        return self._live.current.config.switching.authority

    @property
    def _base(self) -> Table:
        """What changes build on: what is stored, but for what was said of another file."""
        table = self.stored
        if self._is_file and table.digest != self._live.current.digest:
            return Table(table.number, all_off=table.all_off)
        return table

    # Changes.

    def preview(self, change: Change, limits: Limits = NO_LIMITS) -> Table:
        """Say which table a change would lead to; nothing is changed.

        Args:
            change: that would be made.
            limits: of who asks.

        Raises:
            ChangeRefused: it would not be made.
        """
        self._check_authority(change)
        return self._changed(change, limits)

    def _changed(self, change: Change, limits: Limits) -> Table:
        before, first = self._base, self.in_force.first
        try:
            after = changed(before, change, first)
        except ChangeRefused as refused:
            if refused.why is Why.UNCONDITIONAL and limits.only_lowers:
                raise ChangeRefused(Why.LIMITED, RAISES) from None
            raise
        wrong = beyond(limits, before, after, first)
        if wrong:
            raise ChangeRefused(Why.LIMITED, wrong)
        return after

    async def change(
        self,
        change: Change | Callable[[Table], Change],
        author: Author,
        reason: str,
        open_sockets: OpenSockets | None = None,
    ) -> Revision:
        """Make a change; it is in force in this process when this returns.

        Args:
            change: to be made, or what makes it of the newest table.
            author: who makes it.
            reason: why.
            open_sockets: what open sockets do; as the configuration says where None.

        Raises:
            ChangeRefused: it is not made.
            StoreAway: it may have been made all the same, if that came while it was written.
        """
        async with self._changing:
            for _ in range(_TRIES):
                await self._read()
                wanted = change(self._base) if callable(change) else change
                revision = await self._try(wanted, author, reason, open_sockets)
                if revision is not None:
                    return revision
        text = "others made changes at the same moment, again and again: try it once more"
        raise ChangeRefused(Why.CHANGED, text)

    async def revision(self, number: int) -> tuple[Revision, Table] | None:
        """A revision, and what was set after it; None where it is not kept.

        Raises:
            StoreAway: the store does not answer, or with what cannot be read.
        """
        found = await self._store.revision(number)
        if found is None:
            return None
        try:
            return read_revision(found.revision), read_table(found.state)
        except Unreadable as error:
            raise StoreAway(f"revision {number} cannot be read: {error}") from None

    async def history(self, before: int | None, limit: int) -> list[Revision]:
        """Revisions, the newest first; those that cannot be read are left out.

        Args:
            before: only those with a lower number, where it is not None.
            limit: how many at most.

        Raises:
            StoreAway: the store does not answer.
        """
        found = []
        for written in await self._store.revisions(before, limit):
            with suppress(Unreadable):
                found.append(read_revision(written))
        return found

    async def undo(
        self,
        to: int | None,
        expected: int | None,
        author: Author,
        reason: str,
        open_sockets: OpenSockets | None = None,
    ) -> Revision:
        """Go back to the table of an earlier revision; that before the newest where None.

        Raises:
            ChangeRefused: there is none, or it is not made.
            StoreAway: see `change`.
        """
        await self._read_in_turn()
        number = self.stored.number - 1 if to is None else to
        if not 0 <= number < max(self.stored.number, 1):
            text = (
                f"there is no revision {number} to go back to; the newest is {self.stored.number}"
            )
            raise ChangeRefused(Why.UNKNOWN, text)
        earlier = EMPTY
        if number:
            found = await self.revision(number)
            if found is None:
                raise ChangeRefused(Why.UNKNOWN, f"revision {number} is not kept any more")
            earlier = found[1]

        def back(table: Table) -> Change:
            if to is None and table.number != number + 1:
                text = f"there was a change meanwhile: the newest revision is {table.number}"
                raise ChangeRefused(Why.CHANGED, text)
            return Undo(earlier, expected, now=time.time())

        return await self.change(back, author, reason, open_sockets)

    async def _try(
        self, change: Change, author: Author, reason: str, open_sockets: OpenSockets | None
    ) -> Revision | None:
        """Make a change; None where somebody else was faster."""
        self._check_authority(change)
        before = self._base
        after = self._changed(change, author.limits)
        settings = self._live.current.config.switching
        policy = open_sockets or self._policy
        # What turned all sockets at once is taken back likewise, unless it is said otherwise.
        if before.all_off is not after.all_off and (after.all_off or open_sockets is None):
            policy = OpenSockets.NEXT_MESSAGE
        if settings.authority == "file":
            after = replace(after, digest=self._live.current.digest)
        scope = touched(before, after)
        revision = revision_of(
            before,
            after,
            scope,
            at=time.time(),
            author=author.name,
            role=author.role,
            reason=reason,
            kind=_KINDS[type(change)],
            open_sockets=policy,
            digest=self._live.current.digest,
            outlived=change.outlived if isinstance(change, Undo) else (),
        )
        stored = StoredRevision(after.number, write_revision(revision), write_table(after))
        try:
            if not await self._store.append(stored):
                return None
        except ValueError as error:
            raise ChangeRefused(Why.CONFLICT, str(error)) from None
        except StoreAway as error:
            self._is_away(error)
            raise
        self._log.info(
            "switches changed",
            revision=revision.number,
            author=author.name,
            kind=revision.kind,
            scope=[*revision.scope],
            open_sockets=policy.value,
        )
        self._take(after, policy)
        self._on_revision(revision)
        return revision

    def _check_authority(self, change: Change) -> None:
        if self._is_file and not keeps_to_file(self._base, change, self.in_force.first):
            text = (
                "the configuration file is the authority (switching.authority: file), and only"
                " steps down are taken here, and their end (segue switch restore): change"
                " switching.switches in the file, and reload"
            )
            raise ChangeRefused(Why.AUTHORITY, text)

    # Keeping in step.

    async def _run(self) -> None:
        while True:
            pause = POLL if self.away_since is None else _RETRY
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._told.wait()
            self._told.clear()
            try:
                await self._read_in_turn()
                await self._follow()
                await self._expire()
            except StoreAway:
                pass  # It has been said.
            except Exception as error:  # noqa: BLE001 (the next look may fare better)
                self._log.error("switches failed", fault=type(error).__name__)

    async def _read_in_turn(self) -> None:
        """Do what `_read` does, while nobody makes a change: else an older table could come last.

        Raises:
            StoreAway: see there.
        """
        async with self._changing:
            await self._read()
        await self._remember()

    async def _remember(self) -> None:
        if self._last_known is None:
            return
        known = write_table(self.stored), self._sealed_key
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
        with suppress(KeySealed):
            # It will be read again all the same: it may have been sealed anew.
            self._key = opened(known.key, self._keys)
        self.stored, self._has_read = table, True
        self._install(table, None, self._policy)
        self._log.warning(
            "switches are as they were when the store was last read", revision=table.number
        )

    async def _read(self) -> None:
        """Read what is new in the store, and put it to work.

        Raises:
            StoreAway: it does not answer, or with what cannot be read.
        """
        is_stale, self._is_stale = self._is_stale, False
        try:
            number = await self._store.number()
            if not self._sealed_key or number < self.stored.number:
                await self._take_key()
            if number != self.stored.number or self.unapplied or self.stands_on or is_stale:
                found = await self._store.load()
                table = EMPTY if found is None else _table_of(found)
                self._take(table, await self._missed(self.stored.number, table.number))
        except StoreAway as error:
            self._is_stale |= is_stale
            self._is_away(error)
            raise
        self._has_read = True
        self.read_at = time.monotonic()
        if self.away_since is not None:
            self._log.info("the store of switches is back", revision=self.stored.number)
            self.away_since, self.trouble = None, ""

    async def _take_key(self) -> None:
        """Take the key of the canaries; without it, switches work, and nobody is in a canary."""
        try:
            sealed = await sealed_canary_key(self._store, self._keys, self._log, self._key)
            key = opened(sealed, self._keys)
        except KeySealed as error:
            if not self.key_trouble:
                self._log.error("the canary key cannot be opened", reason=str(error))
            self.key_trouble = str(error)
            return
        self._sealed_key, self.key_trouble = sealed, ""
        if key != self._key:
            self._key = key
            self._install(self.in_force.table, None, self._policy)

    @property
    def _policy(self) -> OpenSockets:
        """What open sockets do where no change says it."""
        return OpenSockets(self._live.current.config.switching.open_sockets)

    def _take(self, table: Table, policy: OpenSockets) -> None:
        """Put a table of the store to work, if this process has what its revisions name."""
        before, current = self.stored, self.in_force.table
        if table.number < before.number:
            self._log.warning(
                "the store of switches went back", revision=table.number, before=before.number
            )
        self.stored = table
        self.stands_on, self.unapplied = self._unapplied(current, table)
        if self.stands_on or self.unapplied:
            # What is to be stopped everywhere is stopped here, too.
            table = replace(current, all_off=table.all_off)
        self._bring(table, policy)

    def _unapplied(self, current: Table, table: Table) -> tuple[str, tuple[SwitchName, ...]]:
        """What keeps a table from being put to work here, told once: `stands_on`, `unapplied`."""
        digest, turned = self._live.current.digest, touched(current, table)
        if self._is_file and table.digest not in ("", digest):
            if (table.digest, turned) != (self.stands_on, self.unapplied):
                self._log.warning(
                    "a revision is of another configuration than serves here",
                    revision=table.number,
                    configuration=table.digest,
                    serving=digest,
                    switches=[str(name) for name in turned],
                    in_force=current.number,
                )
            return table.digest, turned
        unknown = tuple(name for name in turned if name not in self.in_force.first)
        if not unknown or not self._has_read:
            return "", ()
        if unknown != self.unapplied or self.stands_on:
            self._log.error(
                "a revision names switches that are not in the configuration here",
                revision=table.number,
                switches=[str(name) for name in unknown],
                in_force=current.number,
            )
        return "", unknown

    def _bring(self, table: Table, policy: OpenSockets) -> None:
        """Put a table to work, unless it is what works already."""
        brought = self._brought
        another_file = self._is_file and brought.digest != table.digest
        if brought.all_off is not table.all_off:
            # What ends it by a revision says what open sockets do; another file does not.
            is_told = not table.all_off and not another_file
            self._install(table, None, policy if is_told else OpenSockets.NEXT_MESSAGE)
        elif another_file:
            # Another file, which says itself what the switches are: it may be any of them.
            self._install(table, None, self._policy)
        elif table != brought:
            self._install(table, frozenset(touched(brought, table)), policy)

    async def _missed(self, before: int, number: int) -> OpenSockets:
        """What the revisions ask of open sockets that this process has missed."""
        if number <= before or not (before or self._has_read):
            return OpenSockets.KEEP
        asked: list[OpenSockets] = []
        oldest: int | None = None
        while oldest is None or oldest > before + 1:
            found = await self.history(oldest, MAX_PAGE)
            if not found:
                break  # Those before are not kept any more.
            asked += [each.open_sockets for each in found if each.number > before]
            oldest = found[-1].number
        return max(asked, key=_STRENGTH.index, default=OpenSockets.KEEP)

    async def _follow(self) -> None:
        """Where the file is the authority: say which one it is, once for each."""
        current = self._live.current
        if not self._is_file or self._followed == current.digest:
            return
        if self.stored.digest != current.digest:
            # A replica that starts again, or goes back to a file, does not end that all is off.
            known = await self.history(None, MAX_PAGE)
            is_new = all(each.digest != current.digest for each in known)

            def follow(_: Table) -> Change:
                if self.stored.digest == current.digest:
                    raise ChangeRefused(Why.CHANGED, "another process has said so")
                return Follow(current.digest, is_new)

            author = Author(f"configuration {current.digest}", "")
            reason = "the configuration file is the authority, and has changed"
            with suppress(ChangeRefused):
                await self.change(follow, author, reason)
        self._followed = current.digest

    async def _expire(self) -> None:
        """End what is to end by itself, and is due."""
        if due(self._base, time.time()):

            def expire(table: Table) -> Change:
                now = time.time()
                if not due(table, now):
                    raise ChangeRefused(Why.CHANGED, "somebody else has ended it")
                return Expire(now)

            with suppress(ChangeRefused):
                await self.change(expire, Author(SEGUE, ""), "its time was over")

    def _install(
        self, table: Table, scope: frozenset[SwitchName] | None, policy: OpenSockets
    ) -> None:
        self._brought = table
        self._live.replace(self._dressed(self._live.current, table))
        self._on_installed(SwitchChange(self._live.current, scope, policy))

    def _dressed(self, snapshot: Snapshot, table: Table) -> Snapshot:
        first = snapshot.config.switching.first()
        if snapshot.config.switching.authority == "file" and table.digest != snapshot.digest:
            # What was said of another file ends with it; that everything is off, by a revision.
            table = Table(table.number, all_off=table.all_off, digest=snapshot.digest)
        self._serial += 1
        switches = SwitchedCatalog(snapshot.catalog, first, table, self._key, serial=self._serial)
        return replace(snapshot, switches=switches)

    def _is_away(self, error: StoreAway) -> None:
        if self.away_since is None:
            self.away_since = time.time()
            self._log.warning("the store of switches is away", reason=error.detail)
        self.trouble = error.detail


_KINDS: Final[dict[type, str]] = {
    SetSwitch: "set",
    DropException: "drop",
    AllOff: "all-off",
    Restore: "restore",
    RestoreSwitch: "restore-switch",
    Undo: "undo",
    Follow: "follow",
    Expire: "expire",
}


def _table_of(found: StoredRevision) -> Table:
    try:
        return read_table(found.state)
    except Unreadable as error:
        raise StoreAway(f"the state of the switches cannot be read: {error}") from None
