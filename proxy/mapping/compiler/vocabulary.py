"""Which words of a dialect a mapping's file names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from proxy.mapping.engine.vocabulary import Vocabulary, Word
from proxy.mapping.language import matches, model
from proxy.mapping.language.fields import FieldPath


def vocabulary_of(file: model.MappingFile) -> Vocabulary:
    """What a mapping's file names."""
    words: dict[str, frozenset[Word]] = {}
    for rule in file.rules:
        for path, values in compared(rule.match):
            name = path[-1]
            words[name] = words.get(name, frozenset()) | _words(values)
    keys = frozenset() if file.kinds is None else frozenset({file.kinds.field})
    return Vocabulary(keys, words)


def _words(values: Iterable[object]) -> frozenset[Word]:
    return frozenset(word for word in map(_word, values) if word is not None)


def _word(value: object) -> Word | None:
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            return None
    return value if isinstance(value, str) else None


def compared(match: object) -> Iterator[tuple[FieldPath, tuple[object, ...]]]:
    """The fields that a match compares with values, and these."""
    match match:
        case matches.Equals(field=path, equals=value):
            yield path, (value,)
        case matches.OneOf(field=path, one_of=values):
            yield path, tuple(values)
        case matches.All(all=parts) | matches.AnyOf(any=parts):
            for part in parts:
                yield from compared(part)
        case matches.Not(inner=inner):
            yield from compared(inner)
