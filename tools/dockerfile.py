"""Reading a Dockerfile and a `.dockerignore`, as far as Segue's own use them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

_VARIABLE: Final = re.compile(r"\$(?:\{(\w+)\}|(\w+))")


@dataclass(frozen=True, slots=True)
class Step:
    """One instruction, its variables not yet filled in."""

    instruction: str
    text: str


@dataclass(frozen=True, slots=True)
class Stage:
    """What is between two `FROM`."""

    base: str
    name: str
    steps: list[Step] = field(default_factory=list)


def stages(text: str) -> list[Stage]:
    """The stages of a Dockerfile.

    Raises:
        ValueError: an instruction comes before the first of them.
    """
    found: list[Stage] = []
    arguments: dict[str, str] = {}
    for step in _steps(text):
        if step.instruction == "FROM":
            base, *name = re.split(r"\s+AS\s+", step.text, flags=re.IGNORECASE)
            found.append(Stage(filled(base, arguments), name[0] if name else str(len(found))))
        elif found:
            found[-1].steps.append(step)
        elif step.instruction == "ARG":
            name_of, _, default = step.text.partition("=")
            arguments[name_of] = default
        else:
            raise ValueError(f"{step.instruction} before the first FROM")
    return found


def _steps(text: str) -> Iterator[Step]:
    lines = (line for line in text.splitlines() if not line.lstrip().startswith("#"))
    for line in re.sub(r"\\\n", " ", "\n".join(lines)).splitlines():
        if line.strip():
            instruction, _, rest = line.strip().partition(" ")
            yield Step(instruction.upper(), re.sub(r"\s+", " ", rest).strip())


def filled(text: str, variables: Mapping[str, str]) -> str:
    """A text with its variables replaced; what is not set is empty."""
    return _VARIABLE.sub(lambda found: variables.get(found[1] or found[2], ""), text)


def copy_of(step: Step) -> tuple[str | None, Sequence[str], str]:
    """What a `COPY` step copies: from which other stage, if any; which sources; where to."""
    words = step.text.split()
    flags = dict(word[2:].split("=", 1) for word in words if word.startswith("--"))
    *sources, target = (word for word in words if not word.startswith("--"))
    return flags.get("from"), sources, target


class Ignored:
    """Which files of a directory are not sent to the builder, by the lines of `.dockerignore`.

    The last line that fits decides; one that fits a directory fits all that is in it.
    """

    def __init__(self, lines: Iterable[str]) -> None:
        wanted = (line.strip() for line in lines)
        self._rules = [
            (line.startswith("!"), _pattern(line.lstrip("!").strip("/")))
            for line in wanted
            if line and not line.startswith("#")
        ]

    def __call__(self, path: str) -> bool:
        parts = path.strip("/").split("/")
        prefixes = ["/".join(parts[: count + 1]) for count in range(len(parts))]
        ignored = False
        for is_exception, pattern in self._rules:
            if any(pattern.fullmatch(prefix) for prefix in prefixes):
                ignored = not is_exception
        return ignored


def _pattern(line: str) -> re.Pattern[str]:
    """Of one line: `*` stays within a name, `**/` is any number of directories."""
    within = re.sub(r"\[[^\]]*\]|.", _token, line.removeprefix("**/"))
    return re.compile(f"(?:.*/)?{within}" if line.startswith("**/") else within)


def _token(found: re.Match[str]) -> str:
    match found[0]:
        case "*":
            return "[^/]*"
        case "?":
            return "[^/]"
        case text:
            return text if len(text) > 1 else re.escape(text)
