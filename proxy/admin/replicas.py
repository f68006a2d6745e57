"""The part of the admin API that shows all processes on the store of switches.

`GET /replicas` lists them, and says which has put the newest revision to work, and which serves
other files than the process that answers.
"""

from __future__ import annotations

from typing import Final

import pydantic
from aiohttp import web

from proxy.admin.endpoints import Endpoint, Served
from proxy.admin.orders import refusal
from proxy.control.replicas import Replica, Replicas, Seen
from proxy.errors import StoreAway
from proxy.types import Role


class ReplicaView(pydantic.BaseModel):
    """What a process said of itself in the last ten seconds.

    Attributes:
        name: its machine's, and a part that is made anew at each start.
        version: of Segue.
        pid: its process id, on its machine.
        since: when it was started, in seconds since 1970.
        configuration: the digest of the files that serve.
        revision: the newest one in force.
        stored: the newest one that it has read.
        unapplied: switches that are set in the store and do nothing there, because its
            configuration lacks them or is another one; 20 at most.
        sockets_behind: WebSockets that are not on the revision in force.
        current: whether the revision in force is the newest of the store.
        other_configuration: whether it serves other files than the process that answers.
    """

    name: str
    version: str
    pid: int
    since: float
    configuration: str
    revision: int
    stored: int
    unapplied: list[str]
    sockets_behind: int
    current: bool
    other_configuration: bool


class ReplicasView(pydantic.BaseModel):
    """All processes on the store of switches. One that does not reach the store is not there.

    Attributes:
        answered: the name of the one that answers.
        newest: the newest revision of the store.
        replicas: in the order of their names.
    """

    answered: str
    newest: int
    replicas: list[ReplicaView]


REPLICAS: Final = Endpoint(
    "GET",
    "/replicas",
    Role.VIEWER,
    None,
    ReplicasView,
    refusals={503: "The store of switches is away: who else is there is not known."},
)


class ReplicasPage:
    """Answers the request."""

    def __init__(self, replicas: Replicas) -> None:
        self._replicas = replicas

    def endpoints(self) -> tuple[Served, ...]:
        """What viewers may ask, and what answers."""
        return ((REPLICAS, self.show),)

    async def show(self, _: web.Request) -> web.Response | ReplicasView:
        """List the processes on the store of switches, as it has them now."""
        try:
            seen = await self._replicas.look()
        except StoreAway as error:
            text = f"the store of switches is away ({error.detail}): who else is there is not known"
            return refusal(503, text, {"Retry-After": "5"})
        answered = self._replicas.name
        serves = seen.replicas[answered].configuration
        return ReplicasView(
            answered=answered,
            newest=seen.newest,
            replicas=[
                _view(name, each, seen, serves) for name, each in sorted(seen.replicas.items())
            ],
        )


def _view(name: str, replica: Replica, seen: Seen, serves: str) -> ReplicaView:
    return ReplicaView(
        name=name,
        version=replica.version,
        pid=replica.pid,
        since=replica.since,
        configuration=replica.configuration,
        revision=replica.revision,
        stored=replica.stored,
        unapplied=list(replica.unapplied),
        sockets_behind=replica.sockets_behind,
        current=seen.is_current(replica),
        other_configuration=replica.configuration != serves,
    )
