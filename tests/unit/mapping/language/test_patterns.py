"""Regular expressions: what is found, what is refused, and that none of them takes long."""

from __future__ import annotations

import pytest

from proxy.mapping.language.patterns import MAX_MATCHED, MAX_PATTERN, compile_pattern
from tests.support.rules import program

RULE = """
- name: only
  match: {field: m.text, matches: '%s'}
  do: [{set: {found: true}}]
"""


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        ("b", b'"abc"', True),
        ("^b", b'"abc"', False),
        ("^a.c$", b'"abc"', True),
        ("^é$", rb'"\u00e9"', True),
        ("(?i)ABC", b'"xabc"', True),
        (r"^\d{3}$", b'"123"', True),
        (r"^\d{3}$", b"123", False),
        (".", b"null", False),
        (".", b'["a"]', False),
        (".", rb'"\ud800"', False),
        ("^$", b'""', True),
        ("a", b'"' + b"a" * MAX_MATCHED + b'"', True),
        ("a", b'"' + b"a" * (MAX_MATCHED + 1) + b'"', False),
        ("a", b'"' + rb"\u0061" * (MAX_MATCHED + 1) + b'"', False),
    ],
)
def test_a_text_in_which_an_expression_is_found(pattern: str, text: bytes, found: bool) -> None:
    result = program(RULE % pattern).apply(b'{"m":{"text":' + text + b"}}")
    assert (result is not None) is found


def test_a_field_that_is_not_there_matches_nothing() -> None:
    assert program(RULE % "").apply(b"{}") is None


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("(", "unclosed group"),
        ("(?=a)", "look-around"),
        (r"(a)\1", "backreferences are not supported"),
        ("(a{1000}){1000}", "repeats too much"),
        ("((a{0,20}|b){2}){11}", "repeats too much"),
        ("((a{20}", "repeats too much|unclosed"),
        (r"[\w-]{81}", "repeats too much"),
        ("a" * (MAX_PATTERN + 1), "more than 1000 characters"),
    ],
)
def test_an_expression_that_is_not_understood_or_too_large_is_refused(
    pattern: str, reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        compile_pattern(pattern)


def test_repetitions_of_everyday_size_are_accepted() -> None:
    uuid = compile_pattern(r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")
    assert uuid("0b9c1f62-5c0a-4d0e-9a53-6f3a7d1c2b10")
    assert compile_pattern(r"^[\w.-]{1,64}@[]\w.{}-]+\{?$")("ada@example.org")
    assert compile_pattern(r"^a{2,}$")("aaa")


@pytest.mark.parametrize(
    "pattern",
    [
        "(a+)+$",
        "^(a|a)*$",
        "(a|aa)+$",
        "(.*a){12}b",
        "(a?){60}a{60}b",
        "^(([a-z])+.)+[A-Z]([a-z])+$",
        "((a{10}){13}){3}b",
        "(a{0,19}){20}[bc]",
        r"(\w?){60}[-+]",
    ],
)
def test_a_hostile_expression_on_a_hostile_text_has_an_answer(pattern: str) -> None:
    search = compile_pattern(pattern)
    assert not search("a" * (MAX_MATCHED - 1) + "!")  # Backtracking would take years.
