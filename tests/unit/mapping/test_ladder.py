"""The ladder of the examples: three dialects, two mappings, a chain of both, and the way back."""

from __future__ import annotations

import json

import pytest

from proxy.configuration.document import parse
from proxy.control import loading
from proxy.mapping.catalog import CohortBinding, build
from proxy.mapping.checks.examples import check_example_file
from proxy.mapping.engine.program import Program
from tests.support.checkout import ROOT

FOLDER = ROOT / "examples" / "ladder"

FIRST = (
    b'{"kind": "jobStatus", "jobId": "0b9c1f62", "status": "queued", "message": "A \\u2013 B",'
    b' "timestamp": "2025-03-04T09:15:02.118423+00:00", "big": 123456789012345678901234567890}'
)
SECOND = (
    b'{"kind":"status","jobId":"0b9c1f62","status":"waiting","message":"A \\u2013 B",'
    b'"at":1741079702118.423,"big":123456789012345678901234567890}'
)
THIRD = (
    b'{"type":"status","message":"A \\u2013 B","at":1741079702118.423,'
    b'"big":123456789012345678901234567890,"job":{"id":"0b9c1f62","status":"waiting"}}'
)
STEPS = b'{"kind":"jobSteps","jobId":"1","steps":[{"agent_name":"a","order":1},{"order":2.50}]}'


@pytest.fixture(scope="module")
def programs() -> dict[str, Program]:
    documents = [
        parse(file.read_text(encoding="utf-8"), file.name)
        for file in sorted((FOLDER / "mappings").glob("*.yaml"))
    ]
    back = CohortBinding(to_client=("dialect-3-to-2", "dialect-2-to-1"))
    catalog = build(documents, {"back": back})
    down = catalog.for_cohort("back").to_client
    assert down is not None
    return {**catalog.mappings, "down": down}


def test_each_cohort_climbs_as_far_as_it_has_to() -> None:
    catalog = loading.load(FOLDER / "config.yaml", {}, {}).catalog
    second, third = (catalog.for_cohort(name).to_client for name in ("second", "third"))
    assert second is not None
    assert third is not None
    assert third.name == "dialect-1-to-2+dialect-2-to-3"
    assert second.apply(FIRST) == (SECOND,)
    assert third.apply(FIRST) == (THIRD,)
    assert catalog.for_cohort("first").to_client is None


def test_a_message_enters_the_chain_at_its_own_dialect() -> None:
    catalog = loading.load(FOLDER / "config.yaml", {}, {}).catalog
    third = catalog.for_cohort("third").to_client
    assert third is not None
    assert third.apply(SECOND) == (THIRD,)
    assert third.apply(THIRD) is None


def test_the_derived_steps_lead_down_again(programs: dict[str, Program]) -> None:
    assert programs["down"].name == "dialect-3-to-2+dialect-2-to-1"
    (down,) = programs["down"].apply(THIRD) or ()
    assert json.loads(down) == json.loads(FIRST)
    (second,) = programs["dialect-3-to-2"].apply(THIRD) or ()
    assert json.loads(second) == json.loads(SECOND)


def test_a_value_that_does_not_fit_fails_in_the_link_it_fails_in(
    programs: dict[str, Program],
) -> None:
    told = programs["dialect-1-to-2"].trace(STEPS)
    assert told.failure is not None
    assert (told.failure.mapping, told.failure.rule) == ("dialect-1-to-2", "job-steps")
    assert told.failure.detail == (
        "convert: `order`: this number is no integer (from integer to string)"
    )


def test_the_recorded_examples_hold(programs: dict[str, Program]) -> None:
    file = FOLDER / "mappings" / "dialect-1-to-2.examples.jsonl"
    text = file.read_text(encoding="utf-8")
    assert check_example_file(programs["dialect-1-to-2"], text, file.name) == []
    assert len(check_example_file(programs["dialect-2-to-3"], text, file.name)) == 1
