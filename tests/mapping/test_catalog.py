"""The catalogue: mappings checked against each other and bound to cohorts, all errors at once."""

from __future__ import annotations

import pytest

from proxy.documents import Document, parse
from proxy.errors import ConfigError
from proxy.mapping.catalog import NO_PROGRAMS, Catalog, CohortBinding, build

FILE = """\
name: {name}
description: d
channel: websocket
direction: {direction}
{inverse}
rules:
  - name: r
    match: {{field: kind, equals: {before}}}
    do: [{{set: {{kind: {after}}}}}]
    examples: [{{in: {{kind: {before}}}, out: {{kind: {after}}}}}]
"""


def mapping(
    name: str, before: str, after: str, *, direction: str = "to_client", inverse: str = ""
) -> Document:
    text = FILE.format(
        name=name,
        direction=direction,
        inverse=f"inverse: {inverse}" if inverse else "",
        before=before,
        after=after,
    )
    return parse(text, f"{name}.yaml")


def told(*documents: Document, **bindings: CohortBinding) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        build(documents, bindings)
    return [str(problem) for problem in caught.value.problems]


def small() -> Catalog:
    documents = [
        mapping("forth", "a", "b", inverse="back"),
        mapping("back", "b", "a", inverse="forth"),
        mapping("up", "c", "d", direction="to_server"),
    ]
    bindings = {
        "new": CohortBinding(to_client=("forth",), to_server=("up",)),
        "twin": CohortBinding(to_client=("forth",)),
        "chained": CohortBinding(to_client=("forth", "back")),
        "plain": CohortBinding(),
    }
    return build(documents, bindings)


def test_a_cohort_has_its_programs() -> None:
    catalog = small()
    assert catalog.names == ("forth", "back", "up")
    new = catalog.for_cohort("new")
    assert new.to_client is not None
    assert new.to_server is not None
    assert new.to_client.apply(b'{"kind":"a"}') == (b'{"kind":"b"}',)
    assert new.to_server.apply(b'{"kind":"c"}') == (b'{"kind":"d"}',)
    chained = catalog.for_cohort("chained")
    assert chained.to_client is not None
    assert chained.to_client.name == "forth+back"
    assert chained.to_server is None


def test_cohorts_with_the_same_chain_share_its_program() -> None:
    catalog = small()
    assert catalog.for_cohort("new").to_client is catalog.for_cohort("twin").to_client


@pytest.mark.parametrize("cohort", [None, "plain", "unheard-of"])
def test_without_a_binding_nothing_is_done(cohort: str | None) -> None:
    assert small().for_cohort(cohort) == NO_PROGRAMS


def test_no_mappings_at_all_are_fine() -> None:
    assert build([], {}).names == ()


def test_an_unknown_mapping_in_a_binding() -> None:
    config = parse("cohorts:\n  - name: new\n    mappings: {to_client: [zzz]}\n", "config.yaml")
    binding = CohortBinding(to_client=("zzz",), document=config, path=("cohorts", 0, "mappings"))
    assert told(mapping("forth", "a", "b"), new=binding) == [
        (
            "config.yaml:3:28: cohorts[0].mappings.to_client[0]: there is no mapping `zzz`;"
            " there are: forth"
        )
    ]
    assert told(new=CohortBinding(to_server=("zzz",))) == [
        ": new.to_server[0]: there is no mapping `zzz`; there are: none"
    ]


def test_a_mapping_bound_the_wrong_way() -> None:
    assert told(mapping("forth", "a", "b"), new=CohortBinding(to_server=("forth",))) == [
        ": new.to_server[0]: `forth` is a mapping to_client, not to_server"
    ]


def test_two_mappings_of_one_name() -> None:
    again = parse(
        FILE.format(name="m", direction="to_client", inverse="", before="a", after="b"), "z"
    )
    assert told(mapping("m", "a", "b"), again) == ["z:1:7: name: the name `m` is taken by m.yaml"]


def test_an_inverse_that_is_not_there_or_does_not_name_back() -> None:
    assert told(mapping("forth", "a", "b", inverse="back")) == [
        "forth.yaml:5:10: inverse: there is no mapping `back`"
    ]
    assert told(mapping("forth", "a", "b", inverse="back"), mapping("back", "b", "a")) == [
        "forth.yaml:5:10: inverse: `back` does not name `forth` as its inverse"
    ]


def test_a_round_trip_that_does_not_come_back() -> None:
    assert told(
        mapping("forth", "a", "b", inverse="back"), mapping("back", "b", "c", inverse="forth")
    ) == [
        (
            "back.yaml:10:16: rules[0].examples[0]: the way back through `forth` differs:"
            ' `kind` is "c", expected "b" (what is lost goes into `loses`)'
        ),
        (
            "forth.yaml:10:16: rules[0].examples[0]: the way back through `back` differs:"
            ' `kind` is "c", expected "a" (what is lost goes into `loses`)'
        ),
    ]


def test_rules_that_never_match_and_examples_that_fail_are_told_together() -> None:
    document = parse(
        """\
name: m
description: d
channel: websocket
direction: to_client
rules:
  - name: one
    match: {field: kind, one_of: [a, b]}
    do: [{set: {kind: x}}]
    examples: [{in: {kind: a}, out: {kind: y}}]
  - name: one
    match: {field: kind, equals: b}
    do: [{set: {kind: x}}]
    examples: [{in: {kind: b}, out: {kind: x}}]
  - name: three
    match: {all: [{field: a, exists: true}, {field: a, exists: false}]}
    do: [{set: {kind: x}}]
    examples: [{in: {kind: b}, out: {kind: x}}]
""",
        "m.yaml",
    )
    assert told(document) == [
        'm.yaml:9:16: rules[0].examples[0]: the example fails: `kind` is "x", expected "y"',
        "m.yaml:10:11: rules[1].name: the name `one` is taken by rules[0]",
        (
            "m.yaml:11:12: rules[1].match: the rule can never match:"
            " earlier rules take all it wants: `one`"
        ),
        "m.yaml:15:12: rules[2].match: the rule can never match: it contradicts itself",
    ]


def test_every_file_is_checked_and_an_unread_mapping_is_not_called_unknown() -> None:
    broken = parse("name: broken\nrulez: 1", "broken.yaml")
    binding = CohortBinding(to_client=("broken", "zzz"))
    forth = mapping("forth", "a", "b", inverse="broken")
    problems = told(broken, forth, parse("[]", "list.yaml"), new=binding)
    assert [problem.split(":")[0] for problem in problems] == [
        "",
        *["broken.yaml"] * 5,
        "list.yaml",
    ]
    assert problems[0] == ": new.to_client[1]: there is no mapping `zzz`; there are: forth"
    assert problems[-1] == ("list.yaml:1:1: expected a mapping (key: value), found a list")
