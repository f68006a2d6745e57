"""The format of a mapping file, as types.

Whatever reads a mapping file goes through `MappingFile`. `fields` has its smallest parts, `matches`
what a rule can ask, `table` what it can do.
"""

from __future__ import annotations

from typing import Annotated, Any

import pydantic
from pydantic import Field

from proxy.mapping.language.fields import (
    FieldPath,
    FieldReference,
    JsonObject,
    Key,
    MappingSection,
    Name,
)
from proxy.mapping.language.matches import Match
from proxy.mapping.language.operation import Operation, check_order
from proxy.mapping.language.table import AnyOperation
from proxy.types import Channel, Direction, OnError

__all__ = ["Derivation", "Example", "FieldPath", "Kinds", "MappingFile", "Rule", "mapping_schema"]


class Example(MappingSection):
    """A message and what the rule makes of it: one object, a list of them, or null for none."""

    before: JsonObject = Field(alias="in")
    after: JsonObject | tuple[JsonObject, ...] | None = Field(alias="out")


class Rule(MappingSection):
    """What to do with the messages that match."""

    name: Name = Field(description="Unique in the file; a label of the metrics.")
    match: Match
    do: Annotated[tuple[AnyOperation, ...], Field(min_length=1)] = Field(
        description="The operations, one after the other."
    )
    loses: tuple[FieldReference, ...] = Field(
        default=(),
        description="Fields of the message whose values the way back does not restore.",
    )
    examples: Annotated[tuple[Example, ...], Field(min_length=1)] = Field(
        description="Run whenever the file is loaded."
    )

    @pydantic.field_validator("do")
    @classmethod
    def _check_do(cls, do: tuple[Operation, ...]) -> tuple[Operation, ...]:
        return check_order(do)


class Derivation(MappingSection):
    """An inverse that is made from this file, rule by rule, and can be bound by its name."""

    derive: Name = Field(description="The inverse's name.")
    direction: Direction | None = Field(
        default=None, description="The inverse's direction; that of this file, if not given."
    )


class Kinds(MappingSection):
    """The kinds of messages that are known, whether a rule maps them or not.

    Messages that no rule changes are counted by their kind: by its name if it is listed here, as
    `other` if it is not. A rising `other` says that a rule is missing.
    """

    field: Key = Field(description="The field that names the kind.")
    known: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=64)], ...],
        Field(min_length=1, max_length=64),
    ] = Field(description="Its known values; labels of the metrics.")


class MappingFile(MappingSection):
    """A mapping: the first of its rules that matches a message applies.

    On the channel `http`, rules apply to the body if it is an object, and to each of its elements
    if it is a list.
    """

    name: Name = Field(description="What cohorts bind, and a label of the metrics.")
    description: str
    channel: Channel = Field(
        description="What is rewritten: WebSocket messages, or the JSON bodies of HTTP routes."
    )
    direction: Direction = Field(
        description="To the client (messages, response bodies), or to the server (request bodies)."
    )
    on_error: OnError = Field(
        default=OnError.PASS,
        description=(
            "What is sent when a rule that matched cannot be carried out: the original (`pass`),"
            " nothing (`drop`), or an end of the connection with 1011, of a request with 502."
        ),
    )
    inverse: Name | Derivation | None = Field(
        default=None,
        description="The mapping that leads back: its name, or `{derive: name}` to have it made.",
    )
    kinds: Kinds | None = Field(
        default=None, description="The known kinds of messages, for `segue_unmapped_kinds_total`."
    )
    rules: Annotated[tuple[Rule, ...], Field(min_length=1)]

    @pydantic.field_validator("rules")
    @classmethod
    def _bodies_are_one(
        cls, rules: tuple[Rule, ...], info: pydantic.ValidationInfo
    ) -> tuple[Rule, ...]:
        if info.data.get("channel") is Channel.HTTP:
            for rule in rules:
                if any(operation.makes != "one" for operation in rule.do):
                    raise ValueError(
                        f"the rule `{rule.name}` drops or splits: a body stays one body"
                        " (inside `for_each`, `drop` takes elements out)"
                    )
        return rules

    @pydantic.model_validator(mode="after")
    def _answer_with_something(self) -> MappingFile:
        if self.channel is Channel.HTTP and self.on_error is OnError.DROP:
            raise ValueError("a body cannot be dropped: `on_error` is `pass` or `close`")
        return self


def mapping_schema() -> dict[str, Any]:
    """Give the JSON Schema (2020-12) of a mapping file, for editors.

    It is generated from the types. What a schema cannot say (an expression that does not compile, a
    rule that can never match) is found when the file is loaded.
    """
    schema = MappingFile.model_json_schema(by_alias=True)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "A mapping of Segue",
    }
