"""Which kind a message is of that no rule changed."""

from __future__ import annotations

import pytest

from proxy.configuration.document import parse
from proxy.errors import ConfigError
from proxy.mapping.catalog import CohortBinding, build
from proxy.mapping.engine.program import Program
from proxy.rewriting import MessageCounts, MessageHandling
from tests.support.checkout import ROOT

MAPPING = """\
name: m
description: For a test.
channel: websocket
direction: to_client
{kinds}
rules:
  - name: old
    match: {{field: kind, equals: old}}
    do: [set: {{kind: new}}]
    examples: [{{in: {{kind: old}}, out: {{kind: new}}}}]
"""


def program(kinds: str) -> Program:
    catalog = build(
        [parse(MAPPING.format(kinds=kinds), "m.yaml")], {"c": CohortBinding(to_client=("m",))}
    )
    made = catalog.for_cohort("c").to_client
    assert made is not None
    return made


def counted(kinds: str, *messages: bytes) -> MessageCounts:
    compiled = program(kinds)
    counts = MessageCounts()
    handling = MessageHandling(compiled, counts, compiled.kind_of)
    for message in messages:
        handling.rewrite(message)
    return counts


def test_what_passes_is_counted_by_its_kind_and_what_is_not_listed_as_other() -> None:
    counts = counted(
        "kinds: {field: kind, known: [error, größer, '1']}",
        b'{"kind": "old"}',
        b'{"kind": "error"}',
        b'{"n": 1, "kind":"error"}',
        '{"kind": "größer"}'.encode(),
        b'{"kind": "gr\\u00f6\\u00dfer"}',
        b'{"kind": "unheard of"}',
        b'{"kind": 1}',
        b'{"kind": null}',
        b"{}",
        b"no JSON",
    )
    assert counts.unmapped == {"error": 2, "größer": 2, "other": 5}
    assert (counts.mapped, counts.passed) == (1, 9)


def test_without_a_list_nothing_is_counted_by_kind() -> None:
    assert program("").kind_of is None
    assert counted("", b'{"kind": "error"}').unmapped == {}


def test_the_kind_with_which_a_message_came_is_told_whether_a_rule_maps_it_or_not() -> None:
    compiled = program("kinds: {field: kind, known: [error]}")
    assert compiled.received_kind_of is not None
    for message, kind in (
        (b'{"kind": "old"}', "old"),
        (b'{"n": 1, "kind": "error"}', "error"),
        (b'{"kind": "new"}', "other"),
        (b'{"kind": ["old"]}', "other"),
        (b"\xff", "other"),
        (b'{"kind": "\xff"}', "other"),
        (b"[" * 100_000, "other"),
    ):
        assert compiled.received_kind_of(message) == kind
    assert program("").received_kind_of is None


@pytest.mark.parametrize(
    "kinds",
    [
        "kinds: {field: kind, known: []}",
        "kinds: {field: kind}",
        "kinds: {field: kind, known: [error], more: 1}",
        "kinds: {field: a.b, known: [error]}",
        f"kinds: {{field: kind, known: [{', '.join(f'k{n}' for n in range(65))}]}}",
        f"kinds: {{field: kind, known: [{'x' * 65}]}}",
    ],
)
def test_a_list_that_could_become_too_many_labels_is_refused(kinds: str) -> None:
    with pytest.raises(ConfigError, match="kinds"):
        program(kinds)


@pytest.mark.parametrize(("name", "kind"), [("old-to-new", "chat"), ("new-to-old", "stageUpdate")])
def test_the_shipped_mappings_know_the_kinds_of_both_dialects(name: str, kind: str) -> None:
    files = [
        parse(path.read_text(encoding="utf-8"), str(path))
        for path in sorted((ROOT / "mappings").glob("*.yaml"))
    ]
    compiled = build(files, {"c": CohortBinding(to_client=(name,))}).for_cohort("c").to_client
    assert compiled is not None
    assert compiled.kind_of is not None
    assert compiled.kind_of(b'{"kind": "error", "message": "x"}') == "error"
    assert compiled.kind_of(b'{"kind": "%s"}' % kind.encode()) == kind
    assert compiled.kind_of(b'{"kind": "invented"}') == "other"
