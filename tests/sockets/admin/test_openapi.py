"""The description of the admin API: valid, whole, and what is really served."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from tests.sockets.admin.test_access import NEEDED
from tests.support.administered import METRICS, VIEWER, Administered, administered, bearer
from tools.api_doc import main

PLACE = "/api/v1/openapi.json"


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Administered]:
    async with administered(tmp_path) as found:
        yield found


async def described(running: Administered) -> Any:
    answer = await running.ask(PLACE, bearer(VIEWER))
    assert (answer.status, "Content-Type: application/json" in answer.head) == (200, True)
    return json.loads(answer.body)


async def test_description_is_a_valid_openapi_document(running: Administered) -> None:
    document = await described(running)
    OpenAPIV31SpecValidator(document).validate()
    assert document["openapi"].startswith("3.1.")
    for schema in document["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


async def test_description_has_every_endpoint_with_its_role_and_what_it_does(
    running: Administered,
) -> None:
    document = await described(running)
    found = {}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            found[method.upper(), path] = operation["x-segue-role"]
            assert operation["summary"].endswith("."), path
            assert operation["security"] == [
                {"token": [operation["x-segue-role"]]},
                {"certificate": [operation["x-segue-role"]]},
            ]
            assert {"400", "401", "403", "429", "500"} <= set(operation["responses"])
    assert found == NEEDED


async def test_parts_are_described_by_their_docstrings(running: Administered) -> None:
    document = await described(running)
    listing = document["paths"]["/api/v1/sessions"]["get"]
    limit = next(each for each in listing["parameters"] if each["name"] == "limit")
    assert limit == {
        "name": "limit",
        "in": "query",
        "required": False,
        "description": "how many at most.",
        "schema": {"type": "integer", "minimum": 1, "maximum": 500, "default": 100},
        "example": 1,
    }
    user = next(each for each in listing["parameters"] if each["name"] == "user")
    assert user["schema"] == {"type": "string", "minLength": 1, "maxLength": 256}
    schemas = document["components"]["schemas"]
    assert schemas["Ended"]["description"] == "How many sessions have ended by this."
    ending = document["paths"]["/api/v1/sessions/end"]["post"]
    assert ending["requestBody"]["content"] == {
        "application/json": {
            "schema": {"$ref": "#/components/schemas/Ending"},
            "example": {"user": "1234"},
        }
    }
    stream = document["paths"]["/api/v1/recordings/{name}"]["get"]
    assert stream["responses"]["200"]["content"] == {"application/x-ndjson": {}}
    assert "201" in document["paths"]["/api/v1/recordings"]["post"]["responses"]
    assert "content" not in stream["responses"].get("204", {})


async def test_answers_are_as_they_are_described(running: Administered) -> None:
    document = await described(running)
    for name in ("status", "versions", "upstreams", "mappings", "sockets", "log/watches"):
        path = f"/api/v1/{name}"
        answer = await running.ask(path, bearer(VIEWER))
        schema = document["paths"][path]["get"]["responses"]["200"]["content"]
        whole = schema["application/json"]["schema"] | {"components": document["components"]}
        Draft202012Validator(whole).validate(json.loads(answer.body))


def test_document_of_the_api_is_what_is_served() -> None:
    assert main(["--check"]) == 0, "run: python -m tools.api_doc"


async def test_description_is_for_viewers(running: Administered) -> None:
    assert (await running.ask(PLACE)).status == 401
    assert (await running.ask(PLACE, bearer(METRICS))).status == 403
