"""What stores in Redis or Valkey share: connections, scripts with a time limit, errors in words.

Every operation of a store is one script, and so one step. Whether a call whose answer is missing
was carried out is not known. What does the same when it is done again is, once, on a new
connection.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from redis import exceptions
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import MasterNotFoundError
from redis.backoff import NoBackoff

from proxy.errors import ConfigError, Diagnostic, StoreAway, StoreBusy, StoreReadOnly
from proxy.storage.redis_sentinel import SentinelPool, is_sentinel

# The most special first: some are kinds of others.
_REASONS: Final = (
    (exceptions.AuthenticationError, "refuses user or password"),
    (exceptions.BusyLoadingError, "is still loading"),
    (exceptions.TimeoutError, "did not answer in time"),
    (MasterNotFoundError, "cannot be reached: no sentinel that answers knows such a primary"),
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
CLOSED: Final = RuntimeError
"""What uvloop says, and the client passes on, of a connection that ended while it is written to."""

_CAUSES: Final = 4
"""How far behind an error its cause is looked for."""

_UNWRITABLE: Final = (exceptions.ReadOnlyError, exceptions.OutOfMemoryError)
_DISK_FULL: Final = "MISCONF"
"""The code of the error of a server that cannot write to its disk, and therefore refuses to change
anything; the client knows no class of it."""


class RedisClient:
    """Runs the scripts of one store in one server."""

    def __init__(
        self,
        url: str,
        scripts: Iterable[str],
        *,
        timeout: float,
        connections: int,
        ca_file: str | None = None,
        name: str = "session store",
    ) -> None:
        """Prepare everything; nothing is connected yet, and the server may be away.

        Args:
            url: `redis://`, `rediss://`, `redis+sentinel://` or `rediss+sentinel://`, with user and
                password where they are needed.
            scripts: all that are run.
            timeout: seconds that a call waits for its answer at most.
            connections: how many there may be at the same time; further calls wait.
            ca_file: the authorities to trust for TLS; the system's where None.
            name: what errors call the store.

        Raises:
            ConfigError: the CA file cannot be used.
        """
        self._name = name
        self._timeout = timeout
        self._pool = _pool(url, timeout, connections, ca_file)
        self._client = Redis.from_pool(self._pool)
        # Whoever waits for a connection waits here: the pool would say that there is no server.
        self._free = asyncio.Semaphore(connections)
        self._finished = 0
        self._scripts = {text: self._client.register_script(text) for text in scripts}

    async def run(self, text: str, *arguments: bytes | str | int, again: bool) -> Any:
        """What a script returns.

        Args:
            text: one of those that the client was made for.
            arguments: of the script.
            again: whether doing it twice does the same.

        Raises:
            StoreReadOnly: the server cannot write, and would have had to.
            StoreAway: it did not answer, in time; why is told in words of our own.
            StoreBusy: all connections were others' all the time, whom it did answer.
        """
        finished, begun = self._finished, False
        try:
            async with asyncio.timeout(self._timeout), self._free:
                begun = True
                return await self._run(text, arguments, again=again)
        except (exceptions.RedisError, OSError, CLOSED) as error:
            if not begun and self._finished != finished:
                raise StoreBusy(f"too many calls wait for the {self._name}") from None
            read_only = isinstance(error, _UNWRITABLE) or _is_misconfigured(error)
            kind = StoreReadOnly if read_only else StoreAway
            raise kind(f"the {self._name} {_reason(error)}") from None

    async def _run(self, text: str, arguments: Sequence[bytes | str | int], *, again: bool) -> Any:
        # By its digest; where the server does not know it, it is sent and run by it again.
        script = self._scripts[text]
        try:
            answer = await script(args=arguments)
        except (exceptions.ConnectionError, CLOSED):
            # A connection may have died while nobody used it; the others with it.
            await self._pool.disconnect(inuse_connections=False)
            if not again:
                raise
            answer = await script(args=arguments)
        self._finished += 1
        return answer

    def connection(self) -> Any:
        """A connection (`redis.asyncio.Connection`) beside those of the calls, not open yet."""
        return self._pool.connection_class(**self._pool.connection_kwargs)

    async def close(self) -> None:
        """Give up all connections that calls have used."""
        await self._client.aclose()
        if isinstance(self._pool, SentinelPool):
            await self._pool.close_all()
        else:
            await self._pool.disconnect()


def _pool(
    url: str, timeout: float, connections: int, ca_file: str | None
) -> BlockingConnectionPool:
    options: dict[str, Any] = {
        "socket_timeout": timeout,
        "socket_connect_timeout": timeout,
        "retry": Retry(NoBackoff(), 0),
        # Version 3 has messages that nobody asked for, which nothing here needs.
        "protocol": 2,
        **_tls_options(url, ca_file),
    }
    if is_sentinel(url):
        return SentinelPool(url, timeout=timeout, max_connections=connections, options=options)
    return BlockingConnectionPool.from_url(
        url, max_connections=connections, timeout=timeout, **options
    )


def _tls_options(url: str, ca_file: str | None) -> dict[str, Any]:
    if not url.startswith("rediss"):
        return {}
    try:
        if ca_file is not None and not Path(ca_file).is_file():
            raise FileNotFoundError  # OpenSSL would wait for a FIFO.
        ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError):
        message = "cannot be read as CA certificates in PEM"
        raise ConfigError([Diagnostic(str(ca_file), 0, 0, "store.ca_file", message)]) from None
    return {"ssl_ca_certs": ca_file, "ssl_cert_reqs": "required"}


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
    is_gone = isinstance(error, OSError | CLOSED)
    return f"cannot be reached{_why(error)}" if is_gone else "refused a call"


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
