"""The reference of an HTTP API as Markdown, from its OpenAPI document and examples of answers."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import quote, urlencode

Schema = Mapping[str, Any]

_JSON: Final = "application/json"
_REFERENCE: Final = "#/components/schemas/"
_BODY: Final = ("member", "type", "required", "default", "bounds", "meaning")
_PARAMETERS: Final = ("parameter", "in", *_BODY[1:])
_WIDEST: Final = 100
"""Characters of a line of JSON, where it can be broken."""


class Reference:
    """Writes one, part by part."""

    def __init__(
        self, document: Schema, answers: Mapping[str, Any], everywhere: frozenset[str], socket: str
    ) -> None:
        """Construct.

        Args:
            document: OpenAPI 3.1.
            answers: by method and path: an object as JSON has it, or the text of a stream.
            everywhere: statuses that every endpoint has, which are told elsewhere.
            socket: the file at which the examples ask.
        """
        self._schemas: dict[str, Schema] = document["components"]["schemas"]
        self._answers = answers
        self._everywhere = everywhere
        self._socket = socket
        self._operations = [
            (method.upper(), path, operation)
            for path, those in sorted(document["paths"].items())
            for method, operation in sorted(those.items())
        ]

    def overview(self) -> Iterator[str]:
        """A table of all endpoints."""
        yield from _header("method", "path", "role", "")
        for method, path, operation in self._operations:
            role = f"`{operation['x-segue-role']}`"
            yield _row(method, f"`{path}`", role, operation["summary"])

    def endpoints(self) -> Iterator[str]:
        """A section for each endpoint."""
        for method, path, operation in self._operations:
            yield from ("", f"### {method} {path}", "", operation["summary"])
            yield f"It takes the role `{operation['x-segue-role']}`."
            if operation["parameters"]:
                yield from ("", *_header(*_PARAMETERS))
                for each in operation["parameters"]:
                    yield self._asked(each, each["required"], each["in"])
            if "requestBody" in operation:
                yield from self._body(operation["requestBody"]["content"][_JSON]["schema"])
            yield from ("", *_header("status", "when"))
            for status, response in operation["responses"].items():
                if status not in self._everywhere:
                    yield _row(status, self._when(status, response))
            yield from ("", "```sh", self._command(method, path, operation), "```")
            answer = self._answers.get(f"{method} {path}")
            if isinstance(answer, str):
                yield from ("", "```text", *answer.splitlines(), "```")
            elif answer is not None:
                yield from ("", "```json", _written(answer), "```")

    def objects(self) -> Iterator[str]:
        """A section for each object that is answered with, or is a part of one."""
        found = {
            name
            for *_, operation in self._operations
            for response in operation["responses"].values()
            for name in _named(response)
        }
        left = sorted(found)
        while left:
            new = _named(self._schemas[left.pop()]) - found
            found |= new
            left += new
        for name in sorted(found):
            schema = self._schemas[name]
            if "properties" in schema:
                yield from ("", f"### {name}", "", _sentence(schema["description"]), "")
                yield from _header("member", "type", "meaning")
                for member, each in schema["properties"].items():
                    yield _row(f"`{member}`", self._type(each), each["description"])

    def _body(self, reference: Schema) -> Iterator[str]:
        schema = self._schemas[reference["$ref"].removeprefix(_REFERENCE)]
        members = schema.get("properties", {})
        yield from ("", f"The body: {schema['description'][0].lower()}{schema['description'][1:]}")
        if not members:
            yield "It is an empty object."
            return
        yield from ("", *_header(*_BODY))
        for name, each in members.items():
            yield self._asked({"name": name, "schema": each, **each}, name in _required(schema))
        for kind, words in (("oneOf", "Exactly one"), ("anyOf", "At least one")):
            if kind in schema:
                told = " or ".join(map(_alternative, schema[kind]))
                yield from ("", f"{words} of these is needed: {told}.")

    def _asked(self, asked: Schema, required: object, *more: str) -> str:
        schema = asked["schema"]
        default = schema.get("default")
        return _row(
            f"`{asked['name']}`",
            *more,
            self._type(schema),
            "yes" if required else "no",
            "" if required or "default" not in schema else f"`{json.dumps(default)}`",
            _bounds(schema),
            asked["description"],
        )

    def _when(self, status: str, response: Schema) -> str:
        if not status.startswith("2"):
            return str(response["description"])
        names = sorted(_named(response))
        if names:
            told = "Done: " + ", or ".join(f"[{name}](#{name.lower()})" for name in names)
        else:
            told = "Done: " + (", ".join(f"`{kind}`" for kind in response.get("content", ())))
        told = told if response.get("content") else "Done, without content"
        for name, each in response.get("headers", {}).items():
            told += f"; `{name}` is {each['description']}"
        return f"{told}."

    def _command(self, method: str, path: str, operation: Schema) -> str:
        segments, query, words = {}, {}, ["curl", "--unix-socket", self._socket]
        if method != "GET":
            words += ["--request", method]
        for each in operation["parameters"]:
            if "example" not in each:
                continue
            name, example = each["name"], each["example"]
            if each["in"] == "path":
                segments[name] = quote(example, safe="")
            elif each["in"] == "query":
                query[name] = str(example).lower() if isinstance(example, bool) else example
            else:
                words += ["--header", f"{name}: {example}"]
        if "requestBody" in operation:
            content = operation["requestBody"]["content"][_JSON]
            words += ["--header", f"Content-Type: {_JSON}"]
            words += ["--data", json.dumps(content["example"])]
        target = path.format_map(segments) + (f"?{urlencode(query)}" if query else "")
        return _broken([*words, f"http://localhost{target}"])

    def _type(self, schema: Schema) -> str:
        if "$ref" in schema:
            name = schema["$ref"].removeprefix(_REFERENCE)
            values = self._schemas[name].get("enum")
            return f"[{name}](#{name.lower()})" if values is None else _one_of(values)
        if "enum" in schema:
            return _one_of(schema["enum"])
        if "anyOf" in schema:
            return " or ".join(self._type(each) for each in schema["anyOf"])
        kind = schema.get("type")
        if kind == "array":
            return f"array of {self._type(schema['items'])}"
        inner = schema.get("additionalProperties")
        if kind == "object" and isinstance(inner, dict):
            return f"object, each member {self._type(inner)}"
        return kind or "any"


def _named(schema: object) -> set[str]:
    """The names of the schemas to which one refers, wherever in it."""
    if isinstance(schema, Mapping):
        own = {schema["$ref"].removeprefix(_REFERENCE)} if "$ref" in schema else set()
        return own.union(*map(_named, schema.values()))
    return set().union(*map(_named, schema)) if isinstance(schema, list) else set()


def _required(schema: Schema) -> list[str]:
    found: list[str] = schema.get("required", [])
    return found


def _alternative(schema: Schema) -> str:
    [(name, value)] = schema["properties"].items()
    return f"`{name}`: {json.dumps(value['const'])}" if "const" in value else f"`{name}`"


def _one_of(values: list[str]) -> str:
    return ", ".join(f"`{value}`" for value in values)


def _bounds(schema: Schema) -> str:
    if "anyOf" in schema:
        return "; ".join(filter(None, map(_bounds, schema["anyOf"])))
    parts = [
        _between(schema, "minimum", "maximum", ""),
        _between(schema, "minLength", "maxLength", " character"),
        _between(schema, "minItems", "maxItems", " item"),
    ]
    if "exclusiveMinimum" in schema:
        parts.insert(0, f"above {schema['exclusiveMinimum']:,}")
    if "pattern" in schema:
        parts.append(f"`{schema['pattern']}`")
    if schema.get("type") == "array":
        inner = _bounds(schema["items"])
        parts.append(f"each {inner}" if inner else "")
    return ", ".join(filter(None, parts))


def _between(schema: Schema, least: str, most: str, unit: str) -> str:
    low, high = schema.get(least), schema.get(most)
    units = unit and (unit if (low if high is None else high) == 1 else f"{unit}s")
    if low is None:
        return "" if high is None else f"at most {high:,}{units}"
    return f"at least {low:,}{units}" if high is None else f"{low:,} to {high:,}{units}"


def _broken(words: list[str]) -> str:
    """A command, one option in each line."""
    lines, line = [], words[0]
    for word in words[1:]:
        if word.startswith("--") or word is words[-1]:
            lines.append(line)
            line = "  " + shlex.quote(word)
        else:
            line += " " + shlex.quote(word)
    lines.append(line)
    whole = " ".join(each.strip() for each in lines)
    return whole if len(whole) <= _WIDEST else " \\\n".join(lines)


def _written(value: Any, indent: str = "") -> str:
    """JSON, an object or array in one line where it fits there."""
    line = json.dumps(value, ensure_ascii=False)
    if len(indent) + len(line) < _WIDEST or not isinstance(value, dict | list) or not value:
        return line
    deeper = indent + "  "
    if isinstance(value, dict):
        parts = [f"{json.dumps(name)}: {_written(each, deeper)}" for name, each in value.items()]
    else:
        parts = [_written(each, deeper) for each in value]
    inner = f",\n{deeper}".join(parts)
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    return f"{opening}\n{deeper}{inner}\n{indent}{closing}"


def _sentence(text: str) -> str:
    return text if text.endswith(".") else f"{text}."


def _header(*names: str) -> tuple[str, str]:
    return _row(*names), "|" + "---|" * len(names)


def _row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
