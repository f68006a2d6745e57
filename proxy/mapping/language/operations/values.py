"""`set` and `default`: give fields values."""

from __future__ import annotations

from typing import Annotated

from msgspec import Raw
from pydantic import Field

from proxy.mapping.engine.compiled import Transform
from proxy.mapping.json.literals import encode
from proxy.mapping.json.objects import Object
from proxy.mapping.language.fields import FieldKey, FieldPath, Json
from proxy.mapping.language.operation import Operation
from proxy.mapping.language.places import Change, below, in_place
from proxy.mapping.language.symbolic import FieldState, KnownValue, SymbolicState


class Set(Operation):
    """Give fields these values; one that is not there comes last, with the objects around it.

    Fails where something that is not an object stands in the way.
    """

    set: Annotated[dict[FieldKey, Json], Field(min_length=1)]

    def touches(self) -> list[FieldPath]:
        return list(self.set)

    def transform(self) -> Transform:
        return in_place([_set(path, value) for path, value in self.set.items()])

    def walk(self, state: SymbolicState) -> None:
        for path, value in self.set.items():
            constraint, vacant = state.constraints.get(path), state.vacant(path)
            if vacant is not None:
                state.back.append({"remove": [vacant]})
            elif isinstance(constraint, KnownValue):
                state.back.append({"set": {path: constraint.value}})
            else:
                state.lose("set", path)
            state.learn(path, value)


class Default(Operation):
    """Give these values to fields that are not there; `null` is there.

    Fails where something that is not an object stands in the way.
    """

    default: Annotated[dict[FieldKey, Json], Field(min_length=1)]

    def touches(self) -> list[FieldPath]:
        return list(self.default)

    def transform(self) -> Transform:
        return in_place([_default(path, value) for path, value in self.default.items()])

    def walk(self, state: SymbolicState) -> None:
        for path, value in self.default.items():
            if state.constraints.get(path, FieldState.ABSENT) is not FieldState.ABSENT:
                continue
            vacant = state.vacant(path)
            if vacant is not None:
                state.back.append({"remove": [vacant]})
                state.learn(path, value)
            else:
                state.lose("default", path)
                state.forget(path)


def _set(path: FieldPath, value: object) -> Change:
    literal = Raw(encode(value))
    key = path[-1]

    def change(parent: Object) -> bool:
        if parent.get(key) == literal:
            return False
        parent[key] = literal
        return True

    return below(path, change, create="set")


def _default(path: FieldPath, value: object) -> Change:
    literal = Raw(encode(value))
    key = path[-1]

    def change(parent: Object) -> bool:
        if key in parent:
            return False
        parent[key] = literal
        return True

    return below(path, change, create="default")
