"""`wrap`: put fields into an object beside them."""

from __future__ import annotations

from typing import Annotated

from msgspec import Raw
from pydantic import Field

from proxy.mapping.engine.compiled import Transform, Unable
from proxy.mapping.json.objects import Object, close_object, open_object
from proxy.mapping.language.fields import FieldPath, FieldReference, Key, MappingSection, render
from proxy.mapping.language.operation import Operation
from proxy.mapping.language.places import Change, below, in_place
from proxy.mapping.language.symbolic import SymbolicState


class Wrapping(MappingSection):
    """Fields of one object, and the object inside it that they go into."""

    into: FieldReference
    fields: Annotated[tuple[Key, ...], Field(min_length=1)]


class Wrap(Operation):
    """Put fields into a new object beside them, or into one that is there already.

    The object comes last in the one that holds it; none is made where none of the fields is there.
    Fails where `into` is not an object, or has such a field.
    """

    wrap: Wrapping

    def touches(self) -> list[FieldPath]:
        into = self.wrap.into
        return [into, *((*into[:-1], key) for key in self.wrap.fields)]

    def transform(self) -> Transform:
        return in_place([_wrap(self.wrap)])

    def walk(self, state: SymbolicState) -> None:
        into, keys = self.wrap.into, self.wrap.fields
        state.back.append({"unwrap": {"field": into, "fields": [[key] for key in keys]}})
        for key in keys:
            state.moved((*into[:-1], key), (*into, key))


def _wrap(asked: Wrapping) -> Change:
    path = asked.into
    into = path[-1]

    def change(parent: Object) -> bool:
        taken = {key: parent.pop(key) for key in asked.fields if key in parent}
        if not taken:
            return False
        value = parent.get(into)
        child = {} if value is None else open_object(bytes(value))
        if child is None:
            raise Unable(f"wrap: `{render(path)}` is not an object", "wrap", path)
        for key, member in taken.items():
            if key in child:
                raise Unable(f"wrap: `{key}` is taken in `{render(path)}`", "wrap", (*path, key))
            child[key] = member
        parent[into] = Raw(close_object(child))
        return True

    return below(path, change)
