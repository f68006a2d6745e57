"""The part of the admin API that shows the health of each server."""

from __future__ import annotations

from typing import Final

import pydantic
from aiohttp import web

from proxy.admin.endpoints import Endpoint, Served
from proxy.types import Role
from proxy.upstream.fleet import Fleet
from proxy.upstream.pool import Pool


class UpstreamView(pydantic.BaseModel):
    """A server.

    Attributes:
        target: its address.
        health: `healthy`, `ejected`, `half-open`, or `unhealthy` by what probes say.
        reachable: whether the newest attempt to connect to it succeeded.
        trouble: why it fails, or could not be reached the last time; null where all is well.
        down_since: since when it is not healthy, or has failed as often as would eject it if there
            were another, in seconds since 1970; null while it is well.
        requests, websockets: how many it has at the moment.
        failures: connections and exchanges that failed, since the start.
    """

    target: str
    health: str
    reachable: bool
    trouble: str | None
    down_since: float | None = None
    requests: int
    websockets: int
    failures: int


class UpstreamList(pydantic.BaseModel):
    """The servers, in the order of the configuration.

    Attributes:
        upstreams: all of them.
    """

    upstreams: list[UpstreamView]


LIST: Final = Endpoint("GET", "/upstreams", Role.VIEWER, None, UpstreamList)


class Upstreams:
    """Answers the request."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet

    def endpoints(self) -> tuple[Served, ...]:
        """What viewers may ask, and what answers."""
        return ((LIST, self.show),)

    async def show(self, _: web.Request) -> UpstreamList:
        """Show the health of each server."""
        return UpstreamList(upstreams=[upstream_view(pool) for pool in self._fleet.pools])


def upstream_view(pool: Pool) -> UpstreamView:
    """A server as it is told."""
    health = "unhealthy" if pool.health.unhealthy else pool.health.state.value
    trouble = None
    if pool.failing:
        trouble = pool.reason
    elif pool.health.unhealthy:
        trouble = "its probes fail"
    elif not pool.counters.up:
        trouble = pool.reason or "it could not be connected to"
    return UpstreamView(
        target=pool.name,
        health=health,
        reachable=pool.counters.up,
        trouble=trouble,
        down_since=pool.down_since,
        requests=pool.in_flight,
        websockets=pool.sockets,
        failures=sum(pool.counters.failures.values()),
    )
