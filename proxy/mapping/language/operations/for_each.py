"""`for_each`: carry operations out on each object of a list."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import pydantic
from msgspec import Raw
from pydantic import Field

from proxy.mapping.engine.compiled import MAX_BYTES, Transform, Unable, each
from proxy.mapping.json.objects import Object, close_list, close_object, open_list, open_object
from proxy.mapping.language.fields import FieldPath, FieldReference, MappingSection, render
from proxy.mapping.language.operation import Operation, check_order, walk
from proxy.mapping.language.places import NULL, Change, below, in_place
from proxy.mapping.language.symbolic import SymbolicState

if TYPE_CHECKING:
    # pydantic leaves the field open until `table` tells which operations there are.
    AnyOperation = Operation


class Each(MappingSection):
    """A list, and what to do with each of its elements that is an object."""

    field: FieldReference
    do: Annotated[tuple[AnyOperation, ...], Field(min_length=1)]

    @pydantic.field_validator("do")
    @classmethod
    def _check_do(cls, do: tuple[Operation, ...]) -> tuple[Operation, ...]:
        for operation in do:
            if operation.makes == "many":
                raise ValueError(
                    f"`{operation.key()}` makes several messages: not possible inside `for_each`"
                )
        return check_order(do)


class ForEach(Operation):
    """Carry operations out on each object of a list; fields are those of the element.

    `drop` takes the element out of the list. Elements that are no objects stay. Fails where the
    field is not a list.
    """

    for_each: Each

    def touches(self) -> list[FieldPath]:
        return [self.for_each.field]

    def transform(self) -> Transform:
        asked = self.for_each
        return in_place([_for_each(asked.field, [inner.compile() for inner in asked.do])])

    def walk(self, state: SymbolicState) -> None:
        asked = self.for_each
        inner = SymbolicState({})
        walk(asked.do, inner)
        for loss in inner.losses:
            state.lose(loss.operation, (*asked.field, *loss.path))
        if any(operation.makes == "none" for operation in asked.do):
            state.lose("drop", asked.field)
            state.obstacle = "elements that are dropped do not come back"
        state.obstacle = state.obstacle or inner.obstacle
        if inner.back:
            state.back.append({"for_each": {"field": asked.field, "do": inner.back[::-1]}})
        state.weaken(asked.field)


def _for_each(path: FieldPath, operations: Sequence[Transform]) -> Change:
    key = path[-1]

    def change(parent: Object) -> bool:
        value = parent.get(key)
        if value is None or value == NULL:
            return False
        elements = open_list(bytes(value))
        if elements is None:
            raise Unable(f"for_each: `{render(path)}` is not a list", "for_each", path)
        written: list[bytes | Raw] = []
        changed, size = False, 0
        for element in elements:
            try:
                made = _carry_out(operations, bytes(element))
            except Unable as unable:
                unable.path = (*path[:-1], f"{key}[]", *unable.path)
                raise
            changed |= made is not None
            for one in (element,) if made is None else made:
                written.append(one)
                size += len(one) + 1
            if size > MAX_BYTES:
                raise Unable(
                    f"for_each: `{render(path)}` would have more than {MAX_BYTES} bytes",
                    "for_each",
                    path,
                )
        if changed:
            parent[key] = Raw(close_list(written))
        return changed

    return below(path, change)


def _carry_out(operations: Sequence[Transform], element: bytes) -> list[bytes] | None:
    """Give what stands in an element's place; None where nothing was to be done."""
    members = open_object(element)
    if members is None:
        return None
    result: tuple[Object, ...] | None = None
    for operation in operations:
        result = operation(members) if result is None else each(operation, result)
    return None if result is None else [close_object(one) for one in result]
