"""`translate`: replace a field's value by a table, between the words of two dialects."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import pydantic
from msgspec import Raw
from pydantic import Field, WithJsonSchema

from proxy.mapping.engine.compiled import Transform, Unable
from proxy.mapping.json.literals import encode, scalar
from proxy.mapping.json.objects import Object
from proxy.mapping.language.fields import (
    FieldPath,
    FieldReference,
    MappingSection,
    Scalar,
    check_scalar,
    render,
)
from proxy.mapping.language.operation import Operation
from proxy.mapping.language.places import Change, below, in_place
from proxy.mapping.language.symbolic import SymbolicState


def _read_pairs(written: object) -> object:
    if isinstance(written, dict):
        return tuple(written.items())
    return written


def _check_pairs(pairs: tuple[tuple[Any, Any], ...]) -> tuple[tuple[Any, Any], ...]:
    keys = [scalar(encode(check_scalar(key))) for key, _ in pairs]
    if len(set(keys)) < len(keys):
        raise ValueError("a value is given twice")
    return pairs


_TABLE_SCHEMA: Final = {
    "description": (
        "What each value becomes. As a mapping, its keys are text; as a list of [from, to] pairs,"
        " they are any scalar."
    ),
    "anyOf": [
        {"type": "object", "minProperties": 1},
        {
            "type": "array",
            "minItems": 1,
            "items": {"type": "array", "minItems": 2, "maxItems": 2},
        },
    ],
}

Table = Annotated[
    tuple[tuple[Scalar, Scalar], ...],
    Field(min_length=1),
    pydantic.BeforeValidator(_read_pairs),
    pydantic.AfterValidator(_check_pairs),
    WithJsonSchema(_TABLE_SCHEMA),
]


class Translation(MappingSection):
    """A table, and what becomes of a value that is not in it.

    A value that the table does not name but gives stays as it is: it has the wanted shape. Any
    other becomes `default`, if there is one; otherwise the operation fails, or keeps it.
    """

    field: FieldReference
    table: Table
    default: Scalar = None
    otherwise: Literal["fail", "keep"] = "fail"

    @pydantic.model_validator(mode="after")
    def _one_answer(self) -> Translation:
        if {"default", "otherwise"} <= self.model_fields_set:
            raise ValueError("give `default` or `otherwise`, not both")
        return self

    @property
    def has_default(self) -> bool:
        """Whether there is a default, `null` included."""
        return "default" in self.model_fields_set


class Translate(Operation):
    """Replace a field's value by a table."""

    translate: Translation

    def touches(self) -> list[FieldPath]:
        return [self.translate.field]

    def transform(self) -> Transform:
        return in_place([_translate(self.translate)])

    def walk(self, state: SymbolicState) -> None:
        asked = self.translate
        given = {scalar(encode(after)) for _, after in asked.table}
        if asked.has_default or len(given) < len(asked.table):
            state.lose("translate", asked.field)
        else:
            table = [(after, before) for before, after in asked.table]
            state.back.append(
                {"translate": {"field": asked.field, "table": table, "otherwise": asked.otherwise}}
            )
        state.weaken(asked.field)


def _translate(asked: Translation) -> Change:
    path, key = asked.field, asked.field[-1]
    table = {scalar(encode(before)): Raw(encode(after)) for before, after in asked.table}
    given = frozenset(scalar(bytes(after)) for after in table.values())
    default = Raw(encode(asked.default)) if asked.has_default else None

    def change(parent: Object) -> bool:
        value = parent.get(key)
        if value is None:
            return False
        found = scalar(bytes(value))
        after = table.get(found)
        if after is None:
            if found in given:
                return False
            after = default
        if after is None:
            if asked.otherwise == "keep":
                return False
            raise Unable(
                f"translate: the value of `{render(path)}` is not in the table", "translate", path
            )
        if after == value:
            return False
        parent[key] = after
        return True

    return below(path, change)
