"""YAML text to plain values, and the line and column of each.

PyYAML's own constructor forgets the positions, keeps the last of two equal keys, and reads
YAML 1.1, where `on` is a boolean, `1:30` a number and `2024-05-01` a date. This module walks
PyYAML's event stream itself, without recursion, and resolves plain scalars by the core schema of
YAML 1.2 (section 10.3.2): null, true and false, integers, floats, and text for everything else.

Refused: anchors and aliases (a page of them can unfold to gigabytes), tags, duplicate keys, keys
that are lists or mappings, more than one document, more than `MAX_CHARACTERS` or `MAX_DEPTH`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import yaml

from proxy.errors import ConfigError, Diagnostic

MAX_CHARACTERS: Final = 1_048_576
"""The longest text that is read, in characters."""

MAX_DEPTH: Final = 64
"""How deep lists and mappings may be nested."""

MAX_NUMBER: Final = 1_000
"""The longest number that is read, in characters (Python refuses integers over 4,300 digits)."""

Path = tuple[str | int, ...]
"""The keys and list positions that lead from the document's root to a value."""


class WrittenInt(int):
    """An integer that remembers how it was written.

    Attributes:
        text: the source text, such as `007` or `0x1F`.
    """

    text: str

    def __new__(cls, value: int, text: str) -> WrittenInt:
        number = super().__new__(cls, value)
        number.text = text
        return number


class WrittenFloat(float):
    """A number with a fraction or an exponent that remembers how it was written.

    Attributes:
        text: the source text, such as `1.10`.
    """

    text: str

    def __new__(cls, value: float, text: str) -> WrittenFloat:
        number = super().__new__(cls, value)
        number.text = text
        return number


def render_path(path: Path) -> str:
    """Write a path as people do: `rules[0].match.field`, `headers["x.y"]`."""
    parts: list[str] = []
    for part in path:
        if isinstance(part, int):
            parts.append(f"[{part}]")
        elif re.fullmatch(r"[\w-]+", part):
            parts.append(f".{part}" if parts else part)
        else:
            escaped = part.replace("\\", "\\\\").replace('"', '\\"')
            parts.append(f'["{escaped}"]')
    return "".join(parts)


@dataclass(frozen=True, slots=True)
class YamlReading:
    """What was read from one file.

    Attributes:
        data: mappings (with text keys), lists, text, `WrittenInt`, `WrittenFloat`, bool, None.
        positions: line and column, both 1-based, of the value at each path.
        keys: line and column of the key, for each path that ends with one.
    """

    data: object
    positions: dict[Path, tuple[int, int]] = field(default_factory=dict)
    keys: dict[Path, tuple[int, int]] = field(default_factory=dict)


def read(text: str, file: str) -> YamlReading:
    """Read one YAML document.

    Args:
        text: the whole file.
        file: the name that problems start with.

    Raises:
        ConfigError: with every problem up to the first that ends the reading.
    """
    if len(text) > MAX_CHARACTERS:
        message = f"the file has {len(text)} characters; at most {MAX_CHARACTERS} are read"
        raise ConfigError([Diagnostic(file, 1, 1, "", message)])
    return _YamlReader(file).read(text)


class _Unreadable(Exception):
    """Reading cannot go on; the problem that ended it is already on the list."""


@dataclass(slots=True)
class _Container:
    """A list or mapping that is being filled."""

    value: list[object] | dict[str, object]
    path: Path
    key: str | None = None

    def next_path(self) -> Path:
        """Tell the path of the value that comes next."""
        if isinstance(self.value, list):
            return (*self.path, len(self.value))
        return self.path if self.key is None else (*self.path, self.key)

    def wants_key(self) -> bool:
        return self.key is None and isinstance(self.value, dict)

    def add(self, value: object) -> None:
        if isinstance(self.value, list):
            self.value.append(value)
        else:
            assert self.key is not None
            self.value[self.key] = value
            self.key = None


class _YamlReader:
    """Turns the events of one file into a `Document`."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.problems: list[Diagnostic] = []
        self.positions: dict[Path, tuple[int, int]] = {}
        self.keys: dict[Path, tuple[int, int]] = {}
        self.stack: list[_Container] = []
        self.root: object = None
        self.position = (1, 1)

    def read(self, text: str) -> YamlReading:
        try:
            for event in yaml.parse(text, Loader=yaml.SafeLoader):
                mark: Any = event.start_mark
                self.position = (mark.line + 1, mark.column + 1)
                self.take(event)
        except _Unreadable:
            pass
        except yaml.reader.ReaderError as error:
            before = text[: error.position]
            column = len(before) - (before.rfind("\n") + 1) + 1
            self.position = (before.count("\n") + 1, column)
            self.report("this character is not allowed in YAML", path=())
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            self.position = (mark.line + 1, mark.column + 1)
            self.report(f"not readable as YAML: {error.problem or error.context}", path=())
        except (ValueError, OverflowError):
            # PyYAML calls chr() and int() on whatever an escape or a directive holds.
            self.report("an escape or a number after this place is out of range", path=())
        if self.problems:
            raise ConfigError(self.problems)
        return YamlReading(self.root, self.positions, self.keys)

    def report(self, message: str, path: Path | None = None) -> None:
        where = self.path() if path is None else path
        self.problems.append(Diagnostic(self.file, *self.position, render_path(where), message))

    def path(self) -> Path:
        return self.stack[-1].next_path() if self.stack else ()

    def take(self, event: yaml.Event) -> None:
        match event:
            case yaml.DocumentStartEvent():
                if () in self.positions:
                    self.report("a second document starts here; one file holds one", path=())
                    raise _Unreadable
            case yaml.AliasEvent():
                self.report("aliases (*name) are not supported: write the value out")
                # Where it stands as a key, nothing sensible can follow.
                if self.stack and self.stack[-1].wants_key():
                    raise _Unreadable
                self.place(None)
            case yaml.ScalarEvent():
                self.refuse_properties(event)
                self.take_scalar(event)
            case yaml.SequenceStartEvent():
                self.refuse_properties(event)
                self.open([])
            case yaml.MappingStartEvent():
                self.refuse_properties(event)
                self.open({})
            case yaml.SequenceEndEvent() | yaml.MappingEndEvent():
                self.stack.pop()

    def refuse_properties(self, event: yaml.NodeEvent) -> None:
        if event.anchor is not None:
            self.report("anchors (&name) are not supported: write the value out where it is used")
        if getattr(event, "tag", None) is not None:
            self.report("tags (!name) are not supported")

    def open(self, value: list[object] | dict[str, object]) -> None:
        if self.stack and self.stack[-1].wants_key():
            self.report("a key must be text, not a list or a mapping")
            raise _Unreadable
        if len(self.stack) >= MAX_DEPTH:
            self.report(f"nested deeper than {MAX_DEPTH} levels")
            raise _Unreadable
        path = self.path()
        self.place(value)
        self.stack.append(_Container(value, path))

    def take_scalar(self, event: yaml.ScalarEvent) -> None:
        text = self.readable_text(event.value)
        plain = event.style is None
        if not self.stack or not self.stack[-1].wants_key():
            self.place(self.resolve(text) if plain else text)
            return
        container = self.stack[-1]
        if plain and not text:
            self.report("a key is missing before the colon")
        path = (*container.path, text)
        if path in self.keys:
            line, _ = self.keys[path]
            self.report(f"this key is already given in line {line}", path)
        self.keys[path] = self.position
        container.key = text

    def place(self, value: object) -> None:
        self.positions[self.path()] = self.position
        if self.stack:
            self.stack[-1].add(value)
        else:
            self.root = value

    def readable_text(self, text: str) -> str:
        # JSON, which is YAML too, writes characters beyond U+FFFF as two escapes.
        try:
            return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le")
        except UnicodeDecodeError:
            self.report("the text holds half of a surrogate pair")
            return ""

    def resolve(self, text: str) -> object:
        """Give a plain scalar its value (YAML 1.2, section 10.3.2)."""
        if text in _CONSTANTS:
            return _CONSTANTS[text]
        if not _NUMBER.fullmatch(text):
            return text
        if len(text) > MAX_NUMBER:
            self.report(f"a number of {len(text)} characters; put it in quotes if it is text")
            return None
        if _INTEGER.fullmatch(text):
            # Base 0 reads 0x and 0o but refuses leading zeros, which YAML 1.2 allows.
            return WrittenInt(int(text, 10 if text[1:2] not in ("x", "o") else 0), text)
        number = float(text.replace(".inf", "inf").replace(".Inf", "inf").replace(".INF", "inf"))
        if math.isinf(number) and "i" not in text.lower():
            self.report("this number is too large; put it in quotes if it is text")
        return WrittenFloat(number, text)


_CONSTANTS: Final[Mapping[str, object]] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **{text: WrittenFloat(math.nan, text) for text in (".nan", ".NaN", ".NAN")},
}
_INTEGER: Final = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_NUMBER: Final = re.compile(
    rf"{_INTEGER.pattern}"
    r"|[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
    r"|[-+]?\.(?:inf|Inf|INF)"
)
