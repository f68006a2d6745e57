"""From a match to a closure that answers for a message."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Raw

from proxy.mapping import model
from proxy.mapping.engine import Predicate
from proxy.mapping.literals import encode, is_plain, scalar, spellings
from proxy.mapping.model import FieldPath
from proxy.mapping.objects import Object, open_object


def compile_match(match: object) -> Predicate:
    """Turn a match into a closure.

    Raises:
        TypeError: it is not a match.
    """
    match match:
        case model.Equals(field=path, equals=value):
            return _test_of_value(path, [value])
        case model.OneOf(field=path, one_of=values):
            return _test_of_value(path, list(values))
        case model.Exists(field=path, exists=exists):
            find = finder(path)
            return lambda message: (find(message) is not None) == exists
        case model.All(all=parts):
            tests = [compile_match(part) for part in parts]
            return lambda message: all(test(message) for test in tests)
        case model.AnyOf(any=parts):
            tests = [compile_match(part) for part in parts]
            return lambda message: any(test(message) for test in tests)
        case model.Not(inner=inner):
            inner_test = compile_match(inner)
            return lambda message: not inner_test(message)
    raise TypeError(f"{type(match).__name__} is not a match")


def finder(path: FieldPath) -> Callable[[Object], Raw | None]:
    """Make a closure that gives a field's value, None where it is not there."""
    *outer, last = path

    def find(message: Object) -> Raw | None:
        for key in outer:
            inner = message.get(key)
            opened = None if inner is None else open_object(bytes(inner))
            if opened is None:
                return None
            message = opened
        return message.get(last)

    return find


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
