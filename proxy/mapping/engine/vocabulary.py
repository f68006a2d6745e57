"""The words of a dialect that mappings themselves name, and that therefore are no secret."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

Word = str | float
"""A text or a number; `true`, `false` and `null` say nothing of anybody."""


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What may be shown of a message without showing what somebody wrote.

    Attributes:
        keys: the fields that name the kind: all of their values are words of the dialect.
        words: values that a rule compares with, by the name of the field.
    """

    keys: frozenset[str] = frozenset()
    words: dict[str, frozenset[Word]] = field(default_factory=dict)


def together(vocabularies: Iterable[Vocabulary]) -> Vocabulary:
    """That of a chain."""
    keys: frozenset[str] = frozenset()
    words: dict[str, frozenset[Word]] = {}
    for each in vocabularies:
        keys |= each.keys
        for name, values in each.words.items():
            words[name] = words.get(name, frozenset()) | values
    return Vocabulary(keys, words)
