"""The format of a mapping file, as types.

Whatever reads a mapping file goes through `MappingFile`. A new operation is a class here with the
operation's key as its field, a member of `Operation`, and its closure in `operations`.
"""

from __future__ import annotations

import math
import re
from typing import Annotated, Any, Final, Literal

import pydantic
from pydantic import Discriminator, Field, StrictBool, Tag

from proxy import values
from proxy.documents import as_written
from proxy.values import Channel, Direction, OnError

FieldPath = tuple[str, ...]
"""The keys that lead to a value, outermost first; never empty."""


class Section(pydantic.BaseModel):
    """Any part of a mapping file: read once, never changed, without unknown keys."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")


def read_path(written: object) -> FieldPath:
    r"""Read a field: `meta.id`, or the list of its keys where a key itself holds a dot.

    In the dotted form, `\.` is a dot that belongs to the key.

    Raises:
        ValueError: it names no field.
    """
    written = as_written(written)
    if isinstance(written, list | tuple) and written:
        keys = [as_written(key) for key in written]
        if all(isinstance(key, str) for key in keys):
            return tuple(str(key) for key in keys)
    elif isinstance(written, str):
        parts = re.split(r"(?<!\\)\.", written)
        if all(parts):
            return tuple(part.replace("\\.", ".") for part in parts)
    raise ValueError("expected a field: its key, keys joined by dots, or a list of keys")


def read_key(written: object) -> str:
    """Read the new name of a field that stays where it is.

    Raises:
        ValueError: it names no field, or one in another object.
    """
    path = read_path(written)
    if len(path) != 1:
        raise ValueError(
            "expected a key alone: a field is renamed where it stands"
            r" (write a dot that belongs to the key as `\.`)"
        )
    return path[0]


def check_json(value: object) -> object:
    """Let through what JSON can say.

    Raises:
        ValueError: somewhere inside is an infinity or not a number (RFC 8259 section 6).
    """
    match value:
        case float() if not math.isfinite(value):
            raise ValueError("JSON has no infinities and no NaN")
        case list():
            for element in value:
                check_json(element)
        case dict():
            for element in value.values():
                check_json(element)
    return value


def check_scalar(value: object) -> object:
    """Let through what a field can be compared with.

    Raises:
        ValueError: it is a list or a mapping.
    """
    if isinstance(value, list | dict):
        raise ValueError("expected text, a number, true, false or null")
    return check_json(value)


def check_name(name: str) -> str:
    """Let through what is fit to be a metric's label and part of a chain's name.

    Raises:
        ValueError: it is not.
    """
    if not re.fullmatch(r"[a-z0-9]+(?:-[a-z0-9]+)*", name) or len(name) > MAX_NAME:
        raise ValueError(
            f"expected a name of small letters, digits and single hyphens, at most {MAX_NAME} long"
        )
    if name == values.NONE:
        raise ValueError(f"`{values.NONE}` stands for no mapping in the metrics")
    return name


MAX_NAME: Final = 64

Name = Annotated[str, pydantic.AfterValidator(check_name)]
FieldReference = Annotated[FieldPath, pydantic.BeforeValidator(read_path)]
Key = Annotated[str, pydantic.BeforeValidator(read_key)]
Json = Annotated[Any, pydantic.AfterValidator(check_json)]
JsonObject = Annotated[dict[str, Any], pydantic.AfterValidator(check_json)]
Scalar = Annotated[Any, pydantic.AfterValidator(check_scalar)]


class Equals(Section):
    """The field is there and holds this value.

    Equal as in JSON Schema: types are kept apart (`true` is not 1, "1" is not 1), numbers are
    equal by their value however written (1, 1.0 and 10e-1 are), text by its characters however
    escaped. `null` is a value: a field that is not there does not equal it.
    """

    field: FieldReference
    equals: Scalar


class OneOf(Section):
    """The field is there and holds one of these values."""

    field: FieldReference
    one_of: Annotated[tuple[Scalar, ...], Field(min_length=1)]


class Exists(Section):
    """The field is there, `null` included; with `false`, it is not."""

    field: FieldReference
    exists: StrictBool


class All(Section):
    """Each of these matches."""

    all: Annotated[tuple[Match, ...], Field(min_length=1)]


class AnyOf(Section):
    """At least one of these matches."""

    any: Annotated[tuple[Match, ...], Field(min_length=1)]


class Not(Section):
    """This does not match."""

    inner: Match = Field(alias="not")


class Set(Section):
    """Give fields these values; one that is not there comes last, with the objects around it.

    Fails where something that is not an object stands in the way.
    """

    set: Annotated[dict[FieldReference, Json], Field(min_length=1)]


class Rename(Section):
    """Give fields new keys, in their place; one that is not there is left out.

    Fails where the new key is taken.
    """

    rename: Annotated[dict[FieldReference, Key], Field(min_length=1)]


class Remove(Section):
    """Take fields out; one that is not there is left out."""

    remove: Annotated[tuple[FieldReference, ...], Field(min_length=1)]


class KeepOnly(Section):
    """Take out all fields but these. `meta.id` keeps nothing else of `meta`."""

    keep_only: Annotated[tuple[FieldReference, ...], Field(min_length=1)]


class Default(Section):
    """Give these values to fields that are not there; `null` is there.

    Fails where something that is not an object stands in the way.
    """

    default: Annotated[dict[FieldReference, Json], Field(min_length=1)]


class Drop(Section):
    """Send nothing. Comes last."""

    drop: Literal[True]


def _by_key(*keys: str) -> Discriminator:
    """Choose a union's member by the one of `keys` that is there; its tag is `by <key>`."""

    def choose(value: object) -> str | None:
        if isinstance(value, dict):
            return next((f"by {key}" for key in keys if key in value), None)
        return None

    listed = ", ".join(keys)
    return Discriminator(
        choose, custom_error_type="unknown_kind", custom_error_message=f"expected one of: {listed}"
    )


Match = Annotated[
    Annotated[Equals, Tag("by equals")]
    | Annotated[OneOf, Tag("by one_of")]
    | Annotated[Exists, Tag("by exists")]
    | Annotated[All, Tag("by all")]
    | Annotated[AnyOf, Tag("by any")]
    | Annotated[Not, Tag("by not")],
    _by_key("equals", "one_of", "exists", "all", "any", "not"),
]

# They were declared before `Match` was, and pydantic leaves their fields open until then.
All.model_rebuild()
AnyOf.model_rebuild()
Not.model_rebuild()

Operation = Annotated[
    Annotated[Set, Tag("by set")]
    | Annotated[Rename, Tag("by rename")]
    | Annotated[Remove, Tag("by remove")]
    | Annotated[KeepOnly, Tag("by keep_only")]
    | Annotated[Default, Tag("by default")]
    | Annotated[Drop, Tag("by drop")],
    _by_key("set", "rename", "remove", "keep_only", "default", "drop"),
]


class Example(Section):
    """A message and what the rule makes of it: one object, a list of them, or null for none."""

    before: JsonObject = Field(alias="in")
    after: JsonObject | tuple[JsonObject, ...] | None = Field(alias="out")


class Rule(Section):
    """What to do with the messages that match."""

    name: Name
    match: Match
    do: Annotated[tuple[Operation, ...], Field(min_length=1)]
    loses: tuple[FieldReference, ...] = ()
    examples: Annotated[tuple[Example, ...], Field(min_length=1)]

    @pydantic.field_validator("do")
    @classmethod
    def _drop_comes_last(cls, do: tuple[Operation, ...]) -> tuple[Operation, ...]:
        if any(isinstance(operation, Drop) for operation in do[:-1]):
            raise ValueError("`drop` ends a rule: nothing after it is carried out")
        return do


class MappingFile(Section):
    """A mapping: the first of its rules that matches a message applies."""

    name: Name
    description: str
    channel: Literal[Channel.WEBSOCKET]
    direction: Direction
    on_error: OnError = OnError.PASS
    inverse: Name | None = None
    rules: Annotated[tuple[Rule, ...], Field(min_length=1)]
