"""When a mapping can go: what a running Segue says of it, and a fleet on one store."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from proxy.control.replicas import Replica, Seen
from proxy.control.sunset import EVERY, SILENT, SILENT_REASON, SUM, SunsetRecords
from proxy.control.switch_store.base import MAX_DAY_NUMBER, MAX_DAY_ROWS, StoredDay
from proxy.control.switch_store.memory import MemorySwitchStore
from proxy.errors import StoreAway
from proxy.observability import log as logs
from proxy.switching.sunset_days import DAY, day_of, watched
from proxy.switching.sunset_verdict import Verdict
from proxy.switching.sunset_watch import Look
from proxy.switching.table import SwitchName
from tests.support.rig import Segue
from tests.support.sunsets import stopped
from tests.support.switches import SWITCH, Switched, sent, switched
from tests.support.waiting import PATIENCE

NAME = SwitchName("old", "a")
BEGIN = 20_000.0 * DAY + 3600
IDLE = 14.0 * DAY


class Cut(MemorySwitchStore):
    """A store that may be away."""

    away = False
    answers_lost = False

    async def write_day(self, new: StoredDay, *, again: bool) -> bool:
        if self.away:
            raise StoreAway("cut")
        done = await super().write_day(new, again=again)
        if self.answers_lost:
            raise StoreAway("cut after it was done")
        return done

    async def days(self, first: int, last: int) -> list[StoredDay]:
        if self.away:
            raise StoreAway("cut")
        return await super().days(first, last)


class Fleet:
    """Processes on one store, and their clock."""

    def __init__(self) -> None:
        self.store = Cut()
        self.now = BEGIN
        self.looks: dict[str, Look] = {}
        self.alive: dict[str, float] = {}
        self.lines: list[str] = []

    def start(self, name: str) -> SunsetRecords:
        self.alive[name] = self.now

        async def look() -> Look:
            found = self.looks.pop(name, Look())
            found.bound = frozenset((NAME,))
            return found

        return SunsetRecords(
            self.store,
            name,
            look,
            self.seen,
            lambda: (NAME,),
            lambda: IDLE,
            logs.build(_Kept(self.lines), "debug", "json", is_terminal=False),
            lambda: self.now,
            lambda: self.now,
        )

    def seen(self) -> Seen:
        return Seen(0, {name: _replica(at) for name, at in self.alive.items()})

    async def live(self, records: list[SunsetRecords], seconds: float, step: float = 300) -> None:
        """Let time pass."""
        end = self.now + seconds
        while self.now < end:
            self.now += step
            for each in records:
                await each.step()

    def need(self, name: str, count: int = 1) -> None:
        self.looks[name] = Look(needed={NAME: count}, versions={NAME: {"1.0": count}})


def _replica(since: float) -> Replica:
    return Replica(version="0", pid=1, since=since, configuration="", revision=0, stored=0)


class _Kept(logs.Writer):
    def __init__(self, kept: list[str]) -> None:
        self._kept = kept

    def msg(self, line: str) -> None:
        self._kept.append(line)

    debug = info = warning = error = critical = msg


@pytest.fixture
def fleet() -> Fleet:
    return Fleet()


async def test_it_is_needed_then_idle_then_safe(fleet: Fleet) -> None:
    one, two = fleet.start("one"), fleet.start("two")
    both = [one, two]
    fleet.need("two")
    await fleet.live(both, 600)
    assert [each.judgements()[NAME].verdict for each in both] == [Verdict.NEEDED] * 2
    await fleet.live(both, DAY)
    assert one.judgements()[NAME][:3] == (Verdict.IDLE, one.judgements()[NAME].last, 1)
    # A replica is down: the other one has all of the traffic.
    del fleet.alive["two"]
    await fleet.live([one], 13 * DAY, step=900)
    assert one.judgements()[NAME].verdict is Verdict.SAFE
    assert one.judgements()[NAME].watched > 0.99


async def test_what_was_seen_while_the_store_was_away_is_written_later(fleet: Fleet) -> None:
    one = fleet.start("one")
    await one.step()
    fleet.store.away = True
    for _ in range(5):
        fleet.now += 300
        fleet.need("one", 2)
        with pytest.raises(StoreAway):
            await one.step()
    fleet.store.away = False
    # The answer to a write is lost: it is written again, and counts once.
    fleet.store.answers_lost = True
    with pytest.raises(StoreAway):
        await one.step()
    fleet.store.answers_lost = False
    await one.step()
    await one.read_all()
    part = one.days[day_of(fleet.now)].mappings[NAME]
    assert (part.messages, part.last, part.versions) == (10, fleet.now, {"1.0": 10})
    assert watched(part).bit_count() == 5


async def test_rows_are_folded_and_nothing_counts_twice(fleet: Fleet) -> None:
    names = [f"r{number:02}" for number in range(10)]
    for name in names:
        records = fleet.start(name)
        fleet.need(name, 3)
        await records.step()
        del fleet.alive[name]
    last = fleet.start("s")
    fleet.need("s")
    await last.step()
    today = day_of(fleet.now)
    found = await fleet.store.days(today, today)
    assert SUM in [each.name for each in found]
    assert len(found) < len(names)
    await last.read_all()
    assert last.days[today].mappings[NAME].messages == 31
    # Once the day is over, also what is of one that goes on.
    await fleet.live([last], 3 * DAY, step=3000)
    found = await fleet.store.days(today, today)
    assert [each.name for each in found] == [SUM]
    # That one writes the day again, for whatever reason: it is told by what may be told twice.
    for _, watch in last._watches._watches:
        watch.unwritten.add(today)
    await last.write()
    await last.read_all()
    found = await fleet.store.days(today, today)
    assert last.days[today].mappings[NAME].messages == 31


async def test_who_runs_and_tells_nothing_makes_all_blind(fleet: Fleet) -> None:
    one = fleet.start("one")
    fleet.alive["other"] = fleet.now
    await fleet.live([one], SILENT + 600)
    assert one.silent == ("other",)
    assert one.blind == {NAME: SILENT_REASON}
    before = one.judgements()[NAME].watched
    await fleet.live([one], 3 * 3600)
    assert one.judgements()[NAME].watched <= before
    assert sum("tells nothing" in line for line in fleet.lines) == 1
    del fleet.alive["other"]
    await fleet.live([one], 3600)
    assert [*one.silent, *one.blind] == []


async def test_what_cannot_be_read_is_blind_for_its_day(fleet: Fleet) -> None:
    one = fleet.start("one")
    await fleet.live([one], 7200)
    today = day_of(fleet.now)
    assert watched(one.days[today].mappings[NAME])
    await fleet.store.write_day(StoredDay(today, "later", b"of a later version"), again=False)
    await one.read_all()
    assert not watched(one.days[today].mappings[NAME])
    assert any("unreadable" in line for line in fleet.lines)


async def test_a_full_store_is_told_of_once(fleet: Fleet) -> None:
    one = fleet.start("one")
    for number in range(MAX_DAY_ROWS):
        await fleet.store.write_day(StoredDay(5, f"x{number}", b"x"), again=False)
    await fleet.live([one], 900)
    assert sum("no room" in line for line in fleet.lines) == 1


async def test_days_after_the_last_are_not_written(fleet: Fleet) -> None:
    fleet.now = (MAX_DAY_NUMBER + 5.0) * DAY
    one = fleet.start("one")
    await one.observe()
    await one.write()
    assert await fleet.store.days(0, MAX_DAY_NUMBER) == []


async def test_an_end_is_written(fleet: Fleet) -> None:
    one = fleet.start("one")
    one.start()
    async with asyncio.timeout(PATIENCE):
        while one.read_at is None:  # noqa: ASYNC110 (it tells nobody)
            await asyncio.sleep(0.002)
    fleet.now += EVERY
    await one.close()
    await one.close()
    reader = fleet.start("two")
    await reader.read_all()
    part = reader.days[day_of(fleet.now)].mappings[NAME]
    assert watched(part).bit_count() == 1
    assert part.blind == 0


async def shown(running: Switched) -> dict[str, Any]:
    answer = await running.ask("/sunset")
    return {each["switch"]: each for each in answer["mappings"]}


async def step(proxy: Segue) -> None:
    records = proxy.server._sunset
    await records.step()
    await records.read_all()


async def test_a_running_segue_tells_it(tmp_path: Path) -> None:
    more = (
        "switching: {sunset: {announce: [{switch: modern/old-to-new, deprecation: 2026-12-01,"
        ' sunset: "2027-06-01T12:00Z", link: /why}]}}\n'
    )
    async with switched(tmp_path, more) as running:
        await stopped(running.proxy)
        pair = await running.open("2.1.4")
        await sent(pair, times=3)
        await step(running.proxy)
        found = await shown(running)
        one, other = found[SWITCH], found["legacy/new-to-old"]
        assert (one["verdict"], one["users"], one["messages"], one["open"]) == ("needed", 1, 3, 1)
        assert one["versions"] == [{"version": "2.1.4", "messages": 3}]
        assert (one["days"][0]["users"], one["days"][0]["messages"]) == (1, 3)
        assert len(one["days"]) == 31
        assert (one["websocket"], one["http"]) == (True, False)
        assert one["announced"] == {
            "deprecation": 1796083200,
            "sunset": 1811851200,
            "link": "/why",
        }
        assert (other["verdict"], other["last_needed"]) == ("unknown", None)
        metric = running.proxy.metric
        labels = {"cohort": "modern", "mapping": "old-to-new"}
        last = await metric("segue_mapping_last_needed_timestamp_seconds", **labels)
        assert last == pytest.approx(one["last_needed"])
        assert await metric("segue_mapping_users", **labels, day="today") == 1
        assert await metric("segue_mapping_verdict", **labels, verdict="needed") == 1
        assert await metric("segue_mapping_verdict", **labels, verdict="safe") == 0
        assert 0 <= await metric("segue_mapping_watched_ratio", **labels) <= 1


async def test_a_reload_warns_of_what_it_removes(tmp_path: Path) -> None:
    async with switched(tmp_path) as running:
        await stopped(running.proxy)
        await sent(await running.open("2.1.4"))
        await step(running.proxy)
        whole = running.config.read_text()
        running.config.write_text(whole.replace("{to_client: [old-to-new]}", "{to_client: []}"))
        answer = await running.ask("/reload", "POST")
        assert answer["succeeded"]
        (removed,) = answer["removed"]
        assert (removed["switch"], removed["verdict"], removed["users"]) == (SWITCH, "needed", 1)
        lines = [json.loads(line) for line in running.proxy.log.getvalue().splitlines()]
        (line,) = [each for each in lines if each["event"].startswith("a mapping is removed")]
        assert (line["switch"], line["users"], line["level"]) == (SWITCH, 1, "warning")
        # Where nothing is removed, nothing is said.
        assert (await running.ask("/reload", "POST"))["removed"] == []
