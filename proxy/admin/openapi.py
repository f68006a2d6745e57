"""The description of the admin API (OpenAPI 3.1), made from the table of endpoints.

`GET /openapi.json` has it. Nothing of it is written down twice: what an endpoint is asked and
answers is read from its models, what each part means from their docstrings, what the endpoint does
from that of its handler.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import Any, Final, get_args

import pydantic
from aiohttp import web
from pydantic.json_schema import models_json_schema

from proxy.admin.endpoints import API, Endpoint, HeaderField, Served
from proxy.admin.orders import NO_STORE, ProblemDocument
from proxy.configuration.docstrings import taken_apart
from proxy.types import Role

_SEGMENT: Final = re.compile(r"{(\w+)}")
_REFERENCE: Final = "#/components/schemas/{model}"

_ABOUT: Final = (
    "What operators may ask a running Segue. Each operation names the role that it takes: each of"
    " viewer, operator and admin may what the ones before it may. The Unix socket in the state"
    " directory needs no credential: whoever may open it has the role admin. Probes and metrics"
    " (`/healthz`, `/readyz`, `/metrics`) are beside this API."
)
_SCHEMES: Final = {
    "token": {
        "type": "http",
        "scheme": "bearer",
        "description": "A token that `segue token new` has made; never in a URL.",
    },
    "certificate": {
        "type": "mutualTLS",
        "description": "A client certificate that one of admin.tls.client_ca has signed.",
    },
}

_ALWAYS: Final = {
    400: "The request names this listener, its credential or what it asks for in a way that cannot"
    " be right; where `errors` are, they say what and where.",
    401: "There is no credential, or a wrong one.",
    403: "The role is not enough, or the token is limited to less; or a page of another site has"
    " made the request.",
    429: "Too many wrong credentials have come from this address.",
    500: "Something failed in Segue; its log says what.",
}
_OF_BODIES: Final = {
    413: "The body is too large.",
    415: "The body is not declared as application/json.",
}
_OF_PATHS: Final = {404: "There is nothing of this name."}


class OpenApi:
    """Answers the request for the description."""

    def __init__(self, endpoints: Iterable[Served], version: str) -> None:
        """Construct.

        Args:
            endpoints: all others.
            version: of Segue.
        """
        self._described = [*endpoints, *self.endpoints()]
        self._version = version
        self._text: str | None = None

    def endpoints(self) -> tuple[Served, ...]:
        """What viewers may ask, and what answers."""
        return ((DESCRIPTION, self.show),)

    async def show(self, _: web.Request) -> web.Response:
        """Show this description of the API."""
        # Made once, when somebody asks: starts and reloads need none.
        if self._text is None:
            self._text = pydantic.TypeAdapter(dict[str, Any]).dump_json(self.document).decode()
        return web.Response(text=self._text, content_type="application/json", headers=NO_STORE)

    @property
    def document(self) -> dict[str, Any]:
        """The description."""
        served = [each for each in self._described if each[0].base == API]
        references, schemas = _schemas(endpoint for endpoint, _ in served)
        paths: dict[str, dict[str, Any]] = {}
        for endpoint, handler in served:
            operation = _operation(endpoint, handler, references, schemas)
            paths.setdefault(endpoint.place, {})[endpoint.method.lower()] = operation
        return {
            "openapi": "3.1.0",
            "info": {
                "title": "Segue's admin API",
                "version": self._version,
                "description": _ABOUT,
            },
            "paths": paths,
            "components": {"schemas": schemas, "securitySchemes": _SCHEMES},
        }


DESCRIPTION: Final = Endpoint(
    "GET", "/openapi.json", Role.VIEWER, None, None, content="application/json"
)

_References = dict[Any, dict[str, Any]]
"""By the model."""


def _schemas(endpoints: Iterable[Endpoint]) -> tuple[_References, dict[str, Any]]:
    """The schemas of all models, and how each is referred to."""
    wanted: dict[tuple[type[pydantic.BaseModel], Any], None] = {
        (ProblemDocument, "serialization"): None
    }
    for each in endpoints:
        if each.request is not None:
            wanted[each.request, "validation"] = None
        for answer in (each.response, each.alternative):
            if answer is not None:
                wanted[answer, "serialization"] = None
    found, definitions = models_json_schema(list(wanted), ref_template=_REFERENCE)
    schemas: dict[str, Any] = definitions["$defs"]
    models: dict[str, type[pydantic.BaseModel]] = {}
    for model, _ in wanted:
        _collect(model, models)
    for name, schema in schemas.items():
        _describe(schema, _inherited(models[name]) if name in models else {})
    return {model: reference for (model, _), reference in found.items()}, schemas


def _collect(kind: Any, models: dict[str, type[pydantic.BaseModel]]) -> None:
    """Put a model, and those of which its fields are, where they are found by their names."""
    if isinstance(kind, type) and issubclass(kind, pydantic.BaseModel):
        if kind.__name__ in models:
            return
        models[kind.__name__] = kind
        for field in kind.model_fields.values():
            _collect(field.annotation, models)
    for each in get_args(kind):
        _collect(each, models)


def _inherited(model: type[pydantic.BaseModel]) -> dict[str, str]:
    """What the docstrings of the models on which one builds say of its properties."""
    texts: dict[str, str] = {}
    for each in reversed(model.__mro__[1:]):
        texts |= taken_apart(inspect.getdoc(each) or "")[1]
    return texts


def _describe(schema: dict[str, Any], inherited: dict[str, str]) -> None:
    """Give each property the text that the docstring of its model has for it."""
    about, texts = taken_apart(schema.get("description", ""))
    if about:
        schema["description"] = about
    texts = inherited | texts
    for name, described in schema.get("properties", {}).items():
        described.pop("title", None)
        if name in texts:
            described["description"] = texts[name]


def _operation(
    endpoint: Endpoint,
    handler: Callable[..., object],
    references: _References,
    schemas: dict[str, Any],
) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": _identity(endpoint),
        "summary": (inspect.getdoc(handler) or "").partition("\n")[0],
        "x-segue-role": endpoint.role,
        "security": [{scheme: [endpoint.role]} for scheme in _SCHEMES] if endpoint.role else [],
        "parameters": [
            *(_segment(name, endpoint) for name in _SEGMENT.findall(endpoint.path)),
            *(_field(each, endpoint) for each in endpoint.takes),
        ],
        "responses": _responses(endpoint, references),
    }
    if endpoint.request is not None:
        reference = references[endpoint.request]
        if endpoint.has_body:
            operation["requestBody"] = {
                "required": True,
                "content": {
                    "application/json": {
                        "schema": reference,
                        "example": dict(endpoint.example.asked),
                    }
                },
            }
        else:
            name = reference["$ref"].rpartition("/")[2]
            operation["parameters"] += _query(schemas[name], endpoint.example.asked)
    return operation


def _identity(endpoint: Endpoint) -> str:
    words = [endpoint.method.lower(), *re.findall(r"\w+", endpoint.path)]
    return "_".join(words)


def _segment(name: str, endpoint: Endpoint) -> dict[str, Any]:
    return {
        "name": name,
        "in": "path",
        "required": True,
        "description": endpoint.segments[name],
        "schema": {"type": "string", "minLength": 1},
        "example": endpoint.example.segments[name],
    }


def _field(taken: HeaderField, endpoint: Endpoint) -> dict[str, Any]:
    schema = {"type": "string"} | ({"pattern": taken.pattern} if taken.pattern else {})
    return {
        "name": taken.name,
        "in": "header",
        "required": False,
        "description": taken.text,
        "schema": schema,
        **_example(endpoint.example.fields, taken.name),
    }


def _example(asked: Mapping[str, object], name: str) -> dict[str, object]:
    return {"example": asked[name]} if name in asked else {}


def _query(schema: dict[str, Any], asked: Mapping[str, object]) -> list[dict[str, Any]]:
    """The parameters that a model is read from; what may be null may be left out."""
    required = schema.get("required", ())
    return [
        {
            "name": name,
            "in": "query",
            "required": name in required,
            **({"description": each["description"]} if "description" in each else {}),
            "schema": _without_null(each),
            **_example(asked, name),
        }
        for name, each in schema["properties"].items()
    ]


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    plain = {key: each for key, each in schema.items() if key != "description"}
    kinds: list[dict[str, Any]] = [
        each for each in plain.pop("anyOf", ()) if each != {"type": "null"}
    ]
    if plain.get("default", plain) is None:
        del plain["default"]
    if len(kinds) == 1:
        return plain | kinds[0]
    return plain | ({"anyOf": kinds} if kinds else {})


def _responses(endpoint: Endpoint, references: _References) -> dict[str, Any]:
    success: dict[str, Any] = {"description": HTTPStatus(endpoint.status).phrase}
    if endpoint.response is not None:
        schema = references[endpoint.response]
        if endpoint.alternative is not None:
            schema = {"oneOf": [schema, references[endpoint.alternative]]}
        success["content"] = {"application/json": {"schema": schema}}
    elif endpoint.content:
        success["content"] = {endpoint.content: {}}
    if endpoint.gives:
        success["headers"] = {
            each.name: {"description": each.text, "schema": {"type": "string"}}
            for each in endpoint.gives
        }
    refusals = dict(_ALWAYS)
    if endpoint.has_body:
        refusals |= _OF_BODIES
    if _SEGMENT.search(endpoint.path):
        refusals |= _OF_PATHS
    refusals |= endpoint.refusals
    problem = {"application/problem+json": {"schema": references[ProblemDocument]}}
    return {
        str(endpoint.status): success,
        **{
            str(status): {"description": text, "content": problem}
            for status, text in sorted(refusals.items())
        },
    }
