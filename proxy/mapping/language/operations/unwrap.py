"""`unwrap`: put an object's fields into the one around it."""

from __future__ import annotations

from msgspec import Raw

from proxy.mapping.engine.compiled import Transform, Unable
from proxy.mapping.json.objects import Object, close_object, open_object
from proxy.mapping.language.fields import FieldPath, FieldReference, Key, MappingSection, render
from proxy.mapping.language.operation import Operation
from proxy.mapping.language.places import NULL, Change, below, in_place
from proxy.mapping.language.symbolic import SymbolicState


class Unwrapping(MappingSection):
    """An object, and those of its fields that come out; all of them if none are listed."""

    field: FieldReference
    fields: tuple[Key, ...] = ()


class Unwrap(Operation):
    """Put an object's fields into the one around it, where they come last.

    The emptied object goes. Fails where it is not an object, or a key is taken.
    """

    unwrap: Unwrapping

    def touches(self) -> list[FieldPath]:
        path = self.unwrap.field
        return [path, *((*path[:-1], key) for key in self.unwrap.fields)]

    def transform(self) -> Transform:
        return in_place([_unwrap(self.unwrap)])

    def walk(self, state: SymbolicState) -> None:
        path, keys = self.unwrap.field, self.unwrap.fields
        if not keys:
            state.obstacle = "`unwrap` has to list its `fields`"
        state.back.append({"wrap": {"into": path, "fields": [[key] for key in keys]}})
        for key in keys:
            state.moved((*path, key), (*path[:-1], key))
        state.forget(path)


def _unwrap(asked: Unwrapping) -> Change:
    path = asked.field
    outer = path[-1]

    def change(parent: Object) -> bool:
        value = parent.get(outer)
        if value is None or value == NULL:
            return False
        child = open_object(bytes(value))
        if child is None:
            raise Unable(f"unwrap: `{render(path)}` is not an object", "unwrap", path)
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
                # Where the rule names no fields, the key is the message's own.
                named = f"`{key}`" if asked.fields else "one of its fields"
                raise Unable(f"unwrap: {named} is taken beside `{render(path)}`", "unwrap", path)
            parent[key] = member
        return True

    return below(path, change)
