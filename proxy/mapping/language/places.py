"""Reaching a field through the objects around it, to look at it or to change it.

Objects are opened on the way down and closed on the way up; nothing else is looked into.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec import Raw

from proxy.mapping.engine.compiled import Transform, Unable
from proxy.mapping.json.objects import Object, close_object, open_object
from proxy.mapping.language.fields import FieldPath, render

Change = Callable[[Object], bool]
"""Changes one object in place; tells whether it did."""

NULL = Raw(b"null")


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


def below(path: FieldPath, change: Change, *, create: str = "") -> Change:
    """Carry a change out in the object that holds the path's last key.

    Where there is no such object, it is made, or there is nothing to do.

    Args:
        create: the operation that has it made; empty where none does.
    """
    for depth in range(len(path) - 2, -1, -1):
        change = inside(path[: depth + 1], change, create=create)
    return change


def inside(path: FieldPath, change: Change, *, create: str) -> Change:
    """Carry a change out in the object that is the value of the path's last key.

    The closure raises `Unable` where it is something else and should be made.
    """
    key = path[-1]

    def change_inside(parent: Object) -> bool:
        value = parent.get(key)
        if value is None and not create:
            return False
        child = {} if value is None else open_object(bytes(value))
        if child is None:
            if create:
                raise Unable(f"`{render(path)}` is not an object", create, path)
            return False
        if not change(child):
            return False
        parent[key] = Raw(close_object(child))
        return True

    return change_inside


def put(message: Object, path: FieldPath, value: Raw, operation: str) -> None:
    """Add a field, with the objects around it.

    Raises:
        Unable: it is there already, or something that is not an object stands in the way.
    """

    def add(parent: Object) -> bool:
        if path[-1] in parent:
            raise Unable(f"{operation}: `{render(path)}` is taken", operation, path)
        parent[path[-1]] = value
        return True

    below(path, add, create=operation)(message)


def take(message: Object, path: FieldPath) -> None:
    """Take a field out that is there, and with it the objects around it that it leaves empty."""
    first, *rest = path
    child = open_object(bytes(message[first])) if rest else None
    if child is not None:
        take(child, tuple(rest))
    if child:
        message[first] = Raw(close_object(child))
    else:
        del message[first]


def in_place(changes: Sequence[Change]) -> Transform:
    """Carry changes out, one after the other, in the one message that stays."""
    if len(changes) == 1:
        change = changes[0]
        return lambda message: (message,) if change(message) else None

    def carry_out(message: Object) -> tuple[Object, ...] | None:
        changed = False
        for each in changes:
            changed |= each(message)
        return (message,) if changed else None

    return carry_out
