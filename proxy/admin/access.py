"""What the orders of the admin API have in common: they come from this machine itself, as JSON.

There are no roles yet, so whoever sits at this machine may do all. Nobody else may: no other
machine, no page in a browser on this one, and nobody whom a proxy on this one speaks for.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable
from typing import Annotated, Final, TypeVar
from urllib.parse import urlsplit

import pydantic
from aiohttp import web
from pydantic import Field

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Label = Annotated[str, Field(min_length=1, max_length=256)]

_LOCAL_NAMES: Final = frozenset({"localhost", "ip6-localhost"})


class AdminRequest(pydantic.BaseModel):
    """What a client asks for: nothing but what is named, within bounds."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


_AdminRequest = TypeVar("_AdminRequest", bound=AdminRequest)


class BadRequest(Exception):
    """An order that is none.

    Attributes:
        answer: what the client gets.
    """

    def __init__(self, answer: web.Response) -> None:
        super().__init__()
        self.answer = answer


def local(handler: Handler) -> Handler:
    """Let a handler answer this machine only, and refuse orders that are none.

    A page in a browser on this machine cannot get here under its own name (DNS rebinding), because
    `Host` must name this machine too; and what a proxy on this machine forwards says so.
    """

    async def checked(request: web.Request) -> web.StreamResponse:
        peer = request.transport.get_extra_info("peername") if request.transport else None
        forwarded = {"Forwarded", "X-Forwarded-For"} & set(request.headers)
        if not (isinstance(peer, tuple) and _is_loopback(str(peer[0]))):
            return refusal(403, "this is for this machine only")
        if forwarded or not _names_this_machine(request.host):
            return refusal(403, "this is for requests made on this machine itself")
        try:
            return await handler(request)
        except BadRequest as bad:
            return bad.answer

    return checked


async def ordered(request: web.Request, kind: type[_AdminRequest]) -> _AdminRequest:
    """Read the order that a request's body is.

    It must be declared as JSON: that is what no page of another origin can send unasked.

    Raises:
        BadRequest: it is none.
    """
    if request.content_type != "application/json":
        raise BadRequest(refusal(415, "expected application/json"))
    try:
        return kind.model_validate_json(await request.read())
    except pydantic.ValidationError as error:
        raise _bad(error, "the body") from None


def asked(request: web.Request, kind: type[_AdminRequest]) -> _AdminRequest:
    """Read the order that a request's query is.

    Raises:
        BadRequest: it is none.
    """
    try:
        return kind.model_validate(dict(request.query))
    except pydantic.ValidationError as error:
        raise _bad(error, "the query") from None


def refusal(status: int, detail: str) -> web.Response:
    """Return a problem document (RFC 9457)."""
    return web.json_response(
        {"status": status, "detail": detail},
        status=status,
        content_type="application/problem+json",
    )


def _bad(error: pydantic.ValidationError, whole: str) -> BadRequest:
    found = [
        f"{'.'.join(map(str, each['loc'])) or whole}: {each['msg']}"
        for each in error.errors(include_url=False, include_input=False)
    ]
    return BadRequest(refusal(400, "; ".join(found)))


def _is_loopback(text: str) -> bool:
    address = ipaddress.ip_address(text.partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback


def _names_this_machine(authority: str) -> bool:
    """Whether a `Host` is an address, or a name that no other machine can have."""
    try:
        host = urlsplit(f"//{authority}").hostname or ""
        return host in _LOCAL_NAMES or bool(ipaddress.ip_address(host))
    except ValueError:
        return False
