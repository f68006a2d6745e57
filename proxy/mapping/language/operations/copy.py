"""`copy`: put copies of fields in other places."""

from __future__ import annotations

from typing import Annotated

import pydantic
from pydantic import Field

from proxy.mapping.engine.compiled import MAX_BYTES, Transform, Unable
from proxy.mapping.json.objects import Object
from proxy.mapping.language.fields import FieldKey, FieldPath, FieldReference, render
from proxy.mapping.language.operation import Operation
from proxy.mapping.language.places import Change, finder, in_place, put
from proxy.mapping.language.symbolic import FieldState, SymbolicState


class Copy(Operation):
    """Put copies of fields in other places, where they come last. Fails as `move` does."""

    copy_: Annotated[dict[FieldKey, FieldReference], Field(min_length=1, alias="copy")]

    @pydantic.field_validator("copy_")
    @classmethod
    def _apart(cls, fields: dict[FieldPath, FieldPath]) -> dict[FieldPath, FieldPath]:
        for source, target in fields.items():
            if target[: len(source)] == source or source[: len(target)] == target:
                raise ValueError("a field cannot be copied to itself, into itself or around itself")
        return fields

    def touches(self) -> list[FieldPath]:
        return list(self.copy_.values())

    def transform(self) -> Transform:
        return in_place([_copy(source, target) for source, target in self.copy_.items()])

    def walk(self, state: SymbolicState) -> None:
        for target in self.copy_.values():
            # Removing the copy would leave an object that was made for it.
            if len(target) > 1 and state.constraints.get(target[:-1]) is not FieldState.PRESENT:
                state.lose("copy", target[:-1])
            state.back.append({"remove": [target]})
            state.forget(target)


def _copy(source: FieldPath, target: FieldPath) -> Change:
    find = finder(source)

    def change(message: Object) -> bool:
        value = find(message)
        if value is None:
            return False
        # Copies of what holds copies double each time.
        if len(value) > MAX_BYTES:
            raise Unable(
                f"copy: `{render(source)}` has more than {MAX_BYTES} bytes", "copy", source
            )
        put(message, target, value, "copy")
        return True

    return change
