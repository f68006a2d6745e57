"""What the environment and the command line say over the configuration file.

`SEGUE_UPSTREAM__URL` is the key `url` in the section `upstream`; `SEGUE_UPSTREAM__URL_FILE` names a
file that holds the value, as orchestrators mount secrets. A variable that names no setting is an
error, because a misspelt one would otherwise change nothing, without a word.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from enum import Enum
from typing import Final

from proxy.configuration.document import parse, render_path
from proxy.errors import ConfigError, Diagnostic

PREFIX: Final = "SEGUE_"
RESERVED: Final = frozenset({"SEGUE_CONFIG", "SEGUE_STATE_DIR", "SEGUE_ADMIN_TOKEN"})
"""Variables of Segue's that are no settings."""
RESERVED_PREFIX: Final = "SEGUE_DEMO_"

FLAGS: Final[Mapping[str, tuple[str, ...]]] = {
    "listen": ("listen", "address"),
    "upstream": ("upstream", "url"),
    "admin": ("admin", "address"),
}
"""The settings that have a flag."""

_FILE_SUFFIX: Final = "_file"
# For a service named `segue`, or `segue-...`, Kubernetes puts such variables into every container
# of the namespace: SEGUE_SERVICE_HOST=10.0.0.1, SEGUE_PORT_80_TCP=tcp://10.0.0.1:80.
_SERVICE_NAME: Final = re.compile(
    r"SEGUE_(?:\w+_)?"
    r"(?:SERVICE_HOST|SERVICE_PORT(?:_\w+)?|PORT_[0-9]+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?)"
)
_SERVICE_PORT: Final = re.compile(r"(?:tcp|udp|sctp)://.*")
_NULLS: Final = frozenset({"", "~", "null"})
# With which a list in YAML begins: in brackets, or with a dash on each line.
_IN_YAML: Final = ("[", "{", "- ", "-\n", "#")


class Kind(Enum):
    """What a key holds."""

    SECTION = "section"
    SCALAR = "scalar"
    LIST = "list"
    MAP = "map"


@dataclass(frozen=True, slots=True)
class Override:
    """One value that takes the place of the file's.

    Attributes:
        source: the environment variable or flag, as the user knows it.
        path: the keys that lead to the value.
        value: as the YAML reader would have given it.
        in_file: whether `source` names a file that holds the value, as one does with secrets.
    """

    source: str
    path: tuple[str, ...]
    value: object = field(repr=False)
    in_file: bool = False


def from_environment(
    env: Mapping[str, str],
    known: Mapping[tuple[str, ...], Kind],
    read_file: Callable[[str], str],
) -> tuple[list[Override], list[Diagnostic]]:
    """Read the overrides that the environment holds, and what is wrong with them.

    The value of a section is YAML, and so is that of a list (`[header, query]`) unless it is
    written with commas (`header, query`); any other is taken as it stands, so that `[::1]:8080` and
    `>=2` need no quotes, except that nothing, `~` or `null` means null, and quotes around it are
    read as YAML's.

    Args:
        env: the whole environment; what does not begin with `SEGUE_` plays no part.
        known: the keys that exist.
        read_file: gives the text of a file; raises OSError or ConfigError.
    """
    overrides: list[Override] = []
    setters: dict[tuple[str, ...], str] = {}
    problems: list[Diagnostic] = []
    for name in sorted(env):
        if _is_foreign(name):
            continue
        path, in_file = _path_of(name, known)
        if path is None:
            if not _is_of_orchestrator(name, env[name]):
                problems.append(Diagnostic(name, 0, 0, "", _unknown(name, known)))
            continue
        if path in setters:
            message = f"also set by {setters[path]}; set one of the two"
            problems.append(Diagnostic(name, 0, 0, render_path(path), message))
            continue
        setters[path] = name
        try:
            text = read_file(env[name]).rstrip("\r\n") if in_file else env[name]
            value = _value(text, known[path], verbatim=in_file)
            overrides.append(Override(name, path, value, in_file))
        except ConfigError as error:
            problems += [
                Diagnostic(name, 0, 0, render_path(path), p.message) for p in error.problems
            ]
        except OSError as error:
            reason = (error.strerror or "no reason given").lower()
            message = f"the file that it names cannot be read: {reason}"
            problems.append(Diagnostic(name, 0, 0, render_path(path), message))
    return sorted(overrides, key=lambda override: len(override.path)), problems


def from_flags(flags: Mapping[str, object]) -> list[Override]:
    """Read the overrides of the command line: by the flag's name; None where it was not given."""
    return [
        Override(f"--{name}", FLAGS[name], value)
        for name, value in flags.items()
        if value is not None
    ]


def applied(data: object, overrides: Iterable[Override]) -> object:
    """The data with the overrides in place, in their order; the original stays as it was.

    `from_environment` puts sections before the keys within them. Where the file holds something
    else than a section its error stands, and what was to go into the section is left out.
    """
    for override in overrides:
        data = _with(data, override.path, override.value)
    return data


def attributed(problems: Iterable[Diagnostic], overrides: Sequence[Override]) -> list[Diagnostic]:
    """The problems, those with an overridden value said of the variable or flag that set it."""
    return [_attributed(problem, overrides) for problem in problems]


def is_within(path: str, outer: str) -> bool:
    """Whether a rendered path leads to, or into, the value at another."""
    return path == outer or path.startswith((f"{outer}.", f"{outer}["))


def _attributed(problem: Diagnostic, overrides: Sequence[Override]) -> Diagnostic:
    # The last one set the value for good.
    for override in reversed(overrides):
        if is_within(problem.path, render_path(override.path)):
            return replace(problem, file=override.source, line=0, column=0)
    return problem


def _with(data: object, path: tuple[str, ...], value: object) -> object:
    if not path:
        return value
    if data is None:
        data = {}
    if not isinstance(data, dict):
        return data
    return {**data, path[0]: _with(data.get(path[0]), path[1:], value)}


def _is_foreign(name: str) -> bool:
    return not name.startswith(PREFIX) or name in RESERVED or name.startswith(RESERVED_PREFIX)


def _is_of_orchestrator(name: str, value: str) -> bool:
    if name.endswith("_PORT") and _SERVICE_PORT.fullmatch(value):
        return True
    return _SERVICE_NAME.fullmatch(name) is not None


def _path_of(
    name: str, known: Mapping[tuple[str, ...], Kind]
) -> tuple[tuple[str, ...] | None, bool]:
    """The setting that a variable names, and whether in a file. A key's own name goes first."""
    path = tuple(name.removeprefix(PREFIX).lower().split("__"))
    if path in known:
        return path, False
    if path[-1].endswith(_FILE_SUFFIX):
        path = (*path[:-1], path[-1].removesuffix(_FILE_SUFFIX))
        if path in known:
            return path, True
    return None, False


def _value(text: str, kind: Kind, *, verbatim: bool) -> object:
    if kind is Kind.LIST and text.strip() not in _NULLS and not text.lstrip().startswith(_IN_YAML):
        return _listed(text)
    if kind is not Kind.SCALAR or (not verbatim and text.startswith(('"', "'"))):
        return parse(text, "").data
    return None if text in _NULLS and not verbatim else text


def _listed(text: str) -> list[object]:
    """The elements of a list that is written with commas, or else with white space between them."""
    parts = text.strip().removesuffix(",").split(",") if "," in text else text.split()
    return [_value(part.strip(), Kind.SCALAR, verbatim=False) for part in parts]


def _unknown(name: str, known: Mapping[tuple[str, ...], Kind]) -> str:
    path = tuple(name.removeprefix(PREFIX).lower().split("__"))
    for length in range(len(path) - 1, 0, -1):
        kind = known.get(path[:length])
        if kind in (Kind.LIST, Kind.MAP):
            ways = "as YAML or with commas" if kind is Kind.LIST else "as YAML"
            return f"a {kind.value} is set whole, {ways}, by {variable(path[:length])}"
    # Without the prefix, which would make all of them alike.
    names = sorted(variable(known_path).removeprefix(PREFIX) for known_path in known)
    near = get_close_matches(name.upper().removeprefix(PREFIX), names, n=1)
    hint = f"; did you mean {PREFIX}{near[0]}?" if near else ""
    return f"no setting has this name{hint}"


def variable(path: tuple[str, ...]) -> str:
    """The name of the variable for a setting."""
    return PREFIX + "__".join(path).upper()
