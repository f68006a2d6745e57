"""The words of a dialect: what a mapping's file names, and nothing that only its clients know."""

from __future__ import annotations

from typing import Any

from proxy.mapping.compiler.vocabulary import vocabulary_of
from proxy.mapping.engine.vocabulary import Vocabulary, together
from proxy.mapping.language.model import MappingFile

EXAMPLE = {"in": {"a": 1}, "out": {}}


def mapping(match: Any, **more: Any) -> MappingFile:
    return MappingFile.model_validate(
        {
            "name": "m",
            "description": "d",
            "channel": "websocket",
            "direction": "to_client",
            "rules": [
                {"name": "r", "match": match, "do": [{"remove": ["a"]}], "examples": [EXAMPLE]}
            ],
            **more,
        }
    )


def test_all_values_of_the_field_of_kinds_are_words() -> None:
    file = mapping({"field": "a", "exists": True}, kinds={"field": "type", "known": ["x"]})
    assert vocabulary_of(file) == Vocabulary(frozenset({"type"}), {})


def test_values_that_rules_compare_with_are_words_wherever_they_stand() -> None:
    match = {
        "all": [
            {"field": "kind", "one_of": ["a", 1, True, None]},
            {"any": [{"field": "data.kind", "equals": "b"}, {"field": "n", "equals": 2.5}]},
            {"not": {"field": "user", "equals": "admin"}},
            {"field": "text", "matches": "^secret"},
            {"field": "x", "exists": True},
        ]
    }
    assert vocabulary_of(mapping(match)) == Vocabulary(
        frozenset(),
        {
            "kind": frozenset({"a", 1.0, "b"}),
            "n": frozenset({2.5}),
            "user": frozenset({"admin"}),
        },
    )


def test_number_that_no_float_holds_is_no_word() -> None:
    huge = {"field": "n", "one_of": [10**400, 0, ""]}
    assert vocabulary_of(mapping(huge)).words == {"n": frozenset({0.0, ""})}


def test_chain_has_the_words_of_all() -> None:
    first = Vocabulary(frozenset({"kind"}), {"a": frozenset({"x"})})
    second = Vocabulary(frozenset({"type"}), {"a": frozenset({"y"}), "b": frozenset({1.0})})
    assert together([first, second]) == Vocabulary(
        frozenset({"kind", "type"}), {"a": frozenset({"x", "y"}), "b": frozenset({1.0})}
    )
