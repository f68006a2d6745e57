"""What is kept of messages that would have come out otherwise: bounded, without values."""

from __future__ import annotations

import json

import pytest

from proxy.errors import MappingFailure
from proxy.gateway.shadow_account import (
    MAX_EXAMPLE,
    MAX_EXAMPLE_MESSAGES,
    MAX_EXAMPLES,
    ExampleMessages,
    ShadowAccount,
    ShadowExample,
    ShadowPoint,
)
from proxy.mapping.engine.difference import difference
from proxy.mapping.engine.explanation import MessageOutcome
from proxy.mapping.engine.program import Program
from proxy.types import Direction, OnError
from tests.support.rules import compiled, program

RULES = """
- name: chat
  match: {field: kind, equals: chat}
  do: [{rename: {content: text}}]
"""
CHAT = b'{"kind":"chat","content":"Anna, 31"}'
TEXT = b'{"kind":"chat","text":"Anna, 31"}'
POINT = ShadowPoint(Direction.TO_CLIENT, "modern")


def noted(
    account: ShadowAccount, before: bytes, after: bytes, now: float = 1.0
) -> ShadowExample | None:
    found = difference((before,), (after,))
    return account.note(MessageOutcome.MAPPED, ("chat",), found, POINT, now)


def test_an_example_is_counted_again_and_keeps_its_first_messages() -> None:
    account = ShadowAccount(0.0)
    example = noted(account, CHAT, TEXT, 1.0)
    assert example is not None
    example.keep((CHAT,), (TEXT,), program(RULES), raw=False)
    assert noted(account, b'{"content":1}', b'{"text":1}', 3.0) is None

    assert list(account.examples.values()) == [example]
    assert (example.count, example.first, example.last, example.cut) == (2, 1.0, 3.0, False)
    assert [(field, kind.value) for field, kind in example.fields] == [
        ("content", "removed"),
        ("text", "added"),
    ]
    assert example.messages(raw=False) == ExampleMessages(
        ('{"kind":"chat","content":"Xxxx, 00"}',),
        ('{"kind":"chat","text":"Xxxx, 00"}',),
        raw=False,
    )


def test_messages_are_shown_as_they_are_only_where_they_were_kept_so_and_are_asked_for() -> None:
    example = noted(ShadowAccount(0.0), CHAT, TEXT)
    assert example is not None
    example.keep((CHAT,), (TEXT,), program(RULES), raw=False)
    assert b"Anna" not in repr(example).encode()
    shown = example.messages(raw=True)
    assert shown is not None
    assert not shown.raw
    assert "Anna" not in str(shown)

    example.keep((CHAT,), (TEXT,), program(RULES), raw=True)
    assert "Anna" not in str(example.messages(raw=False))
    assert "Anna" not in repr(example)
    assert example.messages(raw=True) == ExampleMessages(
        (CHAT.decode(),), (TEXT.decode(),), raw=True
    )


def test_bodies_that_are_lists_are_shown_and_what_is_no_json_is_not() -> None:
    example = noted(ShadowAccount(0.0), CHAT, TEXT)
    assert example is not None
    mapped = Program([compiled(RULES, channel="http")])
    example.keep((b'[{"a":"Anna"}]', b"\xffAnna"), (), mapped, raw=False)
    assert example.messages(raw=False) == ExampleMessages(('[{"a":"Xxxx"}]', None), (), raw=False)
    example.keep((b'[{"a":"Anna"}]',), (), program(RULES), raw=False)
    assert example.messages(raw=False) == ExampleMessages((None,), (), raw=False)


def test_of_large_messages_nothing_is_kept_and_of_many_a_few() -> None:
    example = noted(ShadowAccount(0.0), CHAT, TEXT)
    assert example is not None
    example.keep((b" " * MAX_EXAMPLE,), (b"{}",), program(RULES), raw=True)
    assert example.messages(raw=True) is None
    example.keep((b"{}",) * 1_000, (b"{}",), program(RULES), raw=True)
    shown = example.messages(raw=True)
    assert shown is not None
    assert len(shown.before) == MAX_EXAMPLE_MESSAGES


def test_the_newest_examples_are_kept_and_one_that_comes_again_is_new() -> None:
    account = ShadowAccount(0.0)
    for number in range(MAX_EXAMPLES):
        noted(account, b"{}", b'{"f%d":1}' % number)
    noted(account, b"{}", b'{"f0":2}')
    noted(account, b"{}", b'{"other":1}')

    paths = [example.fields[0][0] for example in account.examples.values()]
    assert paths == [*(f"f{number}" for number in range(2, MAX_EXAMPLES)), "f0", "other"]


def test_other_rules_outcomes_and_directions_are_other_examples() -> None:
    account = ShadowAccount(0.0)
    found = difference((CHAT,), ())
    back = ShadowPoint(Direction.TO_SERVER, "modern")
    for outcome, rules, point in (
        (MessageOutcome.DROPPED, ("a",), POINT),
        (MessageOutcome.DROPPED, ("b",), POINT),
        (MessageOutcome.FAILED, ("b",), POINT),
        (MessageOutcome.FAILED, ("b",), back),
    ):
        assert account.note(outcome, rules, found, point, 1.0) is not None
    assert len(account.examples) == 4


@pytest.mark.parametrize("outcome", ["mapped", "passed", "dropped"])
def test_each_outcome_counts_once_and_by_each_rule(outcome: str) -> None:
    account = ShadowAccount(0.0)
    account.offered += 1
    account.count(MessageOutcome(outcome), ("a", "b"))
    expected = dict.fromkeys(("mapped", "passed", "dropped", "failed", "skipped"), 0)
    assert account.outcomes() == expected | {outcome: 1}
    assert account.rules == {"a": 1, "b": 1}
    assert (account.compared, account.waiting) == (1, 0)


def test_failures_count_by_rule_operation_and_field() -> None:
    account = ShadowAccount(0.0)
    for field in ("a.b", "a.b", "c"):
        failure = MappingFailure("m", "chat", "it is text", OnError.PASS, "set", field)
        account.count_failure(failure)
    assert account.failures == {("chat", "set", "a.b"): 2, ("chat", "set", "c"): 1}
    assert json.loads(json.dumps(account.outcomes()))["failed"] == account.compared == 3
