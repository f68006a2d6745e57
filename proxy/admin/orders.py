"""What a client of the admin API asks for: read within bounds; and how it is refused.

Every refusal is a problem document (RFC 9457), also those that aiohttp makes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from http import HTTPStatus
from typing import Annotated, Any, Final, TypeVar, get_args

import pydantic
from aiohttp import web
from pydantic import Field

Label = Annotated[str, Field(min_length=1, max_length=256)]

NO_STORE: Final = {"Cache-Control": "no-store"}

MAX_BODY: Final = 1024 * 1024
"""Bytes of a request's body."""

INVALID: Final = "invalid-request"
"""The kind of a problem that says what was wrong, place by place."""

_MAX_FAULTS: Final = 20
"""Faults that are told of one request."""

_SHOWN: Final = 256
"""Characters of a name that a client chose."""

_NUMBER: Final = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")


class AdminRequest(pydantic.BaseModel):
    """What a client asks for: nothing but what is named, within bounds."""

    # Strictly: what a schema does not allow is a mistake, also where it could be understood.
    model_config = pydantic.ConfigDict(
        extra="forbid", frozen=True, hide_input_in_errors=True, strict=True
    )


def some_of(kind: str, *properties: dict[str, object]) -> pydantic.ConfigDict:
    """What a model's schema says of properties that are there together or apart.

    Args:
        kind: `oneOf` or `anyOf`.
        properties: each alternative: names, and what their values are then.
    """
    alternatives: list[Any] = [{"required": list(each), "properties": each} for each in properties]
    return pydantic.ConfigDict(json_schema_extra={kind: alternatives})


_AdminRequest = TypeVar("_AdminRequest", bound=AdminRequest)


class Fault(pydantic.BaseModel):
    """One thing that is wrong with a request.

    Attributes:
        detail: what.
        pointer: where in the body: a JSON Pointer (RFC 6901) as a fragment.
        parameter: or of which parameter of the query.
    """

    detail: str
    pointer: str | None = None
    parameter: str | None = None


class ProblemDocument(pydantic.BaseModel):
    """A refusal (RFC 9457).

    Attributes:
        type: `about:blank`, where `status` says it; else `/problems/` and a kind, such as
            `invalid-request`, where `errors` say more.
        title: the status in words.
        status: of the answer.
        detail: what was wrong, and what to do.
        errors: everything that was wrong with what was asked for, 20 faults at most.
    """

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    errors: list[Fault] | None = None


UNKNOWN_NAME: Final = {422: "There is nothing of a name in it, as the configuration serves."}
"""Refusals of an endpoint that is told names of cohorts or mappings."""


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
    body = await request.read()
    try:
        return kind.model_validate_json(body)
    except pydantic.ValidationError as error:
        wrong = error
    if any(each["type"] == "int_type" for each in wrong.errors(include_url=False)):
        # `5.0` is an integer by JSON Schema, which strict models do not know.
        with suppress(ValueError, RecursionError):
            whole = json.dumps(json.loads(body, parse_float=_number))
            return kind.model_validate_json(whole)
    raise BadRequest(_invalid(_faults_of_body(wrong)))


def asked(request: web.Request, kind: type[_AdminRequest]) -> _AdminRequest:
    """Read the order that a request's query is.

    Raises:
        BadRequest: it is none.
    """
    query = request.query
    repeated = sorted({name for name in query if len(query.getall(name)) > 1})
    if repeated:
        faults = [Fault(detail="given more than once", parameter=name) for name in repeated]
        raise BadRequest(_invalid(faults))
    misspelt = [
        Fault(detail=expected, parameter=name)
        for name, field in kind.model_fields.items()
        if name in query and (expected := _misspelt(field.annotation, query[name])) is not None
    ]
    if misspelt:
        raise BadRequest(_invalid(misspelt))
    try:
        return kind.model_validate_strings(dict(query))
    except pydantic.ValidationError as error:
        raise BadRequest(_invalid(_faults_of_query(error))) from None


def refusal(
    status: int,
    detail: str,
    fields: Mapping[str, str] | None = None,
    errors: Iterable[Fault] | None = None,
    *,
    kind: str | None = None,
) -> web.Response:
    """Return a problem document (RFC 9457).

    Args:
        status: of the answer.
        detail: what was wrong, and what to do.
        fields: further fields of the answer.
        errors: what was wrong with what was asked for.
        kind: of the problem, where the status does not say it.
    """
    if errors is not None:
        kind = kind or INVALID
    document = ProblemDocument(
        type="about:blank" if kind is None else f"/problems/{kind}",
        title=HTTPStatus(status).phrase,
        status=status,
        detail=detail,
        errors=None if errors is None else list(errors),
    )
    return web.Response(
        text=document.model_dump_json(exclude_none=True),
        status=status,
        content_type="application/problem+json",
        headers={**NO_STORE, **(fields or {})},
    )


def refusal_of(error: web.HTTPException, paths: Iterable[str]) -> web.Response:
    """Return what aiohttp refuses as a problem document, without what the client sent.

    Args:
        error: its refusal.
        paths: all that there are.
    """
    fields = {name: error.headers[name] for name in ("Allow",) if name in error.headers}
    match error.status:
        case 404:
            detail = f"there is no such path; there are: {', '.join(sorted(set(paths)))}"
        case 405:
            detail = f"this path takes {fields.get('Allow', 'another method')}"
        case 413:
            detail = f"the body has more than {MAX_BODY} bytes"
        case 417:
            detail = "expected no other Expect than 100-continue"
        case _:
            detail = HTTPStatus(error.status).description or error.reason
    return refusal(error.status, detail, fields)


def _invalid(faults: list[Fault]) -> web.Response:
    told = [
        f"{fault.parameter or (fault.pointer or '')[2:].replace('/', '.') or 'the body'}:"
        f" {fault.detail}"
        for fault in faults
    ]
    return refusal(400, "; ".join(told), errors=faults)


def _number(text: str) -> int | float:
    value = float(text)
    return int(value) if value.is_integer() else value


def _misspelt(kind: Any, value: str) -> str | None:
    """What is expected of a value that JSON would spell otherwise; None where it is one."""
    kinds = set(get_args(kind) or (kind,))
    if str not in kinds:
        if bool in kinds and value not in ("true", "false"):
            return "expected true or false"
        if kinds & {int, float} and _NUMBER.fullmatch(value) is None:
            return "expected a number"
    return None


def _faults_of_body(error: pydantic.ValidationError) -> list[Fault]:
    return [
        Fault(detail=detail, pointer="#" + "".join(f"/{_escaped(each)}" for each in place))
        for place, detail in _found(error)
    ]


def _faults_of_query(error: pydantic.ValidationError) -> list[Fault]:
    return [
        Fault(detail=detail, parameter=str(place[0])[:_SHOWN] if place else "")
        for place, detail in _found(error)
    ]


def _found(error: pydantic.ValidationError) -> list[tuple[tuple[int | str, ...], str]]:
    faults = error.errors(include_url=False, include_input=False, include_context=False)
    return [(each["loc"], each["msg"]) for each in faults[:_MAX_FAULTS]]


def _escaped(step: int | str) -> str:
    """One step of a JSON Pointer; what the client named is cut where it is no name."""
    return str(step)[:_SHOWN].replace("~", "~0").replace("/", "~1")
