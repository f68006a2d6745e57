"""What happens in the control plane, told to whoever watches: reloads, servers, the store, drain.

Whoever decides something publishes it here. The newest events are kept in a ring, numbered, so that
one who was away for a while misses nothing of them, and one who reads slowly costs nothing: it has
a position in the ring, and no queue of its own.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import deque
from collections.abc import Mapping
from typing import Final, NamedTuple

KEPT: Final = 200
"""Events that are kept, the newest."""

MAX_SUBSCRIBERS: Final = 16
MAX_OF_ONE: Final = MAX_SUBSCRIBERS // 2
"""Of one reader, so that others are left some."""


MAX_FACT: Final = 1024
"""Characters of a text among the facts of an event; longer ones are cut off."""


class ControlEvent(NamedTuple):
    """Something that happened.

    Attributes:
        number: counted from 1 by each process.
        time: when, in seconds since 1970.
        kind: what; `snake_case`.
        facts: of it, as JSON can have them; no secrets.
    """

    number: int
    time: float
    kind: str
    facts: Mapping[str, object]


class TooManySubscribers(Exception):
    """There are as many as there may be, of one reader or of all, or the process ends."""


class ControlEvents:
    """Keeps the newest events, and wakes those who wait for the next. For one event loop.

    Attributes:
        origin: nobody else's; ids of another process, or of the one before a restart, have another.
        ended: why there will be no more; None while there may be.
    """

    def __init__(self) -> None:
        self.origin = secrets.token_hex(4)
        self.ended: str | None = None
        self._ring: deque[ControlEvent] = deque(maxlen=KEPT)
        self._newest = 0
        self._subscriptions: dict[Subscription, str] = {}

    @property
    def newest(self) -> int:
        """The number of the newest event; 0 before the first."""
        return self._newest

    def publish(self, kind: str, /, **facts: object) -> None:
        """Tell of something that has happened.

        Args:
            kind: what, in `snake_case`; a constant, not what somebody sent.
            facts: of it, as JSON can have them: what the log would say of it, no secrets. Texts are
                cut off after `MAX_FACT` characters.
        """
        self._newest += 1
        bounded = {
            name: each[:MAX_FACT] if isinstance(each, str) else each for name, each in facts.items()
        }
        self._ring.append(ControlEvent(self._newest, time.time(), kind, bounded))
        self._wake()

    def subscribe(self, last_id: str | None = None, reader: str = "") -> Subscription:
        """Begin to watch.

        Args:
            reader: who does, by a name that is no secret: nobody has more than half of all.
            last_id: the id of the newest event that the watcher knows; None for one who wants only
                what comes. What lies between is told first, as far as it is kept.

        Raises:
            TooManySubscribers: others do.
        """
        if self.ended is not None or len(self._subscriptions) >= MAX_SUBSCRIBERS:
            raise TooManySubscribers
        if list(self._subscriptions.values()).count(reader) >= MAX_OF_ONE:
            raise TooManySubscribers
        subscription = Subscription(self, self._newest if last_id is None else self._read(last_id))
        self._subscriptions[subscription] = reader
        return subscription

    def leave(self, subscription: Subscription) -> None:
        """Somebody watches no more."""
        self._subscriptions.pop(subscription, None)

    def id_of(self, number: int) -> str:
        """The id of the event of this number."""
        return f"{self.origin}-{number}"

    def after(self, number: int) -> list[ControlEvent]:
        """The events after that of this number, the oldest first, as far as they are kept."""
        return [each for each in self._ring if each.number > number]

    def close(self) -> None:
        """The process ends: what has been published can be read still, and then streams end."""
        self.ended = "drain"
        self._wake()

    def _wake(self) -> None:
        for subscription in self._subscriptions:
            subscription.changed.set()

    def _read(self, last_id: str) -> int | None:
        origin, _, number = last_id.partition("-")
        if origin != self.origin or not number.isascii() or not number.isdecimal():
            return None
        # The length too, because Python refuses to read numbers of thousands of digits.
        known = int(number) if len(number) <= 20 else self._newest + 1
        return known if known <= self._newest else None


class Subscription:
    """One who watches.

    Attributes:
        changed: set when there may be something to take.
        position: the number of the newest event that was taken.
    """

    def __init__(self, events: ControlEvents, position: int | None) -> None:
        """Watch from a position on.

        Args:
            events: of which.
            position: the number of the newest event that is known; None where what is known is no
                event of this process: all that is kept comes, behind a gap.
        """
        self.changed = asyncio.Event()
        self._events = events
        self.position = 0 if position is None else position
        self._is_lost = position is None

    def take(self) -> tuple[bool, list[ControlEvent]]:
        """Return whether some that came before these are lost, and those not yet taken."""
        self.changed.clear()
        found = self._events.after(self.position)
        lost = self._is_lost or bool(found and found[0].number != self.position + 1)
        self._is_lost = False
        if found:
            self.position = found[-1].number
        return lost, found
