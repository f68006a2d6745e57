"""Every PromQL query in the documents asks for metrics that there are, by labels that they have."""

from __future__ import annotations

import re

import pytest

from tests.support.checkout import ROOT

BLOCK = re.compile(r"^ *```promql\n(.*?)^ *```$", re.DOTALL | re.MULTILINE)
INLINE = re.compile(r"`([^`\n]*\(segue_[^`\n]*)`")
DOCUMENTS = sorted((ROOT / "docs").glob("*.md"))
METRICS = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
RULES = (ROOT / "deploy" / "prometheus" / "segue-recording.yml").read_text(encoding="utf-8")


def labels() -> dict[str, set[str]]:
    """The metrics that `docs/metrics.md` describes, generated from the code, and their labels."""
    found = {}
    for section in METRICS.split("\n## ")[1:]:
        name = section.partition("\n")[0]
        told = re.search(r"labels: (.*?);", section.replace("\n", " "))
        found[name] = set(re.findall(r"`(\w+)`", told[1])) if told else set()
    return found


QUERIES = [
    pytest.param(query, id=f"{document.stem}-{number}")
    for document in DOCUMENTS
    for text in [document.read_text(encoding="utf-8")]
    for number, query in enumerate(BLOCK.findall(text) + INLINE.findall(text))
]


def test_there_are_queries() -> None:
    assert QUERIES


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_asks_for_what_there_is(query: str) -> None:
    known = labels()
    for name, given in re.findall(r"\b(segue_\w+)(?:\{([^}]*)\})?", query):
        base = re.sub(r"_(bucket|sum|count)$", "", name)
        assert base in known, name
        wanted = set(re.findall(r"(\w+)(?==|!=|=~)", given))
        assert wanted <= known[base] | {"le", "job", "instance"}, query
