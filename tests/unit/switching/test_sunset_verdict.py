"""Whether a mapping can go: by its last need, and by how much was watched."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.switching.sunset_days import DAY, SLOT, SLOTS, Day, MappingDay, day_of
from proxy.switching.sunset_verdict import Judgement, Verdict, judge, watched_part
from proxy.switching.table import SwitchName

NAME = SwitchName("old", "a")
NOW = 20_000 * DAY + DAY / 4
IDLE = 14.0 * DAY


def seen(since: float, until: float = NOW, last: float = 0.0) -> dict[int, Day]:
    """Days that were watched between two moments."""
    days: dict[int, Day] = {}
    for slot in range(int(since // SLOT), int(until // SLOT)):
        day = days.setdefault(slot // SLOTS, Day())
        part = day.mappings.setdefault(NAME, MappingDay())
        part.watched |= 1 << slot % SLOTS
    if last:
        day = days.setdefault(day_of(last), Day())
        day.mappings.setdefault(NAME, MappingDay()).last = last
    return days


def verdict(days: dict[int, Day], idle: float = IDLE) -> Judgement:
    return judge(days, NAME, NOW, idle)


def test_what_was_needed_a_moment_ago_is_needed_whatever_was_watched() -> None:
    found = verdict(seen(NOW, last=NOW - 60))
    assert (found.verdict, found.last, found.idle_days) == (Verdict.NEEDED, NOW - 60, 0)


def test_a_need_to_come_was_one_now() -> None:
    found = verdict(seen(NOW - IDLE, last=NOW + 300 * DAY))
    assert (found.verdict, found.last, found.idle_days) == (Verdict.NEEDED, NOW, 0)


@pytest.mark.parametrize("days", [1, 5, 13])
def test_what_was_needed_days_ago_is_idle(days: int) -> None:
    last = NOW - days * DAY - 60
    found = verdict(seen(last, last=last))
    assert (found.verdict, found.idle_days, found.since) == (Verdict.IDLE, days, last)
    assert found.watched == 1.0


def test_what_was_not_needed_for_long_is_safe() -> None:
    last = NOW - IDLE
    assert verdict(seen(last - 60, last=last)).verdict is Verdict.SAFE
    assert verdict(seen(last - 60, last=last + 60)).verdict is Verdict.IDLE
    found = verdict(seen(NOW - IDLE))
    assert (found.verdict, found.last, found.idle_days) == (Verdict.SAFE, None, None)
    assert found.since == NOW - IDLE


def test_too_little_was_watched() -> None:
    assert verdict({}).verdict is Verdict.UNKNOWN
    assert verdict({20_000: Day()}).watched == 0.0
    for part, expected in ((0.94, Verdict.UNKNOWN), (0.96, Verdict.SAFE)):
        found = verdict(seen(NOW - part * IDLE))
        assert found.verdict is expected
        assert found.watched == pytest.approx(part, abs=0.001)
    last = NOW - 4 * DAY
    half = verdict(seen(NOW - 2 * DAY, last=last))
    assert (half.verdict, half.idle_days) == (Verdict.UNKNOWN, 4)
    assert half.watched == pytest.approx(0.5, abs=0.001)


def test_blind_slots_do_not_count() -> None:
    days = seen(NOW - IDLE)
    for day in days.values():
        day.mappings[NAME].blind = 0b111
    assert verdict(days).watched == pytest.approx(1 - 3 / SLOTS, abs=0.001)


@given(st.integers(0, 3 * DAY), st.integers(0, 3 * DAY), st.integers(0, 3 * DAY))
def test_the_part_is_that_of_the_slots(begin: int, length: int, since: int) -> None:
    base = 20_000 * DAY
    days = seen(base + begin, base + begin + length)
    now = base + 3 * DAY
    part = watched_part(days, NAME, base + since, now)
    inside = [slot for slot in range(3 * SLOTS) if slot * SLOT >= since]
    kept = [slot for slot in inside if begin // SLOT <= slot < int((begin + length) // SLOT)]
    assert part == (pytest.approx(len(kept) / len(inside)) if inside else 1.0)
