"""Switches in the memory of one process, for where nothing can be written: they end with it."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence

from proxy.control.switch_store.base import (
    KEPT,
    MAX_ANNOUNCED,
    MAX_DAY_ROWS,
    MAX_DAYS,
    MAX_VALUES,
    Newest,
    StoredDay,
    StoredRevision,
    check_announcement,
    check_day,
    check_fold,
    check_revision,
    check_value,
    newest_of,
    page_size,
)
from proxy.control.switch_store.listeners import Listeners
from proxy.errors import StoreFull


class MemorySwitchStore:
    """A store in memory; see `proxy.control.switch_store.base.SwitchStore`."""

    def __init__(self) -> None:
        self._revisions: OrderedDict[int, StoredRevision] = OrderedDict()
        self._values: dict[str, bytes] = {}
        self._announced: dict[str, tuple[float, bytes]] = {}
        self._days: dict[tuple[int, str], bytes] = {}
        self._listeners = Listeners()

    async def load(self) -> StoredRevision | None:
        return self._revisions.get(await self.number())

    async def append(self, new: StoredRevision, after: str = "") -> bool:
        check_revision(new)
        newest = await self.newest()
        if new.number != newest.number + 1 or after not in ("", newest.tag):
            return False
        self._revisions[new.number] = new
        while len(self._revisions) > KEPT:
            self._revisions.popitem(last=False)
        self._listeners.tell()
        return True

    async def number(self) -> int:
        return next(reversed(self._revisions), 0)

    async def newest(self) -> Newest:
        return newest_of(self._revisions.get(await self.number()))

    async def revision(self, number: int) -> StoredRevision | None:
        return self._revisions.get(number)

    async def revisions(self, before: int | None, limit: int) -> list[bytes]:
        wanted = (
            each.revision
            for number, each in reversed(self._revisions.items())
            if before is None or number < before
        )
        return [revision for revision, _ in zip(wanted, range(page_size(limit)), strict=False)]

    async def value(self, name: str) -> bytes | None:
        check_value(name)
        return self._values.get(name)

    async def replace(self, name: str, expected: bytes | None, new: bytes | None) -> bool:
        check_value(name, expected, new)
        if self._values.get(name) != expected:
            return False
        if new is None:
            self._values.pop(name, None)
        elif name not in self._values and len(self._values) >= MAX_VALUES:
            raise StoreFull("the store holds as many named values as it may")
        else:
            self._values[name] = new
        return True

    async def announce(self, replica: str, document: bytes, ttl: float) -> None:
        check_announcement(replica, document, ttl)
        now = time.monotonic()
        self._announced[replica] = (now + ttl, document)
        by_end = sorted(self._announced.items(), key=lambda item: item[1][0])
        self._announced = {name: said for name, said in by_end[-MAX_ANNOUNCED:] if said[0] > now}

    async def announced(self) -> dict[str, bytes]:
        now = time.monotonic()
        return {name: said for name, (until, said) in self._announced.items() if until > now}

    async def write_day(self, new: StoredDay, *, again: bool) -> bool:
        check_day(new)
        number, name, document = new
        if (number, name) not in self._days:
            if again:
                return False
            if len(self._days) >= MAX_DAY_ROWS:
                raise StoreFull("the store holds as many days as it may")
        self._days[number, name] = document
        numbers = sorted({each for each, _ in self._days})
        for oldest in numbers[:-MAX_DAYS]:
            self._days = {key: kept for key, kept in self._days.items() if key[0] != oldest}
        return True

    async def days(self, first: int, last: int) -> list[StoredDay]:
        return [
            StoredDay(number, name, document)
            for (number, name), document in sorted(self._days.items())
            if first <= number <= last
        ]

    async def fold_days(self, gone: Sequence[StoredDay], into: StoredDay) -> bool:
        check_fold(gone, into)
        keys = {(each.number, each.name) for each in gone}
        is_there = into[:2] in self._days and into[:2] not in keys
        if is_there or any(self._days.get(each[:2]) != each.document for each in gone):
            return False
        for key in keys:
            del self._days[key]
        self._days[into[:2]] = into.document
        return True

    def listen(self, told: Callable[[], None]) -> None:
        self._listeners.add(told)

    async def close(self) -> None:
        self._listeners.end()
