"""How values are written, and the tables between the words of two dialects, as types."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Final, Literal

import pydantic
from pydantic import Field, StrictBool, WithJsonSchema

from proxy.mapping.json.literals import encode, scalar
from proxy.mapping.language.fields import FieldReference, MappingSection, Scalar, check_scalar
from proxy.mapping.language.times import MAX_DIGITS, Style, read_offset


class Format(StrEnum):
    """How a value can be written."""

    STRING = "string"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    ISO_8601 = "iso_8601"
    EPOCH_SECONDS = "epoch_seconds"
    EPOCH_MILLISECONDS = "epoch_milliseconds"


TIMES: Final = (Format.ISO_8601, Format.EPOCH_SECONDS, Format.EPOCH_MILLISECONDS)

_TYPES: Final = (
    (Format.STRING, Format.INTEGER),
    (Format.STRING, Format.NUMBER),
    (Format.STRING, Format.BOOLEAN),
    (Format.INTEGER, Format.NUMBER),
    (Format.INTEGER, Format.BOOLEAN),
)


def _read_offset(written: str) -> str:
    read_offset(written)
    return written


class Conversion(MappingSection):
    """From one way to write a value to another; a value that is written so already stays.

    Types: `string` with `integer`, `number` and `boolean`, `integer` with `number` and `boolean`
    (1 and 0), both ways, digit by digit: nothing is rounded. Fails for a value that is neither.

    Times: `iso_8601`, `epoch_seconds`, `epoch_milliseconds`, both ways, exactly.
    """

    from_: Format = Field(alias="from")
    to: Format
    digits: Annotated[int, Field(ge=0, le=MAX_DIGITS)] | None = Field(
        default=None,
        description=(
            "For times: how many digits of a fraction of a second the result has; zeros are added,"
            " and a time that has more digits fails, or is cut. As many as there are, if not given."
        ),
    )
    cut: StrictBool = Field(
        default=False, description="For times: cut what is beyond `digits` off, towards the past."
    )
    offset: Annotated[str, pydantic.AfterValidator(_read_offset)] | None = Field(
        default=None,
        description=(
            "For times: the offset from UTC (`Z`, `+02:00`) in which ISO 8601 is written, and which"
            " is assumed where a text gives none; otherwise `Z` is written and such a text fails."
        ),
    )

    @pydantic.model_validator(mode="after")
    def _fits(self) -> Conversion:
        pair = (self.from_, self.to)
        if set(pair) <= set(TIMES):
            if self.from_ is self.to and self.to is not Format.ISO_8601:
                raise ValueError("`from` and `to` are the same")
            if self.cut and self.digits is None:
                raise ValueError("`cut` needs `digits`")
        elif pair not in _TYPES and pair[::-1] not in _TYPES:
            raise ValueError(f"there is no conversion from {self.from_} to {self.to}")
        elif self.digits is not None or self.offset is not None or self.cut:
            raise ValueError("`digits`, `cut` and `offset` are for times")
        return self

    @property
    def style(self) -> Style:
        """How times are written."""
        return Style(self.digits, self.cut, self.offset)


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
            raise ValueError("`default` and `otherwise` answer the same question: give one")
        return self

    @property
    def has_default(self) -> bool:
        """Whether there is a default, `null` included."""
        return "default" in self.model_fields_set
