"""When mappings can go: what this process sees, kept in the store of switches, and the fleet's sum.

Each process looks at what was needed every half minute, and writes the days that it knows under its
own name. Who reads adds them all up. While the store is away a process goes on looking, and writes
later; what it had written before it writes anew, whole, so that nothing is counted twice. Rows of
processes that are gone are folded into one for each day.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from typing import Final, NamedTuple

from structlog.typing import FilteringBoundLogger

from proxy.control.replicas import Seen
from proxy.control.switch_store.base import MAX_DAY_NUMBER, MAX_DAYS, StoredDay, SwitchStore
from proxy.errors import StoreAway, StoreFull
from proxy.storage import cancellation
from proxy.switching.canary import Sketch
from proxy.switching.sunset_days import (
    BLIND_DAY,
    Day,
    UnreadableDay,
    day_of,
    merged,
    read_day,
    write_day,
)
from proxy.switching.sunset_verdict import Judgement, judge
from proxy.switching.sunset_watch import KEPT, Look, Watches, replica_of
from proxy.switching.table import SwitchName

EVERY: Final = 30.0
"""Seconds between two looks."""

READ: Final = 60.0
"""Seconds after which the newest days of the fleet are read anew."""

READ_ALL: Final = 3600.0
"""Seconds after which all days are, and what can be folded is."""

SILENT: Final = 600.0
"""Seconds after which a process that runs and writes nothing is told of. Those that read are blind
meanwhile: what went through it, nobody knows."""

SHOWN: Final = 31
"""Days before today's whose users and versions are kept in memory; of older ones they stay in the
store."""

SUM: Final = "sum"
"""The name of the row that stands for several."""

_NOBODY: Final = Sketch()
_NEVER: Final[tuple[float, Mapping[SwitchName, int]]] = (0.0, {})

_PAGE: Final = 20
"""Days that are read at once."""

_ROWS: Final = 8
"""Of processes that are gone: so many of one day are folded before that is over."""

_LAST_WORDS: Final = 2.0
"""Seconds for which an end waits until the last look is written."""

SILENT_REASON: Final = "a process of the fleet tells nothing, or its clock is wrong"


class Removed(NamedTuple):
    """A mapping that a reload takes from a cohort before it is safe to.

    Attributes:
        switch: its name.
        judgement: what was said of it.
        users: about how many users needed it today and yesterday, in UTC.
    """

    switch: str
    judgement: Judgement
    users: int


class SunsetRecords:
    """What is known of how mappings are needed.

    Attributes:
        days: of the whole fleet, by their numbers, as they were last read.
        read_at: when that was, in seconds since 1970; None before the first time.
        blind: why a mapping was not watched at the last look, of those that were not.
        silent: processes that run and tell nothing, or have another time.
    """

    def __init__(
        self,
        store: SwitchStore,
        replica: str,
        look: Callable[[], Awaitable[Look]],
        seen: Callable[[], Seen | None],
        bound: Callable[[], Iterable[SwitchName]],
        idle: Callable[[], float],
        log: FilteringBoundLogger,
        clock: Callable[[], float] = time.time,
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin with the process.

        Args:
            store: of the switches.
            replica: the name of this process.
            look: tells what was needed since it was called last.
            seen: which processes there are; None while that is not known.
            bound: the switches of all mappings that cohorts name.
            idle: seconds for which nothing has to have needed a mapping.
            log: told of a clock that jumps, of what cannot be read, and of a full store.
            clock: seconds since 1970.
            ticks: seconds on a clock that only goes forward.
        """
        self._store = store
        self._replica = replica
        self._look = look
        self._seen = seen
        self._bound = bound
        self._idle = idle
        self._log = log
        self._clock = clock
        self._ticks = ticks
        self._watches = Watches(replica, clock(), ticks())
        # Of which the store has had something, as far as can be told.
        self._tried: set[tuple[str, int]] = set()
        self._read_all_at: float | None = None
        self._read_ticks: float | None = None
        self._was_full = False
        self._running: asyncio.Task[None] | None = None
        # Of each process when it wrote last, and what was open there.
        self._newest: dict[str, tuple[float, Mapping[SwitchName, int]]] = {}
        self._read_as: dict[int, int] = {}
        self.days: dict[int, Day] = {}
        self.read_at: float | None = None
        self.blind: Mapping[SwitchName, str] = {}
        self.silent: tuple[str, ...] = ()

    def start(self) -> None:
        """Look from now on."""
        self._running = asyncio.create_task(self._run(), name="sunset: look")

    async def close(self) -> None:
        """Look for the last time, and write it, if the store answers soon. It is left open."""
        if self._running is None:
            return
        await cancellation.end(self._running)
        self._running = None
        await self.observe()
        self._watches.close(self._clock())
        with suppress(StoreAway, StoreFull, TimeoutError):
            async with asyncio.timeout(_LAST_WORDS):
                await self.write()

    @property
    def idle(self) -> float:
        """Seconds for which nothing has to have needed a mapping."""
        return self._idle()

    def judgements(self) -> dict[SwitchName, Judgement]:
        """What is said of each mapping of each cohort that there is."""
        now = self._clock()
        return {name: judge(self.days, name, now, self.idle) for name in self._bound()}

    def users(self, name: SwitchName, ago: int) -> int:
        """About how many users needed a mapping on a day in UTC: today's, or so many days ago."""
        day = self.days.get(day_of(self._clock()) - ago)
        part = None if day is None else day.mappings.get(name)
        return 0 if part is None else part.users.count()

    def open(self, name: SwitchName) -> int:
        """WebSockets in the whole fleet that a mapping applies to."""
        return sum(opened.get(name, 0) for _, opened in self._newest.values())

    def removed_by(self, names: Iterable[SwitchName]) -> tuple[Removed, ...]:
        """Those mappings that are missing among these, and may be needed."""
        wanted = frozenset(names)
        return tuple(
            Removed(str(name), judgement, max(self.users(name, 0), self.users(name, 1)))
            for name, judgement in self.judgements().items()
            if name not in wanted and judgement.verdict != "safe"
        )

    async def step(self) -> None:
        """Look, write what the store lacks, and read what others have written, where it is time.

        Raises:
            StoreAway: the store does not answer. What was seen is kept, and written later.
        """
        await self.observe()
        await self.write()
        ticks = self._ticks()
        if self._read_all_at is None or ticks - self._read_all_at >= READ_ALL:
            await self.read_all()
            self._read_all_at = ticks
        elif self._read_ticks is None or ticks - self._read_ticks >= READ:
            today = day_of(self._clock())
            await self._read(today - KEPT - 1, MAX_DAY_NUMBER)
        else:
            return
        self._read_ticks = ticks
        self._look_for_silent()

    async def observe(self) -> None:
        """Look at what was needed."""
        look = await self._look()
        if self.silent:
            look.blind.update(dict.fromkeys(look.bound, SILENT_REASON))
        if self._watches.look(look, self._clock(), self._ticks()):
            self._log.warning("the clock has jumped", jumps=self._watches.jumps)
        self.blind = look.blind

    async def write(self) -> None:
        """Write what the store does not have.

        Raises:
            StoreAway: it does not answer.
        """
        for each in tuple(self._watches.unwritten()):
            key = each.name, each.number
            again = key in self._tried
            self._tried.add(key)
            if not 0 <= each.number <= MAX_DAY_NUMBER:
                each.is_written()
                continue
            row = StoredDay(each.number, each.name, write_day(each.day))
            try:
                if not await self._store.write_day(row, again=again):
                    # It was folded, its counts with it.
                    row = row._replace(document=write_day(each.day, counted=False))
                    await self._store.write_day(row, again=False)
            except StoreFull:
                if not self._was_full:
                    self._log.warning("the store has no room for what mappings are needed")
                self._was_full = True
                return
            each.is_written()
        self._was_full = False

    async def read_all(self) -> None:
        """Read all days, and fold what can be.

        Raises:
            StoreAway: the store does not answer.
        """
        today = day_of(self._clock())
        folds = self._folds()
        for first in range(max(today - MAX_DAYS, 0), today + 1, _PAGE):
            last = MAX_DAY_NUMBER if first + _PAGE > today else first + _PAGE - 1
            rows = await self._read(first, last)
            if folds:
                await self._fold(rows, today)

    def _folds(self) -> bool:
        """Whether it is this process that folds: any could, and one is enough."""
        seen = self._seen()
        return seen is not None and min(seen.replicas) == self._replica

    async def _read(self, first: int, last: int) -> dict[int, list[StoredDay]]:
        """Read some days; return their rows."""
        found: dict[int, list[StoredDay]] = {}
        for row in await self._store.days(first, last):
            found.setdefault(row.number, []).append(row)
        today = day_of(self._clock())
        for number in [each for each in self.days if first <= each <= last]:
            if number not in found:
                del self.days[number]
                self._read_as.pop(number, None)
        for number, rows in found.items():
            read_as = hash(tuple(rows))
            if self._read_as.get(number) == read_as:
                continue  # Nearly all: only what today's say changes.
            said = [(row.name, self._said(row)) for row in rows]
            self._read_as[number] = read_as
            self._note_written(said)
            self.days[number] = merged(day or BLIND_DAY for _, day in said)
            if number < today - SHOWN:
                for part in self.days[number].mappings.values():
                    part.users, part.versions = _NOBODY, {}
        self.read_at = self._clock()
        return found

    def _said(self, row: StoredDay) -> Day | None:
        try:
            return read_day(row.document)
        except UnreadableDay as error:
            self._log.warning(
                "what was needed on a day is unreadable",
                day=row.number,
                of=row.name,
                reason=str(error),
            )
            return None

    def _note_written(self, said: Iterable[tuple[str, Day | None]]) -> None:
        """When each process has written last, and how many WebSockets were open there then."""
        now = self._clock()
        for name, day in said:
            if day is None or name == SUM:
                continue
            replica = replica_of(name)
            known = self._newest.get(replica, _NEVER)
            # Of a process whose clock was ahead, there is something that seems newer.
            if abs(now - day.written) <= abs(now - known[0]):
                self._newest[replica] = day.written, day.open

    def _look_for_silent(self) -> None:
        """Find the processes that run, as they say, and of which there is nothing here."""
        seen, now = self._seen(), self._clock()
        if seen is None:
            return
        self._newest = {name: said for name, said in self._newest.items() if name in seen.replicas}
        silent = tuple(
            sorted(
                name
                for name, replica in seen.replicas.items()
                if name != self._replica
                and abs(now - replica.since) > SILENT
                and abs(now - self._newest.get(name, _NEVER)[0]) > SILENT
            )
        )
        if silent and not self.silent:
            self._log.warning("a process tells nothing of what mappings are needed", names=silent)
        self.silent = silent

    async def _fold(self, found: Mapping[int, list[StoredDay]], today: int) -> None:
        """Have one row in place of those of processes that are gone, and of days that are over."""
        seen = self._seen()
        alive = frozenset() if seen is None else frozenset(seen.replicas)
        for number, rows in found.items():
            is_over = number < today - 1
            gone = [
                row
                for row in rows
                if is_over or row.name == SUM or replica_of(row.name) not in alive
            ]
            if number > today or len(gone) < (2 if is_over else _ROWS):
                continue
            days = [self._said(row) for row in gone]
            read = [day for day in days if day is not None]
            if len(read) == len(days):
                await self._store.fold_days(gone, StoredDay(number, SUM, write_day(merged(read))))

    async def _run(self) -> None:
        while True:
            try:
                await self.step()
            except StoreAway:
                pass  # The board of switches says so.
            except Exception as error:  # noqa: BLE001 (the next look may fare better)
                self._log.error("sunset view failed", fault=type(error).__name__)
            await asyncio.sleep(EVERY)
