"""`split`: make a message for each element of a list."""

from __future__ import annotations

from proxy.mapping.engine.compiled import MAX_BYTES, MAX_MESSAGES, Transform, Unable
from proxy.mapping.json.objects import Object, copy_object, open_list, weight
from proxy.mapping.language.fields import FieldReference, Key, MappingSection, render
from proxy.mapping.language.operation import Operation
from proxy.mapping.language.places import NULL, below, finder, put
from proxy.mapping.language.symbolic import SymbolicState


class Splitting(MappingSection):
    """A list, and the key under which each message has its element: its own, if not given."""

    field: FieldReference
    into: Key | None = None


class Split(Operation):
    """Send a message for each element of a list, with that element, and all other fields.

    Without elements there is no message. Fails where the field is not a list, where `into` is taken
    by another field, and where more than 1,000 messages or 64 MiB would come of it.
    """

    makes = "many"

    split: Splitting

    def transform(self) -> Transform:
        return _split(self.split)

    def walk(self, state: SymbolicState) -> None:
        path = self.split.field
        state.lose("split", path)
        state.lose("split", (*path[:-1], self.split.into or path[-1]))
        state.obstacle = "`split` makes several messages of one"


def _split(asked: Splitting) -> Transform:
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
            raise Unable(f"split: `{render(path)}` is not a list", "split", path)
        if len(elements) > MAX_MESSAGES:
            raise Unable(
                f"split: `{render(path)}` has more than {MAX_MESSAGES} elements", "split", path
            )
        take(message)
        if weight(message) * len(elements) > MAX_BYTES:
            raise Unable(
                f"split: more than {MAX_BYTES} bytes would be made of `{render(path)}`",
                "split",
                path,
            )
        made = []
        for element in elements:
            copy = copy_object(message)
            put(copy, target, element, "split")
            made.append(copy)
        return tuple(made)

    return carry_out
