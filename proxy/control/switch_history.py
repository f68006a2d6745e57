"""The revisions of a store of switches, read."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from proxy.control.switch_store.base import (
    MAX_PAGE,
    Newest,
    StoredRevision,
    SwitchStore,
    newest_of,
)
from proxy.errors import StoreAway
from proxy.switching.effective import runs
from proxy.switching.history import Revision, Unreadable, read_revision, read_table
from proxy.switching.table import EMPTY, OpenSockets, Table


class SwitchHistory:
    """Reads revisions, and the tables after them."""

    def __init__(self, store: SwitchStore) -> None:
        """Construct; nothing is read yet.

        Args:
            store: has them.
        """
        self._store = store

    async def newest(self) -> tuple[Newest, Table]:
        """The newest revision, and what was set after it.

        Raises:
            StoreAway: the store does not answer, or with what cannot be read.
        """
        found = await self._store.load()
        return newest_of(found), EMPTY if found is None else _table_of(found)

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

    async def page(self, before: int | None, limit: int) -> list[Revision]:
        """Revisions, the newest first; those that cannot be read are left out.

        So are those whose number does not fit their place: whoever goes on from the last one would
        never come to an end.

        Args:
            before: only those with a lower number, where it is not None.
            limit: how many at most.

        Raises:
            StoreAway: the store does not answer.
        """
        found: list[Revision] = []
        above = before
        for written in await self._store.revisions(before, limit):
            with suppress(Unreadable):
                revision = read_revision(written)
                if above is None or revision.number < above:
                    found.append(revision)
                    above = revision.number
        return found

    async def between(self, before: Newest, newest: Newest) -> list[Revision]:
        """Those that came after one, up to another, in their order; as far as they are kept.

        Args:
            before: what was the newest when the store was read.
            newest: what is now. What has come since is left for the next look.

        Raises:
            StoreAway: the store does not answer.
        """
        first = before.number + 1
        if newest.number == before.number and before.tag not in ("", newest.tag):
            first = newest.number  # It has taken the place of one that is lost.
        found: list[Revision] = []
        oldest = newest.number + 1
        while oldest > first:
            page = await self.page(oldest, MAX_PAGE)
            if not page:
                break  # Those before are not kept any more.
            found += [each for each in page if each.number >= first]
            oldest = page[-1].number
        return found[::-1]

    async def steps(
        self, table: Table, missed: Sequence[Revision]
    ) -> list[tuple[Table, OpenSockets]]:
        """The tables on the way to the newest one, and what open sockets do at each.

        A table that is not kept any more is passed over: the next one acts for it.

        Args:
            table: the newest one.
            missed: the revisions on the way, in their order; see `between`.
        """
        found = []
        stops = runs(missed)
        for number, policy in stops[:-1]:
            with suppress(StoreAway):
                earlier = await self.revision(number)
                if earlier is not None:
                    found.append((earlier[1], policy))
        return [*found, (table, stops[-1][1] if stops else OpenSockets.KEEP)]


def _table_of(found: StoredRevision) -> Table:
    try:
        return read_table(found.state)
    except Unreadable as error:
        raise StoreAway(f"the state of the switches cannot be read: {error}") from None
