"""What a store of sessions does, and what a session's record holds.

A store keeps records. It knows no rule of sessions, reads no token and decides nothing but this:

- **One writer wins.** `Store.save` is a compare-and-set on the record's revision, and keeps the
  index from handles to sessions in the same step.
- **A late writer loses.** A lease has a fencing number that only grows, for each session; a save
  under an older one than the last that was given out changes nothing.
- **The end is final.** A record that has `ended` is never without it again.

Whatever it says of itself, a record is only as good as the storage: who can write there can take
sessions over. Who can only read there learns no token: they are sealed (`proxy.sealing`), and
handles are keyed hashes.

Times are seconds since 1970. A save, a touch or a lease whose call raised `StoreAway` may have
happened all the same; whoever needs to know loads the record again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple, Protocol

import msgspec

from proxy.errors import RecordUnreadable
from proxy.values import HandleKind

MAX_HANDLES: Final = 64
MAX_SPENT: Final = 64
MAX_TEXT: Final = 128
"""Characters of user, version and cohort."""
MAX_RECORD: Final = 64 * 1024
"""Bytes of a record as it is stored: two tokens of 8 KiB, sealed, and all of its handles fit."""
MAX_BATCH: Final = 500
"""Records that one step of `Store.purge` removes, and the most that `Store.sessions` returns."""

_FORMAT: Final = b"\x01"


@dataclass(frozen=True, slots=True)
class Handle:
    """Something that a client holds and that leads to its session.

    Attributes:
        digest: the keyed hash of the token or cookie, 32 bytes (`sealing.Sealer.digest`).
        kind: what it is the hash of.
        order: with which delivery to the client it went out: 1 is the login.
        expires: when it stops being a handle at the latest.
        superseded: when the client first presented something newer; None while it has not.
    """

    digest: bytes
    kind: HandleKind
    order: int
    expires: float
    superseded: float | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """Written before a refresh token is presented, so that a crash leaves a trace of it.

    Attributes:
        digest: the keyed hash of the refresh token.
        begun: when.
        tries: 1, or 2 where the fate of the first one is unknown.
    """

    digest: bytes
    begun: float
    tries: int


@dataclass(frozen=True, slots=True)
class Record:
    """A session, as it is stored.

    Attributes:
        session: its name, 32 hexadecimal digits at random; no secret.
        revision: 0 while it is not stored; each save makes it the next.
        generation: how often its tokens were exchanged for new ones; the higher is the newer.
        user: whose the token claims to be; empty where it does not say.
        version: the version that its client told last; empty where it told none.
        cohort: the cohort of that client; empty where it is in none.
        access: the current access token, sealed.
        refresh: the current refresh token, sealed.
        access_issued, access_expires, refresh_expires: the times of these tokens.
        created, used, refreshed: when it was opened, last used, last refreshed.
        refreshes: how often it was refreshed.
        attempt: the refresh whose outcome is not written yet.
        handles: what leads to it, at most `MAX_HANDLES`.
        spent: keyed hashes of refresh tokens that were presented and answered, at most
            `MAX_SPENT`.
        ended: when it ended, which makes the record a tombstone; None while it is open.
        purge_after: when the record may be removed.
    """

    session: str
    revision: int
    generation: int
    user: str
    version: str
    cohort: str
    access: bytes = field(repr=False)
    refresh: bytes = field(repr=False)
    access_issued: float
    access_expires: float
    refresh_expires: float
    created: float
    used: float
    refreshed: float
    refreshes: int
    attempt: Attempt | None
    handles: tuple[Handle, ...]
    spent: tuple[bytes, ...]
    ended: float | None
    purge_after: float


class Page(NamedTuple):
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
    """Where records are kept. Every operation raises `StoreAway` where the store does not answer.

    A store may be shared by any number of processes. It gives up after a time limit, and finds its
    storage again by itself.
    """

    async def find(self, *digests: bytes) -> Record | None:
        """The record that one of these handles leads to, tombstones among them.

        The first digest that is known counts: there is more than one of a token while keys are
        being rotated.
        """

    async def load(self, session: str) -> Record | None:
        """The record of a session, tombstones among them."""

    async def save(self, record: Record, *, fence: int | None = None) -> Record | None:
        """Write a record, and the index of its handles, if nobody else did since it was read.

        Returns it as it is stored, with the next revision; what `touch` told meanwhile stays, and
        so does the first `ended`. None, and nothing is changed, where the revision is not the
        stored one (0: there must be none), where the stored record is a tombstone and this is
        none, or where a lease newer than `fence` was given out. Without a fence the lease is not
        asked for. A handle that led to another session leads to this one from then on.

        Raises:
            StoreFull: it would be one session more than the store may hold.
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

    async def sessions(self, *, user: str | None, after: str, limit: int) -> Page:
        """A page of the open sessions, in the order of their names, those after `after`.

        A record that cannot be read hides no other one.

        Args:
            user: only this one's, where it is not None.
            after: the name of the last session of the page before; empty for the first page.
            limit: how many at most; no more than `MAX_BATCH`.
        """

    async def count(self) -> int:
        """The number of open sessions."""

    async def purge(self, now: float) -> int:
        """Remove the records whose `purge_after` is not later than `now`; how many there were."""

    async def ping(self) -> None:
        """Return if the store answers."""

    async def close(self) -> None:
        """Give up the connection to the storage; nothing may be asked afterwards."""


def encode(record: Record) -> bytes:
    """The record as it is stored.

    Raises:
        ValueError: it is larger than what a record may be.
    """
    if len(record.handles) > MAX_HANDLES or len(record.spent) > MAX_SPENT:
        raise ValueError("too many handles, or too many spent tokens, for one record")
    check_texts(record.user, record.version, record.cohort)
    data = _FORMAT + _encoder.encode(record)
    if len(data) > MAX_RECORD:
        raise ValueError("too large for a record")
    return data


def check_texts(*texts: str) -> None:
    """See that texts are within the bounds of a record.

    Raises:
        ValueError: one is not.
    """
    for text in texts:
        if len(text) > MAX_TEXT:
            raise ValueError("user, version or cohort is too long for a record")
        text.encode()  # Half a surrogate pair is no text: a ValueError too.


def next_fence(last: int, now: float) -> int:
    """The fencing number that follows `last`.

    It is the time in microseconds where that is more, so that numbers go on growing after a store
    has lost the last ones. No lease is taken more often than once in a microsecond.
    """
    return max(last + 1, int(now * 1_000_000))


def decode(data: bytes) -> Record:
    """The record that `encode` wrote.

    Raises:
        RecordUnreadable: this is none.
    """
    if data[:1] != _FORMAT or len(data) > MAX_RECORD:
        raise RecordUnreadable("the session store holds a record of an unknown format")
    try:
        return _decoder.decode(data[1:])
    except (msgspec.DecodeError, RecursionError):
        raise RecordUnreadable("the session store holds a damaged record") from None


def page_of(found: Iterable[tuple[str, Callable[[], Record]]], limit: int) -> Page:
    """The page that these sessions make, each with its name and what reads its record.

    Args:
        found: no more than `limit`.
        limit: how many there would be if there were enough.
    """
    page = Page([], [], "")
    name, count = "", 0
    for name, read in found:
        count += 1
        try:
            page.records.append(read())
        except RecordUnreadable:
            page.unreadable.append(name)
    return page._replace(after=name) if count == limit else page


def succeeding(record: Record, stored: Record | None) -> Record | None:
    """The record as it may take the place of the stored one; None where it may not.

    The rules of `Store.save` but for the fence.
    """
    if stored is None:
        return replace(record, revision=1) if record.revision == 0 else None
    if record.revision != stored.revision:
        return None
    if stored.ended is not None and record.ended is None:
        return None
    ended = record.ended if stored.ended is None else stored.ended
    following = replace(record, revision=record.revision + 1, ended=ended)
    return touched(following, stored.used, stored.version, stored.cohort)


def touched(record: Record, used: float, version: str, cohort: str) -> Record:
    """The record with what `Store.touch` was told, where that is newer."""
    if used <= record.used:
        return record
    return replace(record, used=used, version=version, cohort=cohort)


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(Record)
