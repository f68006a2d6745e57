"""The endpoints of the admin API as data: what each is asked, what it answers, and who may ask.

An endpoint is one value beside its handler, and all of them make up the application. What a client
asks for is read by the endpoint's model, from the body or, of methods without one, from the query.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from enum import StrEnum
from typing import Any, Final, NamedTuple

import pydantic
from aiohttp import web

from proxy.admin.access import AdminRequest, asked, local, ordered

Handler = Callable[..., Awaitable[web.StreamResponse | pydantic.BaseModel]]
"""Takes the request, and what it asks for where the endpoint has a model for that."""

NO_STORE: Final = {"Cache-Control": "no-store"}
_WITH_BODY: Final = frozenset({"POST", "PUT", "PATCH"})


class Role(StrEnum):
    """Who may ask."""

    ANYBODY = "anybody"
    """Probes and metrics: whoever reaches the listener."""
    OPERATOR = "operator"
    """Orders, and whatever names users or shows messages: from this machine alone."""


class Endpoint(NamedTuple):
    """One endpoint.

    Attributes:
        method: in capitals.
        path: `{name}` stands for one segment, which the handler finds in `match_info`.
        role: who may ask.
        request: what is asked for; None for nothing.
        response: what a successful answer is, as JSON; None for no content, or for another type.
        handler: carries it out.
    """

    method: str
    path: str
    role: Role
    request: type[AdminRequest] | None
    response: type[pydantic.BaseModel] | None
    handler: Handler


def routes(endpoints: Iterable[Endpoint]) -> list[web.RouteDef]:
    """The routes of an application that has these endpoints."""
    return [web.route(each.method, each.path, _carried_out(each)) for each in endpoints]


def _carried_out(
    endpoint: Endpoint,
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def carry_out(request: web.Request) -> web.StreamResponse:
        arguments: list[Any] = [request]
        if endpoint.request is not None:
            if endpoint.method in _WITH_BODY:
                arguments.append(await ordered(request, endpoint.request))
            else:
                arguments.append(asked(request, endpoint.request))
        answer = await endpoint.handler(*arguments)
        if isinstance(answer, pydantic.BaseModel):
            text = answer.model_dump_json()
            return web.Response(text=text, content_type="application/json", headers=NO_STORE)
        return answer

    return carry_out if endpoint.role is Role.ANYBODY else local(carry_out)
