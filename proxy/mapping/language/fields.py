"""The smallest parts of a mapping file: names, fields, and the values that rules hold."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Annotated, Any, Final

import pydantic
from pydantic import WithJsonSchema

from proxy import types
from proxy.configuration.field_paths import read_path, render
from proxy.types import FieldPath

__all__ = [
    "MAX_NAME",
    "FieldKey",
    "FieldPath",
    "FieldReference",
    "Json",
    "JsonObject",
    "Key",
    "MappingSection",
    "Name",
    "Scalar",
    "by_key",
    "check_json",
    "check_name",
    "check_scalar",
    "read_key",
    "read_path",
    "render",
]

MAX_NAME: Final = 64
"""Characters of the longest name of a mapping or a rule."""

_NAME: Final = r"[a-z0-9]+(?:-[a-z0-9]+)*"


class MappingSection(pydantic.BaseModel):
    """Any part of a mapping file: read once, never changed, without unknown keys."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")


def read_key(written: object) -> str:
    """Read the name of a field that stays in the object that it is in.

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
    if not re.fullmatch(_NAME, name) or len(name) > MAX_NAME:
        raise ValueError(
            f"expected a name of small letters, digits and single hyphens, at most {MAX_NAME} long"
        )
    if name == types.NONE:
        raise ValueError(f"`{types.NONE}` stands for no mapping in the metrics")
    return name


_KEY_SCHEMA: Final = {
    "type": ["string", "number"],
    "description": r"A key; a dot that belongs to it is written `\.`.",
}
_PATH_SCHEMA: Final = {
    "description": (
        r"A field: its key, keys joined by dots from the outermost inwards (`meta.id`; `\.` is a"
        r" dot of a key), or the list of the keys."
    ),
    "anyOf": [
        {"type": ["string", "number"]},
        {"type": "array", "minItems": 1, "items": {"type": ["string", "number"]}},
    ],
}
_SCALAR_SCHEMA: Final = {
    "description": "Text, a number, true, false or null.",
    "type": ["string", "number", "boolean", "null"],
}

Name = Annotated[
    str,
    pydantic.AfterValidator(check_name),
    WithJsonSchema({"type": "string", "pattern": f"^{_NAME}$", "maxLength": MAX_NAME}),
]
FieldReference = Annotated[
    FieldPath, pydantic.BeforeValidator(read_path), WithJsonSchema(_PATH_SCHEMA)
]
FieldKey = Annotated[
    FieldPath, pydantic.BeforeValidator(read_path), WithJsonSchema({"type": "string"})
]
"""A field where it stands as a key of the file, and so as text."""
Key = Annotated[str, pydantic.BeforeValidator(read_key), WithJsonSchema(_KEY_SCHEMA)]
Json = Annotated[Any, pydantic.AfterValidator(check_json)]
JsonObject = Annotated[dict[str, Any], pydantic.AfterValidator(check_json)]
Scalar = Annotated[Any, pydantic.AfterValidator(check_scalar), WithJsonSchema(_SCALAR_SCHEMA)]


def by_key(*keys: str) -> pydantic.Discriminator:
    """Choose a union's member by the one of `keys` that is there; its tag is `by <key>`."""

    def choose(value: object) -> str | None:
        given: Iterable[object] = ()
        if isinstance(value, dict):
            given = value
        elif isinstance(value, MappingSection):
            fields = type(value).model_fields
            given = [field.alias or name for name, field in fields.items()]
        return next((f"by {key}" for key in keys if key in given), None)

    listed = ", ".join(keys)
    return pydantic.Discriminator(
        choose, custom_error_type="unknown_kind", custom_error_message=f"expected one of: {listed}"
    )
