"""What a client of the admin API asks for: read within bounds; and how it is refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final, TypeVar

import pydantic
from aiohttp import web
from pydantic import Field

Label = Annotated[str, Field(min_length=1, max_length=256)]

NO_STORE: Final = {"Cache-Control": "no-store"}


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


def refusal(
    status: int, detail: str, fields: Mapping[str, str] | None = None, *, kind: str | None = None
) -> web.Response:
    """Return a problem document (RFC 9457).

    Args:
        status: of the answer.
        detail: what was wrong, and what to do.
        fields: further fields of the answer.
        kind: of the problem, where the status does not say it.
    """
    named = {} if kind is None else {"type": f"/problems/{kind}"}
    return web.json_response(
        {**named, "status": status, "detail": detail},
        status=status,
        content_type="application/problem+json",
        headers={**NO_STORE, **(fields or {})},
    )


def _bad(error: pydantic.ValidationError, whole: str) -> BadRequest:
    found = [
        f"{'.'.join(map(str, each['loc'])) or whole}: {each['msg']}"
        for each in error.errors(include_url=False, include_input=False)
    ]
    return BadRequest(refusal(400, "; ".join(found)))
