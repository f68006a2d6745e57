"""Finding the server that may be written, where several stand in for each other (Redis Sentinel).

Sentinels watch a primary and its replicas, and make a replica the primary when the primary is gone.
Every connection asks them first; one to a server that is none any more is not used again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import (
    Sentinel,
    SentinelManagedConnection,
    SentinelManagedSSLConnection,
)
from redis.backoff import NoBackoff

_PORT: Final = 26379
_TLS: Final = "rediss+sentinel"
_SCHEMES: Final = ("redis+sentinel", _TLS)


def is_sentinel(url: str) -> bool:
    """Whether a URL of a store names sentinels."""
    return url.partition(":")[0] in _SCHEMES


class SentinelPool(BlockingConnectionPool):
    """Connections to whichever server is the primary."""

    def __init__(
        self, url: str, *, timeout: float, max_connections: int, options: Mapping[str, Any]
    ) -> None:
        """Prepare everything; nothing is connected yet.

        User and password are those of the servers. Sentinels have to know them anyhow, and are
        asked with them first, then without: they may have the same, or none.

        Args:
            url: `redis+sentinel://user:password@host:port,host:port/NAME/DATABASE`, or
                `rediss+sentinel://` for TLS to sentinels and servers.
            timeout: seconds to wait for a connection, and that a call of all may take.
            max_connections: how many there may be at the same time.
            options: of the connections to the servers.
        """
        parts = urlsplit(url)
        whose, _, where = parts.netloc.rpartition("@")
        user, _, password = (unquote(each) for each in whose.partition(":"))
        name, _, database = parts.path.removeprefix("/").partition("/")
        credentials: dict[str, Any] = {}
        if whose:
            credentials = {"username": user or None, "password": password or None}
        is_tls = parts.scheme == _TLS
        addresses = [_address(each) for each in where.split(",")]
        self._name = name
        self._sentinel = Sentinel([])  # type: ignore[no-untyped-call]
        # Each in its turn, so that all of them together take no longer than a call may.
        attempts = len(addresses) * (2 if credentials else 1)
        asking: dict[str, Any] = {
            **options,
            "ssl": is_tls,
            "max_connections": max_connections + 1,
            "socket_timeout": timeout / (attempts + 1),
            "socket_connect_timeout": timeout / (attempts + 1),
            "retry": Retry(NoBackoff(), 0),
        }
        self._sentinel.sentinels = [
            Redis(host=host, port=port, **asking, **given)
            for given in ([credentials, {}] if credentials else [{}])
            for host, port in addresses
        ]
        # What a connection of the client's wants to know of its pool.
        self.is_master = True
        self.check_connection = False
        self.master_address: tuple[str, int] | None = None
        super().__init__(
            max_connections=max_connections,
            timeout=timeout,
            connection_class=SentinelManagedSSLConnection if is_tls else SentinelManagedConnection,
            connection_pool=self,
            db=int(database or 0),
            **options,
            **credentials,
        )

    async def get_master_address(self) -> tuple[str, int]:
        """Where the primary is.

        Raises:
            redis.asyncio.sentinel.MasterNotFoundError: no sentinel that answers knows one.
        """
        address: tuple[str, int] = await self._sentinel.discover_master(self._name)
        if address != self.master_address:
            self.master_address = address
            await self.disconnect(inuse_connections=False)  # They lead to the one before.
        return address

    async def close_all(self) -> None:
        """Give up all connections, also those to sentinels."""
        await self.disconnect()
        await self._sentinel.aclose()


def _address(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]"):
        return text.strip("[]"), _PORT
    return host.strip("[]"), int(port)
