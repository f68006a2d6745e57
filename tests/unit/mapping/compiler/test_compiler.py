"""Compiled mappings: the first rule that matches applies, however the rules are told apart."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from proxy.mapping.json.objects import open_object
from proxy.mapping.language.matches import Match
from proxy.mapping.language.predicates import compile_match
from tests.support.dialects import matches, messages
from tests.support.rules import compiled, program

RULES = """
- name: chat-from-bot
  match: {all: [{field: kind, equals: chat}, {field: bot, exists: true}]}
  do: [{set: {rule: chat-from-bot}}]
- name: chat
  match: {field: kind, one_of: [chat, talk]}
  do: [{set: {rule: chat}}]
- name: urgent
  match: {field: urgent, equals: true}
  do: [{set: {rule: urgent}}]
- name: seven
  match: {field: kind, equals: 7}
  do: [{set: {rule: seven}}]
- name: nothing
  match: {field: kind, equals: null}
  do: [{set: {rule: nothing}}]
"""


@pytest.mark.parametrize(
    ("message", "rule"),
    [
        (b'{"kind":"chat"}', "chat"),
        (b'{"kind":"\\u0063hat"}', "chat"),
        (b'{"kind":"talk","urgent":true}', "chat"),
        (b'{"kind":"chat","bot":1}', "chat-from-bot"),
        (b'{"kind":"talk","bot":1}', "chat"),
        (b'{"kind":"else","urgent":true}', "urgent"),
        (b'{"kind":null,"urgent":true}', "urgent"),
        (b'{"urgent":true}', "urgent"),
        (b'{"kind":7.0}', "seven"),
        (b'{"kind":null}', "nothing"),
        (b'{"kind":"else"}', None),
        (b'{"kind":{"kind":"chat"}}', None),
        (b"{}", None),
    ],
)
def test_the_first_rule_that_matches_applies(message: bytes, rule: str | None) -> None:
    result = program(RULES).apply(message)
    assert (result and json.loads(result[0])["rule"]) == rule


def test_rules_without_a_common_field_are_asked_in_turn() -> None:
    rules = """
- name: first
  match: {field: a, exists: true}
  do: [{set: {rule: first}}]
- name: second
  match: {not: {field: b, equals: 1}}
  do: [{set: {rule: second}}]
"""
    assert program(rules).apply(b'{"a":1}') == (b'{"a":1,"rule":"first"}',)
    assert program(rules).apply(b'{"b":2}') == (b'{"b":2,"rule":"second"}',)
    assert program(rules).apply(b'{"b":1}') is None


@pytest.mark.parametrize(
    "absent", ["{field: kind, exists: false}", "{not: {field: kind, exists: true}}"]
)
def test_a_rule_for_messages_without_the_field_does_not_take_those_with_it(absent: str) -> None:
    rules = f"""
- name: without
  match: {absent}
  do: [{{set: {{rule: without}}}}]
- name: chat
  match: {{field: kind, equals: chat}}
  do: [{{set: {{rule: chat}}}}]
"""
    assert program(rules).apply(b'{"kind":"chat"}') == (b'{"kind":"chat","rule":"chat"}',)
    assert program(rules).apply(b'{"x":1}') == (b'{"x":1,"rule":"without"}',)
    assert program(rules).apply(b'{"kind":"other"}') is None


@given(st.lists(matches, min_size=1, max_size=5), messages)
def test_dispatch_agrees_with_asking_each_rule_in_turn(
    tree: list[object], message: dict[str, object]
) -> None:
    rules = "".join(
        f"\n- name: r{index}\n  match: {json.dumps(match)}\n  do: [{{set: {{rule: {index}}}}}]"
        for index, match in enumerate(tree)
    )
    text = json.dumps(message).encode()
    opened = open_object(text)
    assert opened is not None
    asked = (compile_match(TypeAdapter(Match).validate_python(match))(opened) for match in tree)
    expected = next((index for index, matched in enumerate(asked) if matched), None)
    result = program(rules).apply(text)
    assert (None if result is None else json.loads(result[0])["rule"]) == expected


def test_a_link_names_its_rules() -> None:
    assert [rule.name for rule in compiled(RULES).rules] == [
        "chat-from-bot",
        "chat",
        "urgent",
        "seven",
        "nothing",
    ]
