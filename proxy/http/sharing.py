"""When one answer may be given to several requests: rules about requests and responses.

RFC 9111 section 4 lets a cache answer several requests with one response. An answer goes only to
requests that were waiting before the server was asked, and only to those that differ in nothing
that the server could look at; where it is known until when it holds, it may be kept for those that
come later. Where there is a doubt, nothing is shared, and nothing is kept.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from math import inf
from typing import Final

from proxy.http.headers import RawFields, tokens, values_of

_OF_ONE_REQUEST: Final = frozenset({b"traceparent", b"tracestate", b"x-request-id"})
"""Fields that name a single request, and are another in each: they do not tell requests apart."""

_ASKS_ALONE: Final = frozenset({b"expect", b"if-range", b"range", b"transfer-encoding", b"upgrade"})
"""Fields of requests that have a body, want a part of one, or want more than an answer."""

_FOR_ONE: Final = frozenset({b"authentication-info", b"clear-site-data", b"set-cookie"})
"""Fields of responses that change what a single client keeps (RFC 6265, RFC 9110 11.6.3)."""

_STATUSES_FOR_ONE: Final = frozenset({206, 401, 407, 421})
"""Statuses that belong to a range, to the credentials of one attempt, or to one connection."""

_STATUSES_TO_KEEP: Final = frozenset({200, 203, 204, 304, 404, 410})
"""Those that say how something is, and not that something went wrong."""

_AGES: Final = frozenset({b"max-age", b"s-maxage"})

_CREDENTIALS: Final = frozenset({b"authorization", b"cookie"})


def may_wait(method: str, version: tuple[int, int], fields: RawFields) -> bool:
    """Whether a request may be answered together with others that are like it.

    Args:
        method: as it stands in the request line.
        version: of HTTP; 1.0 frames its answers differently.
        fields: as the server would be sent them.
    """
    if method != "GET" or version != (1, 1):
        return False
    for name, value in fields:
        lower = name.lower()
        if lower in _ASKS_ALONE or (lower == b"content-length" and value.strip() != b"0"):
            return False
        if lower == b"cache-control" and b"no-store" in tokens((value,)):
            return False
    return True


def likeness(target: bytes, fields: RawFields, secret: bytes) -> bytes:
    """Return what two requests have in common when the server cannot tell them apart.

    That is the target with its query, and every field that is forwarded, in order: credentials,
    what is negotiated, conditions, the client's address in `X-Forwarded-For`; all but the few that
    are another in each request.

    Args:
        target: in the bytes that the server would be sent.
        fields: likewise.
        secret: of the process: without it, nobody finds two requests that are taken for one.

    Returns:
        32 bytes, for two requests the same where they are alike.
    """
    parts = [target]
    for name, value in fields:
        lower = name.lower()
        if lower not in _OF_ONE_REQUEST:
            parts += (lower, value)
    lengths = b"".join([len(part).to_bytes(8) for part in parts])
    sizes = len(parts).to_bytes(8) + lengths
    return blake2b(sizes + b"".join(parts), digest_size=32, key=secret).digest()


def has_credentials(fields: RawFields) -> bool:
    """Whether a request says whose it is."""
    return any(name.lower() in _CREDENTIALS for name, _ in fields)


def may_be_shared(status: int, fields: RawFields, *, has_credentials: bool) -> bool:
    """Whether everybody who asked the same may have this answer.

    Args:
        status: of a final response.
        fields: as the server sent them.
        has_credentials: whether the requests carried some. `private` is for a single user (RFC 9111
            section 5.2.2.7), and only credentials say that all who asked are the same one.
    """
    if status < 200 or status in _STATUSES_FOR_ONE:
        return False
    if any(name.lower() in _FOR_ONE for name, _ in fields):
        return False
    directives = {
        token.partition(b"=")[0].rstrip() for token in tokens(values_of(fields, b"cache-control"))
    }
    if b"no-store" in directives or (b"private" in directives and not has_credentials):
        return False
    # An answer may depend on what a client sends, but for what `likeness` does not compare.
    if not _OF_ONE_REQUEST.union((b"*",)).isdisjoint(tokens(values_of(fields, b"vary"))):
        return False
    # A stream of events has no end to wait for.
    types = values_of(fields, b"content-type")
    return not any(value.strip().lower().startswith(b"text/event-stream") for value in types)


def longest_age(fields: RawFields) -> float:
    """How old an answer may be that is given to a request, in seconds (RFC 9111 section 5.2.1).

    Returns:
        0 for a request that wants none that was kept.
    """
    directives = tokens(values_of(fields, b"cache-control"))
    if b"no-cache" in directives or b"no-store" in directives:
        return 0.0
    if not directives and b"no-cache" in tokens(values_of(fields, b"pragma")):
        return 0.0  # RFC 9111 section 5.4.
    return _shortest(directives)


def longest_kept(status: int, fields: RawFields) -> float:
    """For how long an answer may be kept, in seconds, as far as it says so itself.

    Args:
        status, fields: of an answer that may be shared (`may_be_shared`), as the server sent them.

    Returns:
        0 for one that may not be kept.
    """
    directives = tokens(values_of(fields, b"cache-control"))
    names = {directive.partition(b"=")[0].rstrip() for directive in directives}
    if status not in _STATUSES_TO_KEEP or not names.isdisjoint((b"no-cache", b"no-store")):
        return 0.0
    if not directives and b"no-cache" in tokens(values_of(fields, b"pragma")):
        return 0.0  # Servers write it, though it is defined for requests alone.
    if names.isdisjoint(_AGES) and values_of(fields, b"expires"):
        return 0.0  # Servers write a date that is past; which one is not looked at.
    return max(_shortest(directives) - age_of(fields), 0.0)


def age_of(fields: RawFields) -> int:
    """How old an answer was when it came, in seconds (RFC 9111 section 5.1)."""
    ages = [value.strip() for value in values_of(fields, b"age")]
    return max((int(age[:9]) for age in ages if age.isdigit()), default=0)


def _shortest(directives: Iterable[bytes]) -> float:
    """The shortest age among directives; 0 where one is not readable, infinite without any."""
    shortest = inf
    for directive in directives:
        name, _, value = directive.partition(b"=")
        if name.rstrip() in _AGES:
            seconds = value.strip(b' "')
            shortest = min(shortest, float(seconds[:9]) if seconds.isdigit() else 0.0)
    return shortest
