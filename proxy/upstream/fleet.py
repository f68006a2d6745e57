"""The servers that Segue stands in front of, and which of them gets the next request.

The one with the fewest requests and WebSockets at that moment does, of those that are in (see
`proxy.upstream.health`); where none is, of all of them. Servers with equally few take turns.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from structlog.typing import FilteringBoundLogger

from proxy.errors import OutOfResources, UpstreamError
from proxy.types import Publish, unpublished
from proxy.upstream.connection import Connection
from proxy.upstream.health import EjectionRules, Health, SignsOfLife
from proxy.upstream.pool import Pool
from proxy.upstream.probe import Check, Prober
from proxy.upstream.target import Target

_REMEMBERED: Final = 32
"""Servers that are no longer configured whose counts are still shown, so that none is lost."""


_BETWEEN_WARNINGS: Final = 10.0
"""Seconds between two lines about the same trouble of Segue's own, which every request meets."""


@dataclass(frozen=True, slots=True)
class Servers:
    """What the configuration says of the servers.

    Attributes:
        targets: each of another name; not empty.
        rules: when a server goes out.
        check: how they are probed; None where they are not.
        retries: on how many more servers a request is tried.
    """

    targets: tuple[Target, ...]
    rules: EjectionRules
    check: Check | None
    retries: int


class Fleet:
    """The pools of all servers.

    Attributes:
        pools: of the servers that are configured, in their order; never empty.
        retries: on how many more servers a request is tried.
        signs: what has been heard of any of them.
    """

    def __init__(
        self,
        servers: Servers,
        loop: asyncio.AbstractEventLoop,
        log: FilteringBoundLogger,
        publish: Publish = unpublished,
    ) -> None:
        """Nothing is connected yet.

        Args:
            servers: those that are configured.
            loop: in which connections live.
            log: told of servers that are ejected, and recover.
            publish: told the same.
        """
        self._publish = publish
        self.signs = SignsOfLife()
        self.retries = servers.retries
        self._loop = loop
        self._log = log
        self._check = servers.check
        self._turn = 0
        self._next_warning = 0.0
        self._left: dict[str, Pool] = {}
        self._prober: Prober | None = None
        self.pools = tuple(self._pool(target, servers.rules) for target in servers.targets)

    @property
    def known(self) -> tuple[Pool, ...]:
        """The pools, and those of servers that are no longer configured, as far as remembered."""
        return (*self.pools, *self._left.values())

    def start(self) -> None:
        """Begin to probe, where the configuration says so."""
        self._prober = Prober(self.changed, self.exhausted, self._loop)
        self._prober.change(self.pools, self._check)

    def choose(self) -> Pool:
        """Return the pool for the next request. Its exchange has to begin at once."""
        return self.pools[0] if len(self.pools) == 1 else self._chosen(self.pools)

    def another(self, tried: Collection[Pool]) -> Pool | None:
        """Return a pool that is none of these; None where there is no other."""
        untried = [pool for pool in self.pools if pool not in tried]
        return self._chosen(untried) if untried else None

    async def connect(self) -> Connection:
        """Open a connection for a request of Segue's own, to the first server that takes one.

        Raises:
            UpstreamError: none of those that were tried does.
            OutOfResources: no connection can be made to any.
        """
        tried: list[Pool] = []
        pool = self.choose()
        while True:
            try:
                return await pool.connect()
            except (UpstreamError, OutOfResources) as error:
                if isinstance(error, OutOfResources) and not error.elsewhere:
                    raise
                tried.append(pool)
                other = self.another(tried) if len(tried) <= self.retries else None
                if other is None:
                    raise
                pool = other

    def _chosen(self, pools: Collection[Pool]) -> Pool:
        now = self._loop.time()
        candidates = [pool for pool in pools if pool.health.admits(now)] or list(pools)
        fewest = min(pool.load for pool in candidates)
        tied = [pool for pool in candidates if pool.load == fewest]
        self._turn += 1
        chosen = tied[self._turn % len(tied)]
        chosen.health.begin(now)
        return chosen

    def change(self, servers: Servers) -> None:
        """Go on with these servers; what is known of those that stay is kept.

        Connections to the others end with their exchange, WebSockets when they end by themselves.
        """
        gone = {pool.name: pool for pool in self.pools}
        pools = []
        for target in servers.targets:
            pool = gone.pop(target.name, None)
            if pool is None:
                pool = self._left.pop(target.name, None) or self._pool(target, servers.rules)
                pool.health = Health(servers.rules)
            pool.health.rules = servers.rules
            pool.change(target)
            pools.append(pool)
        for pool in gone.values():
            pool.retire()
            self._left[pool.name] = pool
        self.pools = tuple(pools)
        self.retries = servers.retries
        self._check = servers.check
        self._forget_oldest()
        if self._prober is not None:
            self._prober.change(self.pools, servers.check)

    def check(self, now: float) -> None:
        """Give up exchanges that are past their deadline; called about twice a second."""
        for pool in self.known:
            pool.check(now)

    def close(self) -> None:
        """Close the unused connections and abort the others."""
        if self._prober is not None:
            self._prober.close()
        for pool in self.known:
            pool.close()

    # Neighbours: what pools ask and tell.

    def can_spare(self, pool: Pool) -> bool:
        """Whether another server is healthy."""
        return any(other.health.is_healthy for other in self.pools if other is not pool)

    def changed(self, pool: Pool) -> None:
        """A server was ejected, or has recovered."""
        if not pool.health.troubled:
            pool.failing = False
        if pool.health.is_healthy and not pool.failing:
            pool.down_since = None
            self.signs.recoveries += 1
            self._log.info("upstream recovered", upstream=pool.name)
            self._publish("upstream_recovered", upstream=pool.name)
        else:
            pool.down_since = pool.down_since or time.time()
            facts = {
                "upstream": pool.name,
                "unhealthy": pool.health.unhealthy,
                "still_asked": pool.health.is_healthy,
                "reason": pool.reason if pool.failing else "its probes fail",
            }
            self._log.warning("upstream ejected", **facts)
            self._publish("upstream_ejected", **facts)

    def exhausted(self, error: OutOfResources) -> None:
        """No connection could be made, and that is not because of a server."""
        now = self._loop.time()
        if now >= self._next_warning:
            self._next_warning = now + _BETWEEN_WARNINGS
            self._log.warning("out of resources", detail=error.detail)

    def _pool(self, target: Target, rules: EjectionRules) -> Pool:
        return Pool(target, rules, self, self._loop)

    def _forget_oldest(self) -> None:
        unused = [name for name, pool in self._left.items() if not (pool.busy or pool.load)]
        for name in unused[: max(len(self._left) - _REMEMBERED, 0)]:
            del self._left[name]
