"""The reference of the admin API: everything is described, and its examples are real."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from proxy.admin.endpoints import API, Endpoint
from tests.support.checkout import ROOT
from tools.api_doc import answers, described

ANSWERS = answers()
ENDPOINTS, DOCUMENT = asyncio.run(described())
SCHEMAS = DOCUMENT["components"]["schemas"]
OPERATIONS = {
    f"{method.upper()} {path}": operation
    for path, those in DOCUMENT["paths"].items()
    for method, operation in those.items()
}
INTERNAL = re.compile(r"\bproxy\.|\bsee `|\bas for the list\b|:class:|\bTODO\b")


def named(endpoint: Endpoint) -> str:
    return f"{endpoint.method} {endpoint.place}"


def whole(schema: dict[str, Any]) -> Draft202012Validator:
    return Draft202012Validator(schema | {"components": DOCUMENT["components"]})


@pytest.mark.parametrize("name", SCHEMAS)
def test_objects_and_their_members_say_what_they_are(name: str) -> None:
    texts = {"": SCHEMAS[name].get("description")}
    for member, schema in SCHEMAS[name].get("properties", {}).items():
        texts[member] = schema.get("description")
    wrong = {each for each, text in texts.items() if not text or INTERNAL.search(text)}
    assert not wrong


@pytest.mark.parametrize("name", OPERATIONS)
def test_parameters_and_statuses_say_what_they_are(name: str) -> None:
    operation = OPERATIONS[name]
    told = [each.get("description", "") for each in operation["parameters"]]
    told += [each["description"] for each in operation["responses"].values()]
    assert not [text for text in told if not text or INTERNAL.search(text)]


@pytest.mark.parametrize("name", OPERATIONS)
def test_examples_of_requests_are_what_may_be_asked(name: str) -> None:
    operation = OPERATIONS[name]
    for each in operation["parameters"]:
        if each["required"]:
            assert "example" in each, each["name"]
        if "example" in each:
            whole(each["schema"]).validate(each["example"])
    if "requestBody" in operation:
        content = operation["requestBody"]["content"]["application/json"]
        whole(content["schema"]).validate(content["example"])


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=named)
def test_examples_ask_nothing_that_an_endpoint_does_not_know(endpoint: Endpoint) -> None:
    asked, segments, fields = endpoint.example
    known = set() if endpoint.request is None else set(endpoint.request.model_fields)
    assert set(asked) <= known
    assert set(segments) == set(endpoint.segments) == set(re.findall(r"{(\w+)}", endpoint.path))
    assert set(fields) <= {each.name for each in endpoint.takes}


@pytest.mark.parametrize(
    "endpoint", [each for each in ENDPOINTS if each.response is not None], ids=named
)
def test_examples_of_answers_have_all_that_answers_have_and_nothing_else(
    endpoint: Endpoint,
) -> None:
    assert endpoint.response is not None
    answer = ANSWERS[named(endpoint)]
    read = endpoint.response.model_validate(answer)
    assert read.model_dump(mode="json") == answer
    responses = OPERATIONS[named(endpoint)]["responses"]
    schema = responses[str(endpoint.status)]["content"]["application/json"]["schema"]
    whole(schema).validate(answer)


def test_examples_of_answers_are_of_endpoints() -> None:
    assert set(ANSWERS) <= set(OPERATIONS)
    streams = {name for name, answer in ANSWERS.items() if isinstance(answer, str)}
    assert streams == {
        f"GET {API}/events",
        f"GET {API}/recordings/{{name}}",
        f"GET {API}/tail",
    }


def test_links_of_the_reference_lead_somewhere() -> None:
    page = (ROOT / "docs/admin-api.md").read_text(encoding="utf-8")
    headings = {heading.lower() for heading in re.findall(r"^#+ (\w[\w ]*)$", page, re.MULTILINE)}
    targets = set(re.findall(r"\]\(#([\w-]+)\)", page))
    assert targets
    assert targets <= {heading.replace(" ", "-") for heading in headings}


def test_reference_tells_types_defaults_bounds_and_what_is_required() -> None:
    page = (ROOT / "docs/admin-api.md").read_text(encoding="utf-8")
    turning = page.partition("### PUT /api/v1/switches/")[2].partition("\n### ")[0]
    rows = {
        cells[1].strip(" `"): [cell.strip() for cell in cells[2:-1]]
        for line in turning.splitlines()
        if line.startswith("| `") and (cells := re.split(r"(?<!\\)\|", line))
    }
    assert rows["reason"][:4] == ["string", "yes", "", "1 to 500 characters, `[^\\s\\x85\\ufeff]`"]
    assert rows["percent"][:4] == ["number or null", "no", "`null`", "0 to 100"]
    assert rows["state"][:2] == ["`off`, `shadow`, `canary`, `on`", "yes"]
    assert rows["If-Match"][:3] == ["header", "string", "no"]
    assert "curl" in turning
    assert "| `ramp` | [RampView](#rampview) or null | that of the switch" in page
