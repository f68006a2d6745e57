"""The revisions of a store of switches, read."""

from __future__ import annotations

from contextlib import suppress

from proxy.control.switch_store.base import (
    MAX_PAGE,
    Newest,
    StoredRevision,
    SwitchStore,
    newest_of,
)
from proxy.errors import StoreAway
from proxy.switching.history import Revision, Unreadable, read_revision, read_table
from proxy.switching.table import EMPTY, Table


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

    async def since(self, number: int) -> list[Revision]:
        """Those after a revision that are kept and can be read, the newest first.

        Raises:
            StoreAway: the store does not answer.
        """
        newer: list[Revision] = []
        oldest: int | None = None
        while oldest is None or oldest > number + 1:
            found = await self.page(oldest, MAX_PAGE)
            if not found:
                break  # Those before are not kept any more.
            newer += [each for each in found if each.number > number]
            oldest = found[-1].number
        return newer


def _table_of(found: StoredRevision) -> Table:
    try:
        return read_table(found.state)
    except Unreadable as error:
        raise StoreAway(f"the state of the switches cannot be read: {error}") from None
