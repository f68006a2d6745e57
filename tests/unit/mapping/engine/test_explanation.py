"""Traces: what was asked, what was done, and that they agree with what is sent."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from proxy.mapping.engine.explanation import MAX_PASSES, MessageOutcome
from proxy.mapping.engine.program import Program
from proxy.mapping.json.objects import open_object
from proxy.mapping.language.matches import Match, fields_of
from proxy.mapping.language.predicates import compile_match, compile_reason, describe
from proxy.types import OnError
from tests.support.dialects import matches, messages
from tests.support.rules import compiled, program

RULES = """
- name: chat
  match: {all: [{field: kind, equals: chat}, {not: {field: bot, equals: true}}]}
  do: [{rename: {content: text}}, {set: {urgent: true}, when: {field: level, one_of: [8, 9]}}]
- name: broken
  match: {field: kind, equals: broken}
  do: [{set: {a: 1}}, {set: {kind.deep: 1}}, {set: {b: 2}}]
- name: gone
  match: {field: kind, equals: gone}
  do: [{drop: true}]
- name: batch
  match: {field: kind, equals: batch}
  do: [{split: {field: l, into: e}}, {rename: {kind: type}}]
"""


def test_each_rule_is_told_up_to_the_one_that_applied() -> None:
    told = program(RULES).trace(b'{ "kind": "broken" }')
    (passed,) = told.passes
    assert [(each.rule, each.matched, each.why_not) for each in passed.considered] == [
        ("chat", False, '`kind` must be "chat", but `kind` is "broken"'),
        ("broken", True, None),
    ]
    assert passed.applied == "broken"


def test_operations_are_told_with_what_they_got_and_gave() -> None:
    told = program(RULES).trace(b'{ "kind": "chat", "content": 1.10, "level": 7 }')
    (passed,) = told.passes
    first, second = passed.carried
    assert (first.operation, first.changed, first.skipped) == ("rename", True, None)
    assert first.before == (b'{"kind":"chat","content":1.10,"level":7}',)
    assert first.after == (b'{"kind":"chat","text":1.10,"level":7}',)
    assert (second.operation, second.changed) == ("set", False)
    assert second.skipped == "`level` must be one of 8, 9, but `level` is 7"
    assert (told.outcome, told.messages) == (MessageOutcome.MAPPED, first.after)


def test_a_failure_ends_the_trace_where_it_happened() -> None:
    told = program(RULES).trace(b'{"kind":"broken"}')
    (passed,) = told.passes
    assert [each.failure for each in passed.carried] == [None, "`kind` is not an object"]
    assert (passed.failed, passed.after) == (True, ())
    assert (told.outcome, told.messages) == (MessageOutcome.FAILED, (b'{"kind":"broken"}',))
    assert told.failure is not None
    assert (told.failure.rule, told.failure.on_error) == ("broken", OnError.PASS)
    closing = Program([compiled(RULES, on_error="close")]).trace(b'{"kind":"broken"}')
    assert (closing.outcome, closing.messages) == (MessageOutcome.FAILED, ())


def test_drops_splits_and_messages_that_pass() -> None:
    gone = program(RULES).trace(b'{"kind":"gone"}')
    assert (gone.outcome, gone.messages) == (MessageOutcome.DROPPED, ())
    batch = program(RULES).trace(b'{"kind":"batch","l":[1,2]}')
    assert batch.messages == (b'{"type":"batch","e":1}', b'{"type":"batch","e":2}')
    assert batch.passes[0].carried[1].before == (
        b'{"kind":"batch","e":1}',
        b'{"kind":"batch","e":2}',
    )
    other = program(RULES).trace(b'{ "kind": "other" }')
    assert (other.outcome, other.messages) == (MessageOutcome.PASSED, (b'{ "kind": "other" }',))
    assert [each.rule for each in other.passes[0].considered] == ["chat", "broken", "gone", "batch"]
    assert (other.passes[0].applied, other.note) == (None, "")
    text = program(RULES).trace(b"hello")
    assert (text.outcome, text.passes) == (MessageOutcome.PASSED, ())
    assert text.note == "no rule was tried: it is not a JSON object"


def test_a_chain_has_a_pass_for_each_mapping_and_message() -> None:
    again = "\n- name: a\n  match: {field: e, equals: 2}\n  do: [{set: {e: 3}}]"
    chain = Program([compiled(RULES, name="one"), compiled(again, name="two")])
    told = chain.trace(b'{"kind":"batch","l":[1,2]}')
    assert [(each.mapping, each.applied) for each in told.passes] == [
        ("one", "batch"),
        ("two", None),
        ("two", "a"),
    ]
    assert told.program == "one+two"
    many = json.dumps({"kind": "batch", "l": [0] * (MAX_PASSES + 1)}).encode()
    told = chain.trace(many)
    assert (len(told.passes), told.cut, len(told.messages)) == (MAX_PASSES, True, MAX_PASSES + 1)


def test_a_failure_in_a_chain_of_several_messages_ends_it() -> None:
    failing = "\n- name: a\n  match: {field: e, equals: 1}\n  do: [{set: {e.x: 3}}]"
    chain = Program([compiled(RULES, name="one"), compiled(failing, name="two")])
    told = chain.trace(b'{"kind":"batch","l":[1,2]}')
    assert [each.failed for each in told.passes] == [False, True]
    assert told.outcome is MessageOutcome.FAILED


def test_the_elements_of_a_body_are_told_by_their_position() -> None:
    body = Program([compiled(RULES.split("- name: gone", maxsplit=1)[0], channel="http")])
    told = body.trace(b'[{"kind":"x"}, 7, {"kind":"chat","content":1}]')
    assert [(each.element, each.applied) for each in told.passes] == [(0, None), (2, "chat")]
    assert told.messages == (b'[{"kind":"x"},7,{"kind":"chat","text":1}]',)


@given(matches, messages)
def test_a_reason_is_given_exactly_where_a_match_does_not_hold(
    tree: object, message: dict[str, object]
) -> None:
    match: object = TypeAdapter(Match).validate_python(tree)
    opened = open_object(json.dumps(message).encode())
    assert opened is not None
    reason = compile_reason(match)(opened)
    assert (reason is None) is compile_match(match)(opened)


@pytest.mark.parametrize(
    ("tree", "message", "reason"),
    [
        (
            {"any": [{"field": "a", "equals": 1}, {"field": "b", "exists": True}]},
            b'{"a":2}',
            "`a` must be 1, but `a` is 2; and `b` must be there, but `b` is not there",
        ),
        (
            {"not": {"all": [{"field": "a", "exists": True}, {"field": "a", "matches": "x"}]}},
            b'{"a":"x"}',
            '`a` must not be there or `a` must not match `x`, but `a` is "x"',
        ),
        (
            {"not": {"any": [{"field": "a", "one_of": [1, 2]}, {"field": "b", "exists": False}]}},
            b'{"a":1,"b":"%s"}' % (b"x" * 100),
            (
                "`a` must not be one of 1, 2 and `b` must be there, but `a` is 1 and `b` is"
                f' "{"x" * 79}...'
            ),
        ),
    ],
)
def test_reasons_in_words(tree: object, message: bytes, reason: str) -> None:
    opened = open_object(message)
    assert opened is not None
    match: object = TypeAdapter(Match).validate_python(tree)
    assert compile_reason(match)(opened) == reason


def test_what_is_no_match_is_refused() -> None:
    with pytest.raises(TypeError, match="str is not a match"):
        describe("equals")
    with pytest.raises(TypeError, match="str is not a match"):
        fields_of("equals")


operations = st.sampled_from(
    ["{set: {kind: b}}", "{rename: {a: b}}", "{drop: true}", "{set: {a.b: 1}}", "{remove: [a]}"]
)


@given(st.lists(operations.filter(lambda do: "drop" not in do), max_size=3), operations, messages)
def test_the_passes_agree_with_what_is_sent(
    first: list[str], last: str, message: dict[str, object]
) -> None:
    do = ", ".join([*first, last])
    rules = f"\n- name: only\n  match: {{field: kind, exists: true}}\n  do: [{do}]"
    told = program(rules).trace(json.dumps(message).encode())
    (passed,) = told.passes
    match told.outcome:
        case MessageOutcome.FAILED:
            assert passed.failed
        case MessageOutcome.PASSED:
            assert passed.after == (passed.before,)
        case _:
            assert passed.after == told.messages


@pytest.mark.parametrize(
    ("message", "rules"),
    [
        (b'{"kind":"chat"}', ["chat"]),
        (b'{"kind":"gone"}', ["gone"]),
        (b'{"kind":"broken"}', ["broken"]),
        (b'{"kind":"other"}', []),
        (b"[]", []),
        (b'[{"kind":"chat"}]', []),
        (b"\xff", []),
    ],
)
def test_the_rules_for_a_message_are_named(message: bytes, rules: list[str]) -> None:
    assert program(RULES).rules_for(message) == tuple(("tested", rule) for rule in rules)


def test_the_rules_for_a_body_are_those_for_its_objects_each_once() -> None:
    rules = "".join(
        f"\n- name: {kind}\n  match: {{field: kind, equals: {kind}}}\n  do: [{{set: {{a: 1}}}}]"
        for kind in ("first", "second")
    )
    mapped = Program([compiled(rules, channel="http")])
    body = b'[{"kind":"second"}, 1, {"kind":"x"}, {"kind":"second"}, {"kind":"first"}]'
    assert mapped.rules_for(body) == (("tested", "second"), ("tested", "first"))
    assert mapped.rules_for(b"{") == ()


def test_the_rules_of_a_chain_are_those_for_what_came_of_the_mapping_before() -> None:
    second = compiled(
        "\n- name: bots\n  match: {field: text, exists: true}\n  do: [{set: {a: 1}}]", name="second"
    )
    chain = Program([compiled(RULES, name="first"), second])
    assert chain.rules_for(b'{"kind":"chat","content":1}') == (
        ("first", "chat"),
        ("second", "bots"),
    )
    assert chain.rules_for(b'{"kind":"text","text":1}') == (("second", "bots"),)
    batch = b'{"kind":"batch","l":[{"text":1},{"text":2},{}]}'
    assert chain.rules_for(batch) == (("first", "batch"),)
    # Nothing comes behind one that cannot be carried out, or of what is dropped.
    assert chain.rules_for(b'{"kind":"broken","text":1}') == (("first", "broken"),)
    assert chain.rules_for(b'{"kind":"gone","text":1}') == (("first", "gone"),)


@given(messages)
def test_a_rule_is_named_where_a_trace_says_that_it_applied(message: dict[str, object]) -> None:
    written = json.dumps(message).encode()
    mapped = program(RULES)
    applied = [
        (each.mapping, each.applied) for each in mapped.trace(written).passes if each.applied
    ]
    assert list(mapped.rules_for(written)) == applied
