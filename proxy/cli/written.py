"""Settings as people write them: `15s`, `64KiB`, `[::1]:8080`."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from enum import Enum
from typing import Any, Final

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from proxy.configuration import units
from proxy.configuration.document import parse

Written = None | bool | int | str | list["Written"] | dict[str, "Written"]

# May stand without quotes, if YAML then reads it as the text that it is.
_PLAIN: Final = re.compile(r"[A-Za-z0-9/](?:[\w./+:-]*[\w/+-])?")
_SIZES: Final = (("GiB", 1024**3), ("MiB", 1024**2), ("KiB", 1024))


def written_section(section: BaseModel) -> dict[str, Written]:
    """A section of the configuration, each value as it could stand in the file."""
    return {
        key(name, field): _written(getattr(section, name), field)
        for name, field in type(section).model_fields.items()
    }


def key(name: str, field: FieldInfo) -> str:
    """What a field is called in the file."""
    return field.alias or name


def written_value(value: object) -> Written:
    """A value without units, as it could stand in the file."""
    match value:
        case BaseModel():
            return written_section(value)
        case Mapping():
            return {str(name): written_value(each) for name, each in value.items()}
        case tuple() | list():
            return [written_value(each) for each in value]
        case Enum():
            return str(value.value)
        case None | bool() | int() | str():
            return value
    # Addresses, networks, versions and ranges: their text is what was read.
    return str(value)


def duration(seconds: float) -> str:
    """A duration in the largest of s and ms that needs no fraction, where there is one."""
    milliseconds = round(seconds * 1000, 6)
    if seconds and milliseconds % 1000 and milliseconds == int(milliseconds):
        return f"{int(milliseconds)}ms"
    text = format(seconds, ".9f").rstrip("0").rstrip(".")
    return f"{text}s"


def size(number: int) -> str:
    """A size in the largest unit that needs no fraction."""
    for unit, factor in _SIZES:
        if number and number % factor == 0:
            return f"{number // factor}{unit}"
    return str(number)


def yaml_scalar(value: Written) -> str:
    """A value as it stands in a line of YAML."""
    match value:
        case None | bool() | int():
            return json.dumps(value)
        case str():
            plain = _PLAIN.fullmatch(value) is not None and parse(value, "").data == value
            return value if plain else json.dumps(value, ensure_ascii=False)
        case list():
            return f"[{', '.join(yaml_scalar(each) for each in value)}]"
        case dict():
            return json.dumps(value)


def _written(value: Any, field: FieldInfo) -> Written:
    readers = [getattr(item, "func", None) for item in field.metadata]
    if units.duration in readers and value is not None:
        return duration(value)
    if units.size in readers and value is not None:
        return size(value)
    return written_value(value)
