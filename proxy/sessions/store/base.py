"""What a store of sessions does.

A store keeps records. It knows no rule of sessions, reads no token and decides nothing but this:

- **One writer wins.** `Store.save` is a compare-and-set on the record's revision, and keeps the
  index from handles to sessions in the same step.
- **A late writer loses.** A lease has a fencing number that only grows, for each session; a save
  under an older one than the last that was given out changes nothing.
- **The end is final.** A record that has `ended` is never without it again. One that the server has
  `refused` is no open session either, and may become one again.

Whatever it says of itself, a record is only as good as the storage: who can write there can take
sessions over. Who can only read there learns no token: they are sealed (`proxy.tokens.sealing`),
and handles are keyed hashes.

Times are seconds since 1970. A save, a touch or a lease whose call raised `StoreAway` may have
happened all the same; whoever needs to know loads the record again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, NamedTuple, Protocol

from proxy.errors import RecordUnreadable
from proxy.sessions.record import Eviction, Record

MAX_BATCH: Final = 500
"""Records that one step of `Store.purge` removes, and the most that `Store.sessions` returns."""


MAX_SEEN: Final = 500
"""Open sessions of one user that are looked at, beside those that may stay, for which to end."""


class SessionUse(NamedTuple):
    """When an open session was used last.

    Attributes:
        session: its name.
        used: when.
        host: whom its login named as its host; empty where it is not known.
    """

    session: str
    used: float
    host: str


class RecordPage(NamedTuple):
    """Some open sessions, in the order of their names.

    Attributes:
        records: those that could be read.
        unreadable: the names of the others.
        after: the name to go on after; empty where these were the last.
    """

    records: list[Record]
    unreadable: list[str]
    after: str


class Store(Protocol):
    """Where records are kept.

    Every operation raises `StoreAway` where the store does not answer, and `StoreReadOnly` where it
    does, and cannot write what it would have to.

    A store may be shared by any number of processes. It gives up after a time limit, and finds its
    storage again by itself.
    """

    async def find(self, *digests: bytes) -> Record | None:
        """The record that one of these handles leads to, or led to in its past; also closed ones.

        The first digest that is known counts: there is more than one of a token while keys are
        being rotated.
        """

    async def load(self, session: str) -> Record | None:
        """The record of a session, also of a closed one."""

    async def save(self, record: Record, *, fence: int | None = None) -> Record | None:
        """Write a record, and the index of its handles, if nobody else did since it was read.

        Returns it as it is stored, with the next revision; what `touch` told meanwhile stays, and
        so does the first `ended`. None, and nothing is changed, where the revision is not the
        stored one (0: there must be none), where the stored record is a tombstone and this is
        none, or where a lease newer than `fence` was given out. Without a fence the lease is not
        asked for. A handle that led to another session leads to this one from then on.

        A store holds a number of open sessions, and as many closed ones: those that have ended or
        were refused. Where a new session would find more of the latter, one of the same user is
        removed that its `eviction` lets go, or one of everybody's: of those that are to go first
        the oldest, then of the others. One that is open again is that beyond the bound, too.

        Raises:
            StoreFull: it would be one open session more than the store may hold, or one closed
                session more, and none may go.
            ValueError: the record is larger than what a record may be.
        """

    async def touch(self, session: str, used: float, version: str, cohort: str) -> None:
        """Note when an open session was used last, and by which client.

        Neither makes a revision nor a session, and a time older than the one that is known changes
        nothing. Cheaper than a save: it may be lost in a crash of the machine.
        """

    async def acquire(self, session: str, owner: str, ttl: float) -> int | None:
        """Take, or take again, the lease of a stored session for `ttl` seconds.

        Returns its fencing number, larger than any before it for this session, also where the
        store lost its latest writes in between. None where somebody else holds it, or where there
        is no such session.
        """

    async def extend(self, session: str, owner: str, ttl: float) -> bool:
        """Hold a lease for `ttl` seconds from now; False where it is not held any more."""

    async def release(self, session: str, owner: str) -> None:
        """Give a lease back, if it is this owner's."""

    async def sessions(self, *, user: str | None, after: str, limit: int) -> RecordPage:
        """A page of the open sessions, in the order of their names, those after `after`.

        A record that cannot be read hides no other one.

        Args:
            user: only this one's, where it is not None.
            after: the name of the last session of the page before; empty for the first page.
            limit: how many at most; no more than `MAX_BATCH`.
        """

    async def uses(self, user: str, limit: int) -> list[SessionUse]:
        """When the open sessions of a user were used last, in the order of their names.

        Args:
            user: not empty: that is everybody whose token does not say.
            limit: how many at most.
        """

    async def count(self) -> int:
        """The number of open sessions."""

    async def purge(self, now: float) -> int:
        """Remove the records whose `purge_after` is not later than `now`; how many there were."""

    async def writable(self) -> None:
        """Return if what is written has room, and some to spare.

        Raises:
            StoreReadOnly: it has not.
        """

    async def ping(self) -> None:
        """Return if the store answers."""

    async def close(self) -> None:
        """Give up the connection to the storage; nothing may be asked afterwards."""


def page_of(found: Iterable[tuple[str, Callable[[], Record]]], limit: int) -> RecordPage:
    """The page that these sessions make, each with its name and what reads its record.

    Args:
        found: no more than `limit`.
        limit: how many there would be if there were enough.
    """
    page = RecordPage([], [], "")
    name, count = "", 0
    for name, read in found:
        count += 1
        try:
            page.records.append(read())
        except RecordUnreadable:
            page.unreadable.append(name)
    return page._replace(after=name) if count == limit else page


def keeping(eviction: Eviction) -> int:
    """How long a tombstone is kept beside others that may go: 0 for those that go first."""
    return Eviction.FIRST - eviction
