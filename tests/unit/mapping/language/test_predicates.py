"""Matches: which messages they let through."""

from __future__ import annotations

import pytest

from proxy.mapping.language.predicates import compile_match
from tests.support.rules import program


def matches(match: str, message: bytes) -> bool:
    """Ask twice: as the only test, and behind one that keeps the rule out of the fast dispatch."""
    rule = "\n- name: only\n  match: {}\n  do: [{{set: {{matched: true}}}}]"
    alone = program(rule.format(match)).apply(message)
    nested = f"{{not: {{not: {{any: [{match}, {{all: [{match}]}}]}}}}}}"
    assert program(rule.format(nested)).apply(message) == alone
    return alone is not None


@pytest.mark.parametrize(
    ("match", "value", "expected"),
    [
        ("chat", rb'"chat"', True),
        ("chat", rb'"\u0063hat"', True),
        ("chat", rb'"chat "', False),
        ("chat", rb"null", False),
        ("chat", rb'["chat"]', False),
        ("chat", rb'{"chat":1}', False),
        ("chat", rb'"\ud800"', False),
        ("é", '"é"'.encode(), True),
        ("é", rb'"\u00e9"', True),
        ("é", rb'"\u00E9"', True),
        (r"'\'", rb'"\\"', True),
        ("'a/b'", rb'"a\/b"', True),
        ("'1'", rb"1", False),
        ("1", rb"1", True),
        ("1", rb"1.0", True),
        ("1", rb"10E-1", True),
        ("1", rb'"1"', False),
        ("1", rb"true", False),
        ("1", rb"NaN", False),
        ("1", rb"-Infinity", False),
        ("1", rb"1e99999999999999999999", False),
        ("1.10", rb"1.1", True),
        ("0", rb"-0", True),
        ("12345678901234567890123", rb"12345678901234567890123", True),
        ("12345678901234567890123", rb"12345678901234567890124", False),
        ("true", rb"true", True),
        ("true", rb"1", False),
        ("false", rb"null", False),
        ("null", rb"null", True),
    ],
)
def test_equality_is_by_json_value_with_types_apart(
    match: str, value: bytes, *, expected: bool
) -> None:
    assert matches(f"{{field: a, equals: {match}}}", b'{"a": ' + value + b"}") is expected
    assert matches(f"{{field: b.a, one_of: [zzz, {match}]}}", b'{"b":{"a":' + value + b"}}") is (
        expected
    )


@pytest.mark.parametrize(
    ("match", "message", "expected"),
    [
        ("{field: a, exists: true}", b'{"a":null}', True),
        ("{field: a, exists: true}", b'{"b":1}', False),
        ("{field: a, exists: false}", b'{"b":1}', True),
        ("{field: a.b.c, exists: true}", b'{"a":{"b":{"c":1}}}', True),
        ("{field: a.b.c, exists: true}", b'{"a":{"b":[1]}}', False),
        ("{field: a.b, exists: false}", b'{"a":1}', True),
        ("{field: [a.b], exists: true}", b'{"a.b":1}', True),
        ("{field: a, equals: null}", b'{"b":1}', False),
        ("{field: a.b, equals: 1}", b"{}", False),
        ("{not: {field: a, equals: 1}}", b'{"a":2}', True),
        ("{not: {field: a, equals: 1}}", b'{"a":1}', False),
        ("{all: [{field: a, equals: 1}, {field: b, equals: 2}]}", b'{"a":1,"b":2}', True),
        ("{all: [{field: a, equals: 1}, {field: b, equals: 2}]}", b'{"a":1}', False),
        ("{any: [{field: a, equals: 1}, {field: b, equals: 2}]}", b'{"b":2}', True),
        ("{any: [{field: a, equals: 1}, {field: b, equals: 2}]}", b'{"b":1}', False),
    ],
)
def test_match(match: str, message: bytes, *, expected: bool) -> None:
    assert matches(match, message) is expected


def test_what_is_no_match_is_refused() -> None:
    with pytest.raises(TypeError, match="str is not a match"):
        compile_match("kind")
