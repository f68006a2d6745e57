"""Which resources a message of the server names, by its own fields, wherever in it they stand."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Any, Final

import msgspec

from proxy.freshness.resources import Name, loosely
from proxy.types import FieldPath

MOST_VALUES: Final = 20_000
"""Values of a message that are gone through: a few milliseconds."""


def names_in(message: bytes, fields: Collection[FieldPath]) -> set[Name] | None:
    """The names in a message: in every object of it, in lists too.

    Args:
        message: its text.
        fields: that name something; the value of one is a text, a whole number, or a list of those.

    Returns:
        None where it cannot be read for certain: it is no JSON, it has too many values, or a field
        has a value that is no name.
    """
    try:
        return _names_in(msgspec.json.decode(message), fields)
    except (ValueError, RecursionError):  # No JSON, nested too deep, or a number of many digits.
        return None


def _names_in(document: Any, fields: Collection[FieldPath]) -> set[Name] | None:
    stack = [document]
    names: set[Name] = set()
    left = MOST_VALUES
    while stack:
        value = stack.pop()
        if isinstance(value, dict):
            for field in fields:
                for found in _at(value, field):
                    if not isinstance(found, str | int) or isinstance(found, bool):
                        return None
                    names.add(Name(field, loosely(str(found))))
            members: Iterable[Any] = value.values()
        elif isinstance(value, list):
            members = value
        else:
            continue
        left -= len(value)
        if left < 0:
            return None
        stack += [each for each in members if isinstance(each, dict | list)]
    return names


def _at(value: Any, path: FieldPath) -> Iterator[Any]:
    """What stands at a path, in lists on the way too; nothing where there is none, or null."""
    if isinstance(value, list):
        for each in value:
            yield from _at(each, path)
    elif not path:
        if value is not None:
            yield value
    elif isinstance(value, dict) and path[0] in value:
        yield from _at(value[path[0]], path[1:])
