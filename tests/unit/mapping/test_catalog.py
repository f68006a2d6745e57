"""The catalogue: mappings checked against each other and bound to cohorts, all errors at once."""

from __future__ import annotations

import pytest

from proxy.configuration.document import Document, parse
from proxy.errors import ConfigError
from proxy.mapping.catalog import NO_PROGRAMS, Catalog, CohortBinding, RouteBinding, build
from proxy.types import Direction

FILE = """\
name: {name}
description: d
channel: {channel}
direction: {direction}
{inverse}
rules:
  - name: r
    match: {{field: kind, equals: {before}}}
    do: [{{set: {{kind: {after}}}}}]
    examples: [{{in: {{kind: {before}}}, out: {{kind: {after}}}}}]
"""


def mapping(
    name: str,
    before: str,
    after: str,
    *,
    direction: str = "to_client",
    inverse: str = "",
    channel: str = "websocket",
) -> Document:
    text = FILE.format(
        name=name,
        channel=channel,
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
        FILE.format(
            name="m", channel="http", direction="to_client", inverse="", before="a", after="b"
        ),
        "z",
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
            " earlier rules match all of its messages: `one`"
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


def test_a_derived_inverse_is_a_mapping_of_its_own() -> None:
    forth = mapping("forth", "a", "b", inverse="{derive: back}")
    catalog = build([forth], {"old": CohortBinding(to_client=("back",))})
    assert catalog.names == ("forth", "back")
    program = catalog.for_cohort("old").to_client
    assert program is not None
    assert program.apply(b'{"kind":"b"}') == (b'{"kind":"a"}',)
    assert catalog.mappings["back"].name == "back"


def test_a_derived_inverse_can_go_the_other_way() -> None:
    forth = mapping("forth", "a", "b", inverse="{derive: back, direction: to_server}")
    program = (
        build([forth], {"old": CohortBinding(to_server=("back",))}).for_cohort("old").to_server
    )
    assert program is not None
    assert program.direction is Direction.TO_SERVER


def test_a_derived_inverse_whose_name_is_taken() -> None:
    forth = mapping("forth", "a", "b", inverse="{derive: forth}")
    taken = "5:19: inverse.derive: the name `forth` is taken by forth.yaml"
    assert told(forth) == [f"forth.yaml:{taken}"]
    other = mapping("other", "c", "d", inverse="{derive: forth}")
    assert told(mapping("forth", "a", "b"), other) == [f"other.yaml:{taken}"]


LOSING = """\
name: m
description: d
channel: websocket
direction: to_client
inverse: {inverse}
rules:
  - name: r
    match: {{field: kind, equals: a}}
    do: {do}
    {loses}
    examples: [{{in: {{kind: a, x: 1}}, out: {{kind: a}}}}]
"""


def test_a_loss_that_is_not_declared() -> None:
    text = LOSING.format(inverse="{derive: back}", do="[{remove: [x]}, {set: {kind: a}}]", loses="")
    problems = told(parse(text, "m.yaml"))
    assert problems[0] == (
        "m.yaml:9:9: rules[0].do: `remove` loses `x`, and `back` cannot restore it:"
        " name it in `loses`"
    )
    declared = text.replace("    \n", "    loses: [x]\n")
    assert build([parse(declared, "m.yaml")], {}).names == ("m", "back")


def test_an_inverse_that_cannot_be_derived_says_why_and_is_not_called_unknown() -> None:
    text = LOSING.format(inverse="{derive: back}", do="[{remove: [x]}]", loses="loses: [x]")
    assert told(parse(text, "m.yaml"), old=CohortBinding(to_client=("back",))) == [
        "m.yaml:5:10: inverse: it cannot be derived: no rule has a way back"
    ]


def test_a_derived_inverse_that_does_not_lead_back_is_told() -> None:
    text = """\
name: m
description: d
channel: websocket
direction: to_client
inverse: {derive: back}
rules:
  - name: one
    match: {field: kind, equals: a}
    do: [{set: {kind: c}}]
    examples: [{in: {kind: a}, out: {kind: c}}]
  - name: two
    match: {field: kind, equals: b}
    do: [{set: {kind: c}}]
    examples: [{in: {kind: b}, out: {kind: c}}]
"""
    assert told(parse(text, "m.yaml")) == [
        (
            "m.yaml:14:16: rules[1].examples[0]: the way back through `back` differs:"
            ' `kind` is "a", expected "b" (what is lost goes into `loses`)'
        ),
    ]


def test_a_derived_inverse_whose_messages_do_not_come_back_is_told() -> None:
    text = """\
name: m
description: d
channel: websocket
direction: to_client
inverse: {derive: back}
rules:
  - name: one
    match: {all: [{field: kind, equals: a}, {field: x, exists: false}]}
    do: [{set: {kind: z}}]
    examples: [{in: {kind: a}, out: {kind: z}}]
  - name: two
    match: {field: kind, equals: a}
    do: [{remove: [x]}, {set: {kind: b}}]
    loses: [x]
    examples: [{in: {kind: a, x: 1}, out: {kind: b}}]
"""
    assert told(parse(text, "m.yaml")) == [
        'm.yaml:5:10: inverse: the way back through `m` differs: `kind` is "z", expected "b"'
    ]


def bodies(**changes: str) -> Document:
    return mapping("bodies", "a", "b", channel="http", **changes)


def test_a_cohort_has_programs_for_its_routes() -> None:
    routes = (
        RouteBinding("/jobs/", ("get",), to_client=("bodies",)),
        RouteBinding("/jobs/{}/", to_server=("up",), to_client=("bodies", "bodies")),
    )
    up = mapping("up", "a", "b", channel="http", direction="to_server")
    programs = build([bodies(), up], {"new": CohortBinding(http=routes)}).for_cohort("new")
    first = programs.route("GET", b"/jobs/")
    assert first is not None
    assert (first.pattern, first.to_server) == ("/jobs/", None)
    assert first.to_client is not None
    assert first.to_client.apply(b'[{"kind":"a"}]') == (b'[{"kind":"b"}]',)
    assert programs.route("POST", b"/jobs/") is None
    second = programs.route("PATCH", b"/jobs/1/")
    assert second is not None
    assert second.to_client is not None
    assert second.to_server is not None
    assert (second.to_server.name, second.to_client.name) == ("up", "bodies+bodies")


def test_wrong_routes_are_told_with_their_place() -> None:
    config = parse("cohorts: [{http: [{path: x, to_client: [zzz]}, {path: /y}]}]", "config.yaml")
    routes = (RouteBinding("x", to_client=("zzz",)), RouteBinding("/y", to_server=("bodies",)))
    binding = CohortBinding(http=routes, document=config, http_path=("cohorts", 0, "http"))
    problems = told(bodies(), new=binding)
    assert [problem.removeprefix("config.yaml:1:").split("`")[0] for problem in problems] == [
        "26: cohorts[0].http[0].path: expected a path as ",
        "41: cohorts[0].http[0].to_client[0]: there is no mapping ",
        "48: cohorts[0].http[1].to_server[0]: ",
    ]
    assert told(new=CohortBinding(http=(RouteBinding("/", to_client=("zzz",)),))) == [
        ": new.http[0].to_client[0]: there is no mapping `zzz`; there are: none"
    ]


def test_a_mapping_bound_to_the_wrong_channel() -> None:
    assert told(bodies(), new=CohortBinding(to_client=("bodies",))) == [
        ": new.to_client[0]: `bodies` is a mapping for http, not websocket"
    ]
    route = RouteBinding("/", to_client=("forth",))
    assert told(mapping("forth", "a", "b"), new=CohortBinding(http=(route,))) == [
        ": new.http[0].to_client[0]: `forth` is a mapping for websocket, not http"
    ]
