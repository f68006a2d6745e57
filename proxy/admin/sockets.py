"""The part of the admin API that shows the open WebSockets of this process, and closes some.

`GET /sockets` lists them, the oldest first; `POST /sockets/close` has those that are chosen end one
after the other, each told to come back (1012), as a drain does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from time import perf_counter
from typing import Annotated, Final

import pydantic
from aiohttp import web
from pydantic import Field
from structlog.typing import FilteringBoundLogger

from proxy.admin.access import author, signature
from proxy.admin.endpoints import Endpoint, Example, Served
from proxy.admin.orders import UNKNOWN_NAME, AdminRequest, Label, refusal, some_of
from proxy.admin.roles import BeyondLimits, Principal
from proxy.control.audit import Audit
from proxy.downstream.websockets import CLOSING, Connections
from proxy.gateway.open_websocket import OpenWebSocket
from proxy.snapshot import Live
from proxy.tokens.redaction import redact
from proxy.types import NONE, Role

MOST: Final = 10_000
"""WebSockets of one answer."""


class SocketsQuery(AdminRequest):
    """Which are listed.

    Attributes:
        cohort: only those of clients in this cohort; `none` for those of no cohort.
        older_than_reload: only those that began under another configuration than the one that
            serves.
        limit: how many, at most.
    """

    cohort: Label | None = None
    older_than_reload: bool = False
    limit: Annotated[int, Field(ge=1, le=MOST)] = 100


class SocketView(pydantic.BaseModel):
    """An open WebSocket.

    Attributes:
        request_id, peer, path: of its handshake; the path has no query, where tokens travel.
        cohort: of its client; `none` where it is in none.
        configuration: the digest of the configuration under which it began.
        older_than_reload: whether another one serves now.
        to_client, to_server: the mappings of its messages; `none` where there is none.
        session: the name of its session; empty without one.
        upstream: the server.
        seconds: for how long it has been open.
        from_client, from_server: bytes that came from each side.
    """

    request_id: str
    peer: str
    path: str
    cohort: str
    configuration: str
    older_than_reload: bool
    to_client: str
    to_server: str
    session: str
    upstream: str
    seconds: float
    from_client: int
    from_server: int


class SocketsPage(pydantic.BaseModel):
    """The WebSockets, and how many fit the query altogether.

    Attributes:
        sockets: as many as the query allows.
        total: how many fit the query altogether.
    """

    sockets: list[SocketView]
    total: int


class CloseRequest(AdminRequest):
    """Which are closed, and over which time.

    Attributes:
        cohort: only those of clients in this cohort; `none` for those of no cohort.
        older_than_reload: only those that began under another configuration than the one that
            serves.
        everything: needed where nothing else is said.
        seconds: over which they are spread; half of `timeouts.drain` unless it is said.
    """

    model_config = some_of(
        "anyOf",
        {"cohort": {"type": "string"}},
        {"older_than_reload": {"const": True}},
        {"everything": {"const": True}},
    )

    cohort: Label | None = None
    older_than_reload: bool = False
    everything: bool = False
    seconds: Annotated[float, Field(ge=0, le=3600)] | None = None


class Closing(pydantic.BaseModel):
    """How many will be told to come back, and over how many seconds.

    Attributes:
        closing: how many.
        seconds: over which they are spread.
    """

    closing: int
    seconds: float


LIST: Final = Endpoint(
    "GET",
    "/sockets",
    Role.VIEWER,
    SocketsQuery,
    SocketsPage,
    refusals=UNKNOWN_NAME,
    example=Example({"cohort": "modern", "limit": 1}),
)
CLOSE: Final = Endpoint(
    "POST",
    "/sockets/close",
    Role.OPERATOR,
    CloseRequest,
    Closing,
    refusals=UNKNOWN_NAME,
    example=Example({"older_than_reload": True, "seconds": 60}),
)


class SocketOrders:
    """Answers the requests."""

    def __init__(
        self, connections: Connections, live: Live, log: FilteringBoundLogger, audit: Audit
    ) -> None:
        self._connections = connections
        self._live = live
        self._log = log
        self._audit = audit
        self._closing: asyncio.Task[None] | None = None
        self._closing_cohort: str | None = None

    def endpoints(self) -> tuple[Served, ...]:
        """What operators may ask, and what carries it out."""
        return ((LIST, self.show), (CLOSE, self.close_some))

    async def show(self, _: web.Request, query: SocketsQuery) -> web.Response | SocketsPage:
        """Show the open WebSockets."""
        unknown = self._unknown(query.cohort)
        if unknown is not None:
            return unknown
        found = list(self._chosen(query.cohort, older=query.older_than_reload))
        now, serving = perf_counter(), self._live.current.digest
        return SocketsPage(
            sockets=[_view(each, now, serving) for each in found[: query.limit]], total=len(found)
        )

    async def close_some(self, request: web.Request, order: CloseRequest) -> web.Response | Closing:
        """Close some WebSockets, one after the other; the answer does not wait for that."""
        if not (order.cohort or order.older_than_reload or order.everything):
            return refusal(400, "say which: cohort, older_than_reload, or everything")
        unknown = self._unknown(order.cohort)
        if unknown is not None:
            return unknown
        # It takes the place of one that is under way, which can so be hastened, or narrowed.
        replaced = self._closing is not None and not self._closing.done()
        self._check_limits(author(request), order, replaced=replaced)
        self.stop()
        self._closing_cohort = order.cohort
        chosen = list(self._chosen(order.cohort, older=order.older_than_reload))
        seconds = order.seconds
        if seconds is None:
            seconds = self._live.current.config.timeouts.drain * CLOSING
        told = {
            "websockets": len(chosen),
            "seconds": seconds,
            "cohort": order.cohort,
            "older_than_reload": order.older_than_reload,
            "replaced": replaced,
        }
        self._log.warning("closing websockets", author=str(author(request)), **told)
        self._audit.write("closing websockets", **signature(request), **told)
        self._closing = asyncio.create_task(self._close(chosen, seconds))
        return Closing(closing=len(chosen), seconds=seconds)

    def _check_limits(self, principal: Principal, order: CloseRequest, *, replaced: bool) -> None:
        limits = principal.limits
        if limits.cohorts is None:
            return
        if order.cohort is None or not limits.covers(order.cohort):
            text = "this closes WebSockets of other cohorts: name one of your own"
            raise BeyondLimits(limits.against(text))
        if replaced and (self._closing_cohort is None or not limits.covers(self._closing_cohort)):
            text = "WebSockets of other cohorts are being closed: try again when that is done"
            raise BeyondLimits(limits.against(text))

    def stop(self) -> None:
        """End what is under way: the process drains, and closes all of them by itself."""
        if self._closing is not None:
            self._closing.cancel()

    async def _close(self, chosen: list[OpenWebSocket], seconds: float) -> None:
        told = await self._connections.close_each(chosen, seconds)
        self._log.info("closed websockets", websockets=told)

    def _chosen(self, cohort: str | None, *, older: bool) -> Iterator[OpenWebSocket]:
        serving = self._live.current.digest
        for each in self._connections:
            if (
                isinstance(each, OpenWebSocket)
                and cohort in (None, each.info.cohort)
                and not (older and each.configuration == serving)
            ):
                yield each

    def _unknown(self, cohort: str | None) -> web.Response | None:
        """What is wrong with the name: nothing of a cohort looks as if it was over."""
        # WebSockets that began before a reload may be of a cohort that is configured no more.
        known = {each.name for each in self._live.current.config.cohorts} | {NONE}
        if cohort is None or cohort in known or any(self._chosen(cohort, older=False)):
            return None
        names = ", ".join(sorted(known))
        return refusal(422, f"there is no cohort of this name; there are: {names}")


def _view(socket: OpenWebSocket, now: float, serving: str) -> SocketView:
    state = socket.state()
    from_client, from_server = socket.relay.received
    return SocketView(
        request_id=state.request_id,
        peer=state.peer,
        path=redact(state.path),
        cohort=state.cohort or NONE,
        configuration=state.configuration,
        older_than_reload=state.configuration != serving,
        to_client=state.to_client or NONE,
        to_server=state.to_server or NONE,
        session=state.session,
        upstream=state.upstream,
        seconds=round(now - socket.info.started, 3),
        from_client=from_client,
        from_server=from_server,
    )
