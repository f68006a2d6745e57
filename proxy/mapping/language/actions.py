"""What a rule can do with a message, as types: the operations of the language.

A new operation is a class here with the operation's key as a field, a member of `Operation`, its
closure in `operations`, and its way back in `inverse`. In each of them a field that is not there is
left alone unless it says otherwise, and so is `null` where a list, an object or text is expected.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal

import pydantic
from pydantic import Field, Tag

from proxy.mapping.language.fields import (
    FieldKey,
    FieldPath,
    FieldReference,
    Json,
    Key,
    MappingSection,
    by_key,
)
from proxy.mapping.language.formats import Conversion, Translation
from proxy.mapping.language.matches import Match


class Action(MappingSection):
    """Any operation. With `when`, only for messages that match it at that moment."""

    when: Match | None = None

    def touches(self) -> Iterable[FieldPath]:
        """Name the fields that may change, themselves or in what they hold; `()` for all."""
        return [()]


class Set(Action):
    """Give fields these values; one that is not there comes last, with the objects around it.

    Fails where something that is not an object stands in the way.
    """

    set: Annotated[dict[FieldKey, Json], Field(min_length=1)]

    def touches(self) -> Iterable[FieldPath]:
        return self.set


class Default(Action):
    """Give these values to fields that are not there; `null` is there.

    Fails where something that is not an object stands in the way.
    """

    default: Annotated[dict[FieldKey, Json], Field(min_length=1)]

    def touches(self) -> Iterable[FieldPath]:
        return self.default


class Rename(Action):
    """Give fields new keys, in their place. Fails where the new key is taken."""

    rename: Annotated[dict[FieldKey, Key], Field(min_length=1)]

    def touches(self) -> Iterable[FieldPath]:
        return [*self.rename, *((*path[:-1], key) for path, key in self.rename.items())]


class Move(Action):
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

    def touches(self) -> Iterable[FieldPath]:
        return [*self.move, *self.move.values()]


class Copy(Action):
    """Put copies of fields in other places, where they come last. Fails as `move` does."""

    copy_: Annotated[dict[FieldKey, FieldReference], Field(min_length=1, alias="copy")]

    @pydantic.field_validator("copy_")
    @classmethod
    def _apart(cls, fields: dict[FieldPath, FieldPath]) -> dict[FieldPath, FieldPath]:
        for source, target in fields.items():
            if target[: len(source)] == source or source[: len(target)] == target:
                raise ValueError("a field cannot be copied to itself, into itself or around itself")
        return fields

    def touches(self) -> Iterable[FieldPath]:
        return self.copy_.values()


class Remove(Action):
    """Take fields out."""

    remove: Annotated[tuple[FieldReference, ...], Field(min_length=1)]

    def touches(self) -> Iterable[FieldPath]:
        return self.remove


class KeepOnly(Action):
    """Take out all fields but these. `meta.id` keeps nothing else of `meta`."""

    keep_only: Annotated[tuple[FieldReference, ...], Field(min_length=1)]


class Convert(Action):
    """Write the values of fields in another way: another type, another format of time."""

    convert: Annotated[dict[FieldKey, Conversion], Field(min_length=1)]

    def touches(self) -> Iterable[FieldPath]:
        return self.convert


class Translate(Action):
    """Replace a field's value by a table."""

    translate: Translation

    def touches(self) -> Iterable[FieldPath]:
        return [self.translate.field]


class Wrapping(MappingSection):
    """Fields of one object, and the object inside it that they go into."""

    into: FieldReference
    fields: Annotated[tuple[Key, ...], Field(min_length=1)]


class Wrap(Action):
    """Put fields into a new object beside them, or into one that is there already.

    The object comes last in the one that holds it; none is made where none of the fields is there.
    Fails where `into` is not an object, or has such a field.
    """

    wrap: Wrapping

    def touches(self) -> Iterable[FieldPath]:
        into = self.wrap.into
        return [into, *((*into[:-1], key) for key in self.wrap.fields)]


class Unwrapping(MappingSection):
    """An object, and those of its fields that come out; all of them if none are listed."""

    field: FieldReference
    fields: tuple[Key, ...] = ()


class Unwrap(Action):
    """Put an object's fields into the one around it, where they come last.

    The emptied object goes. Fails where it is not an object, or a key is taken.
    """

    unwrap: Unwrapping

    def touches(self) -> Iterable[FieldPath]:
        path = self.unwrap.field
        return [path, *((*path[:-1], key) for key in self.unwrap.fields)]


class Each(MappingSection):
    """A list, and what to do with each of its elements that is an object."""

    field: FieldReference
    do: Annotated[tuple[Operation, ...], Field(min_length=1)]

    @pydantic.field_validator("do")
    @classmethod
    def _check_do(cls, do: tuple[Operation, ...]) -> tuple[Operation, ...]:
        if any(isinstance(operation, Split) for operation in do):
            raise ValueError("`split` makes messages, and there are none inside of one")
        return check_order(do)


class ForEach(Action):
    """Carry operations out on each object of a list; fields are those of the element.

    `drop` takes the element out of the list. Elements that are no objects stay. Fails where the
    field is not a list.
    """

    for_each: Each

    def touches(self) -> Iterable[FieldPath]:
        return [self.for_each.field]


class Splitting(MappingSection):
    """A list, and the key under which each message has its element: its own, if not given."""

    field: FieldReference
    into: Key | None = None


class Split(Action):
    """Send a message for each element of a list, with that element, and all other fields.

    Without elements there is no message. Fails where the field is not a list, where `into` is taken
    by another field, and where more than 1,000 messages or 64 MiB would come of it.
    """

    split: Splitting


class Drop(Action):
    """Send nothing. Comes last, unless it has a condition."""

    drop: Literal[True]

    def touches(self) -> Iterable[FieldPath]:
        return []


def check_order(do: tuple[Operation, ...]) -> tuple[Operation, ...]:
    """Let operations through that can all be reached.

    Raises:
        ValueError: some stand behind a `drop` that has no condition.
    """
    if any(isinstance(operation, Drop) and operation.when is None for operation in do[:-1]):
        raise ValueError("`drop` ends a rule: nothing after it is carried out")
    return do


Operation = Annotated[
    Annotated[Set, Tag("by set")]
    | Annotated[Default, Tag("by default")]
    | Annotated[Rename, Tag("by rename")]
    | Annotated[Move, Tag("by move")]
    | Annotated[Copy, Tag("by copy")]
    | Annotated[Remove, Tag("by remove")]
    | Annotated[KeepOnly, Tag("by keep_only")]
    | Annotated[Convert, Tag("by convert")]
    | Annotated[Translate, Tag("by translate")]
    | Annotated[Wrap, Tag("by wrap")]
    | Annotated[Unwrap, Tag("by unwrap")]
    | Annotated[ForEach, Tag("by for_each")]
    | Annotated[Split, Tag("by split")]
    | Annotated[Drop, Tag("by drop")],
    by_key(
        "set",
        "default",
        "rename",
        "move",
        "copy",
        "remove",
        "keep_only",
        "convert",
        "translate",
        "wrap",
        "unwrap",
        "for_each",
        "split",
        "drop",
    ),
]


def key_of(operation: Action) -> str:
    """Tell the key by which a file asks for an operation, such as `set`."""
    name, field = next(
        (name, field) for name, field in type(operation).model_fields.items() if name != "when"
    )
    return field.alias or name


# They were declared before `Operation` was.
Each.model_rebuild()
ForEach.model_rebuild()
