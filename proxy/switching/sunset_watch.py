"""What one process sees of how mappings are needed: looks from time to time, put into days.

A look tells what was counted since the one before. Between two looks the wall clock and the clock
that only goes forward have moved alike, or the wall clock has jumped (or the machine has slept).
Nobody knows then which of its times are right. So what was written by them stays as it is, under a
name of its own; a new watch begins; and when messages were last needed is told anew by the wall
clock as it is now: how long ago that was, the other clock knows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from proxy.switching.canary import Sketch
from proxy.switching.sunset_days import SLOT, SLOTS, Day, day_of, slot_of
from proxy.switching.table import SwitchName

JUMP: Final = 5.0
"""Seconds by which two clocks may move differently between two looks; more is a jump."""

KEPT: Final = 3
"""Days that a process remembers besides today's: so long it writes again what the store lacks."""

MAX_JUMPS: Final = 20
"""Of one process after which it begins anew; what is kept of it is bounded."""


@dataclass(slots=True)
class Look:
    """What was counted since the look before.

    Attributes:
        bound: the switches of all mappings that cohorts name.
        blind: those of them whose every need would not have been seen, and why.
        needed: messages that needed a mapping, by its switch.
        ignored: the same of clients that are counted apart.
        users: whose messages they were.
        versions: from which versions they came.
        open: WebSockets that a mapping applies to now.
    """

    bound: frozenset[SwitchName] = frozenset()
    blind: dict[SwitchName, str] = field(default_factory=dict)
    needed: dict[SwitchName, int] = field(default_factory=dict)
    ignored: dict[SwitchName, int] = field(default_factory=dict)
    users: dict[SwitchName, Sketch] = field(default_factory=dict)
    versions: dict[SwitchName, dict[str, int]] = field(default_factory=dict)
    open: dict[SwitchName, int] = field(default_factory=dict)


class Watch:
    """The days of one process, from one jump of the clock to the next.

    Attributes:
        days: by their number; those that it remembers.
        unwritten: those of them that the store does not have as they are.
        seen: when a message last needed each mapping, on the clock that only goes forward.
    """

    def __init__(self, now: float, *, starts: bool) -> None:
        """Begin.

        Args:
            now: seconds since 1970.
            starts: whether the process does: then it had no traffic before, and missed nothing.
        """
        self.days: dict[int, Day] = {}
        self.unwritten: set[int] = set()
        self.seen: dict[SwitchName, float] = {}
        self._marked = int(now // SLOT)
        # Since when all is watched, and each mapping that was blind or unknown later than that.
        self._since = now // SLOT * SLOT if starts else now
        self._since_of: dict[SwitchName, float] = {}
        self._bound: frozenset[SwitchName] | None = None
        self._names: tuple[SwitchName, ...] = ()  # In an order: there is not room for all.
        self._claim(now)

    def look(self, look: Look, now: float, ticks: float) -> None:
        """Take note of a look.

        Args:
            look: what was counted since the one before.
            now: seconds since 1970.
            ticks: seconds on the other clock.
        """
        if self._bound is not None:
            for name in look.bound - self._bound:
                self._since_of[name] = now
        if self._bound != look.bound:
            self._bound, self._names = look.bound, tuple(sorted(look.bound))
        for name in look.blind:
            self._since_of[name] = now
        self._mark(int(now // SLOT))
        self._claim(now)
        self._count(look, now, ticks)
        oldest = day_of(now) - KEPT
        for day in [each for each in self.days if each < oldest]:
            del self.days[day]
            self.unwritten.discard(day)

    def close(self, now: float) -> None:
        """The process ends in an orderly way, after a last look: it has seen all of its traffic."""
        last = int(now // SLOT)
        self._mark(last + 1)
        for number, day in self.days.items():
            ran = min(max(last + 1 - number * SLOTS, 0), SLOTS)
            day.up &= (1 << ran) - 1
            day.open = {}
            self._settle(number)

    def recall(self, name: SwitchName, moment: float, ticks: float, today: int) -> None:
        """Take over from a watch before this one when a message last needed a mapping.

        Args:
            name: of its switch.
            moment: in seconds since 1970, by the clock as it is now.
            ticks: on the other clock.
            today: the day in which that is told.
        """
        self.seen[name] = ticks
        part = self.days[today].of(name)
        if part is not None:
            part.last = max(part.last, moment)
            self._settle(today)

    def _count(self, look: Look, now: float, ticks: float) -> None:
        day = self.days[day_of(now)]
        for name in sorted({*look.bound, *look.needed}):
            day.of(name)
        for name, part in day.mappings.items():
            if look.needed.get(name):
                part.note(now, look.needed[name], look.versions.get(name, {}))
                self.seen[name] = ticks
            if name in look.users:
                part.users.merge(look.users[name])
            part.ignored += look.ignored.get(name, 0)
        day.open = {name: count for name, count in look.open.items() if count}
        day.written = now
        self._settle(day_of(now))

    def _claim(self, now: float) -> None:
        """Say that the process runs in this slot and the next.

        Should it be killed, whoever reads its last words knows that it may have seen something.
        """
        for moment in (now, now + SLOT):
            day = self.days.setdefault(day_of(moment), Day())
            day.up |= 1 << slot_of(moment)
            self._settle(day_of(moment))

    def _mark(self, end: int) -> None:
        """Take down which slots were watched, of those that are over and not marked yet."""
        for slot in range(self._marked, end):
            number, bit = slot // SLOTS, 1 << slot % SLOTS
            day = self.days.setdefault(number, Day())
            day.up |= bit
            for name in self._names:
                if self._since_of.get(name, self._since) <= slot * SLOT:
                    part = day.of(name)
                    if part is not None:
                        part.watched |= bit
            self._settle(number)
        self._marked = max(self._marked, end)

    def _settle(self, number: int) -> None:
        """Have those blind who ran and did not watch."""
        day = self.days[number]
        for part in day.mappings.values():
            part.blind = day.up & ~part.watched
        self.unwritten.add(number)


class Unwritten(NamedTuple):
    """A day that the store does not have as it is.

    Attributes:
        name: of whoever writes it: the process's, and which of its watches it is.
        number: in days since 1970.
        day: what it has.
        watch: whose day it is.
    """

    name: str
    number: int
    day: Day
    watch: Watch

    def is_written(self) -> None:
        """The store has it."""
        self.watch.unwritten.discard(self.number)


class Watches:
    """The watches of one process, one after each jump of its clock.

    Attributes:
        jumps: how often the clock has jumped.
    """

    def __init__(self, replica: str, now: float, ticks: float) -> None:
        """Begin with the process.

        Args:
            replica: its name.
            now: seconds since 1970.
            ticks: seconds on a clock that only goes forward.
        """
        self.jumps = 0
        self._replica = replica
        self._now = now
        self._ticks = ticks
        self._watches = [(replica, Watch(now, starts=True))]

    def look(self, look: Look, now: float, ticks: float) -> bool:
        """Take note of a look; return whether the clock has jumped since the one before."""
        jumped = abs((now - self._now) - (ticks - self._ticks)) > JUMP
        if jumped:
            self._begin_anew(now, ticks)
        self._watches[-1][1].look(look, now, ticks)
        self._now, self._ticks = now, ticks
        return jumped

    def close(self, now: float) -> None:
        """The process ends in an orderly way, after a last look."""
        self._watches[-1][1].close(now)

    def unwritten(self) -> Iterator[Unwritten]:
        """What the store does not have yet, the oldest first."""
        for name, watch in self._watches:
            for number in sorted(watch.unwritten):
                yield Unwritten(name, number, watch.days[number], watch)

    def _begin_anew(self, now: float, ticks: float) -> None:
        self.jumps += 1
        before, today = self._watches[-1][1], day_of(now)
        for number, day in before.days.items():
            day.open = {}
            for part in day.mappings.values():
                # That was not in the future; when it was is told below.
                if part.last > now:
                    part.last = now
                    before.unwritten.add(number)
        watch = Watch(now, starts=False)
        for name, seen in before.seen.items():
            watch.recall(name, now - (ticks - seen), seen, today)
        self._watches = [each for each in self._watches if each[1].unwritten]
        # No more names than these: a clock that jumps on and on fills no store.
        self._watches = [*self._watches[-MAX_JUMPS:], (self._name(), watch)]

    def _name(self) -> str:
        return f"{self._replica}~{min(self.jumps, MAX_JUMPS)}"


def replica_of(name: str) -> str:
    """The process of a name that `Unwritten` has."""
    return name.partition("~")[0]
