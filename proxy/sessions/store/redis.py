"""Sessions in Redis or Valkey, for replicas on any number of machines.

Every operation is one script (`scripts`), and so one step. A save is never sent twice: whether one
whose answer is missing was carried out is not known, and its caller finds out by loading. The
others do the same when done again (`storage.redis_client`). Leases end by the clock of the server.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final

from proxy.errors import StoreFull
from proxy.sessions.record import Record, check_texts, decode, encode
from proxy.sessions.store import scripts
from proxy.sessions.store.base import MAX_BATCH, RecordPage, SessionUse, keeping, page_of
from proxy.storage.redis_client import RedisClient

_SCRIPTS: Final = (
    scripts.ACQUIRE,
    scripts.COUNT,
    scripts.EXTEND,
    scripts.FIND,
    scripts.LOAD,
    scripts.PURGE,
    scripts.RELEASE,
    scripts.SAVE,
    scripts.SESSIONS,
    scripts.TOUCH,
    scripts.USES,
    scripts.WRITABLE,
)


class RedisStore:
    """A store in one server of Redis or Valkey; see `proxy.sessions.store.base.Store`."""

    def __init__(
        self,
        url: str,
        *,
        limit: int,
        timeout: float,
        connections: int,
        ca_file: str | None = None,
    ) -> None:
        """Prepare everything; nothing is connected yet, and the server may be away.

        Args:
            url: `redis://` or `rediss://`, with user and password where they are needed.
            limit: how many sessions it may hold.
            timeout: seconds that a call waits for its answer at most.
            connections: how many there may be at the same time; further calls wait.
            ca_file: the authorities to trust for `rediss://`; the system's where None.

        Raises:
            ConfigError: the CA file cannot be used.
        """
        self._limit = limit
        self._client = RedisClient(
            url, _SCRIPTS, timeout=timeout, connections=connections, ca_file=ca_file
        )

    async def find(self, *digests: bytes) -> Record | None:
        fields = await self._run(scripts.FIND, *digests) if digests else None
        return _record(fields)

    async def load(self, session: str) -> Record | None:
        return _record(await self._run(scripts.LOAD, session))

    async def save(self, record: Record, *, fence: int | None = None) -> Record | None:
        answer = await self._run(
            scripts.SAVE,
            record.session,
            record.revision,
            "" if fence is None else fence,
            self._limit,
            record.user,
            record.version,
            record.cohort,
            repr(record.used),
            "" if record.closed is None else repr(record.closed),
            repr(record.purge_after),
            encode(record),
            b"".join(record.digests),
            keeping(record.eviction) if record.eviction else "",
            "" if record.ended is None else 1,
            record.host,
        )
        if answer[0] < 0:
            raise StoreFull("the session store is full")
        return _with(record, answer[1:]) if answer[0] else None

    async def touch(self, session: str, used: float, version: str, cohort: str) -> None:
        check_texts(version, cohort)
        await self._run(scripts.TOUCH, session, repr(used), version, cohort)

    async def acquire(self, session: str, owner: str, ttl: float) -> int | None:
        fence = await self._run(scripts.ACQUIRE, session, owner, repr(ttl))
        return None if fence is None else int(fence)

    async def extend(self, session: str, owner: str, ttl: float) -> bool:
        return bool(await self._run(scripts.EXTEND, session, owner, repr(ttl)))

    async def release(self, session: str, owner: str) -> None:
        await self._run(scripts.RELEASE, session, owner)

    async def sessions(self, *, user: str | None, after: str, limit: int) -> RecordPage:
        whose = () if user is None else (user,)
        most = min(limit, MAX_BATCH)
        found = await self._run(scripts.SESSIONS, after, most, *whose)
        return page_of(((name.decode(), partial(_read, fields)) for name, fields in found), most)

    async def uses(self, user: str, limit: int) -> list[SessionUse]:
        found = await self._run(scripts.USES, user, limit)
        return [
            SessionUse(session.decode(), float(used), (host or b"").decode())
            for session, used, host in found
        ]

    async def count(self) -> int:
        return int(await self._run(scripts.COUNT))

    async def purge(self, now: float) -> int:
        # In steps: while a script runs, nobody else is served.
        total = 0
        while removed := int(await self._run(scripts.PURGE, repr(now), MAX_BATCH)):
            total += removed
        return total

    async def writable(self) -> None:
        await self._run(scripts.WRITABLE)

    async def ping(self) -> None:
        await self._run(scripts.COUNT)

    async def close(self) -> None:
        await self._client.close()

    async def _run(self, text: str, *arguments: bytes | str | int) -> Any:
        return await self._client.run(text, *arguments, again=text is not scripts.SAVE)


def _record(fields: Any) -> Record | None:
    return None if not fields or fields[0] is None else _read(fields)


def _read(fields: Sequence[bytes]) -> Record:
    body, *others = fields
    return _with(decode(body or b""), others)


def _with(record: Record, fields: Sequence[bytes]) -> Record:
    """The record with what is stored beside it, which is newer."""
    revision, closed, used, version, cohort = fields
    return replace(
        record,
        revision=int(revision),
        ended=None if record.ended is None else float(closed),
        used=float(used),
        version=version.decode(),
        cohort=cohort.decode(),
    )
