"""The part of the admin API that ends the process in an orderly way, as SIGTERM does.

`POST /drain` answers at once; `/readyz` says from then on that no new traffic is welcome. This
listener goes on answering until everything else has ended.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import pydantic
from aiohttp import web
from structlog.typing import FilteringBoundLogger

from proxy.admin.access import author, signature
from proxy.admin.endpoints import Endpoint, Served
from proxy.admin.orders import AdminRequest, refusal
from proxy.control.audit import Audit
from proxy.types import Role


class DrainRequest(AdminRequest):
    """There is nothing to say: how long it takes at most, the configuration says."""


class Draining(pydantic.BaseModel):
    """What is left to be ended.

    Attributes:
        connections: of clients, WebSockets included.
        websockets: of these.
    """

    connections: int
    websockets: int


DRAIN: Final = Endpoint(
    "POST",
    "/drain",
    Role.ADMIN,
    DrainRequest,
    Draining,
    status=202,
    refusals={409: "It has begun already."},
)


class DrainOrders:
    """Answers the request."""

    def __init__(
        self,
        begin: Callable[[], bool],
        left: Callable[[], tuple[int, int]],
        log: FilteringBoundLogger,
        audit: Audit,
    ) -> None:
        """Construct.

        Args:
            begin: has the process end; False where that has been ordered before.
            left: gives the open connections of clients, and the WebSockets among them.
            log: told who has ordered it.
            audit: the same.
        """
        self._begin = begin
        self._left = left
        self._log = log
        self._audit = audit

    def endpoints(self) -> tuple[Served, ...]:
        """What admins may ask, and what carries it out."""
        return ((DRAIN, self.drain),)

    async def drain(self, request: web.Request, _: DrainRequest) -> web.Response | Draining:
        """End the process in an orderly way, as SIGTERM does; the answer does not wait for that."""
        if not self._begin():
            return refusal(409, "this process is draining already")
        self._log.warning("drain ordered", author=str(author(request)))
        self._audit.write("drain ordered", **signature(request))
        connections, websockets = self._left()
        return Draining(connections=connections, websockets=websockets)
