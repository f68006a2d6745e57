"""What is known of a session, and how it is written: one record, which every store keeps."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import IntEnum, StrEnum
from typing import Final

import msgspec

from proxy.errors import RecordUnreadable
from proxy.sessions import past_tokens


class HandleKind(StrEnum):
    """What a client holds that leads to its session."""

    ACCESS = "access"
    REFRESH = "refresh"
    COOKIE = "cookie"


class Eviction(IntEnum):
    """Whether a tombstone may be removed before its time, where a new session needs its place.

    Its tokens are then the server's to judge. `NEVER`: an operator means to keep them out. `LAST`:
    the server may still take them, and nobody has asked for more than the store had room for.
    `FIRST`: the server has ended it, too.
    """

    NEVER = 0
    LAST = 1
    FIRST = 2


MAX_HANDLES: Final = 64


MAX_SPENT: Final = 64


MAX_PAST: Final = 1500
"""Tokens that were delivered and superseded, and have not ended by themselves."""


MAX_TEXT: Final = 128
"""Characters of user, version and cohort."""


MAX_RECORD: Final = 96 * 1024
"""Bytes of a record as it is stored: two tokens of 8 KiB, sealed, and all of its handles fit."""


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
        ends: when an access token itself ends, which may lead to its session for longer; 0 where
            that was not noted.
    """

    digest: bytes
    kind: HandleKind
    order: int
    expires: float
    superseded: float | None = None
    ends: float = 0.0

    @property
    def is_cookie(self) -> bool:
        """Whether it is no token, but the cookie of the session."""
        return self.kind is HandleKind.COOKIE


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
        past: what led to it before, packed: see `proxy.sessions.past_tokens`.
        spent: keyed hashes of refresh tokens that were presented and answered, at most
            `MAX_SPENT`.
        ended: when somebody ended it, which makes the record a tombstone; None while nobody has.
        refused: when the server refused to renew it, which only a refresh that its client asks for
            by itself may change; None while it has not.
        purge_after: when the record may be removed.
        eviction: whether it may be removed before, once it is closed.
        carried: the fields that a refresh goes with, sealed; empty where there are none.
        host: whom the login named as its host, as it was spelled; empty where it is not known,
            because it named nobody or was before this was noted.
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
    eviction: Eviction = Eviction.NEVER
    carried: bytes = field(default=b"", repr=False)
    host: str = ""
    past: bytes = b""
    refused: float | None = None

    @property
    def closed(self) -> float | None:
        """Since when it is no open session; None for one that is."""
        return self.refused if self.ended is None else self.ended

    @property
    def digests(self) -> set[bytes]:
        """All by which it is found."""
        return {*(handle.digest for handle in self.handles), *past_tokens.digests(self.past)}


def encode(record: Record) -> bytes:
    """The record as it is stored.

    Raises:
        ValueError: it is larger than what a record may be.
    """
    if (
        len(record.handles) > MAX_HANDLES
        or len(record.spent) > MAX_SPENT
        or past_tokens.count(record.past) > MAX_PAST
    ):
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
