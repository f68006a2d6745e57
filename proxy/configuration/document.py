"""Files written by people: values, where they stand, and what is wrong with them.

The configuration and the mappings are YAML, and each fault in them must point to its line and
column, whether the YAML reader found it, pydantic, or a check of Segue's own. `yamltext` says which
YAML is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from types import UnionType
from typing import Annotated, Any, Final, Union, get_args, get_origin

import pydantic
from pydantic_core import ErrorDetails

from proxy.configuration import yaml
from proxy.configuration.yaml import Path, WrittenFloat, WrittenInt, render_path
from proxy.errors import Diagnostic

__all__ = [
    "Document",
    "Path",
    "WrittenFloat",
    "WrittenInt",
    "WrittenText",
    "as_written",
    "parse",
    "problems_from",
    "render_path",
]


def as_written(value: object) -> object:
    """Give back a number as the text it was written as, anything else unchanged.

    For fields that hold versions and names: `1.10` without quotes is the version "1.10", not 1.1.
    """
    return value.text if isinstance(value, WrittenInt | WrittenFloat) else value


WrittenText = Annotated[str, pydantic.BeforeValidator(as_written)]
"""The type of a field that is text even where it looks like a number."""


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed file.

    Attributes:
        file: the file as the user named it; problems start with it.
        data: mappings (with text keys), lists, text, `WrittenInt`, `WrittenFloat`, bool, None.
        positions: line and column, both 1-based, of the value at each path.
        keys: line and column of the key, for each path that ends with one.
    """

    file: str
    data: object
    positions: Mapping[Path, tuple[int, int]] = field(repr=False)
    keys: Mapping[Path, tuple[int, int]] = field(repr=False)

    def locate(self, path: Path) -> tuple[int, int]:
        """Tell the line and column (1-based) of a value, or of the nearest parent that exists."""
        for length in range(len(path), 0, -1):
            position = self.positions.get(path[:length])
            if position is not None:
                return position
        return self.positions.get((), (1, 1))

    def problem(self, path: Path, message: str) -> Diagnostic:
        """Make a problem that points to the value at `path`."""
        line, column = self.locate(path)
        return Diagnostic(self.file, line, column, render_path(path), message)

    def problem_at_key(self, path: Path, message: str) -> Diagnostic:
        """Make a problem that points to the key at the end of `path`."""
        line, column = self.keys.get(path) or self.locate(path)
        return Diagnostic(self.file, line, column, render_path(path), message)


def parse(text: str, file: str) -> Document:
    """Read one YAML document.

    Args:
        text: the whole file.
        file: the name that problems start with.

    Raises:
        ConfigError: with every problem up to the first that ends the reading.
    """
    reading = yaml.read(text, file)
    return Document(file, reading.data, reading.positions, reading.keys)


def problems_from(
    document: Document,
    error: pydantic.ValidationError,
    model: type[pydantic.BaseModel] | None = None,
) -> list[Diagnostic]:
    """Turn what pydantic found into problems that point into the file.

    Values are never repeated: a file may hold secrets.

    Args:
        document: what was validated.
        error: what pydantic raised.
        model: the class that was validated against. With it, an unknown key is answered with the
            keys that are known there and the nearest of them.
    """
    problems: dict[Diagnostic, None] = {}
    findings = error.errors(include_url=False)
    for details in findings:
        if details["type"] == "too_short" and _has_faulty_parts(details["loc"], findings):
            # pydantic counts only the elements that are right: the list itself may be long enough.
            continue
        path = _path_in(document.data, details["loc"])
        if details["type"] == "extra_forbidden":
            known = sorted(_known_keys(model, details["loc"][:-1]))
            problem = document.problem_at_key(path, _unknown_key(str(details["loc"][-1]), known))
        else:
            if details["type"] == "missing":
                path = (*path, details["loc"][-1])
            problem = document.problem(path, _message(details))
        problems[problem] = None
    return list(problems)


def _path_in(data: Any, location: Iterable[str | int]) -> Path:
    """Keep the parts of pydantic's location that exist in the document.

    The others name members of a union, or say that a key and not its value was wrong.
    """
    path: list[str | int] = []
    for part in location:
        if isinstance(data, dict):
            exists = part in data
        elif isinstance(data, list):
            exists = isinstance(part, int) and part < len(data)
        else:
            exists = False
        if exists:
            data = data[part]
            path.append(part)
    return tuple(path)


def _has_faulty_parts(location: Path, findings: Iterable[ErrorDetails]) -> bool:
    depth = len(location)
    return any(len(other["loc"]) > depth and other["loc"][:depth] == location for other in findings)


def _unknown_key(key: str, known: list[str]) -> str:
    if not known:
        return "unknown key"
    near = get_close_matches(key, known, n=1)
    hint = f"did you mean `{near[0]}`? " if near else ""
    return f"unknown key; {hint}known here: {', '.join(known)}"


def _unknown_kind(found: object, expected: str) -> str:
    """Say what a value may have meant whose keys are none of those that would tell its kind."""
    known = expected.partition(": ")[2].split(", ")
    keys = [found] if isinstance(found, str) else list(found) if isinstance(found, dict) else []
    if isinstance(found, str) and found in known:
        return f"`{found}` comes with a value, as in `{found}: ...`"
    pairs = ((str(key), get_close_matches(str(key), known, n=1)) for key in keys)
    hints = [f"`{key}`: did you mean `{near[0]}`? " for key, near in pairs if near]
    return f"{hints[0] if hints else ''}{expected}"


_EXPECTED: Final[Mapping[str, str]] = {
    "string": "text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "list": "a list",
    "tuple": "a list",
    "set": "a list",
    "frozen_set": "a list",
    "dict": "a mapping (key: value)",
    "mapping": "a mapping (key: value)",
    "model": "a mapping (key: value)",
    "model_attributes": "a mapping (key: value)",
}
_QUOTABLE: Final = ("a number", "true or false")


def _message(details: ErrorDetails) -> str:
    kind, context = details["type"], details.get("ctx", {})
    subject = re.sub(r"_(type|parsing|from_float)$", "", kind)
    if kind == "missing":
        return "this key is required"
    if kind == "value_error":
        return str(context["error"])
    if kind == "unknown_kind":
        return _unknown_kind(details["input"], details["msg"])
    if kind in ("literal_error", "enum"):
        return f"expected {context['expected']}"
    if kind in ("too_short", "string_too_short"):
        return f"expected at least {context['min_length']}, found fewer"
    if subject != kind and subject in _EXPECTED:
        found = _kind_of(details["input"])
        hint = " (put it in quotes)" if subject == "string" and found in _QUOTABLE else ""
        return f"expected {_EXPECTED[subject]}, found {found}{hint}"
    return details["msg"][:1].lower() + details["msg"][1:]


def _kind_of(value: object) -> str:
    match value:
        case None:
            return "nothing"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "text"
        case list():
            return "a list"
        case _:
            return "a mapping"


def _known_keys(model: type[pydantic.BaseModel] | None, location: Path) -> set[str]:
    candidates: list[Any] = [] if model is None else [model]
    for part in location:
        candidates = _step(candidates, part)
    return {
        known.alias or name
        for _, candidate in _members(candidates)
        if isinstance(candidate, type) and issubclass(candidate, pydantic.BaseModel)
        for name, known in candidate.model_fields.items()
    }


def _step(annotations: Iterable[Any], part: str | int) -> list[Any]:
    """Follow one part of a pydantic location through type annotations."""
    members = list(_members(annotations))
    tagged = [member for tag, member in members if tag == part]
    if tagged:
        return tagged
    found: list[Any] = []
    for _, member in members:
        if isinstance(member, type) and issubclass(member, pydantic.BaseModel):
            found += [
                known.annotation
                for name, known in member.model_fields.items()
                if part in (known.alias, name)
            ]
        elif isinstance(part, int):
            found += [argument for argument in get_args(member) if argument is not Ellipsis]
        else:
            found += get_args(member)[1:2]
    return found


def _members(
    annotations: Iterable[Any], tag: str | None = None
) -> Iterator[tuple[str | None, Any]]:
    """Unfold unions, annotations and named aliases; each member with its `pydantic.Tag`, if any."""
    for annotation in annotations:
        origin = get_origin(annotation)
        if origin is Annotated:
            inner, *metadata = get_args(annotation)
            tags = [item.tag for item in metadata if isinstance(item, pydantic.Tag)]
            yield from _members([inner], tags[0] if tags else tag)
        elif origin in (Union, UnionType):
            yield from _members(get_args(annotation))
        elif hasattr(annotation, "__value__"):
            yield from _members([annotation.__value__])
        else:
            yield tag, annotation
