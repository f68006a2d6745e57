"""`segue schema`: the JSON Schema of the configuration, or of a mapping file.

Editors check and complete YAML by it: a file names its schema in its first line, as
`# yaml-language-server: $schema=schemas/config.schema.json`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from pydantic.json_schema import GenerateJsonSchema

from proxy.cli.configuration import Subparsers
from proxy.cli.written import duration, size, written_value
from proxy.configuration.docstrings import taken_apart
from proxy.configuration.sections import Config
from proxy.mapping.language.model import mapping_schema

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"

# pydantic leaves its own names where the limit belongs to a value that is read from text.
_LIMITS: Final = {
    "ge": "minimum",
    "gt": "exclusiveMinimum",
    "le": "maximum",
    "lt": "exclusiveMaximum",
}


def add(commands: Subparsers[argparse.ArgumentParser]) -> None:
    """Put the command into place."""
    text = "print the JSON Schema of the configuration or of a mapping file"
    command = commands.add_parser("schema", help=text, description=text.capitalize() + ".")
    command.add_argument("what", choices=sorted(SCHEMAS), help="whose schema")
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print a schema."""
    print(text_of(SCHEMAS[options.what]()), end="")
    return 0


def text_of(schema: Mapping[str, Any]) -> str:
    """A schema as it stands in its file."""
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def config_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of the configuration file; texts come from the docstrings."""
    schema = Config.model_json_schema(schema_generator=_Generator)
    sections = schema.pop("$defs")
    for section in (*sections.values(), schema):
        _describe(section)
    for name, described in schema["properties"].items():
        kind = Config.model_fields[name].annotation
        if isinstance(kind, type):
            described["description"] = sections[kind.__name__]["description"]
    return {"$schema": _DIALECT, **schema, "title": "segue: config.yaml", "$defs": sections}


SCHEMAS: Final[Mapping[str, Callable[[], dict[str, Any]]]] = {
    "config": config_schema,
    "mapping": mapping_schema,
}


class _Generator(GenerateJsonSchema):
    """Writes defaults as they would stand in the file."""

    def encode_default(self, dft: Any) -> Any:
        return written_value(dft)


def _describe(section: dict[str, Any]) -> None:
    """Give each property of a section the text that the section's docstring has for it."""
    about, texts = taken_apart(section.get("description", ""))
    section["description"] = about
    for name, described in section.get("properties", {}).items():
        described.pop("title", None)
        for limited in (described, described.get("items", {})):
            for key, keyword in _LIMITS.items():
                if key in limited:
                    limited[keyword] = limited.pop(key)
        reference = described.pop("$ref", None)
        if reference is not None:
            # A section whose keys are all commented out is null. Its default says nothing more.
            described.pop("default", None)
            described["anyOf"] = [{"$ref": reference}, {"type": "null"}]
        _write_default(described)
        if name in texts:
            described["description"] = texts[name]


def _write_default(described: dict[str, Any]) -> None:
    kinds = [each.get("type") for each in described.get("anyOf", ())]
    default = described.get("default")
    if kinds == ["string", "number"] and default is not None:
        described["default"] = duration(float(default))
    elif kinds == ["string", "integer"] and default is not None:
        described["default"] = size(default)
