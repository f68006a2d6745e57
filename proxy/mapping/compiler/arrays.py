"""Operations on lists: on each element, and into a message each."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Raw

from proxy.mapping.engine.compiled import MAX_BYTES, MAX_MESSAGES, Operation, Unable, each
from proxy.mapping.json.objects import (
    Object,
    close_list,
    close_object,
    copy_object,
    open_list,
    open_object,
    weight,
)
from proxy.mapping.language import actions
from proxy.mapping.language.fields import FieldPath, render
from proxy.mapping.language.places import NULL, Change, below, finder, put


def for_each(path: FieldPath, operations: Sequence[Operation]) -> Change:
    """Carry operations out on each object of a list."""
    key = path[-1]

    def change(parent: Object) -> bool:
        value = parent.get(key)
        if value is None or value == NULL:
            return False
        elements = open_list(bytes(value))
        if elements is None:
            raise Unable(f"for_each: `{render(path)}` is not a list")
        written: list[bytes | Raw] = []
        changed, size = False, 0
        for element in elements:
            made = _carry_out(operations, bytes(element))
            changed |= made is not None
            for one in (element,) if made is None else made:
                written.append(one)
                size += len(one) + 1
            if size > MAX_BYTES:
                raise Unable(f"for_each: `{render(path)}` would have more than {MAX_BYTES} bytes")
        if changed:
            parent[key] = Raw(close_list(written))
        return changed

    return below(path, change)


def _carry_out(operations: Sequence[Operation], element: bytes) -> list[bytes] | None:
    """Give what stands in an element's place; None where nothing was to be done."""
    members = open_object(element)
    if members is None:
        return None
    result: tuple[Object, ...] | None = None
    for operation in operations:
        result = operation(members) if result is None else each(operation, result)
    return None if result is None else [close_object(one) for one in result]


def split(asked: actions.Splitting) -> Operation:
    """Make a message for each element of a list."""
    path = asked.field
    target = path if asked.into is None else (*path[:-1], asked.into)
    find = finder(path)
    take = below(path, lambda parent: parent.pop(path[-1], None) is not None)

    def carry_out(message: Object) -> tuple[Object, ...] | None:
        value = find(message)
        if value is None or value == NULL:
            return None
        elements = open_list(bytes(value))
        if elements is None:
            raise Unable(f"split: `{render(path)}` is not a list")
        if len(elements) > MAX_MESSAGES:
            raise Unable(f"split: `{render(path)}` has more than {MAX_MESSAGES} elements")
        take(message)
        if weight(message) * len(elements) > MAX_BYTES:
            raise Unable(f"split: more than {MAX_BYTES} bytes would come of `{render(path)}`")
        made = []
        for element in elements:
            copy = copy_object(message)
            put(copy, target, element, "split")
            made.append(copy)
        return tuple(made)

    return carry_out
