"""What a store of switches does.

A store keeps revisions, a few small values, what each replica says of itself, and days: what each
has seen in a day. It reads none of them, and decides nothing but this:

- **One writer wins.** `SwitchStore.append` takes a revision only where its number follows the
  newest one's; `SwitchStore.replace` is a compare-and-set.
- **Nothing is half there.** A revision and the state after it are written in one step.
- **A hint is no change.** Who listens is told that something *may* have changed. Hints can be lost
  and can come for nothing; what has changed, whoever is told finds out by reading.

The newest number usually grows. It can be lower than before where the storage is an older copy of
itself: a backup that was restored, or a replica of Redis that was made the master and had not heard
of the latest change. What is appended then has a number that another revision has had: a tag tells
these apart (`Newest`). Numbers below the newest one can be missing, too.

A call that raised `StoreAway` may have been carried out all the same; `SwitchStore.load` tells.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, Protocol

from proxy.errors import RecordUnreadable

KEPT: Final = 1000
"""Revisions that are kept; the oldest goes when one more comes."""

MAX_REVISION: Final = 256 * 1024
"""Bytes of a revision."""

MAX_STATE: Final = 1024 * 1024
"""Bytes of the state after a revision."""

MAX_NUMBER: Final = 2**53
"""The largest number of a revision: every store counts exactly so far."""

MAX_PAGE: Final = 100
"""The most that `SwitchStore.revisions` returns."""

MAX_VALUE: Final = 16 * 1024
"""Bytes of a named value, and of what a replica says of itself."""

MAX_VALUES: Final = 4000
"""Named values that there may be."""

MAX_ANNOUNCED: Final = 500
"""Replicas that are known; where there are more, those whose time ends first are forgotten."""

MAX_TTL: Final = 3600.0
"""Seconds that an announcement is kept at most."""

MAX_DAY: Final = 256 * 1024
"""Bytes of what somebody has seen in a day."""

MAX_DAYS: Final = 400
"""Days that are kept; where there is one more, all that is kept of the oldest goes."""

MAX_DAY_ROWS: Final = 1000
"""What is kept of all days together: of each day, what somebody has seen is one."""

MAX_DAY_NUMBER: Final = 100_000
"""The last day that there can be, in days since 1970."""

_NAME: Final = re.compile(r"[!-~]{1,200}")


class StoredRevision(NamedTuple):
    """A change, and everything that is set after it.

    Attributes:
        number: 1 for the first.
        revision: who changed what, and why; no more than `MAX_REVISION` bytes.
        state: all that is set after it; no more than `MAX_STATE` bytes.
    """

    number: int
    revision: bytes
    state: bytes


class Newest(NamedTuple):
    """Which revision is the newest.

    Attributes:
        number: its number; 0 where there is none.
        tag: `tag_of` what is written of it; empty where there is none, or it cannot be read.
    """

    number: int = 0
    tag: str = ""


class StoredDay(NamedTuple):
    """What somebody has seen in a day.

    Attributes:
        number: of the day, in days since 1970, in UTC.
        name: whose it is: a process's, or the sum of several.
        document: no more than `MAX_DAY` bytes; empty where the storage has something that is none.
    """

    number: int
    name: str
    document: bytes


def tag_of(revision: bytes) -> str:
    """What tells a revision from another one of the same number: 40 hexadecimal digits.

    It is computed of what is written (SHA-1, which Redis can do in a script), so that revisions of
    any version of Segue have one; those that this version writes have something random in them.
    """
    return hashlib.sha1(revision, usedforsecurity=False).hexdigest()


def newest_of(found: StoredRevision | None) -> Newest:
    """Which one is the newest, where this is it."""
    return Newest() if found is None else Newest(found.number, tag_of(found.revision))


class SwitchStore(Protocol):
    """Where switches are kept.

    Every operation raises `StoreAway` where the store does not answer, `StoreReadOnly` where it
    does, and cannot write what it would have to, and `RecordUnreadable`, which is a `StoreAway`,
    where it answers with what no store has written. A ValueError says that an argument is over its
    bound; nothing has been asked of the storage then.

    Names (of values and of replicas) are 1 to 200 visible ASCII characters.

    A store may be shared by any number of processes. It gives up after a time limit, and finds its
    storage again by itself.
    """

    async def load(self) -> StoredRevision | None:
        """The newest revision; None where there is none."""

    async def append(self, new: StoredRevision, after: str = "") -> bool:
        """Make this the newest revision, and tell everybody who listens.

        Args:
            new: its number is the newest one's plus 1 (1 where there is none).
            after: the tag of the newest one, so that it is not another one of that number; any
                where it is empty.

        Returns whether it is: False, and nothing is changed, where it does not follow. It is on the
        disk, as far as the storage promises that, when this returns.

        Raises:
            ValueError: the number, the revision or the state is over its bound.
        """

    async def number(self) -> int:
        """The newest revision's number, 0 where there is none. Cheap."""

    async def newest(self) -> Newest:
        """Which revision is the newest. Cheap, too."""

    async def revision(self, number: int) -> StoredRevision | None:
        """One of those that are kept."""

    async def revisions(self, before: int | None, limit: int) -> list[bytes]:
        """Revisions without their states, the newest first. Unreadable ones are left out.

        Args:
            before: only those with a lower number, where it is not None.
            limit: how many at most; no more than `MAX_PAGE`.
        """

    async def value(self, name: str) -> bytes | None:
        """A named value; None where it is missing."""

    async def replace(self, name: str, expected: bytes | None, new: bytes | None) -> bool:
        """Set a named value, if it is what is expected. Nobody is told.

        Args:
            name: its name.
            expected: what it has to be; None where it has to be missing.
            new: what it becomes, `MAX_VALUE` bytes at most; None removes it.

        Returns:
            Whether it was as expected; where not, nothing is changed.

        Raises:
            StoreFull: it would be one more than `MAX_VALUES`.
        """

    async def announce(self, replica: str, document: bytes, ttl: float) -> None:
        """Say something of a replica, in place of what was said of it before.

        Args:
            replica: its name.
            document: `MAX_VALUE` bytes at most.
            ttl: seconds until it is forgotten; no more than `MAX_TTL`.
        """

    async def announced(self) -> dict[str, bytes]:
        """What is said of each replica, as far as its time has not ended."""

    async def write_day(self, new: StoredDay, *, again: bool) -> bool:
        """Keep what somebody has seen in a day, in place of what was kept of them before.

        Where it is the first of its day, and there are `MAX_DAYS`, the oldest goes, even if that is
        this one.

        Args:
            new: that.
            again: whether there has to be something of them that it replaces.

        Returns whether it is kept: False, and nothing is changed, where there was nothing.

        Raises:
            StoreFull: it would be one more than `MAX_DAY_ROWS`.
        """

    async def days(self, first: int, last: int) -> list[StoredDay]:
        """What is kept of these days, in order of days and names.

        Args:
            first, last: the numbers of the first one and the last.
        """

    async def fold_days(self, gone: Sequence[StoredDay], into: StoredDay) -> bool:
        """Keep one in place of several, in one step.

        Args:
            gone: those, as they were read; at least one. The one of the name and day of `into`, if
                there is one, has to be among them.
            into: their sum.

        Returns whether that was done: False, and nothing is changed, where one of them is not as it
        was, or something is kept under the name of `into` that is not among them.
        """

    def listen(self, told: Callable[[], None]) -> None:
        """Have something called, in the running loop, whenever a revision may have been appended.

        By this store or any other on the same storage; within a second, as long as it answers. It
        is also called after every gap in which nothing could be heard, and the time before the
        first hearing is one: so it is called once soon after this.
        """

    async def close(self) -> None:
        """Give up the connection to the storage; nobody is told anything any more."""


def check_revision(new: StoredRevision) -> None:
    """Raises a ValueError where one of its parts is over its bound."""
    if not 1 <= new.number <= MAX_NUMBER:
        raise ValueError(f"the number of a revision is not from 1 to {MAX_NUMBER}")
    if len(new.revision) > MAX_REVISION:
        raise ValueError(f"a revision is larger than {MAX_REVISION} bytes")
    if len(new.state) > MAX_STATE:
        raise ValueError(f"the state after a revision is larger than {MAX_STATE} bytes")


def check_value(name: str, *values: bytes | None) -> None:
    """Raises a ValueError where this is no name, or one of the values is over its bound."""
    if _NAME.fullmatch(name) is None:
        raise ValueError("a name is not 1 to 200 visible ASCII characters")
    if any(len(value) > MAX_VALUE for value in values if value is not None):
        raise ValueError(f"a value is larger than {MAX_VALUE} bytes")


def check_announcement(replica: str, document: bytes, ttl: float) -> None:
    """Raises a ValueError where one of them is over its bound."""
    check_value(replica, document)
    if not 0 < ttl <= MAX_TTL:
        raise ValueError(f"an announcement is not kept for 0 to {MAX_TTL:.0f} seconds")


def check_day(each: StoredDay) -> None:
    """Raises a ValueError where this is no day, no name, or the document is over its bound."""
    if _NAME.fullmatch(each.name) is None:
        raise ValueError("a name is not 1 to 200 visible ASCII characters")
    if not 0 <= each.number <= MAX_DAY_NUMBER:
        raise ValueError(f"the number of a day is not from 0 to {MAX_DAY_NUMBER}")
    if not 0 < len(each.document) <= MAX_DAY:
        raise ValueError(f"a day is empty, or larger than {MAX_DAY} bytes")


def check_fold(gone: Sequence[StoredDay], into: StoredDay) -> None:
    """Raises a ValueError where these cannot be folded."""
    check_day(into)
    if not 0 < len(gone) <= MAX_DAY_ROWS:
        raise ValueError(f"not 1 to {MAX_DAY_ROWS} days are folded")


def read_part(part: object, most: int) -> bytes:
    """What a storage has of something that is written as bytes.

    Args:
        part: what came of it.
        most: bytes that it may have.

    Raises:
        RecordUnreadable: it is something else, or larger.
    """
    if not isinstance(part, bytes) or len(part) > most:
        raise RecordUnreadable("what the store has of switches is damaged")
    return part


def page_size(limit: int) -> int:
    """How many revisions are asked for."""
    return max(0, min(limit, MAX_PAGE))
