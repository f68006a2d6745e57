"""Who is in a canary: the same users on every replica, after every restart, and at every share.

A user's place on a line from 0 to 2^64 is a keyed hash of who they are. A canary of N percent has
those whose place is in the first N percent of the line, so that whoever is in at 10 % is in at
20 %. Each switch hashes with a salt of its own: the first ten percent of one are not those of the
next. A mapping and its inverse share their salt, because a client that is sent the new dialect
answers in it.
"""

from __future__ import annotations

from hashlib import blake2b
from math import log
from typing import Final

from proxy.switching.setting import WHOLE

ALGORITHM: Final = b"segue canary v1"
"""Names what follows. Whoever changes it moves every user of every canary."""

KEY_LENGTH: Final = 32
"""Bytes of the key, which is made once for all replicas."""

_LINE: Final = 1 << 64

LAST_PLACE: Final = _LINE - 1
"""Whoever stands there is in a canary only if everybody is."""

_MOST: Final = 64
"""Bytes of a key that BLAKE2b takes (RFC 7693 section 2.1)."""


class Canary:
    """The users of one switch at one share."""

    __slots__ = ("_begun", "_end")

    def __init__(self, key: bytes, salt: str, share: int) -> None:
        """Derive what is the same for all users.

        Args:
            key: of all canaries, secret: who knows it can choose an account that is in.
            salt: of the switch.
            share: in hundredths of a percent.
        """
        own = blake2b(salt.encode(), key=key[:_MOST], person=ALGORITHM).digest()
        self._begun = blake2b(key=own, digest_size=8, person=ALGORITHM)
        self._end = _LINE * share // WHOLE

    def place(self, user: bytes) -> int:
        """Where a user stands on the line: 64 bits."""
        begun = self._begun.copy()
        begun.update(user)
        return int.from_bytes(begun.digest())

    def has(self, place: int) -> bool:
        """Whether whoever stands there is in."""
        return place < self._end


def counted_as(key: bytes, user: bytes) -> int:
    """A hash of 64 bits, under which a user is counted by everybody who has the key, at all times.

    It has nothing to do with their places in canaries.
    """
    told = blake2b(user, key=key[:_MOST], digest_size=8, person=b"segue sunset v1")
    return int.from_bytes(told.digest())


class Sketch:
    """About how many different users there were, in a fixed 1 KiB (HyperLogLog, Flajolet 2007).

    The standard error is 3.3 %: 1.04 / sqrt(1024).
    """

    __slots__ = ("_ranks",)

    REGISTERS: Final = 1024
    ERROR: Final = 0.0325

    def __init__(self) -> None:
        self._ranks = bytearray(self.REGISTERS)

    def add(self, place: int) -> None:
        """Count a user, by a hash of 64 bits, once or many times."""
        # The low bits: a canary's users have their high ones in common.
        rest = place >> 10 | 1 << 54
        rank = (rest & -rest).bit_length()
        register = place & 1023
        if rank > self._ranks[register]:  # noqa: PLR1730 (faster than a call)
            self._ranks[register] = rank

    def merge(self, other: Sketch) -> None:
        """Count those of another one too; whoever is in both counts once."""
        if not any(self._ranks):
            self._ranks = bytearray(other._ranks)
        elif any(other._ranks):
            self._ranks = bytearray(map(max, self._ranks, other._ranks))

    def count(self) -> int:
        """About how many there were; exact for none, and nearly so for few."""
        zeros = self._ranks.count(0)
        size = self.REGISTERS
        estimate = (
            0.7213 / (1 + 1.079 / size) * size * size / sum(2.0**-rank for rank in self._ranks)
        )
        if zeros and estimate <= 2.5 * size:
            return round(size * log(size / zeros))
        return round(estimate)

    def __bytes__(self) -> bytes:
        return bytes(self._ranks)

    @classmethod
    def read(cls, written: bytes) -> Sketch:
        """Read what `bytes` wrote.

        Raises:
            ValueError: it is none.
        """
        if len(written) != cls.REGISTERS or max(written) > 55:
            raise ValueError("not a sketch")
        sketch = cls()
        sketch._ranks = bytearray(written)
        return sketch
