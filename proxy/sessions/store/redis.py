"""Sessions in Redis or Valkey, for replicas on any number of machines.

Every operation is one script (`scripts`), and so one step. A save is never sent twice: whether one
whose answer is missing was carried out is not known, and its caller finds out by loading. The
others do the same when done again, and are, once, on a new connection. Leases end by the clock of
the server.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from redis import exceptions
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from proxy.errors import ConfigError, Diagnostic, StoreAway, StoreFull, StoreReadOnly
from proxy.sessions.record import Record, check_texts, decode, encode
from proxy.sessions.store import scripts
from proxy.sessions.store.base import MAX_BATCH, RecordPage, page_of

# The most special first: some are kinds of others.
_REASONS: Final = (
    (exceptions.AuthenticationError, "refuses user or password"),
    (exceptions.BusyLoadingError, "is still loading"),
    (exceptions.TimeoutError, "did not answer in time"),
    (exceptions.ConnectionError, "cannot be reached"),
    (exceptions.ReadOnlyError, "is a replica, which cannot be written"),
    (exceptions.OutOfMemoryError, "has no memory left"),
    (exceptions.NoPermissionError, "does not permit this user what is needed"),
)


# Of connections, as the system says it; the most special first.
_CONNECTING: Final = (
    (ssl.SSLCertVerificationError, "its certificate is not to be trusted"),
    (ssl.SSLError, "the TLS handshake failed; does its port speak TLS?"),
    (socket.gaierror, "the name of its host cannot be looked up"),
    (ConnectionRefusedError, "the connection was refused; nothing listens on its port"),
    (ConnectionResetError, "it ended the connection"),
)
_CAUSES: Final = 4
"""How far behind an error its cause is looked for."""

_UNWRITABLE: Final = (exceptions.ReadOnlyError, exceptions.OutOfMemoryError)
_DISK_FULL: Final = "MISCONF"
"""The code of the error of a server that cannot write to its disk, and therefore refuses to change
anything; the client knows no class of it."""


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
        self._timeout = timeout
        options: dict[str, Any] = {}
        if url.startswith("rediss:"):
            try:
                if ca_file is not None and not Path(ca_file).is_file():
                    raise FileNotFoundError  # OpenSSL would wait for a FIFO.
                ssl.create_default_context(cafile=ca_file)
            except (OSError, ssl.SSLError):
                message = "cannot be read as CA certificates in PEM"
                raise ConfigError(
                    [Diagnostic(str(ca_file), 0, 0, "store.ca_file", message)]
                ) from None
            options = {"ssl_ca_certs": ca_file, "ssl_cert_reqs": "required"}
        self._pool = BlockingConnectionPool.from_url(
            url,
            max_connections=connections,
            timeout=timeout,
            socket_timeout=timeout,
            socket_connect_timeout=timeout,
            retry=Retry(NoBackoff(), 0),
            # Version 3 has messages that nobody asked for, which nothing here needs.
            protocol=2,
            **options,
        )
        self._client = Redis.from_pool(self._pool)
        self._scripts = {
            text: self._client.register_script(text)
            for text in (
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
                scripts.WRITABLE,
            )
        }

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
            "" if record.ended is None else repr(record.ended),
            repr(record.purge_after),
            encode(record),
            b"".join(handle.digest for handle in record.handles),
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
        await self._client.aclose()
        await self._pool.disconnect()

    async def _run(self, text: str, *arguments: bytes | str | int) -> Any:
        """What a script returns.

        Raises:
            StoreAway: it did not, in time; why is told in words of our own.
        """
        # By its digest; where the server does not know it, it is sent and run by it again.
        script = self._scripts[text]
        try:
            async with asyncio.timeout(self._timeout):
                try:
                    return await script(args=arguments)
                except exceptions.ConnectionError:
                    if text is scripts.SAVE:
                        raise
                    # A connection may have died while nobody used it; the others with it.
                    await self._pool.disconnect(inuse_connections=False)
                    return await script(args=arguments)
        except (exceptions.RedisError, OSError) as error:
            read_only = isinstance(error, _UNWRITABLE) or _is_misconfigured(error)
            kind = StoreReadOnly if read_only else StoreAway
            raise kind(f"the session store {_reason(error)}") from None


def _is_misconfigured(error: Exception) -> bool:
    # A script's own error has it after its beginning, `ERR` or not, by the version of the server.
    return isinstance(error, exceptions.ResponseError) and _DISK_FULL in str(error)


def _reason(error: Exception) -> str:
    if _is_misconfigured(error):
        return "cannot write to its disk"
    if isinstance(error, TimeoutError):
        return "did not answer in time"
    for kind, reason in _REASONS:
        if isinstance(error, kind):
            # The client's own error says that there is no connection, its cause says why.
            return reason + (_why(error) if kind is exceptions.ConnectionError else "")
    return f"cannot be reached{_why(error)}" if isinstance(error, OSError) else "refused a call"


def _why(error: BaseException | None) -> str:
    """What stands behind a failure to connect, without the system's text: it names addresses."""
    for _ in range(_CAUSES):
        if error is None:
            break
        for kind, why in _CONNECTING:
            if isinstance(error, kind):
                return f": {why}"
        error = error.__cause__ or error.__context__
    return ""


def _record(fields: Any) -> Record | None:
    return None if not fields or fields[0] is None else _read(fields)


def _read(fields: Sequence[bytes]) -> Record:
    body, *others = fields
    return _with(decode(body or b""), others)


def _with(record: Record, fields: Sequence[bytes]) -> Record:
    """The record with what is stored beside it, which is newer."""
    revision, ended, used, version, cohort = fields
    return replace(
        record,
        revision=int(revision),
        ended=float(ended) if ended else None,
        used=float(used),
        version=version.decode(),
        cohort=cohort.decode(),
    )
