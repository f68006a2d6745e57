"""The endpoints of the admin API as data: what each is asked, what it answers, and who may ask.

An endpoint is one value; with its handler it is a part of the application, and the command line
asks by the same value. What a client asks for is read by the endpoint's model, from the body or, of
methods without one, from the query.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple
from urllib.parse import quote, urlencode

import pydantic
from aiohttp import web

from proxy.admin.access import Access
from proxy.admin.orders import NO_STORE, AdminRequest, asked, ordered
from proxy.types import Role

Handler = Callable[..., Awaitable[web.StreamResponse | pydantic.BaseModel]]
"""Takes the request, and what it asks for where the endpoint has a model for that."""

API: Final = "/api/v1"
"""Where the endpoints for operators are; modules name theirs below it."""

_WITH_BODY: Final = frozenset({"POST", "PUT", "PATCH"})
_NOTHING: Final[Mapping[Any, Any]] = MappingProxyType({})


OF_A_SWITCH: Final[Mapping[str, str]] = MappingProxyType(
    {"cohort": "of the switch", "mapping": "of the switch, which the cohort names"}
)
SOME_SWITCH: Final[Mapping[str, str]] = MappingProxyType(
    {"cohort": "modern", "mapping": "old-to-new"}
)
"""For examples."""


class HeaderField(NamedTuple):
    """A field of a request's head, or of an answer's, that an endpoint has a use for.

    Attributes:
        name: such as `If-Match`.
        text: what it says.
        pattern: of its value; empty for any.
    """

    name: str
    text: str
    pattern: str = ""


class Example(NamedTuple):
    """What somebody may ask an endpoint, for its description.

    Attributes:
        asked: the body, or the query.
        segments: of the path, by their names.
        fields: of the head, by their names.
    """

    asked: Mapping[str, object] = _NOTHING
    segments: Mapping[str, str] = _NOTHING
    fields: Mapping[str, str] = _NOTHING


class Endpoint(NamedTuple):
    """One endpoint.

    Attributes:
        method: in capitals.
        path: below `base`; `{name}` stands for one segment, which the handler finds in
            `match_info`.
        role: what whoever asks needs; None for nothing, as probes.
        request: what is asked for; None for nothing.
        response: what a successful answer is, as JSON; None for no content, or for another type.
        base: what its path begins with; empty for what is asked by machines that know no version of
            an API, as probes.
        status: of a successful answer.
        content: its media type where it is not the JSON of `response`, such as
            `text/event-stream`; without either, it has no content.
        refusals: further statuses of this endpoint, with what each means. Those that every endpoint
            has, and those of bodies, queries and paths, need no mention.
        takes: fields of the request that it reads.
        gives: fields of a successful answer.
        segments: what the segments of `path` stand for, by their names.
        example: what somebody may ask it, where that is anything.
        alternative: what else a successful answer may be, where what is asked for says so.
    """

    method: str
    path: str
    role: Role | None
    request: type[AdminRequest] | None
    response: type[pydantic.BaseModel] | None
    base: str = API
    status: int = 200
    content: str = ""
    refusals: Mapping[int, str] = _NOTHING
    takes: tuple[HeaderField, ...] = ()
    gives: tuple[HeaderField, ...] = ()
    segments: Mapping[str, str] = _NOTHING
    example: Example = Example()
    alternative: type[pydantic.BaseModel] | None = None

    @property
    def place(self) -> str:
        """The whole path."""
        return self.base + self.path

    def target(self, asked: Mapping[str, object] | None = None, **segments: str) -> str:
        """The request target for somebody who asks.

        Args:
            asked: what goes into the query; what is None is left out.
            segments: of the path, by their names.
        """
        path = self.place.format(**{name: quote(each, safe="") for name, each in segments.items()})
        if self.has_body or asked is None:
            return path
        query = urlencode(
            {
                # As JSON spells them.
                name: str(each).lower() if isinstance(each, bool) else each
                for name, each in asked.items()
                if each is not None
            }
        )
        return f"{path}?{query}" if query else path

    @property
    def has_body(self) -> bool:
        """Whether what is asked for is in the body."""
        return self.method in _WITH_BODY


Served = tuple[Endpoint, Handler]
"""An endpoint, and what carries it out; the first line of its docstring says what it does."""


def routes(endpoints: Iterable[Served], access: Access) -> list[web.RouteDef]:
    """The routes of an application that has these endpoints, for those whom they are for."""
    return [
        web.route(each.method, each.place, access.guarded(each.role, _carried_out(each, by)))
        for each, by in endpoints
    ]


def _carried_out(
    endpoint: Endpoint, handler: Handler
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def carry_out(request: web.Request) -> web.StreamResponse:
        arguments: list[Any] = [request]
        if endpoint.request is not None:
            if endpoint.has_body:
                arguments.append(await ordered(request, endpoint.request))
            else:
                arguments.append(asked(request, endpoint.request))
        answer = await handler(*arguments)
        if isinstance(answer, pydantic.BaseModel):
            text = answer.model_dump_json()
            return web.Response(
                text=text,
                status=endpoint.status,
                content_type="application/json",
                headers=NO_STORE,
            )
        return answer

    return carry_out
