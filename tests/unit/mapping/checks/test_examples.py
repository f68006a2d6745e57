"""Examples and round trips: what they prove, and what a failing one is told."""

from __future__ import annotations

import pytest

from proxy.configuration.document import parse
from proxy.mapping.checks.examples import (
    MAX_CHARACTERS,
    MAX_EXAMPLES,
    MAX_PROBLEMS,
    check_example,
    check_example_file,
    check_round_trip,
)
from proxy.mapping.compiler.compiler import compile_mapping
from proxy.mapping.engine.program import Program
from proxy.mapping.language.model import MappingFile
from tests.support.rules import compiled, program

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
            "`kind` is 1, expected true",
        ),
        (
            "[{rename: {kind: type}}]",
            "{in: {kind: a}, out: {kind: a}}",
            '`kind` is missing, expected "a"; `type` is "a", expected none',
        ),
        (
            "[{set: {x: {y: [1, 2]}}}]",
            "{in: {kind: a}, out: {kind: a, x: {y: [1, é]}}}",
            '`x.y[1]` is 2, expected "é"',
        ),
        (
            "[{set: {x: [1]}}]",
            "{in: {kind: a}, out: {kind: a, x: [1, 2]}}",
            "`x` is [1], expected [1,2]",
        ),
        (
            "[{keep_only: [kind]}]",
            "{in: {kind: a}, out: {kind: a, b: 1, c: 1, d: 1, e: 1, f: 1, g: 1}}",
            "`f` is missing, expected 1; and 1 more",
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
    assert lost == "`x` is missing, expected 1.10"


def test_an_inverse_that_cannot_be_carried_out_is_told() -> None:
    failing = there_and_back("[{set: {x: 2}}]", "[{set: {x.y: 1}}]", "{kind: a, x: 1}")
    assert failing is not None
    assert failing.startswith("its rule `tested` cannot be carried out on what this becomes")


def test_a_rule_that_fails_there_is_not_told_twice() -> None:
    assert there_and_back("[{set: {kind.x: 2}}]", "[{set: {x: 1}}]", "{kind: a}") is None


def test_each_message_of_a_split_has_to_come_back_without_what_is_lost() -> None:
    split = "[{split: {field: l, into: e}}]"
    back = "[{remove: [nothing]}]"
    message = "{kind: a, x: 1, l: [1, 2]}"
    assert there_and_back(split, back, message, "[l, e]") is None
    assert there_and_back(split, back, message, "[l]") == "`e` is 1, expected none"
    assert there_and_back(split, "[{remove: [x]}]", message, "[l, e]") is not None


def test_what_is_lost_in_the_elements_of_a_list_is_left_out() -> None:
    do = "[{for_each: {field: l, do: [{remove: [x]}]}}]"
    message = "{kind: a, l: [{x: 1, y: 2}, 3]}"
    assert there_and_back(do, "[{remove: [nothing]}]", message, "[l.x]") is None
    assert there_and_back(do, "[{remove: [nothing]}]", message) is not None


RECORDED = program("""
- name: set
  match: {field: kind, equals: set}
  do: [{set: {x: 1.0}}]
- name: gone
  match: {field: kind, equals: gone}
  do: [{drop: true}]
- name: batch
  match: {field: kind, equals: batch}
  do: [{split: {field: l}}]
- name: broken
  match: {field: kind, equals: broken}
  do: [{set: {kind.x: 1}}]
""")


@pytest.mark.parametrize(
    "line",
    [
        '{"in": {"kind": "set"}, "out": {"x": 1, "kind": "set"}}',
        '{"in": {"kind": "set", "l": "\u2028"}, "out": {"kind": "set", "l": "\u2028", "x": 1}}',
        '{"in": {"kind": "set", "n": NaN}, "out": {"kind": "set", "n": NaN, "x": 1}}',
        r'{"in": {"kind": "\u0067one"}, "out": null}',
        '{"in": {"kind": "gone"}, "out": [], "note": "an empty list is nothing too"}',
        '{"in": {"kind":"batch","l":[1,2]}, "out":[{"kind":"batch","l":1},{"kind":"batch","l":2}]}',
        '{"in": {"kind": "other", "n": 1.10}, "out": {"kind": "other", "n": 1.1}}',
        '{"in": "hello", "out": "hello"}',
    ],
)
def test_a_recorded_example_that_holds(line: str) -> None:
    assert check_example_file(RECORDED, f"{line}\n\n", "f.jsonl") == []


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("hello", "expected a JSON object on one line"),
        ("[]", "expected a JSON object on one line"),
        ('{"in": {}}', "expected a JSON object on one line"),
        ('{"in": {}, "out": {}, "more": 1}', "expected a JSON object on one line"),
        ('{"in": {}, "out": {}', "expected a JSON object on one line"),
        ('{"in": {}, "out": "\ud800"}', "expected a JSON object on one line"),
        ('{"in": {}, "failed": {}, "note": "n"}', "it failed when it was recorded: write what"),
        ('{"in": {"kind": "set"}, "out": {"kind": "set"}}', "the example fails: `x` is 1.0"),
        ('{"in": {"kind": "gone"}, "out": {}}', "expected one message, found no message"),
        ('{"in": {"kind": "broken"}, "out": {}}', "the rule `broken` cannot be carried out"),
    ],
)
def test_a_recorded_example_that_fails_is_told_with_its_line(line: str, wrong: str) -> None:
    (problem,) = check_example_file(RECORDED, f'{{"in": 1, "out": 1}}\n{line}\n', "f.jsonl")
    assert str(problem).startswith("f.jsonl:2:1: ")
    assert wrong in problem.message


def test_a_body_may_be_a_list_on_both_sides() -> None:
    rule = "\n- name: r\n  match: {field: a, exists: true}\n  do: [{rename: {a: b}}]"
    body = Program([compiled(rule, channel="http")])
    line = '{"in": [{"a": 1}, 2], "out": [{"b": 1}, 2]}'
    assert check_example_file(body, line, "f") == []
    assert len(check_example_file(body, '{"in": [{"a": 1}], "out": {"b": 1}}', "f")) == 1
    assert check_example_file(body, '{"in": null, "out": null}', "f") == []


def test_a_file_of_examples_is_bounded() -> None:
    failing = '{"in": 1, "out": 2}\n'
    problems = check_example_file(RECORDED, failing * (MAX_PROBLEMS + 5), "f")
    assert len(problems) == MAX_PROBLEMS + 1
    assert problems[-1].message == "and 5 more examples fail"
    (problem,) = check_example_file(RECORDED, "x\n" * (MAX_EXAMPLES + 1), "f")
    assert problem.message == f"more than {MAX_EXAMPLES} examples"
    (problem,) = check_example_file(RECORDED, " " * (MAX_CHARACTERS + 1), "f")
    assert problem.message == f"longer than {MAX_CHARACTERS} characters"


def test_a_text_nested_too_deep_to_compare_differs_or_is_the_same() -> None:
    deep = "[" * 5_000 + "]" * 5_000
    same = f'{{"in": {{"d": {deep}}}, "out": {{"d": {deep}}}}}'
    rule = "\n- name: r\n  match: {field: a, exists: true}\n  do: [{rename: {a: b}}]"
    recorded = Program([compiled(rule)], 10_000)
    assert check_example_file(recorded, same, "f") == []
    (problem,) = check_example_file(recorded, f'{{"in": 1, "out": {{"d": {deep}}}}}', "f")
    assert "differ" in problem.message or "expected" in problem.message
