"""Switches in Redis or Valkey, for replicas on any number of machines.

Every operation is one script (`scripts`), and so one step. What compares and sets is never sent
twice: done again, it would say that somebody else was faster. Changes are told by publish and
subscribe, on a connection of its own, which is there while somebody listens.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from proxy.control.switch_store import scripts
from proxy.control.switch_store.base import (
    MAX_NUMBER,
    MAX_REVISION,
    MAX_STATE,
    MAX_VALUE,
    Newest,
    StoredDay,
    StoredRevision,
    check_announcement,
    check_day,
    check_fold,
    check_revision,
    check_value,
    page_size,
    read_part,
    tag_of,
)
from proxy.control.switch_store.listeners import Listeners
from proxy.errors import RecordUnreadable, StoreFull
from proxy.storage.redis_client import RedisClient
from proxy.storage.redis_subscription import RedisSubscription

_SCRIPTS: Final = (
    scripts.ANNOUNCE,
    scripts.ANNOUNCED,
    scripts.APPEND,
    scripts.DAYS,
    scripts.FOLD_DAYS,
    scripts.LOAD,
    scripts.NEWEST,
    scripts.NUMBER,
    scripts.REPLACE,
    scripts.REVISION,
    scripts.REVISIONS,
    scripts.VALUE,
    scripts.WRITE_DAY,
)
_ONCE: Final = (scripts.APPEND, scripts.FOLD_DAYS, scripts.REPLACE)
_NO_ROOM: Final = -1
_UNREADABLE: Final = -2


class RedisSwitchStore:
    """A store in one server of Redis; see `proxy.control.switch_store.base.SwitchStore`."""

    def __init__(
        self, url: str, *, timeout: float, connections: int, ca_file: str | None = None
    ) -> None:
        """Prepare everything; nothing is connected yet, and the server may be away.

        Args:
            url: `redis://` or `rediss://`, with user and password where they are needed.
            timeout: seconds that a call waits for its answer at most.
            connections: how many there may be at the same time, besides the one that hears of
                changes; further calls wait.
            ca_file: the authorities to trust for `rediss://`; the system's where None.

        Raises:
            ConfigError: the CA file cannot be used.
        """
        self._timeout = timeout
        self._client = RedisClient(
            url,
            _SCRIPTS,
            timeout=timeout,
            connections=connections,
            ca_file=ca_file,
            name="switch store",
        )
        self._listeners = Listeners()
        self._subscription: RedisSubscription | None = None

    async def load(self) -> StoredRevision | None:
        return _whole(await self._run(scripts.LOAD))

    async def append(self, new: StoredRevision, after: str = "") -> bool:
        check_revision(new)
        return bool(await self._run(scripts.APPEND, new.number - 1, *new, after))

    async def number(self) -> int:
        return _number(await self._run(scripts.NUMBER))

    async def newest(self) -> Newest:
        number, tag = await self._run(scripts.NEWEST)
        return Newest(_number(number), tag.decode("ascii"))

    async def revision(self, number: int) -> StoredRevision | None:
        return _whole(await self._run(scripts.REVISION, number))

    async def revisions(self, before: int | None, limit: int) -> list[bytes]:
        first = "+inf" if before is None or before > MAX_NUMBER else f"({before}"
        found = await self._run(scripts.REVISIONS, first, page_size(limit))
        return [part[1:] for part in found if part]

    async def value(self, name: str) -> bytes | None:
        check_value(name)
        found = await self._run(scripts.VALUE, name)
        return None if found is None else _part(found, MAX_VALUE)

    async def replace(self, name: str, expected: bytes | None, new: bytes | None) -> bool:
        check_value(name, expected, new)
        outcome = await self._run(scripts.REPLACE, name, _written(expected), _written(new))
        if outcome == _NO_ROOM:
            raise StoreFull("the store holds as many named values as it may")
        if outcome == _UNREADABLE:
            _part(b"", MAX_VALUE)
        return bool(outcome)

    async def announce(self, replica: str, document: bytes, ttl: float) -> None:
        check_announcement(replica, document, ttl)
        await self._run(scripts.ANNOUNCE, replica, document, repr(ttl))

    async def announced(self) -> dict[str, bytes]:
        found = await self._run(scripts.ANNOUNCED)
        return {
            replica.decode("ascii", errors="replace"): document[1:]
            for replica, document in found
            if document
        }

    async def write_day(self, new: StoredDay, *, again: bool) -> bool:
        check_day(new)
        outcome = await self._run(scripts.WRITE_DAY, *new, int(again))
        if outcome == _NO_ROOM:
            raise StoreFull("the store holds as many days as it may")
        return bool(outcome)

    async def days(self, first: int, last: int) -> list[StoredDay]:
        found = await self._run(scripts.DAYS, first, last)
        return [_day(member, document) for member, document in found]

    async def fold_days(self, gone: Sequence[StoredDay], into: StoredDay) -> bool:
        check_fold(gone, into)
        each = [part for day in gone for part in (day.number, day.name, tag_of(day.document))]
        return bool(await self._run(scripts.FOLD_DAYS, *into, *each))

    def listen(self, told: Callable[[], None]) -> None:
        self._listeners.add(told)
        if self._subscription is None:
            self._subscription = RedisSubscription(
                self._client.connection, scripts.CHANNEL, self._listeners.tell, self._timeout
            )

    async def close(self) -> None:
        self._listeners.end()
        if self._subscription is not None:
            await self._subscription.close()
        await self._client.close()

    async def _run(self, text: str, *arguments: bytes | str | int) -> Any:
        return await self._client.run(text, *arguments, again=text not in _ONCE)


def _written(value: bytes | None) -> bytes:
    return b"" if value is None else b"=" + value


def _part(part: Any, most: int) -> bytes:
    """What a script says of some bytes: `=` and the bytes, where they can be read."""
    return read_part(part[1:] if part else None, most)


def _day(member: bytes, document: bytes) -> StoredDay:
    number, _, name = member.partition(b"/")
    return StoredDay(_number(number), name.decode("ascii", errors="replace"), document[1:])


def _number(text: bytes) -> int:
    if not text.isdigit() or not int(text) <= MAX_NUMBER:
        raise RecordUnreadable("what the store has of switches is damaged")
    return int(text)


def _whole(found: Any) -> StoredRevision | None:
    if found is None:
        return None
    number, revision, state = found
    return StoredRevision(_number(number), _part(revision, MAX_REVISION), _part(state, MAX_STATE))
