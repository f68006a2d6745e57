"""Tokens that a session has delivered to its client and that were superseded since, packed.

Each is known to its own end, so that one that comes back is known for what it is, and so that an
end of the session is one for it, too. Of each there are the keyed hash, what it is the hash of, and
the second in which it ends: 37 bytes. Pure.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterable, Iterator
from typing import Final, NamedTuple

_ENTRY: Final = struct.Struct(">32s?I")
_LATEST: Final = 0xFFFFFFFF


class PastToken(NamedTuple):
    """A token that was superseded.

    Attributes:
        digest: its keyed hash, 32 bytes.
        is_refresh: whether it is a refresh token; else it is an access token.
        expires: when it ends, in whole seconds since 1970.
    """

    digest: bytes
    is_refresh: bool
    expires: int


def packed(tokens: Iterable[tuple[bytes, bool, float]]) -> bytes:
    """Tokens as a record has them; a digest that is there twice is kept once, with its later end.

    Args:
        tokens: as `PastToken`, with ends in seconds since 1970.
    """
    kept: dict[bytes, PastToken] = {}
    for digest, is_refresh, expires in tokens:
        end = min(max(-int(-expires // 1), 0), _LATEST)
        known = kept.get(digest)
        if known is None or known.expires < end:
            kept[digest] = PastToken(digest, is_refresh, end)
    return b"".join(_ENTRY.pack(*each) for each in kept.values())


def unpacked(past: bytes) -> Iterator[PastToken]:
    """All of them, in the order in which they were superseded.

    Bytes of a store that are no such list are none.
    """
    if len(past) % _ENTRY.size == 0:
        yield from map(PastToken._make, _ENTRY.iter_unpack(past))


def digests(past: bytes) -> Iterator[bytes]:
    """Their keyed hashes."""
    return (each.digest for each in unpacked(past))


def find(past: bytes, digests: Collection[bytes]) -> PastToken | None:
    """The one with one of these keyed hashes."""
    if not any(digest in past for digest in digests):
        return None  # Nearly always, and much faster.
    return next((each for each in unpacked(past) if each.digest in digests), None)


def count(past: bytes) -> int:
    """How many there are."""
    return len(past) // _ENTRY.size
