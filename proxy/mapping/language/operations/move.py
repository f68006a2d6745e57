"""`move`: take fields to other places."""

from __future__ import annotations

from typing import Annotated

import pydantic
from pydantic import Field

from proxy.mapping.engine.compiled import Transform
from proxy.mapping.json.objects import Object
from proxy.mapping.language.fields import FieldKey, FieldPath, FieldReference
from proxy.mapping.language.operation import Operation
from proxy.mapping.language.places import Change, finder, in_place, put, take
from proxy.mapping.language.symbolic import SymbolicState


class Move(Operation):
    """Take fields to other places, where they come last, with the objects around them.

    Fails where the new place is taken, or something that is not an object stands in the way. An
    object that nothing is left in goes.
    """

    move: Annotated[dict[FieldKey, FieldReference], Field(min_length=1)]

    @pydantic.field_validator("move")
    @classmethod
    def _apart(cls, fields: dict[FieldPath, FieldPath]) -> dict[FieldPath, FieldPath]:
        for source, target in fields.items():
            if target[: len(source)] == source:
                raise ValueError("a field cannot be moved to itself or into itself")
            if source[: len(target)] == target:
                raise ValueError("a field cannot take the place of an object around it")
        return fields

    def touches(self) -> list[FieldPath]:
        return [*self.move, *self.move.values()]

    def transform(self) -> Transform:
        return in_place([_move(source, target) for source, target in self.move.items()])

    def walk(self, state: SymbolicState) -> None:
        for source, target in self.move.items():
            state.back.append({"move": {target: source}})
            state.moved(source, target)


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
