"""From an operation of a rule to a closure that carries it out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Raw

from proxy.mapping.compiler.arrays import for_each, split
from proxy.mapping.compiler.conversions import convert, translate
from proxy.mapping.engine.compiled import MAX_BYTES, Operation, Predicate, Unable
from proxy.mapping.json.literals import encode
from proxy.mapping.json.objects import Object, close_object, open_object
from proxy.mapping.language import actions
from proxy.mapping.language.fields import FieldPath, render
from proxy.mapping.language.places import NULL, Change, below, finder, inside, put, take
from proxy.mapping.language.predicates import compile_match


def compile_operation(operation: object) -> Operation:
    """Turn an operation into a closure.

    Raises:
        TypeError: it is not an operation.
    """
    if not isinstance(operation, actions.Action):
        raise TypeError(f"{type(operation).__name__} is not an operation")
    carry_out = _compile(operation)
    if operation.when is None:
        return carry_out
    return _on_condition(compile_match(operation.when), carry_out)


def _on_condition(condition: Predicate, carry_out: Operation) -> Operation:
    return lambda message: carry_out(message) if condition(message) else None


def _compile(operation: actions.Action) -> Operation:
    match operation:
        case actions.Drop():
            return lambda _: ()
        case actions.Split(split=asked):
            return split(asked)
        case actions.ForEach(for_each=asked):
            each = [compile_operation(inner) for inner in asked.do]
            return _in_place([for_each(asked.field, each)])
        case _:
            return _in_place(_changes(operation))


def _changes(operation: actions.Action) -> Sequence[Change]:
    match operation:
        case actions.Set(set=values):
            return [_set(path, value) for path, value in values.items()]
        case actions.Default(default=values):
            return [_default(path, value) for path, value in values.items()]
        case actions.Rename(rename=keys):
            return [_rename(path, key) for path, key in keys.items()]
        case actions.Move(move=places):
            return [_move(source, target) for source, target in places.items()]
        case actions.Copy(copy_=places):
            return [_copy(source, target) for source, target in places.items()]
        case actions.Remove(remove=paths):
            return [_remove(path) for path in paths]
        case actions.KeepOnly(keep_only=paths):
            return [_keep_only(paths)]
        case actions.Convert(convert=conversions):
            return [convert(path, conversion) for path, conversion in conversions.items()]
        case actions.Translate(translate=translation):
            return [translate(translation)]
        case actions.Wrap(wrap=wrapping):
            return [_wrap(wrapping)]
        case actions.Unwrap(unwrap=unwrapping):
            return [_unwrap(unwrapping)]
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

    return below(path, change, create=True)


def _default(path: FieldPath, value: object) -> Change:
    literal = Raw(encode(value))
    key = path[-1]

    def change(parent: Object) -> bool:
        if key in parent:
            return False
        parent[key] = literal
        return True

    return below(path, change, create=True)


def _rename(path: FieldPath, new: str) -> Change:
    old = path[-1]

    def change(parent: Object) -> bool:
        if old not in parent or old == new:
            return False
        if new in parent:
            raise Unable(f"rename: `{render(path)}` cannot become `{new}`, which is taken")
        members = [(new if key == old else key, value) for key, value in parent.items()]
        parent.clear()
        parent.update(members)
        return True

    return below(path, change)


def _move(source: FieldPath, target: FieldPath) -> Change:
    find = finder(source)

    def change(message: Object) -> bool:
        value = find(message)
        if value is None:
            return False
        take(message, source)
        put(message, target, value, "move")
        return True

    return change


def _copy(source: FieldPath, target: FieldPath) -> Change:
    find = finder(source)

    def change(message: Object) -> bool:
        value = find(message)
        if value is None:
            return False
        # Copies of what holds copies double each time.
        if len(value) > MAX_BYTES:
            raise Unable(f"copy: `{render(source)}` has more than {MAX_BYTES} bytes")
        put(message, target, value, "copy")
        return True

    return change


def _remove(path: FieldPath) -> Change:
    key = path[-1]
    return below(path, lambda parent: parent.pop(key, None) is not None)


def _keep_only(paths: Iterable[FieldPath]) -> Change:
    """Keep whole fields, and of those only named in part, the parts."""
    inner: dict[str, list[FieldPath]] = {}
    for first, *rest in paths:
        inner.setdefault(first, []).append(tuple(rest))
    parts = {
        key: inside((key,), _keep_only(deeper), create=False)
        for key, deeper in inner.items()
        if all(deeper)
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


def _wrap(asked: actions.Wrapping) -> Change:
    path = asked.into
    into = path[-1]

    def change(parent: Object) -> bool:
        taken = {key: parent.pop(key) for key in asked.fields if key in parent}
        if not taken:
            return False
        value = parent.get(into)
        child = {} if value is None else open_object(bytes(value))
        if child is None:
            raise Unable(f"wrap: `{render(path)}` is not an object")
        for key, member in taken.items():
            if key in child:
                raise Unable(f"wrap: `{key}` is taken in `{render(path)}`")
            child[key] = member
        parent[into] = Raw(close_object(child))
        return True

    return below(path, change)


def _unwrap(asked: actions.Unwrapping) -> Change:
    path = asked.field
    outer = path[-1]

    def change(parent: Object) -> bool:
        value = parent.get(outer)
        if value is None or value == NULL:
            return False
        child = open_object(bytes(value))
        if child is None:
            raise Unable(f"unwrap: `{render(path)}` is not an object")
        keys = [key for key in asked.fields or child if key in child]
        if asked.fields and not keys:
            return False
        taken = {key: child.pop(key) for key in keys}
        if child:
            parent[outer] = Raw(close_object(child))
        else:
            del parent[outer]
        for key, member in taken.items():
            if key in parent:
                raise Unable(f"unwrap: `{key}` is taken beside `{render(path)}`")
            parent[key] = member
        return True

    return below(path, change)
