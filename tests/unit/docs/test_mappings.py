"""The page about the mapping language: every block on it is run."""

from __future__ import annotations

import re
from textwrap import indent

import pytest

from proxy.configuration import reading
from proxy.configuration.document import parse
from proxy.mapping.catalog import Catalog, build
from proxy.mapping.checks.examples import check_example_file
from proxy.mapping.language.table import OPERATIONS
from tests.support.checkout import ROOT

PAGE = ROOT / "docs" / "mappings.md"
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
TEXT = PAGE.read_text(encoding="utf-8")
BLOCKS = [
    (found[1], found[2], TEXT[: found.start()].count("\n") + 1) for found in BLOCK.finditer(TEXT)
]
HEAD = "name: m\ndescription: d\nchannel: websocket\ndirection: to_client\nrules:\n"


def kind_of(language: str, text: str) -> str:
    if language == "yaml":
        first = next(line for line in text.splitlines() if not line.startswith("#"))
        return {"name": "mapping", "- name": "rules", "cohorts": "config"}[first.split(":")[0]]
    return language


def loaded(text: str) -> Catalog:
    """Load a file, which runs its examples and the way back."""
    return build([parse(text, PAGE.name)], {})


def blocks(kind: str) -> list[object]:
    found = [(text, line) for language, text, line in BLOCKS if kind_of(language, text) == kind]
    return [pytest.param(text, id=f"line-{line}") for text, line in found]


@pytest.mark.parametrize("text", blocks("mapping"))
def test_a_mapping_on_the_page_loads_and_its_examples_hold(text: str) -> None:
    assert loaded(text).names


@pytest.mark.parametrize("text", blocks("rules"))
def test_rules_on_the_page_do_what_their_examples_say(text: str) -> None:
    assert loaded(HEAD + indent(text, "  ")).names == ("m",)


@pytest.mark.parametrize("text", blocks("config"))
def test_a_piece_of_configuration_on_the_page_is_read(text: str) -> None:
    whole = f'upstream: {{url: "http://127.0.0.1:8000"}}\n{text}'
    assert reading.load(whole, PAGE.name, {}, {}, lambda _: "").cohorts


def test_recorded_examples_on_the_page_hold_for_their_mappings() -> None:
    mappings = [loaded(text.values[0]) for text in blocks("mapping")]  # type: ignore[attr-defined]
    programs = {name: program for each in mappings for name, program in each.mappings.items()}
    recordings = [text for language, text, _ in BLOCKS if language == "jsonl"]
    for name, text in zip(("job-bodies", "shorter-kinds"), recordings, strict=True):
        assert check_example_file(programs[name], text, name) == []
        wrong = text.replace('"out": {', '"out": {"more": 1, ', 1)
        assert len(check_example_file(programs[name], wrong, name)) == 1


def test_no_block_is_of_a_kind_that_is_not_run() -> None:
    kinds = {kind_of(language, text) for language, text, _ in BLOCKS}
    assert kinds == {"mapping", "rules", "config", "jsonl"}


def test_every_operation_is_on_the_page() -> None:
    keys = [operation.key() for operation in OPERATIONS]
    assert [key for key in keys if f"- {key}:" not in TEXT and f"{{{key}:" not in TEXT] == []
