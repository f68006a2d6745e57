"""From a match to a closure that answers for a message, and one that says why not."""

from __future__ import annotations

import json

from proxy.mapping.engine.compiled import Predicate, Reason
from proxy.mapping.json.literals import encode, is_plain, scalar, spellings
from proxy.mapping.json.objects import Object
from proxy.mapping.language import matches
from proxy.mapping.language.fields import FieldPath, render
from proxy.mapping.language.patterns import MAX_MATCHED, compile_pattern
from proxy.mapping.language.places import finder

MAX_SHOWN = 80
"""How many characters of a value are told."""


def compile_match(match: object) -> Predicate:
    """Turn a match into a closure.

    Raises:
        TypeError: it is not a match.
    """
    match match:
        case matches.Equals(field=path, equals=value):
            return _test_of_value(path, [value])
        case matches.OneOf(field=path, one_of=values):
            return _test_of_value(path, list(values))
        case matches.Exists(field=path, exists=exists):
            find = finder(path)
            return lambda message: (find(message) is not None) == exists
        case matches.Matches(field=path, matches=pattern):
            return _test_of_text(path, pattern)
        case matches.All(all=parts):
            tests = [compile_match(part) for part in parts]
            return lambda message: all(test(message) for test in tests)
        case matches.AnyOf(any=parts):
            tests = [compile_match(part) for part in parts]
            return lambda message: any(test(message) for test in tests)
        case matches.Not(inner=inner):
            inner_test = compile_match(inner)
            return lambda message: not inner_test(message)
    raise TypeError(f"{type(match).__name__} is not a match")


def compile_reason(match: object) -> Reason:
    """Turn a match into a closure that says which part of it a message does not fulfil."""
    match match:
        case matches.All(all=parts):
            reasons = [compile_reason(part) for part in parts]
            return lambda message: next(
                (told for reason in reasons if (told := reason(message)) is not None), None
            )
        case matches.AnyOf(any=parts):
            ways = [compile_reason(part) for part in parts]

            def none_of(message: Object) -> str | None:
                told = [reason(message) for reason in ways]
                return None if None in told else "; and ".join(filter(None, told))

            return none_of
    test, wish = compile_match(match), describe(match)
    fields = sorted(matches.fields_of(match))

    def reason(message: Object) -> str | None:
        if test(message):
            return None
        return f"{wish}, but {' and '.join(_state(path, message) for path in fields)}"

    return reason


def describe(match: object, *, negated: bool = False) -> str:
    """Say what a match asks for, in a few words."""
    no = " not" if negated else ""
    match match:
        case matches.Equals(field=path, equals=value):
            return f"`{render(path)}` must{no} be {encode(value).decode()}"
        case matches.OneOf(field=path, one_of=values):
            listed = ", ".join(encode(value).decode() for value in values)
            return f"`{render(path)}` must{no} be one of {listed}"
        case matches.Exists(field=path, exists=exists):
            return f"`{render(path)}` must{'' if exists != negated else ' not'} be there"
        case matches.Matches(field=path, matches=pattern):
            return f"`{render(path)}` must{no} match `{pattern}`"
        case matches.All(all=parts) | matches.AnyOf(any=parts):
            word = " and " if isinstance(match, matches.All) != negated else " or "
            return word.join(describe(part, negated=negated) for part in parts)
        case matches.Not(inner=inner):
            return describe(inner, negated=not negated)
    raise TypeError(f"{type(match).__name__} is not a match")


def _state(path: FieldPath, message: Object) -> str:
    found = finder(path)(message)
    if found is None:
        return f"`{render(path)}` is not there"
    text = bytes(found).decode()
    return f"`{render(path)}` is {text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + '...'}"


def _test_of_value(path: FieldPath, values: list[object]) -> Predicate:
    find = finder(path)
    wanted = frozenset(scalar(encode(value)) for value in values)
    known = frozenset(spelling for value in wanted for spelling in spellings(value))

    def test(message: Object) -> bool:
        found = find(message)
        if found is None:
            return False
        text = bytes(found)
        return text in known or (not is_plain(text) and scalar(text) in wanted)

    return test


def _test_of_text(path: FieldPath, pattern: str) -> Predicate:
    find, search = finder(path), compile_pattern(pattern)
    # An escape takes six bytes at most for a character of the text.
    longest = 6 * MAX_MATCHED + 2

    def test(message: Object) -> bool:
        found = find(message)
        if found is None or len(found) > longest:
            return False
        text = bytes(found)
        return text[:1] == b'"' and search(json.loads(text))

    return test
