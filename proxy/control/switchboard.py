"""The board of switches: takes changes, and makes revisions of them.

A change is appended to the store, and where it was taken, it is in force when the answer goes out
(`current_switches`). All other processes on the same store read it there.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Final, NamedTuple

from structlog.typing import FilteringBoundLogger

from proxy.control.current_switches import CurrentSwitches
from proxy.control.file_authority import ended_steps, is_new_file
from proxy.control.rise_hours import closed_at
from proxy.control.switch_store.base import (
    MAX_PAGE,
    MAX_REVISION,
    MAX_STATE,
    StoredRevision,
    SwitchStore,
    newest_of,
)
from proxy.errors import StoreAway
from proxy.switching.changes import (
    AllOff,
    Change,
    Expire,
    Follow,
    Restore,
    Undo,
    changed,
    keeps_to_file,
    touched,
)
from proxy.switching.exposure import lowers
from proxy.switching.history import (
    Revision,
    fitted,
    revision_of,
    within,
    write_revision,
    write_table,
)
from proxy.switching.limits import NO_LIMITS, RAISES, Limits, beyond
from proxy.switching.ramp_changes import (
    SetRampStatus,
    StartRamp,
    StepBack,
    StepRamp,
    StopRamp,
)
from proxy.switching.ramps import RampStatus
from proxy.switching.refusal import ChangeRefused, Why
from proxy.switching.switch_changes import (
    DropException,
    RestoreSwitch,
    SetSwitch,
)
from proxy.switching.table import (
    EMPTY,
    UNTOUCHED,
    OpenSockets,
    SwitchName,
    Table,
    Term,
    files,
    for_file,
)
from proxy.switching.terms import not_kept, policies_due
from proxy.types import SEGUE

_TRIES: Final = 5
"""How often a change is tried when others are made at the same moment."""

RESERVED: Final = 64 * 1024
"""Bytes of the state that what adds to it leaves free: what takes back always has room."""


class Author(NamedTuple):
    """Who makes a change, as it is written down.

    Attributes:
        name, role: of theirs.
        limits: of what they may change.
    """

    name: str
    role: str
    limits: Limits = NO_LIMITS


class Made(NamedTuple):
    """What came of a change.

    Attributes:
        revision: that it made; where it changed nothing, the one that made it so, or None: none
            that is kept.
        changed: whether it made one.
        not_kept: what was said of owner and time before, and is not kept; None for nothing.
    """

    revision: Revision | None
    changed: bool = True
    not_kept: Term | None = None


RaisesSockets = Callable[[Table, Collection[SwitchName]], Awaitable[bool]]
"""Whether an open WebSocket would have more rewritten by a table than it has, if what changed of
these switches were brought to all of them."""

RAISES_SOCKETS: Final = (
    "this may raise: there are open WebSockets that have less rewritten than it would bring them;"
    " say `keep` of open sockets, or turn everything off"
)


class Switchboard:
    """Takes changes of the switches of all processes on the same store.

    Attributes:
        current: what is in force here, and what the store has.
    """

    def __init__(
        self,
        current: CurrentSwitches,
        store: SwitchStore,
        log: FilteringBoundLogger,
        on_revision: Callable[[Revision], None],
        raises_sockets: RaisesSockets | None = None,
    ) -> None:
        """Construct; nothing is changed yet.

        Args:
            current: what is in force here.
            store: of the switches; `current` keeps in step with it, and closes it.
            log: told of revisions.
            on_revision: told of each revision that was made here.
            raises_sockets: asked for who may only lower; None where there are no sockets.
        """
        self.current = current
        self._store = store
        self._log = log
        self._on_revision = on_revision
        self._raises_sockets = raises_sockets
        self._followed = ""

    async def start(self) -> None:
        """Have read what the store has, and do from now on what is to be done by itself."""
        await self.current.start(self._go_on)

    async def close(self) -> None:
        """Do nothing more, and give up the store."""
        await self.current.close()

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
        before, first = self.current.base, self.current.in_force.first
        try:
            # What is set for whoever asks comes before what is kept for others.
            after = within(changed(before, change, first), MAX_STATE - RESERVED)
        except ChangeRefused as refused:
            if refused.why is Why.UNCONDITIONAL and limits.only_lowers:
                raise ChangeRefused(Why.LIMITED, limits.against(RAISES)) from None
            raise
        wrong = beyond(limits, before, after, first)
        if wrong:
            raise ChangeRefused(Why.LIMITED, wrong)
        if isinstance(change, SetSwitch):
            _check_room(before, after)
        self._check_hours(change, before, after)
        return after

    async def change(
        self,
        change: Change | Callable[[Table], Change],
        author: Author,
        reason: str,
        open_sockets: OpenSockets | None = None,
    ) -> Made:
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
        async with self.current.turn:
            for _ in range(_TRIES):
                await self.current.read()
                wanted = change(self.current.base) if callable(change) else change
                made = await self._try(wanted, author, reason, open_sockets)
                if made is not None:
                    return made
        text = "others made changes at the same moment, again and again: try it once more"
        raise ChangeRefused(Why.CHANGED, text)

    async def undo(
        self,
        to: int | None,
        expected: int | None,
        author: Author,
        reason: str,
        open_sockets: OpenSockets | None = None,
    ) -> Made:
        """Go back to the table of an earlier revision; that before the newest where None.

        Raises:
            ChangeRefused: there is none, or it is not made.
            StoreAway: see `change`.
        """
        await self.current.read_in_turn()
        newest = self.current.stored.number
        number = newest - 1 if to is None else to
        if not 0 <= number < max(newest, 1):
            text = f"there is no revision {number} to go back to; the newest is {newest}"
            raise ChangeRefused(Why.UNKNOWN, text)
        earlier = EMPTY
        if number:
            found = await self.current.history.revision(number)
            if found is None:
                raise ChangeRefused(Why.UNKNOWN, f"revision {number} is not kept any more")
            earlier = found[1]

        def back(table: Table) -> Change:
            if to is None and table.number != number + 1:
                text = f"there was a change meanwhile: the newest revision is {table.number}"
                raise ChangeRefused(Why.CHANGED, text)
            # What was said of another file counts for that one alone, also when it is undone.
            digest = self.current.digest if self.current.is_file else None
            return Undo(for_file(earlier, digest), expected, now=time.time())

        return await self.change(back, author, reason, open_sockets)

    async def _try(
        self, change: Change, author: Author, reason: str, open_sockets: OpenSockets | None
    ) -> Made | None:
        """Make a change; None where somebody else was faster."""
        self._check_authority(change)
        if isinstance(change, SetSwitch) and change.term.restore:
            # What is asked of open sockets now is asked again when it ends.
            change = replace(change, term=replace(change.term, open_sockets=open_sockets))
        # What was said of another file is no base to build on, and is what this file takes over.
        before = self.current.stored if isinstance(change, Follow) else self.current.base
        after = self._changed(change, author.limits)
        policy = open_sockets or self.current.policy
        # What turned all sockets at once is taken back likewise, unless it is said otherwise.
        if before.all_off is not after.all_off and (after.all_off or open_sockets is None):
            policy = OpenSockets.NEXT_MESSAGE
        # What operators set where no file has the say is of none.
        after = replace(after, digest=self.current.digest if self.current.is_file else "")
        scope = touched(before, after)
        if not scope and before.all_off is after.all_off:
            standing = await self._standing(change, before)
            if standing is not None or isinstance(change, AllOff | Restore):
                return Made(standing, changed=False)
        await self._check_sockets(author.limits, after, scope, policy)
        revision = revision_of(
            before,
            after,
            scope,
            at=time.time(),
            author=author.name,
            role=author.role,
            reason=reason,
            kind=_kind(change),
            finding=change.finding if isinstance(change, StepBack) else None,
            findings=change.findings if isinstance(change, StepBack) else (),
            open_sockets=policy,
            digest=self.current.digest,
            id=secrets.token_hex(8),
            outlived=change.outlived if isinstance(change, Undo) else (),
        )
        revision = fitted(revision, MAX_REVISION)
        stored = StoredRevision(after.number, write_revision(revision), write_table(after))
        try:
            if not await self._store.append(stored, self.current.newest.tag):
                return None
        except ValueError as error:
            raise ChangeRefused(Why.CONFLICT, str(error)) from None
        except StoreAway as error:
            self.current.is_away(error)
            raise
        self._log.info(
            "switches changed",
            revision=revision.number,
            author=author.name,
            kind=revision.kind,
            scope=[*revision.scope],
            open_sockets=policy.value,
        )
        self._tell_of_files(change, before, after)
        self.current.newest = newest_of(stored)
        self.current.apply(after, policy)
        self._on_revision(revision)
        lost = None
        if isinstance(change, SetSwitch):
            lost = not_kept(
                before.states.get(change.switch, UNTOUCHED),
                after.states[change.switch],
                change.name,
                revision.at,
            )
        return Made(revision, not_kept=lost)

    def _tell_of_files(self, change: Change, before: Table, after: Table) -> None:
        """Log what does not count under this file, and what is kept for others no more."""
        if not self.current.is_file:
            return
        ends_all_off, ended = before.all_off is not after.all_off, ended_steps(before, after)
        if isinstance(change, Follow) and (ended or ends_all_off):
            self._log.warning(
                "another configuration ends what was set",
                revision=after.number,
                ends_all_off=ends_all_off,
                switches=[*ended],
            )
        kept = (after.digest, *after.others)
        forgotten = [digest for digest in files(self.current.stored) if digest not in kept]
        if forgotten:
            self._log.warning(
                "what was set under older configurations is forgotten",
                revision=after.number,
                configurations=forgotten,
            )

    async def _standing(self, change: Change, before: Table) -> Revision | None:
        """The revision that made it so, where a change says again what is so; None if not kept."""
        history = self.current.history
        with suppress(StoreAway):
            match change:
                case AllOff() | Restore():
                    is_off = before.all_off
                    newest = await history.page(None, MAX_PAGE)
                    turned = (each for each in newest if each.was_all_off is not each.all_off)
                    return next((each for each in turned if each.all_off is is_off), None)
                case SetSwitch():
                    found = await history.revision(before.revision(change.switch))
                    return None if found is None else found[0]
                case Undo():
                    found = await history.revision(before.number)
                    return None if found is None else found[0]
        return None

    async def _check_sockets(
        self, limits: Limits, after: Table, scope: Collection[SwitchName], policy: OpenSockets
    ) -> None:
        """Refuse to bring more to open sockets, some of which were kept as they were."""
        if not limits.only_lowers or policy is OpenSockets.KEEP or after.all_off:
            return
        if self._raises_sockets is not None and await self._raises_sockets(after, scope):
            raise ChangeRefused(Why.LIMITED, limits.against(RAISES_SOCKETS))

    def _check_authority(self, change: Change) -> None:
        current = self.current
        if current.is_file and not keeps_to_file(current.base, change, current.in_force.first):
            text = (
                "the configuration file is the authority (switching.authority: file), and only"
                " steps down are taken here, and their end (segue switch restore): change"
                " switching.switches in the file, and reload"
            )
            raise ChangeRefused(Why.AUTHORITY, text)

    def _check_hours(self, change: Change, before: Table, after: Table) -> None:
        """Refuse to raise at a time at which nothing may rise.

        What was said before to end by itself ends all the same, and a new file is no change here.
        """
        if isinstance(change, Expire | Follow):
            return
        closed = closed_at(self.current.switching, time.time())
        if closed and not lowers(before, after, self.current.in_force.first):
            text = f"this raises, and {closed}. What lowers is taken at all times"
            raise ChangeRefused(Why.CLOSED, text)

    async def _go_on(self) -> None:
        await self._follow()
        await self._expire()

    async def _follow(self) -> None:
        """Where the file is the authority: say which one it is, once for each."""
        current = self.current
        digest = current.digest
        if not current.is_file:
            self._followed = ""
        if not current.is_file or self._followed == digest:
            return
        if current.stored.digest != digest:
            is_new = await is_new_file(current, digest)

            def follow(_: Table) -> Change:
                if current.stored.digest == digest:
                    raise ChangeRefused(Why.CHANGED, "another process has said so")
                return Follow(digest, is_new)

            author = Author(f"configuration {digest}", "")
            reason = "the configuration file is the authority, and has changed"
            with suppress(ChangeRefused):
                await self.change(follow, author, reason)
        self._followed = digest

    async def _expire(self) -> None:
        """End what is to end by itself, and is due."""
        for policy in policies_due(self.current.base, time.time()):
            with suppress(ChangeRefused):
                await self.change(
                    partial(_expire, policy), Author(SEGUE, ""), "its time was over", policy
                )


def _expire(policy: OpenSockets | None, table: Table) -> Change:
    now = time.time()
    if policy not in policies_due(table, now):
        raise ChangeRefused(Why.CHANGED, "somebody else has ended it")
    return Expire(now, policy)


def _check_room(before: Table, after: Table) -> None:
    """Refuse to set more than can be kept; what adds nothing is no more."""
    size = len(write_table(after))
    if size > MAX_STATE - RESERVED and size > len(write_table(before)):
        text = (
            "more is set than can be kept: end what is not needed any more (segue switch restore,"
            " segue switch drop); to turn everything off is always possible (segue switch all off)"
        )
        raise ChangeRefused(Why.CONFLICT, text)


_KINDS: Final[dict[type, str]] = {
    SetSwitch: "set",
    DropException: "drop",
    AllOff: "all-off",
    Restore: "restore",
    RestoreSwitch: "restore-switch",
    Undo: "undo",
    Follow: "follow",
    Expire: "expire",
    StepBack: "guard",
    StartRamp: "ramp",
    StepRamp: "ramp-step",
    SetRampStatus: "ramp-pause",
    StopRamp: "ramp-stop",
}


def _kind(change: Change) -> str:
    if isinstance(change, SetRampStatus) and change.status is RampStatus.RUNNING:
        return "ramp-resume"
    return _KINDS[type(change)]
