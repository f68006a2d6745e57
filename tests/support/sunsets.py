"""What a running Segue sees of needs, looked at when a test says so, and not by the clock."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from proxy.control.sunset import SunsetRecords
from proxy.storage import cancellation
from proxy.switching.sunset_days import DAY, SLOTS, Day, MappingDay, day_of
from proxy.switching.sunset_watch import Look
from proxy.switching.table import read_name
from tests.support.rig import Segue


async def stopped(proxy: Segue) -> SunsetRecords:
    """The records of a Segue that looks no more by itself."""
    records = proxy.server._sunset
    assert records._running is not None
    await cancellation.end(records._running)
    return records


async def looked(proxy: Segue) -> Look:
    """What there was since the look before."""
    return await proxy.server._data.needs.look()


def remember(
    records: SunsetRecords, switch: str, users: Sequence[int], versions: Mapping[str, int]
) -> None:
    """Let there have been so many users on each day, today's first, all of them watched.

    Args:
        records: that look no more by themselves.
        switch: the name of the mapping's switch.
        users: of each day.
        versions: of how many messages each, on each day on which there was somebody.
    """
    now, watched = time.time(), (1 << SLOTS) - 1
    for ago, count in enumerate(users):
        number = day_of(now) - ago
        part = MappingDay(watched=watched)
        if count:
            part.note(min(now, (number + 1) * DAY - 1), sum(versions.values()), versions)
        for user in range(count):
            part.users.add((user + 1) * 0x9E3779B97F4A7C15 & (1 << 64) - 1)
        day = records.days.setdefault(number, Day())
        day.up = watched
        day.mappings[read_name(switch)] = part
    records.read_at = now
