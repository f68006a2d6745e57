"""`segue config`: the effective configuration, and where each value came from.

What may be a secret is not shown: what a `..._FILE` variable holds, keys that are called key,
secret, password or token, and the user and password of a URL.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from proxy.cli.configuration import Subparsers, add_config, add_overrides, reading
from proxy.cli.parser import add_json
from proxy.cli.written import Written, written_section, yaml_scalar
from proxy.configuration.document import Path, render_path
from proxy.configuration.reading import ConfigReading

HIDDEN: Final = "(hidden)"

_SECRET_KEY: Final = re.compile(r"(?:.*_)?(?:key|keys|secret|password|token)", re.IGNORECASE)
_USER_INFO: Final = re.compile(r"(?<=://)[^/?#\s]*@")
_COLUMN: Final = 44


@dataclass(frozen=True, slots=True)
class Setting:
    """One value of the effective configuration.

    Attributes:
        path: the keys that lead to it.
        value: as it could stand in the file, or `HIDDEN`.
        origin: `default`, the file and line, the variable, or the flag.
    """

    path: Path
    value: Written
    origin: str


def add(commands: Subparsers[argparse.ArgumentParser]) -> None:
    """Put the command into place."""
    text = "print the effective configuration"
    command = commands.add_parser("config", help=text, description=text.capitalize() + ".")
    add_config(command)
    add_overrides(command)
    command.add_argument(
        "--show-origin", action="store_true", help="say where each value came from"
    )
    add_json(command)
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the configuration.

    Raises:
        ConfigError: it is wrong.
    """
    found = list(settings(reading(options)))
    if options.json:
        listed = [
            {
                "path": render_path(each.path),
                "value": each.value,
                **({"origin": each.origin} if options.show_origin else {}),
            }
            for each in found
        ]
        print(json.dumps(listed, indent=2))
        return 0
    for line in _yaml(found, show_origin=options.show_origin):
        print(line)
    return 0


def settings(read: ConfigReading) -> Iterator[Setting]:
    """Every value of a configuration, in the order of its sections."""
    for path, value in _leaves((), written_section(read.config)):
        origin, from_secret_file = _origin(read, path)
        yield Setting(path, _shown(path, value, from_secret_file=from_secret_file), origin)


def _leaves(path: Path, value: Written) -> Iterator[tuple[Path, Written]]:
    """The values that have no keys below them; a list of such values is one."""
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _leaves((*path, key), inner)
    elif isinstance(value, list) and any(isinstance(each, dict) for each in value):
        for index, inner in enumerate(value):
            yield from _leaves((*path, index), inner)
    else:
        yield path, value


def _origin(read: ConfigReading, path: Path) -> tuple[str, bool]:
    """Where a value came from, and whether a file with a secret held it."""
    for override in reversed(read.overrides):
        length = len(override.path)
        if path[:length] == override.path:
            if _holds(override.value, path[length:]):
                return override.source, override.in_file
            return "default", False
    document = read.document
    if path in document.positions:
        return f"{document.file}:{document.locate(path)[0]}", False
    return "default", False


def _holds(value: object, path: Path) -> bool:
    for part in path:
        inside = value if isinstance(value, Mapping) else _by_index(value)
        if part not in inside:
            return False
        value = inside[part]
    return True


def _by_index(value: object) -> Mapping[str | int, object]:
    return dict(enumerate(value)) if isinstance(value, list) else {}


def _shown(path: Path, value: Written, *, from_secret_file: bool) -> Written:
    names = [part for part in path if isinstance(part, str)]
    is_secret = any(_SECRET_KEY.fullmatch(name) for name in names)
    if value not in (None, []) and (from_secret_file or is_secret):
        return HIDDEN
    if isinstance(value, list):
        return [_shown(path, each, from_secret_file=False) for each in value]
    return _USER_INFO.sub(f"{HIDDEN}@", value) if isinstance(value, str) else value


def _yaml(found: list[Setting], *, show_origin: bool) -> Iterator[str]:
    """Write settings as YAML that `segue` would read again, origins as comments."""
    before: Path = ()
    for setting in found:
        path = setting.path
        shared = 0
        while shared < len(path) - 1 and path[: shared + 1] == before[: shared + 1]:
            shared += 1
        # The dash of a list's element stands in the line of its first key.
        dash = ""
        for depth in range(shared, len(path)):
            part = path[depth]
            indent = "  " * depth
            if isinstance(part, int):
                dash = f"{'  ' * depth}- "
                continue
            start = dash or indent
            dash = ""
            if depth < len(path) - 1:
                yield f"{start}{part}:"
            else:
                line = f"{start}{part}: {yaml_scalar(setting.value)}"
                yield f"{line:<{_COLUMN}}  # {setting.origin}" if show_origin else line
        before = path
