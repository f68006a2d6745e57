"""From an operation of a rule to a closure that carries it out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from msgspec import Raw

from proxy.mapping import model
from proxy.mapping.engine import Operation, Unable
from proxy.mapping.literals import encode
from proxy.mapping.model import FieldPath
from proxy.mapping.objects import Object, close_object, open_object

Change = Callable[[Object], bool]
"""Changes one object in place; tells whether it did."""


def compile_operation(operation: object) -> Operation:
    """Turn an operation into a closure.

    Raises:
        TypeError: it is not an operation.
    """
    match operation:
        case model.Set(set=fields):
            return _in_place([_set(path, value) for path, value in fields.items()])
        case model.Rename(rename=fields):
            return _in_place([_rename(path, key) for path, key in fields.items()])
        case model.Remove(remove=paths):
            return _in_place([_remove(path) for path in paths])
        case model.KeepOnly(keep_only=paths):
            return _in_place([_keep_only(paths)])
        case model.Default(default=fields):
            return _in_place([_default(path, value) for path, value in fields.items()])
        case model.Drop():
            return lambda _: ()
    raise TypeError(f"{type(operation).__name__} is not an operation")


def _in_place(changes: Sequence[Change]) -> Operation:
    if len(changes) == 1:
        change = changes[0]
        return lambda message: (message,) if change(message) else None

    def carry_out(message: Object) -> tuple[Object, ...] | None:
        changed = False
        for each in changes:
            changed |= each(message)
        return (message,) if changed else None

    return carry_out


def _set(path: FieldPath, value: object) -> Change:
    literal = Raw(encode(value))
    key = path[-1]

    def change(parent: Object) -> bool:
        if parent.get(key) == literal:
            return False
        parent[key] = literal
        return True

    return _below(path, change, create=True)


def _default(path: FieldPath, value: object) -> Change:
    literal = Raw(encode(value))
    key = path[-1]

    def change(parent: Object) -> bool:
        if key in parent:
            return False
        parent[key] = literal
        return True

    return _below(path, change, create=True)


def _rename(path: FieldPath, new: str) -> Change:
    old = path[-1]

    def change(parent: Object) -> bool:
        if old not in parent or old == new:
            return False
        if new in parent:
            raise Unable(f"rename: `{'.'.join(path)}` cannot become `{new}`, which is taken")
        members = [(new if key == old else key, value) for key, value in parent.items()]
        parent.clear()
        parent.update(members)
        return True

    return _below(path, change)


def _remove(path: FieldPath) -> Change:
    key = path[-1]
    return _below(path, lambda parent: parent.pop(key, None) is not None)


def _below(path: FieldPath, change: Change, *, create: bool = False) -> Change:
    """Carry a change out in the object that holds the path's last key.

    Where there is no such object, it is made, or there is nothing to do.
    """
    for depth in range(len(path) - 2, -1, -1):
        change = _inside(path[: depth + 1], change, create=create)
    return change


def _inside(path: FieldPath, change: Change, *, create: bool) -> Change:
    key = path[-1]

    def change_inside(parent: Object) -> bool:
        value = parent.get(key)
        if value is None and not create:
            return False
        child = {} if value is None else open_object(bytes(value))
        if child is None:
            if create:
                raise Unable(f"`{'.'.join(path)}` is not an object")
            return False
        if not change(child):
            return False
        parent[key] = Raw(close_object(child))
        return True

    return change_inside


def _keep_only(paths: Iterable[FieldPath]) -> Change:
    """Keep whole fields, and of those only named in part, the parts."""
    inner: dict[str, list[FieldPath]] = {}
    for first, *rest in paths:
        inner.setdefault(first, []).append(tuple(rest))
    parts = {
        key: _inside((key,), _keep_only(below), create=False)
        for key, below in inner.items()
        if all(below)
    }

    def change(parent: Object) -> bool:
        unwanted = [key for key in parent if key not in inner]
        for key in unwanted:
            del parent[key]
        changed = bool(unwanted)
        for part in parts.values():
            changed |= part(parent)
        return changed

    return change
