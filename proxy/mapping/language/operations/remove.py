"""`remove`: take fields out."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from proxy.mapping.engine.compiled import Transform
from proxy.mapping.language.fields import FieldPath, FieldReference
from proxy.mapping.language.operation import Operation
from proxy.mapping.language.places import Change, below, in_place
from proxy.mapping.language.symbolic import KnownValue, SymbolicState


class Remove(Operation):
    """Take fields out."""

    remove: Annotated[tuple[FieldReference, ...], Field(min_length=1)]

    def touches(self) -> tuple[FieldPath, ...]:
        return self.remove

    def transform(self) -> Transform:
        return in_place([_remove(path) for path in self.remove])

    def walk(self, state: SymbolicState) -> None:
        for path in self.remove:
            constraint = state.constraints.get(path)
            if isinstance(constraint, KnownValue):
                state.back.append({"set": {path: constraint.value}})
            elif state.vacant(path) is None:
                state.lose("remove", path)
            state.forget(path)


def _remove(path: FieldPath) -> Change:
    key = path[-1]
    return below(path, lambda parent: parent.pop(key, None) is not None)
