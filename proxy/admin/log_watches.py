"""The part of the admin API that has the decisions about requests logged, for a while.

`POST /log/watches` starts a watch, of a cohort or of a request id, and answers with its name;
`GET /log/watches` lists those that go on; `DELETE /log/watches/NAME` ends one. What is watched is
written into the log, and nowhere else.
"""

from __future__ import annotations

from typing import Annotated, Final

import pydantic
from aiohttp import web
from pydantic import Field

from proxy.admin.access import author, signature
from proxy.admin.endpoints import Endpoint, Example, Served
from proxy.admin.orders import UNKNOWN_NAME, AdminRequest, Label, refusal, some_of
from proxy.control.audit import Audit
from proxy.observability.decisions import (
    MAX_LINES,
    MAX_SECONDS,
    MAX_WATCHES,
    DecisionLog,
    TooMany,
    Watch,
)
from proxy.snapshot import Live
from proxy.types import NONE, Role

RequestId = Annotated[str, Field(pattern=r"^[!-~]{1,128}$")]


_TEXT: Final = {"type": "string"}


class WatchRequest(AdminRequest):
    """What a client asks for: exactly one of `cohort` and `request_id`.

    Attributes:
        cohort: whose requests; `none` for those of no cohort.
        request_id: Segue's own id, as `GET /api/v1/sockets` tells it of an open WebSocket, or one
            that the requests to come bring in `X-Request-Id`.
        seconds: how long.
        lines: how many lines at most.
    """

    model_config = some_of("oneOf", {"cohort": _TEXT}, {"request_id": _TEXT})

    cohort: Label | None = None
    request_id: RequestId | None = None
    seconds: Annotated[float, Field(gt=0, le=MAX_SECONDS)] = 60.0
    lines: Annotated[int, Field(ge=1, le=MAX_LINES)] = 1000


class WatchTold(pydantic.BaseModel):
    """A watch that goes on.

    Attributes:
        name: by which it is ended.
        cohort: whose requests; null where it is of one id.
        request_id: of which requests; null where it is of a cohort.
        author: who began it.
        seconds_left: until it ends.
        lines_left: after which it ends.
    """

    name: str
    cohort: str | None
    request_id: str | None
    author: str
    seconds_left: float
    lines_left: int


class WatchList(pydantic.BaseModel):
    """Those that go on.

    Attributes:
        watches: all of them.
    """

    watches: list[WatchTold]


START: Final = Endpoint(
    "POST",
    "/log/watches",
    Role.OPERATOR,
    WatchRequest,
    WatchTold,
    refusals={409: "There are as many watches as there can be; stop one.", **UNKNOWN_NAME},
    example=Example({"cohort": "modern", "seconds": 30}),
)
LIST: Final = Endpoint("GET", "/log/watches", Role.VIEWER, None, WatchList)
STOP: Final = Endpoint(
    "DELETE",
    "/log/watches/{name}",
    Role.OPERATOR,
    None,
    None,
    status=204,
    segments={"name": "of the watch, as it was told when it began"},
    example=Example(segments={"name": "cfd7c3"}),
)


class LogWatches:
    """Answers the requests of the API."""

    def __init__(self, decisions: DecisionLog, live: Live, audit: Audit) -> None:
        self._decisions = decisions
        self._live = live
        self._audit = audit

    def endpoints(self) -> tuple[Served, ...]:
        """What operators may ask, and what carries it out."""
        return ((START, self.start), (LIST, self.list), (STOP, self.stop))

    async def start(
        self, request: web.Request, order: WatchRequest
    ) -> web.StreamResponse | WatchTold:
        """Have the decisions about some requests logged for a while."""
        if (order.cohort is None) is (order.request_id is None):
            return refusal(400, "expected either a cohort or a request_id")
        known = [cohort.name for cohort in self._live.current.config.cohorts]
        if order.cohort not in (None, NONE, *known):
            told = ", ".join(known) or NONE
            return refusal(422, f"there is no cohort of this name; there are: {told}")
        try:
            watch = self._decisions.start(
                order.cohort, order.request_id, order.seconds, order.lines, str(author(request))
            )
        except TooMany:
            return refusal(409, f"there are {MAX_WATCHES} watches already; stop one")
        asked = order.model_dump(exclude_none=True)
        self._audit.write("log watch started", **signature(request), watch=watch.name, **asked)
        return self._told(watch)

    async def list(self, _: web.Request) -> WatchList:
        """Show the watches of the log that go on."""
        return WatchList(watches=[self._told(watch) for watch in self._decisions.watches])

    async def stop(self, request: web.Request) -> web.StreamResponse:
        """End a watch of the log."""
        name = request.match_info["name"]
        if not self._decisions.stop(name):
            return refusal(404, "there is no such watch; it may have ended by itself")
        self._audit.write("log watch stopped", **signature(request), watch=name)
        return web.Response(status=204)

    def _told(self, watch: Watch) -> WatchTold:
        return WatchTold(
            name=watch.name,
            cohort=watch.cohort,
            request_id=watch.request_id,
            author=watch.author,
            seconds_left=round(self._decisions.left(watch), 1),
            lines_left=watch.lines,
        )
