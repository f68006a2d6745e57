"""The rules of sessions: what leads to one, when its tokens are renewed, and what an answer means.

Pure: a record and the time come in, a record or a decision comes out. `proxy.sessions` does what
is decided here, and the store decides who may write it down.

A session has two lines of tokens. **Generations** are what the server issued: each refresh makes
the next one, and the newest is what goes upstream. **Deliveries** are what the client was given,
numbered by `Handle.order`: the login is the first; what Segue renews on the client's behalf is not
delivered. A client that only ever got its first access token leads to its session by that one for
as long as the session lives.

| what a client presents | what follows |
|---|---|
| a handle of its newest delivery | it leads to the session |
| a newer one than ever before | all older ones are superseded |
| a superseded access token | it is no handle any more: the server judges it |
| a superseded refresh token | it is answered for `replay_window` more, then refused |

Each token that was delivered is known to its own end, also when it is none of the newest (`past`):
a session that has no room for one more is ended by the next refresh that its client asks for.

The replay window is there so that losers of a race are not told to log out. A superseded refresh
token that comes back after it was copied, by whoever presents it or by whoever superseded it (RFC
9700 section 4.14.2): that ends the session, unless the operator has it otherwise.

A refresh token is presented to the server once. Where its fate is unknown, because no answer came,
it is presented once more; after an answer that took it, never again.

A session is open until somebody ends it, which is final, or the server refuses to renew it. Then it
is closed, and Segue does not ask again. But what the server refused may have been the request: a
refresh that its client asks for by itself goes to the server all the same, and if that renews the
tokens, the session is open again.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from proxy.configuration.sessions import RefusalSettings
from proxy.http.responses import PASSING
from proxy.sessions import past_tokens
from proxy.sessions.record import (
    MAX_PAST,
    MAX_SPENT,
    MAX_TEXT,
    Attempt,
    Eviction,
    Handle,
    HandleKind,
    Record,
)
from proxy.tokens.jwt import Validity

MAX_KEPT: Final = 32
"""Handles that a session keeps: the newest deliveries, two handles each, and a cookie. All others
are among its past."""

THROTTLE: Final = 60.0
"""Seconds that lie between two forced refreshes of one session: a server that refuses whatever it
is sent is asked once a minute."""

_SHARE: Final = 0.2
"""The part of a token's own lifetime before whose beginning it is never renewed."""

_MAX_TRIES: Final = 2


@dataclass(frozen=True, slots=True)
class SessionRules:
    """What the operator set, in seconds.

    Attributes:
        refresh_before: how long before its end an access token is renewed at the earliest.
        lifetime: for how long from its beginning a session is renewed without being asked for it.
        idle: for how long it is without being used.
        replay_window: how long a superseded refresh token is still answered.
    """

    refresh_before: float
    lifetime: float
    idle: float
    replay_window: float


@dataclass(frozen=True, slots=True)
class Tokens:
    """The tokens that the server issued together, as they are kept.

    Attributes:
        access, refresh: sealed.
        access_validity: of the access token.
        refresh_expires: when the refresh token ends.
    """

    access: bytes
    refresh: bytes
    access_validity: Validity
    refresh_expires: float


TokenDigests = Sequence[tuple[HandleKind, bytes]]
"""The keyed hashes of tokens that are current, each with its kind."""


class Standing(StrEnum):
    """What a handle is worth."""

    GOOD = "good"
    SUPERSEDED = "superseded"
    DEAD = "dead"


class Presenting(StrEnum):
    """Whether a refresh token may be presented to the server."""

    FIRST = "first"
    AGAIN = "again"
    NEVER = "never"


class Verdict(StrEnum):
    """What the server's answer to a refresh says of the token that was presented.

    `REFUSED` is definite and closes the session. `UNAVAILABLE` is an answer that did not take the
    token. `UNKNOWN` leaves open whether it was taken.
    """

    RENEWED = "renewed"
    REFUSED = "refused"
    UNAVAILABLE = "unavailable"
    UNKNOWN = "unknown"


# Times.


def due(record: Record, rules: SessionRules) -> float:
    """From when on the access token is renewed before it is used.

    Never, where its times make no sense (it had ended before it came): then only the server's own
    refusal says that it is over.
    """
    lifetime = record.access_expires - record.access_issued
    if lifetime <= 0:
        return float("inf")
    return record.access_expires - min(rules.refresh_before, lifetime * _SHARE)


def socket_due(record: Record) -> float:
    """From when on a session is renewed because a WebSocket of it is open, though unused."""
    since = max(record.created, record.refreshed)
    return record.refresh_expires - (record.refresh_expires - since) * _SHARE


def over(record: Record, rules: SessionRules) -> float:
    """When the session is over: it is renewed no more.

    By its age or its idleness, or because the server has refused it. That is no end: a refresh that
    its client asks for goes to the server.
    """
    end = min(record.created + rules.lifetime, record.used + rules.idle)
    return end if record.refused is None else min(end, record.refused)


def may_force(record: Record, now: float) -> bool:
    """Whether an access token that the server has refused is worth a refresh.

    One that was renewed a moment ago is not: what the server did not like will not be better. One
    that was renewed in the future was so by another clock, which says nothing here.
    """
    lifetime = record.access_expires - record.access_issued
    rest = min(THROTTLE, lifetime / 2) if lifetime > 0 else THROTTLE
    return record.refreshes == 0 or not 0 <= now - record.refreshed < rest


# Handles.


def handle_of(record: Record, digests: tuple[bytes, ...]) -> Handle | None:
    """The handle of a token, by its keyed hashes; one of the past was superseded long ago."""
    found = next((handle for handle in record.handles if handle.digest in digests), None)
    if found is not None or not record.past:
        return found
    past = past_tokens.find(record.past, digests)
    if past is None:
        return None
    kind = HandleKind.REFRESH if past.is_refresh else HandleKind.ACCESS
    return Handle(past.digest, kind, 0, past.expires, superseded=0.0)


def standing(handle: Handle, now: float, rules: SessionRules) -> Standing:
    """What a handle is worth now."""
    if now >= handle.expires:
        return Standing.DEAD
    if handle.superseded is None:
        return Standing.GOOD
    window = rules.replay_window if handle.kind is HandleKind.REFRESH else 0
    return Standing.GOOD if now < handle.superseded + window else Standing.SUPERSEDED


def superseding(record: Record, order: int, now: float) -> Record:
    """The record once the client has presented a handle of a delivery; the same if nothing is new.

    A superseded access token is kept to its own end, so that a logout is one for it too: that is
    not the end of the current one, which may live for less.
    """
    if not any(_is_older(handle, order) for handle in record.handles):
        return record
    return replace(
        record,
        handles=tuple(
            replace(
                handle,
                superseded=now,
                expires=min(handle.expires, max(now, handle.ends or record.access_expires))
                if handle.kind is HandleKind.ACCESS
                else handle.expires,
            )
            if _is_older(handle, order)
            else handle
            for handle in record.handles
        ),
    )


def _is_older(handle: Handle, order: int) -> bool:
    return handle.order < order and handle.superseded is None and not handle.is_cookie


def delivered(
    record: Record, access: bytes, refresh: bytes, now: float, rules: SessionRules
) -> Record:
    """The record once its current tokens were given to the client.

    Args:
        access, refresh: the keyed hashes of the current tokens.
    """
    cached = {handle.digest for handle in record.handles}
    if access in cached and refresh in cached:
        return record
    order = 1 + max((handle.order for handle in record.handles), default=0)
    end = record.created + rules.lifetime
    handles = [
        handle
        for handle in record.handles
        # A refresh token that stays the same is delivered anew.
        if handle.expires > now and handle.digest not in (access, refresh)
    ]
    handles += (
        Handle(
            access,
            HandleKind.ACCESS,
            order,
            max(end, record.access_expires),
            ends=record.access_expires,
        ),
        Handle(refresh, HandleKind.REFRESH, order, record.refresh_expires),
    )
    return _with_handles(record, handles, now)


def is_full(record: Record, now: float) -> bool:
    """Whether a session may have no more deliveries: there is no room for what they supersede."""
    known = sum(each.expires > now for each in past_tokens.unpacked(record.past))
    return known + len(record.handles) + 2 > MAX_PAST


def _with_handles(record: Record, handles: Collection[Handle], now: float) -> Record:
    """The record with these handles: those that are not among the newest belong to its past.

    The oldest that is not superseded is the one that the client holds, as far as is known: it stays
    one however much was delivered since and never came.
    """
    cookies = [handle for handle in handles if handle.is_cookie]
    others = sorted(
        (handle for handle in handles if not handle.is_cookie), key=lambda handle: handle.order
    )
    oldest = min((handle.order for handle in others if handle.superseded is None), default=0)
    stay = [handle for handle in others if handle.order == oldest]
    rest = [handle for handle in others if handle.order != oldest]
    room = MAX_KEPT - len(cookies) - len(stay)
    gone = rest[: max(len(rest) - room, 0)]
    if not (gone or record.past):
        return replace(record, handles=(*cookies, *others))
    kept = sorted((*stay, *rest[len(gone) :]), key=lambda handle: handle.order)
    # What was delivered anew, because the server keeps its refresh token, is no past.
    digests = {handle.digest for handle in kept}
    past: list[tuple[bytes, bool, float]]
    past = [each for each in past_tokens.unpacked(record.past) if each.digest not in digests]
    past += ((each.digest, each.kind is HandleKind.REFRESH, each.expires) for each in gone)
    known = [each for each in past if each[2] > now][-MAX_PAST:]
    return replace(record, handles=(*cookies, *kept), past=past_tokens.packed(known))


# The life of a record.


def opened(
    session: str,
    user: str,
    tokens: Tokens,
    handles: tuple[bytes, bytes],
    cookie: bytes | None,
    now: float,
    rules: SessionRules,
    host: str = "",
) -> Record:
    """The record of a session that begins with these tokens.

    Args:
        session: its name.
        user: whose the access token claims to be.
        handles: the keyed hashes of access and refresh token, as delivered.
        cookie: that of the cookie that must come along, where one was set.
        host: whom the login named as its host.
    """
    record = Record(
        session=session,
        revision=0,
        generation=1,
        user=user[:MAX_TEXT],
        version="",
        cohort="",
        access=tokens.access,
        refresh=tokens.refresh,
        access_issued=tokens.access_validity.issued,
        access_expires=tokens.access_validity.expires,
        refresh_expires=tokens.refresh_expires,
        created=now,
        used=now,
        refreshed=0.0,
        refreshes=0,
        attempt=None,
        handles=(),
        spent=(),
        ended=None,
        purge_after=_purge_after(tokens, now),
        host=host,
    )
    record = delivered(record, *handles, now, rules)
    if cookie is None:
        return record
    own = Handle(cookie, HandleKind.COOKIE, 0, now + rules.lifetime)
    return replace(record, handles=(own, *record.handles))


def presenting(record: Record, digests: tuple[bytes, ...]) -> Presenting:
    """Whether a refresh token, known by its keyed hashes, may be presented to the server."""
    if any(digest in record.spent for digest in digests):
        return Presenting.NEVER
    attempt = record.attempt
    if attempt is None or attempt.digest not in digests:
        return Presenting.FIRST
    return Presenting.AGAIN if attempt.tries < _MAX_TRIES else Presenting.NEVER


def attempted(record: Record, digest: bytes, tries: int, now: float) -> Record:
    """The record to write before a refresh token is presented."""
    return replace(record, attempt=Attempt(digest, now, tries))


def judge(
    status: int, codes: Collection[str], *, readable: bool, refusals: RefusalSettings
) -> Verdict:
    """What the server's answer to a refresh means.

    Args:
        status: of the answer; 0 where none came, or none that was whole.
        codes: of the errors that it names.
        readable: whether it carries an access token that can be read.
        refusals: which answers refuse the token.
    """
    if 200 <= status < 300 and readable:
        return Verdict.RENEWED
    if status in refusals.statuses or (
        400 <= status <= 499
        and status not in PASSING
        and not frozenset(refusals.codes).isdisjoint(codes)
    ):
        return Verdict.REFUSED
    # A success without tokens may have taken the one that it was sent.
    return Verdict.UNAVAILABLE if status >= 300 else Verdict.UNKNOWN


def renewed(record: Record, tokens: Tokens, spent: bytes | None, now: float) -> Record:
    """The record with the next generation of tokens.

    Args:
        spent: the keyed hash of the refresh token that was taken; None where the server does not
            rotate them, and it stays good.
    """
    return replace(
        record,
        generation=record.generation + 1,
        access=tokens.access,
        refresh=tokens.refresh,
        access_issued=tokens.access_validity.issued,
        access_expires=tokens.access_validity.expires,
        refresh_expires=tokens.refresh_expires,
        used=max(record.used, now),
        refreshed=now,
        refreshes=record.refreshes + 1,
        attempt=None,
        refused=None,
        eviction=Eviction.NEVER,
        spent=record.spent if spent is None else (*record.spent, spent)[-MAX_SPENT:],
        purge_after=_purge_after(tokens, now),
    )


def resumed(record: Record, now: float, rules: SessionRules) -> Record:
    """The record of a session that its client goes on with; the same while it is not over by age.

    The server judges how long a login lasts: where it issues tokens for one that is over here, the
    session's age begins anew.
    """
    if now < record.created + rules.lifetime:
        return record
    handles = tuple(
        replace(handle, expires=now + rules.lifetime)
        if handle.kind is HandleKind.COOKIE
        else handle
        for handle in record.handles
    )
    return replace(record, created=now, handles=handles)


def unpresented(record: Record) -> Record:
    """The record once the server has answered without taking the token."""
    return replace(record, attempt=None)


def ended(
    record: Record,
    now: float,
    current: TokenDigests = (),
    *,
    eviction: Eviction = Eviction.NEVER,
) -> Record:
    """The tombstone of a session that somebody has ended: it is known to the tokens' own end.

    Args:
        record: the session.
        now: when.
        current: its current tokens. The client may not have been given them; they are useless to
            whoever comes by them all the same.
        eviction: whether it may be removed before.
    """
    record = _with_current(record, current, now)
    end = max(
        *(now, record.access_expires, record.refresh_expires),
        *(handle.expires for handle in record.handles if handle.kind is HandleKind.REFRESH),
        *(handle.ends for handle in record.handles),
        *(each.expires for each in past_tokens.unpacked(record.past)),
    )
    return replace(
        record,
        access=b"",
        refresh=b"",
        carried=b"",
        attempt=None,
        handles=tuple(replace(handle, expires=end) for handle in record.handles),
        ended=now if record.ended is None else record.ended,
        refused=None,
        purge_after=end,
        eviction=eviction if record.ended is None else min(eviction, record.eviction),
    )


def issued_too_late(record: Record, tokens: Tokens, current: TokenDigests, now: float) -> Record:
    """The tombstone of a session that somebody has ended while the server renewed its tokens.

    Nobody is given these; they are known to their own end as those that came before.
    """
    end = max(record.purge_after, _purge_after(tokens, now))
    record = _with_current(record, current, now)
    return replace(
        record,
        handles=tuple(replace(handle, expires=end) for handle in record.handles),
        purge_after=end,
    )


def _with_current(record: Record, current: TokenDigests, now: float) -> Record:
    known = {handle.digest for handle in record.handles}
    order = 1 + max((handle.order for handle in record.handles), default=0)
    added = [
        Handle(digest, kind, order, record.purge_after)
        for kind, digest in current
        if digest not in known
    ]
    return _with_handles(record, (*record.handles, *added), now)


def refused(record: Record, now: float, *, is_lost: bool = False) -> Record:
    """The record of a session that the server refuses to renew.

    Its access tokens lead nowhere from then on, so that the client gets the server's own answers.
    What leads to it stays known, and so does its refresh token: what its client asks for by itself
    goes with that.

    Args:
        is_lost: whether it is so because of answers that never came. Then that token goes nowhere.
    """
    if record.closed is not None:
        return record
    attempt = record.attempt if is_lost else None
    return replace(record, refused=now, attempt=attempt, eviction=Eviction.FIRST)


def succeeds(record: Record, other: Record) -> bool:
    """Whether a record says something newer of the session than another.

    Its end is newer than anything, a higher generation of tokens than a lower one, and that these
    were refused than that they were not.
    """
    return _newness(record) > _newness(other)


def _newness(record: Record) -> tuple[bool, int, bool]:
    return record.ended is not None, record.generation, record.refused is not None


def merged(ours: Record, stored: Record, now: float) -> Record:
    """What two records say of one session, brought together, as it may take the stored one's place.

    The newer one's tokens or end count, and the handles of both: each was given to a client.
    """
    newer, older = (ours, stored) if succeeds(ours, stored) else (stored, ours)
    others = {handle.digest: handle for handle in older.handles}
    handles = [_either(handle, others.pop(handle.digest, handle)) for handle in newer.handles]
    handles += others.values()
    end = newer.purge_after
    if newer.ended is not None:
        end = max(end, older.purge_after)
        handles = [replace(each, expires=end) for each in handles]
    past = past_tokens.packed(
        (*past_tokens.unpacked(older.past), *past_tokens.unpacked(newer.past))
    )
    # What has become one's past is the other's, too.
    gone = set(past_tokens.digests(past)) - {handle.digest for handle in newer.handles}
    return replace(
        _with_handles(
            replace(newer, past=past), [each for each in handles if each.digest not in gone], now
        ),
        revision=stored.revision,
        used=max(newer.used, older.used),
        spent=tuple(dict.fromkeys((*older.spent, *newer.spent)))[-MAX_SPENT:],
        purge_after=end,
        eviction=newer.eviction if older.ended is None else min(newer.eviction, older.eviction),
    )


def _either(handle: Handle, other: Handle) -> Handle:
    """What two records say of one handle: it is superseded if one of them says so."""
    if handle.order != other.order:
        return max(handle, other, key=lambda each: each.order)
    times = [each.superseded for each in (handle, other) if each.superseded is not None]
    return replace(
        handle,
        superseded=min(times, default=None),
        expires=min(handle.expires, other.expires),
        ends=max(handle.ends, other.ends),
    )


def _purge_after(tokens: Tokens, now: float) -> float:
    return max(now, tokens.refresh_expires, tokens.access_validity.expires)
