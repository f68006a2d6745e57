"""Ninety days of a fleet on a moved clock: is it ever wrong, or late, to say that a mapping can go?

`python -m tools.sunset_simulation [SEEDS]` runs so many simulations (3), each with other chances.
What looks, writes, reads, folds and judges is Segue's own code; simulated are the clients, the
clocks, and what happens to processes and to their way to the store.
"""

from __future__ import annotations

import asyncio
import random
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from proxy.control.replicas import Replica, Seen
from proxy.control.sunset import SunsetRecords
from proxy.control.switch_store.base import StoredDay
from proxy.control.switch_store.memory import MemorySwitchStore
from proxy.errors import StoreAway
from proxy.observability import log as logs
from proxy.switching.canary import Sketch, counted_as
from proxy.switching.sunset_days import DAY
from proxy.switching.sunset_verdict import Verdict
from proxy.switching.sunset_watch import Look
from proxy.switching.table import SwitchName

BEGIN: Final = 1_790_000_000.0 // DAY * DAY
DAYS: Final = 90
STEP: Final = 300.0
IDLE: Final = 14.0 * DAY
HOUR: Final = 3600.0
_KEY: Final = b"the key of all simulations......"


@dataclass
class Client:
    """Some clients of one version, and when they send what needs a mapping.

    Attributes:
        mapping: which.
        version: theirs.
        users: how many there are.
        days: on which they come, from the beginning.
        hours: of a day.
        messages: in a step.
        ignored: whether they are probes.
    """

    mapping: str
    version: str
    users: int
    days: frozenset[int]
    hours: tuple[int, int] = (0, 24)
    messages: int = 1
    ignored: bool = False

    def sends(self, since: float) -> int:
        """Messages in the step that begins so many seconds after the beginning."""
        hour = since % DAY / HOUR
        return self.messages * (
            int(since // DAY) in self.days and self.hours[0] <= hour < self.hours[1]
        )


def clients(chance: random.Random) -> list[Client]:
    """Those of a simulation."""
    weekdays = frozenset(day for day in range(41) if day % 7 < 5)
    return [
        Client("weekdays", "1.4", 900, weekdays, (8, 18), 5),
        # One person who comes back after ten days, for a quarter of an hour.
        Client("returns", "1.2", 1, frozenset(range(0, 61, 10)), (9, 9.2)),  # type: ignore[arg-type]
        Client("weekends", "1.9", 40, frozenset(day for day in range(71) if day % 7 >= 5)),
        # A season, and another one forty days later.
        Client("seasonal", "1.0", 300, frozenset([*range(11), *range(50, 53)]), (7, 22), 3),
        Client("mixed", "1.4", 200, frozenset(range(30)), (6, 23), 2),
        Client("mixed", "1.5", 50, frozenset(range(0, 46, 3)), (12, 13)),
        Client("probed", "0.1", 2, frozenset(range(DAYS)), ignored=True),
        Client(
            "chance",
            "1.7",
            3,
            frozenset(chance.sample(range(60), 6)),
            (chance.randrange(23), 24),
        ),
    ]


MAPPINGS: Final = ("weekdays", "returns", "weekends", "seasonal", "mixed", "probed", "chance")
QUIET: Final = ("never", "off")
OFF: Final = (5.0, 25.0)
"""Days between which the switch of the mapping `off` is off."""

BOUND: Final = frozenset(SwitchName("old", name) for name in (*MAPPINGS, *QUIET))


class Way:
    """The way of one process to the store, which may be cut."""

    def __init__(self, store: MemorySwitchStore) -> None:
        self._store = store
        self.is_cut = False

    def __getattr__(self, name: str) -> object:
        if self.is_cut:
            raise StoreAway("cut")
        return getattr(self._store, name)


@dataclass
class Process:
    """A process of Segue.

    Attributes:
        name: of it.
        records: what it knows.
        way: to the store.
        born: when it was started, in true time.
        offset: by how much its clock is wrong.
        steady: since when its clock is right and the store is reached, in true time.
        pending: what came since it looked last.
        unwritten: messages that it has seen and not written.
    """

    name: str
    way: Way
    born: float
    offset: float = 0.0
    steady: float = 0.0
    pending: Look = field(default_factory=Look)
    unwritten: Counter[str] = field(default_factory=Counter)
    records: SunsetRecords = field(init=False)


class Fleet:
    """The simulation."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)  # noqa: S311 (to be repeated, not secret)
        self.clients = clients(self.chance)
        self.store = MemorySwitchStore()
        self.true = BEGIN
        self.processes: dict[str, Process] = {}
        self.started = 0
        self.last: dict[str, float] = {}
        self.sent: Counter[str] = Counter()
        self.lost: Counter[str] = Counter()
        self.users: dict[tuple[str, int], set[bytes]] = {}
        self.wrong: list[str] = []
        self.late: list[str] = []
        self.checked = self.said = 0
        self.latest: dict[str, float] = {}
        self.log = logs.build(logs.to_stderr(), "error", "json", is_terminal=False)

    def start(self, place: str) -> None:
        """Start a process in the place of one that is not there."""
        self.started += 1
        process = Process(f"{place}-{self.started:04x}", Way(self.store), self.true)
        process.steady = self.true

        async def look() -> Look:
            look, process.pending = process.pending, Look()
            look.bound = BOUND
            since = (self.true - BEGIN) / DAY
            if OFF[0] <= since < OFF[1]:
                look.blind[SwitchName("old", "off")] = "off"
            return look

        process.records = SunsetRecords(
            process.way,  # type: ignore[arg-type]
            process.name,
            look,
            lambda: None if process.way.is_cut else self.seen(),
            lambda: BOUND,
            lambda: IDLE,
            self.log,
            lambda: self.true + process.offset,
            lambda: self.true - BEGIN,
        )
        self.processes[place] = process

    def kill(self, place: str) -> None:
        """End a process without a word."""
        process = self.processes.pop(place)
        self.lost.update(process.unwritten)

    async def stop(self, place: str) -> None:
        """End a process in an orderly way."""
        process = self.processes.pop(place)
        records = process.records
        await records.observe()
        records._watches.close(self.true + process.offset)  # noqa: SLF001 (what `close` does)
        try:
            await records.write()
        except StoreAway:
            self.lost.update(process.unwritten)

    def seen(self) -> Seen:
        """Who is announced."""
        return Seen(
            0,
            {
                each.name: Replica(
                    version="0",
                    pid=1,
                    since=each.born + each.offset,
                    configuration="",
                    revision=0,
                    stored=0,
                )
                for each in self.processes.values()
                if not each.way.is_cut
            },
        )

    def send(self) -> None:
        """Have clients send what they send in one step."""
        since = self.true - BEGIN
        serving = list(self.processes.values())
        for client in self.clients:
            count = client.sends(since)
            if not count or not serving:
                continue
            process = self.chance.choice(serving)
            name = SwitchName("old", client.mapping)
            look = process.pending
            if client.ignored:
                look.ignored[name] = look.ignored.get(name, 0) + count
                continue
            look.needed[name] = look.needed.get(name, 0) + count
            versions = look.versions.setdefault(name, {})
            versions[client.version] = versions.get(client.version, 0) + count
            process.unwritten[client.mapping] += count
            sketch = look.users.setdefault(name, Sketch())
            for _ in range(count):
                user = f"{client.version} {self.chance.randrange(client.users)}".encode()
                sketch.add(counted_as(_KEY, user))
                self.users.setdefault((client.mapping, int(self.true // DAY)), set()).add(user)
            self.sent[client.mapping] += count
            self.last[client.mapping] = self.true

    async def step(self) -> None:
        """One step of everything."""
        self.send()
        for process in list(self.processes.values()):
            try:
                await process.records.step()
                process.unwritten.clear()
            except StoreAway:
                process.steady = self.true
            if process.offset:
                process.steady = self.true

    def check(self) -> None:
        """Compare what is said with what is so."""
        for process in self.processes.values():
            for name, judgement in process.records.judgements().items():
                mapping = name.mapping
                begun = BEGIN + OFF[1] * DAY if mapping == "off" else BEGIN
                last = max(self.last.get(mapping, begun), begun)
                ago = self.true - last
                self.checked += 1
                where = f"day {(self.true - BEGIN) / DAY:.2f}, {process.name}, {mapping}"
                if judgement.verdict is Verdict.SAFE:
                    self.said += 1
                    # Of what came a moment ago, others know a moment later. And a twentieth of the
                    # time need not have been watched.
                    slack = 0.05 * IDLE if last == begun else STEP
                    if 2 * STEP < ago < IDLE - slack:
                        self.wrong.append(f"{where}: safe, needed {ago / DAY:.2f} days ago")
                elif ago > IDLE:
                    steady = self.true - process.steady
                    late = min(ago - IDLE, steady)
                    self.latest[mapping] = max(self.latest.get(mapping, 0.0), late)
                    if late > DAY:
                        self.late.append(f"{where}: {judgement}, since {ago / DAY:.2f} days")

    async def run(self) -> None:
        """Live through all of it."""
        for place in ("a", "b", "c"):
            self.start(place)
        for number in range(int(DAYS * DAY / STEP)):
            self.true = BEGIN + number * STEP
            await self.happen(number * STEP / HOUR)
            await self.step()
            if number % 12 == 0:
                self.check()

    async def happen(self, hour: float) -> None:
        """What goes wrong, and what people do."""
        processes = self.processes
        # A replica is down for a day.
        if hour == 17 * 24:
            self.kill("b")
        if hour == 18 * 24:
            self.start("b")
        # Every third day all are deployed anew, one after the other; now and then one is killed.
        if hour % 72 == 10:
            for place in sorted(processes):
                await self.stop(place)
                self.start(place)
        if hour == int(hour) and self.chance.random() < 0.005 and len(processes) == 3:
            place = self.chance.choice(sorted(processes))
            self.kill(place)
            self.start(place)
        # The store is away for half a day; and for one process for a day.
        for begin, end, places in ((33.3, 33.8, "abc"), (57, 58, "a")):
            for place in places:
                if place in processes and hour in (begin * 24, end * 24):
                    processes[place].way.is_cut = hour == begin * 24
        # A clock jumps ahead, and later back; another one the other way round.
        for place, begin, end, offset in (
            ("c", 21 * 24 + 12, 21 * 24 + 14, 3 * DAY),
            ("a", 27 * 24 + 12, 27 * 24 + 13, -2 * DAY),
            ("b", 63 * 24 + 13, 63 * 24 + 17, 400 * DAY),
            ("c", 66 * 24 + 13, 66 * 24 + 15, -30 * DAY),
        ):
            if place in processes and hour in (begin, end):
                processes[place].offset = offset if hour == begin else 0.0

    async def totals(self) -> list[str]:
        """Whether what was counted is what was sent."""
        found = []
        reader = next(iter(self.processes.values())).records
        await reader.read_all()
        counted: Counter[str] = Counter()
        for day in reader.days.values():
            for name, part in day.mappings.items():
                counted[name.mapping] += part.messages
        for mapping, sent in self.sent.items():
            # What was folded while its process was cut off is not counted again, but never twice.
            if not sent - self.lost[mapping] - sent // 50 <= counted[mapping] <= sent:
                found.append(
                    f"{mapping}: {counted[mapping]} counted, {sent} sent, {self.lost[mapping]} lost"
                )
        return found


async def simulate(seed: int) -> bool:
    """Run one simulation, and say what came of it; True where nothing was wrong or late."""
    fleet = Fleet(seed)
    await fleet.run()
    faults = [*fleet.wrong, *fleet.late, *await fleet.totals()]
    for fault in faults[:20]:
        print(f"  {fault}")
    rows: Sequence[StoredDay] = await fleet.store.days(0, 100_000)
    size = sum(len(row.document) for row in rows)
    latest = max(fleet.latest.values(), default=0.0) / HOUR
    print(
        f"seed {seed}: {fleet.checked:,} verdicts, {fleet.said:,} safe, {len(fleet.wrong)} wrong,"
        f" {len(fleet.late)} late, at most {latest:.1f} h late; {fleet.started} processes,"
        f" {len(rows)} rows, {size // 1024} KiB"
    )
    return not faults


def main() -> int:
    """0 where nothing was wrong, or late."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    return 1 if sum(not asyncio.run(simulate(seed)) for seed in range(count)) else 0


if __name__ == "__main__":
    sys.exit(main())
