"""The part of the admin API that shows sessions and ends them, without their tokens.

`GET /sessions` is a page of the open ones, in the order of their names, with `next`, the name to go
on `after`, where there are more, and `unreadable`, the names of those whose records are damaged or
of a later version. `DELETE /sessions/NAME` ends one, `POST /sessions/end` the next hundred of a
`user`, with `next` as above. Times are seconds since 1970.
"""

from __future__ import annotations

from functools import wraps
from typing import Annotated, Final

import pydantic
from aiohttp import web
from pydantic import Field

from proxy.admin.access import author, signature
from proxy.admin.endpoints import Endpoint, Example, Handler, Served
from proxy.admin.orders import AdminRequest, Label, refusal
from proxy.control.audit import Audit
from proxy.errors import Unavailable
from proxy.sessions.administration import Administration, ShownSession
from proxy.sessions.store.base import MAX_BATCH
from proxy.types import Role

_Name = Annotated[str, Field(max_length=64, pattern="^[0-9a-f]*$")]


class PageRequest(AdminRequest):
    """Which sessions are to be shown.

    Attributes:
        user: only this one's.
        after: the name of the last one that was shown before.
        limit: how many at most.
    """

    user: Label | None = None
    after: _Name = ""
    limit: Annotated[int, Field(ge=1, le=MAX_BATCH)] = 100


class Ending(AdminRequest):
    """Whose sessions are to be ended; of very many, a batch at a time.

    Attributes:
        user: whose.
        host: only those that began at this host; null: at any. What applications at several hosts
            call the same user may be several people.
        after: go on after the session of this name: `next` of the answer before; empty: from the
            first.
    """

    user: Label
    host: Label | None = None
    after: _Name = ""


class SessionView(pydantic.BaseModel):
    """An open session.

    Attributes:
        session: its name: an id of Segue's own, which is no token.
        user: whose its token claims to be; empty where it does not say.
        host: where it began, as its login named it; empty where that is not known.
        cohort: of its client, when it was used last.
        version: of its client, as it was told last; empty for none.
        age, idle: seconds since it began, and since it was used.
        created, used: the same as times, in seconds since 1970.
        refreshed: when its tokens were, in seconds since 1970; null where they never were.
        refreshes: how often they were.
        generation: how often its tokens were exchanged for new ones.
        websockets: open ones of it, in the process that answers.
        access_expires, refresh_expires: when its tokens do, in seconds since 1970.
        over: when it is over by its age or idleness, in seconds since 1970.
    """

    session: str
    user: str
    host: str
    cohort: str
    version: str
    age: float
    idle: float
    created: float
    used: float
    refreshed: float | None
    refreshes: int
    generation: int
    websockets: int
    access_expires: float
    refresh_expires: float
    over: float


class SessionList(pydantic.BaseModel):
    """Some of the open sessions.

    Attributes:
        sessions: in the order of their names.
        unreadable: the names of those whose records are damaged, or of a later version.
        next: the name to go on `after`; None where these were the last.
    """

    sessions: list[SessionView]
    unreadable: list[str]
    next: str | None


class Ended(pydantic.BaseModel):
    """How many sessions have ended by this.

    Attributes:
        ended: how many.
    """

    ended: int


class EndedSome(Ended):
    """How many sessions have ended by this, and whether there may be more.

    Attributes:
        next: the name to go on `after`; null where these were the last.
    """

    next: str | None


_REFUSALS: Final = {
    404: "Sessions are off, or there is none of this name.",
    503: "The store is away.",
}

LIST: Final = Endpoint(
    "GET",
    "/sessions",
    Role.VIEWER,
    PageRequest,
    SessionList,
    refusals=_REFUSALS,
    example=Example({"user": "1234", "limit": 1}),
)
END: Final = Endpoint(
    "DELETE",
    "/sessions/{session}",
    Role.OPERATOR,
    None,
    Ended,
    refusals=_REFUSALS,
    segments={"session": "its name, as the list has it"},
    example=Example(segments={"session": "5f3c1d2e9a704b6d8e1f0a2b3c4d5e6f"}),
)
END_ALL: Final = Endpoint(
    "POST",
    "/sessions/end",
    Role.OPERATOR,
    Ending,
    EndedSome,
    refusals=_REFUSALS,
    example=Example({"user": "1234"}),
)


class SessionOrders:
    """Answers the requests of the API."""

    def __init__(self, administration: Administration | None, audit: Audit) -> None:
        """Construct; `administration` is None where sessions are off."""
        self._administration = administration
        self._audit = audit

    def endpoints(self) -> tuple[Served, ...]:
        """What operators may ask of sessions, and what carries it out."""
        handlers = ((LIST, self.show), (END, self.end), (END_ALL, self.end_all))
        return tuple((endpoint, self._answering(handler)) for endpoint, handler in handlers)

    async def show(self, _: web.Request, page: PageRequest) -> SessionList:
        """Show a page of the open sessions."""
        found = await self._sessions.page(user=page.user, after=page.after, limit=page.limit)
        return SessionList(
            sessions=[_shown(each) for each in found.sessions],
            unreadable=found.unreadable,
            next=found.after or None,
        )

    async def end(self, request: web.Request) -> Ended | web.Response:
        """End one session."""
        name = request.match_info["session"]
        ended = await self._sessions.end(name, str(author(request)))
        if ended is None:
            return refusal(404, "there is no session of this name")
        self._audit.write("session ended", **signature(request), session=name, ended=int(ended))
        return Ended(ended=int(ended))

    async def end_all(self, request: web.Request, ending: Ending) -> EndedSome:
        """End the next sessions of a user."""
        ended, following = await self._sessions.end_all(
            ending.user, ending.after, str(author(request)), ending.host
        )
        where = {} if ending.host is None else {"host": ending.host}
        self._audit.write(
            "sessions ended", **signature(request), user=ending.user, **where, ended=ended
        )
        return EndedSome(ended=ended, next=following or None)

    @property
    def _sessions(self) -> Administration:
        assert self._administration is not None
        return self._administration

    def _answering(self, handler: Handler) -> Handler:
        """Say so where there are no sessions, or where nobody can tell at the moment."""

        @wraps(handler)
        async def answering(
            request: web.Request, *order: object
        ) -> web.StreamResponse | pydantic.BaseModel:
            if self._administration is None:
                return refusal(404, "sessions are off: sessions.enabled is false")
            try:
                return await handler(request, *order)
            except Unavailable as error:
                return refusal(error.status, error.detail)

        return answering


def _shown(seen: ShownSession) -> SessionView:
    record = seen.record
    return SessionView(
        session=record.session,
        user=record.user,
        host=record.host,
        cohort=record.cohort,
        version=record.version,
        age=seen.age,
        idle=seen.idle,
        created=record.created,
        used=record.used,
        refreshed=record.refreshed or None,
        refreshes=record.refreshes,
        generation=record.generation,
        websockets=seen.websockets,
        access_expires=record.access_expires,
        refresh_expires=record.refresh_expires,
        over=seen.over,
    )
