"""Examples and round trips: what they prove, and what a failing one is told."""

from __future__ import annotations

import pytest

from proxy.documents import parse
from proxy.mapping.compiler import compile_mapping
from proxy.mapping.examples import check_example, check_round_trip
from proxy.mapping.model import MappingFile

FILE = """
name: m
description: d
channel: websocket
direction: to_client
rules:
  - name: first
    match: {{field: kind, equals: first}}
    do: [{{set: {{kind: 1}}}}]
    examples: [{{in: {{kind: first}}, out: {{kind: 1}}}}]
  - name: tested
    match: {{field: kind, exists: true}}
    do: {do}
    loses: {loses}
    examples: [{example}]
"""


def read(do: str, example: str, loses: str = "[]") -> MappingFile:
    text = FILE.format(do=do, example=example, loses=loses)
    return MappingFile.model_validate(parse(text, "m.yaml").data)


def check(do: str, example: str) -> str | None:
    file = read(do, example)
    rule = file.rules[1]
    return check_example(compile_mapping(file), rule, rule.examples[0])


@pytest.mark.parametrize(
    ("do", "example"),
    [
        (
            "[{set: {kind: b}}]",
            "{in: {kind: a, x: [1, {y: null}]}, out: {x: [1, {y: null}], kind: b}}",
        ),
        ("[{set: {kind: 1.0}}]", "{in: {kind: a}, out: {kind: 1}}"),
        ("[{drop: true}]", "{in: {kind: a}, out: null}"),
        ("[{drop: true}]", "{in: {kind: a}, out: []}"),
        ("[{set: {kind: b}}]", "{in: {kind: a}, out: [{kind: b}]}"),
        ("[{remove: [nothing]}]", "{in: {kind: a}, out: {kind: a}}"),
        (
            "[{set: {x: 123456789012345678901}}]",
            "{in: {kind: a}, out: {kind: a, x: 123456789012345678901}}",
        ),
    ],
)
def test_an_example_that_holds(do: str, example: str) -> None:
    assert check(do, example) is None


@pytest.mark.parametrize(
    ("do", "example", "told"),
    [
        ("[{drop: true}]", "{in: {x: 1}, out: null}", "no rule matches `in`"),
        (
            "[{drop: true}]",
            "{in: {kind: first}, out: null}",
            "the rule `first`, which comes first, takes `in`",
        ),
        (
            "[{set: {kind.a: 1}}]",
            "{in: {kind: a}, out: null}",
            "the rule cannot be carried out: `kind` is not an object",
        ),
        ("[{drop: true}]", "{in: {kind: a}, out: {}}", "expected one message, found no message"),
        (
            "[{set: {kind: b}}]",
            "{in: {kind: a}, out: [{}, {}]}",
            "expected 2 messages, found one message",
        ),
        ("[{set: {kind: b}}]", "{in: {kind: a}, out: {kind: c}}", '`kind` is "b", expected "c"'),
        (
            "[{set: {kind: 1}}]",
            "{in: {kind: a}, out: {kind: true}}",
            '`kind` is "1", expected true',
        ),
        (
            "[{rename: {kind: type}}]",
            "{in: {kind: a}, out: {kind: a}}",
            '`kind` is missing, expected "a"; `type` is "a", expected none',
        ),
        (
            "[{set: {x: {y: [1, 2]}}}]",
            "{in: {kind: a}, out: {kind: a, x: {y: [1, é]}}}",
            '`x.y.1` is "2", expected "é"',
        ),
        (
            "[{set: {x: [1]}}]",
            "{in: {kind: a}, out: {kind: a, x: [1, 2]}}",
            '`x` is ["1"], expected ["1", "2"]',
        ),
        (
            "[{keep_only: [kind]}]",
            "{in: {kind: a}, out: {kind: a, b: 1, c: 1, d: 1, e: 1, f: 1, g: 1}}",
            '`f` is missing, expected "1"; and 1 more',
        ),
        (
            f"[{{set: {{kind: {'x' * 200}}}}}]",
            "{in: {kind: a}, out: {kind: b}}",
            f'`kind` is "{"x" * 79}..., expected "b"',
        ),
    ],
)
def test_an_example_that_fails_says_what_differs(do: str, example: str, told: str) -> None:
    wrong = check(do, example)
    assert wrong is not None
    assert wrong.endswith(told)


def there_and_back(do: str, back: str, message: str, loses: str = "[]") -> str | None:
    file = read(do, f"{{in: {message}, out: null}}", loses)
    inverse = read(back, "{in: {}, out: null}")
    rule = file.rules[1]
    return check_round_trip(compile_mapping(file), compile_mapping(inverse), rule, rule.examples[0])


@pytest.mark.parametrize(
    ("do", "back", "loses"),
    [
        ("[{rename: {x: y}}]", "[{rename: {y: x}}]", "[]"),
        ("[{remove: [x]}]", "[{remove: [nothing]}]", "[x]"),
        ("[{set: {m.a: 1}}]", "[{remove: [nothing]}]", "[m.a]"),
        ("[{remove: [x, m]}]", "[{remove: [nothing]}]", "[x, m, m.a, x.y.z]"),
        ("[{drop: true}]", "[{remove: [nothing]}]", "[]"),
    ],
)
def test_a_way_back_that_holds(do: str, back: str, loses: str) -> None:
    assert there_and_back(do, back, "{kind: a, x: 1.10, m: {a: 0}}", loses) is None


def test_a_way_back_that_differs_is_told() -> None:
    lost = there_and_back("[{remove: [x]}]", "[{remove: [nothing]}]", "{kind: a, x: 1.10}")
    assert lost == '`x` is missing, expected "1.10"'


def test_an_inverse_that_cannot_be_carried_out_is_told() -> None:
    failing = there_and_back("[{set: {x: 2}}]", "[{set: {x.y: 1}}]", "{kind: a, x: 1}")
    assert failing is not None
    assert failing.startswith("its rule `tested` cannot be carried out on what this becomes")


def test_a_rule_that_fails_there_is_not_told_twice() -> None:
    assert there_and_back("[{set: {kind.x: 2}}]", "[{set: {x: 1}}]", "{kind: a}") is None
