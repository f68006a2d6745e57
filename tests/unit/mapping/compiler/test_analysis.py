"""What is known of matches: their alternatives, and which rules leave nothing for others."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from proxy.configuration.document import parse
from proxy.mapping.compiler import analysis
from proxy.mapping.json.objects import open_object
from proxy.mapping.language.matches import Match
from proxy.mapping.language.predicates import compile_match

MATCH: TypeAdapter[object] = TypeAdapter(Match)


def match(text: str) -> object:
    return MATCH.validate_python(parse(text, "match.yaml").data)


def covering(later: str, *earlier: str) -> set[int] | None:
    return analysis.covering(match(later), [match(each) for each in earlier])


A1 = "{field: a, equals: 1}"
A2 = "{field: a, equals: 2}"
A12 = "{field: a, one_of: [1, 2]}"
A = "{field: a, exists: true}"
NOT_A = "{field: a, exists: false}"
B1 = "{field: b, equals: 1}"
DEEP = "{field: a.b.c, equals: 1}"


@pytest.mark.parametrize(
    ("later", "earlier", "takers"),
    [
        (A1, [A1], {0}),
        (A1, ["{field: a, equals: 1.0}"], {0}),
        (A1, [B1, A12], {1}),
        (A12, [A1, A2], {0, 1}),
        (A1, [A], {0}),
        (A, [A], {0}),
        (DEEP, [A], {0}),
        (DEEP, ["{field: a.b, exists: true}"], {0}),
        (NOT_A, [NOT_A], {0}),
        (NOT_A, ["{field: a.b, exists: false}"], {0}),
        (A1, ["{field: a.b, exists: false}"], {0}),
        ("{not: " + A + "}", [NOT_A], {0}),
        (f"{{all: [{A1}, {B1}]}}", [A1], {0}),
        (f"{{all: [{A1}, {{not: {B1}}}]}}", [A1], {0}),
        (f"{{any: [{A1}, {B1}]}}", [B1, A], {0, 1}),
        (f"{{not: {{any: [{A}, {{not: {B1}}}]}}}}", [B1], {0}),
        (f"{{not: {{all: [{A}, {A}]}}}}", [NOT_A], {0}),
        (A1, [f"{{any: [{A2}, {A1}]}}"], {0}),
        # contradictions
        (f"{{all: [{A1}, {A2}]}}", [], set()),
        (f"{{all: [{A}, {NOT_A}]}}", [], set()),
        (f"{{all: [{DEEP}, {A1}]}}", [], set()),
        (f"{{all: [{DEEP}, {NOT_A}]}}", [], set()),
    ],
)
def test_a_match_that_earlier_ones_leave_nothing(
    later: str, earlier: list[str], takers: set[int]
) -> None:
    assert covering(later, *earlier) == takers


@pytest.mark.parametrize(
    ("later", "earlier"),
    [
        (A1, []),
        (A1, [A2]),
        (A1, ["{field: a, equals: true}"]),
        (A12, [A1]),
        (A, [A12]),
        (A, ["{field: a.b, exists: true}"]),
        (A, ["{field: a.b, exists: false}"]),
        (A1, [NOT_A]),
        (NOT_A, [A]),
        (DEEP, [A1]),
        (A1, [f"{{all: [{A1}, {B1}]}}"]),
        (A1, [f"{{all: [{A1}, {{not: {B1}}}]}}"]),
        (A1, ["{not: " + A2 + "}"]),
        ("{not: {field: a, one_of: [1]}}", [A]),
        (f"{{any: [{A1}, {B1}]}}", [A1]),
        (f"{{all: [{A12}, {A}]}}", [A1]),
        (f"{{all: [{A}, {A12}]}}", [A1]),
    ],
)
def test_a_match_that_has_something_left(later: str, earlier: list[str]) -> None:
    assert covering(later, *earlier) is None


def test_what_has_too_many_alternatives_is_undecided() -> None:
    pair = "{any: [{field: %s, equals: 1}, {field: %s, equals: 2}]}"
    many = "{all: [" + ", ".join(pair % (key, key) for key in "abcdefghij") + "]}"
    assert analysis.alternatives(match(many)) == analysis.UNDECIDED
    assert covering(many, "{field: zzz, exists: true}") is None
    wide = "{any: [" + ", ".join(f"{{field: f{n}, exists: true}}" for n in range(300)) + "]}"
    assert analysis.alternatives(match(wide)) == analysis.UNDECIDED


def test_what_has_too_many_cases_counts_as_reachable() -> None:
    values = list(range(20))
    many = "{all: [" + ", ".join(f"{{field: {key}, one_of: {values}}}" for key in "abc") + "]}"
    assert covering(many, A) is None
    assert covering(f"{{field: a, one_of: {values}}}", A) == {0}


def test_the_values_a_match_can_accept() -> None:
    def wanted(text: str) -> frozenset[object] | None:
        return analysis.values_wanted(match(text), "a")

    one, two = wanted(A1), wanted(A2)
    assert one is not None
    assert two is not None
    assert wanted(A12) == one | two
    assert wanted(f"{{any: [{A1}, {A2}]}}") == one | two
    assert wanted(f"{{all: [{A1}, {B1}]}}") == one
    assert wanted(A) is None
    assert wanted(f"{{any: [{A1}, {B1}]}}") is None


def test_whether_a_value_decides_alone() -> None:
    assert analysis.is_value_test(match(A12), "a")
    assert analysis.is_value_test(match(f"{{any: [{A1}, {A2}]}}"), "a")
    assert not analysis.is_value_test(match(A), "a")
    assert not analysis.is_value_test(match(NOT_A), "a")
    assert not analysis.is_value_test(match(f"{{any: [{A1}, {NOT_A}]}}"), "a")
    assert not analysis.is_value_test(match(f"{{all: [{A1}, {B1}]}}"), "a")
    assert not analysis.is_value_test(match(f"{{all: [{A1}, {{not: {A2}}}]}}"), "a")


fields = st.sampled_from(["a", "b", "a.b"])
trees = st.recursive(
    st.one_of(
        st.builds(
            lambda field, value: {"field": field, "equals": value},
            fields,
            st.sampled_from([1, 2, "x", None]),
        ),
        st.builds(
            lambda field, values: {"field": field, "one_of": values},
            fields,
            st.lists(st.sampled_from([1, 2, "x"]), min_size=1, max_size=3),
        ),
        st.builds(lambda field, exists: {"field": field, "exists": exists}, fields, st.booleans()),
    ),
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map(lambda each: {"all": each}),
        st.lists(inner, min_size=1, max_size=3).map(lambda each: {"any": each}),
        inner.map(lambda each: {"not": each}),
    ),
    max_leaves=5,
)
VALUES: list[object] = [1, 2, "x", None, 3, {}, {"b": 1}, {"b": 2}, {"b": "x"}, {"b": None}]
MESSAGES = [
    {**({} if a is ... else {"a": a}), **({} if b is ... else {"b": b})}
    for a in [..., *VALUES]
    for b in [..., *VALUES]
]


@given(trees, st.lists(trees, max_size=3))
def test_no_message_reaches_a_match_that_is_covered(later: object, earlier: list[object]) -> None:
    matches = [MATCH.validate_python(tree) for tree in [*earlier, later]]
    if analysis.covering(matches[-1], matches[:-1]) is None:
        return
    *before, test = [compile_match(each) for each in matches]
    for message in MESSAGES:
        opened = open_object(json.dumps(message).encode())
        assert opened is not None
        assert not test(opened) or any(each(opened) for each in before)
