"""What a process holds for clients, and for whom: one budget for all of it, and shares of that.

Bodies and messages that wait until they are whole, answers that several share, output that somebody
is slow to take: each has a bound of its own, and their number has one only here. Who holds
something reserves its bytes first, and gives them back; where there is no room, it is not held.

The rule is that of switches whose ports share a memory (dynamic thresholds: Choudhury and Hahne,
1998), with a part for small ones. After a reservation

- no more is held than the budget;
- whoever holds more than a `LITTLE` part of it holds no more than is free beyond the `KEPT` part.

So one alone gets three eighths, the second half as much, and so on, and none of them gets to the
last quarter: that is for those who hold little. Answers that are kept for requests that may come
give way to everything else, where that makes the room. No clock, no sockets: numbers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from enum import StrEnum
from typing import Final

KEPT: Final = 4
"""One part of so many is kept for those who hold little."""

LITTLE: Final = 256
"""Whoever holds one part of so many holds little."""

UNCOUNTED: Final = 1024
"""Bytes of one thing that are not worth counting, where there may be as many as connections."""

NOBODY: Final = ""
"""The holder that stands for many, or is not known: no share of it is looked at."""


class Kind(StrEnum):
    """What is held."""

    RECEIVED = "received"
    """Of requests, and read by nobody yet."""
    HEAD = "head"
    """Of a request, until its exchange is over."""
    BODY = "body"
    """Of a request or a response, until it is whole and has gone on."""
    MESSAGE = "message"
    """Of a WebSocket, until it is whole."""
    SHARED_ANSWER = "shared_answer"
    """For several requests at once."""
    KEPT_ANSWER = "kept_answer"
    """For requests that may come."""
    UNSENT = "unsent"
    """Written, and not yet taken by the other end."""


_CACHE: Final = Kind.KEPT_ANSWER


class MemoryBudget:
    """What may be held at the same time, and what is.

    Attributes:
        size: bytes; may be changed at any time. Whoever has more then keeps it.
        held: bytes.
        by_kind: the same by what it is.
        refused: how often there was no room, by what it was for.
        give_way: drops an answer that is kept, one for the holder that it is told before others;
            whether it did.
    """

    __slots__ = (
        "_holders",
        "_kept",
        "_on_refused",
        "by_kind",
        "give_way",
        "held",
        "refused",
        "size",
    )

    def __init__(
        self, size: int, on_refused: Callable[[str, str], object] = lambda *_: None
    ) -> None:
        """Begin with nothing held.

        Args:
            size: bytes.
            on_refused: told `memory`, and for whom, each time that there was no room.
        """
        self.size = size
        self.held = 0
        self.by_kind: Counter[Kind] = Counter(dict.fromkeys(Kind, 0))
        self.refused: Counter[Kind] = Counter(dict.fromkeys(Kind, 0))
        self._holders: Counter[str] = Counter()
        self._kept: Counter[str] = Counter()
        self.give_way: Callable[[str], bool] = lambda _: False
        self._on_refused = on_refused

    @property
    def share(self) -> int:
        """The bytes that one holder may have where nobody else has anything."""
        return (self.size - self.size // KEPT) // 2

    @property
    def holders(self) -> int:
        """How many hold something."""
        return len(self._holders)

    def of(self, holder: str) -> int:
        """The bytes that somebody holds."""
        return self._holders.get(holder, 0)

    def reserve(self, kind: Kind, holder: str) -> Reservation:
        """Return a reservation of nothing yet.

        Args:
            kind: what is to be held.
            holder: for whom: a `client_bucket`, or `NOBODY`.
        """
        return Reservation(self, kind, holder)

    def has_room(self, holder: str, more: int) -> bool:
        """Whether somebody may hold so many bytes more."""
        return self._fits(holder, self.of(holder) + more, self.held + more)

    def make_room(self, holder: str, more: int) -> bool:
        """Have kept answers give way, if that makes room for so many bytes; whether it did."""
        mine, held = self.of(holder) - self._kept[holder], self.held - self.by_kind[_CACHE]
        if not self._fits(holder, mine + more, held + more):
            return False
        while self.give_way(holder):
            if self.has_room(holder, more):
                return True
        return False

    def _fits(self, holder: str, mine: int, held: int) -> bool:
        """Whether somebody may hold so much, and all together so much."""
        free = self.size - held
        if free < 0:
            return False
        if mine * LITTLE <= self.size:
            return True
        beyond = free - self.size // KEPT
        return beyond >= 0 if holder == NOBODY else mine <= beyond

    def refuse(self, kind: Kind, holder: str) -> None:
        """Count that there was no room. For `Reservation` alone."""
        self.refused[kind] += 1
        self._on_refused("memory", holder)

    def add(self, kind: Kind, holder: str, more: int) -> None:
        """Count bytes as held; less than nothing gives them back. For `Reservation` alone."""
        self.held += more
        self.by_kind[kind] += more
        _count(self._holders, holder, more)
        if kind is _CACHE:
            _count(self._kept, holder, more)


class Reservation:
    """What one thing holds: a body, a message, an answer.

    Attributes:
        holder: for whom.
        size: bytes.
    """

    __slots__ = ("_budget", "_kind", "holder", "size")

    def __init__(self, budget: MemoryBudget, kind: Kind, holder: str) -> None:
        self._budget = budget
        self._kind = kind
        self.holder = holder
        self.size = 0

    @property
    def most(self) -> int:
        """The bytes that its holder could have if nothing else were held."""
        return self._budget.share

    def resize(self, size: int) -> bool:
        """Hold so many bytes from now on.

        Returns:
            False where there is no room for that: then as many are held as before. There always is
            for less than before.
        """
        if not (self.has_room(size) or self._make_room(size)):
            self._budget.refuse(self._kind, self.holder)
            return False
        self.take(size)
        return True

    def has_room(self, size: int) -> bool:
        """Whether so many bytes may be held, as things stand."""
        return size <= self.size or self._budget.has_room(self.holder, size - self.size)

    def _make_room(self, size: int) -> bool:
        more = size - self.size
        return self._kind is not _CACHE and self._budget.make_room(self.holder, more)

    def take(self, size: int) -> None:
        """Hold so many bytes, whether or not there is room: they are in memory already."""
        if size != self.size:
            self._budget.add(self._kind, self.holder, size - self.size)
            self.size = size

    def release(self) -> None:
        """Give all of it back; once more does nothing."""
        self.take(0)


def _count(counts: Counter[str], holder: str, more: int) -> None:
    counts[holder] += more
    if not counts[holder]:
        del counts[holder]


class SharedReservation:
    """A reservation of what several have: given back when the last of them has let go.

    Each has it in a `with`; or enters, and leaves once.
    """

    __slots__ = ("_count", "_reservation")

    def __init__(self, reservation: Reservation) -> None:
        self._reservation = reservation
        self._count = 0

    @property
    def is_shared(self) -> bool:
        """Whether more than one has it."""
        return self._count > 1

    def __enter__(self) -> None:
        self._count += 1

    def __exit__(self, *_: object) -> None:
        self._count -= 1
        if not self._count:
            self._reservation.release()


Reserve = Callable[[Kind], Reservation]
"""Returns a reservation of nothing yet, for somebody who is known."""
