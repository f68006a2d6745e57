"""Do the lock files say what their sources ask for? Offline: nothing is resolved again.

A source names packages and ranges; its lock file, made by `make lock`, has for each of them, and
for everything that they need, one version with its hashes. This finds the forgotten `make lock`.
"""

from __future__ import annotations

import re
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name
from packaging.version import Version


@dataclass(frozen=True, slots=True)
class Pin:
    """One package of a lock file.

    Attributes:
        name: the normalized name.
        version: the one version that is installed.
        hashes: the number of SHA-256 hashes.
        asked_by: what the lock file says needs it: packages, or sources such as
            `-r requirements/dev.in` and `segue-proxy (pyproject.toml)`.
    """

    name: NormalizedName
    version: Version
    hashes: int
    asked_by: frozenset[str]


def read_lock(path: Path) -> dict[NormalizedName, Pin]:
    """The pins of a lock file, by name.

    Raises:
        ValueError: an entry is not of the form `name==version`.
    """
    pins = {}
    for entry in re.split(r"\n(?=[^\s#])", "\n" + path.read_text(encoding="utf-8"))[1:]:
        match = re.match(r"([A-Za-z0-9._-]+)==([^\s;]+)", entry)
        if match is None:
            line = entry.partition("\n")[0]
            raise ValueError(f"{path}: expected `name==version`, found {line!r}")
        name = canonicalize_name(match[1])
        comments = re.findall(r"^ +#(?: +via)?(?: +(\S.*))?$", entry, re.MULTILINE)
        asked_by = frozenset(comment for comment in comments if comment)
        hashes = len(re.findall(r"--hash=sha256:[0-9a-f]{64}\b", entry))
        pins[name] = Pin(name, Version(match[2]), hashes, asked_by)
    return pins


def read_source(path: Path) -> list[Requirement]:
    """The requirements of a `.in` file."""
    lines = (line.partition("#")[0].strip() for line in path.read_text("utf-8").splitlines())
    return [Requirement(line) for line in lines if line]


def compare(
    label: str, mark: str, wanted: list[Requirement], pins: dict[NormalizedName, Pin]
) -> list[str]:
    """What a lock file has too little or too much of.

    Args:
        label: the lock file, as the messages name it.
        mark: how the lock file names the source in its comments.
        wanted: the requirements of the source.
        pins: the lock file.
    """
    problems = []
    names = set()
    for requirement in wanted:
        name = canonicalize_name(requirement.name)
        names.add(name)
        pin = pins.get(name)
        if pin is None:
            problems.append(f"{label}: {name} is asked for, but not locked")
        elif not requirement.specifier.contains(pin.version, prereleases=True):
            problems.append(f"{label}: {name} is {pin.version}, asked for is {requirement}")
    for pin in pins.values():
        if mark in pin.asked_by and pin.name not in names:
            problems.append(f"{label}: {pin.name} is locked, but no longer asked for")
        if not pin.hashes:
            problems.append(f"{label}: {pin.name} has no hash")
    return problems


def check(root: Path) -> list[str]:
    """Every problem of the lock files of the repository at `root`; empty when they are right."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    requirements = root / "requirements"
    build = read_source(requirements / "build.in")
    problems = []
    if sorted(map(str, build)) != sorted(project["build-system"]["requires"]):
        problems.append("pyproject.toml: build-system.requires is not requirements/build.in")
    for extra, wanted in project["project"].get("optional-dependencies", {}).items():
        source = requirements / f"{extra}.in"
        locked = read_source(source) if source.exists() else []
        if sorted(map(str, locked)) != sorted(wanted):
            problems.append(f"pyproject.toml: the extra {extra} is not requirements/{extra}.in")

    sources = {"runtime": [Requirement(text) for text in project["project"]["dependencies"]]}
    for path in sorted(requirements.glob("*.in")):
        sources[path.stem] = read_source(path)

    seen: dict[NormalizedName, tuple[str, Version]] = {}
    for stem, wanted in sources.items():
        label = f"requirements/{stem}.txt"
        mark = f"-r requirements/{stem}.in"
        if stem == "runtime":
            mark = f"{project['project']['name']} (pyproject.toml)"
        pins = read_lock(requirements / f"{stem}.txt")
        problems += compare(label, mark, wanted, pins)
        for pin in pins.values():
            other, version = seen.setdefault(pin.name, (label, pin.version))
            if version != pin.version:
                problems.append(f"{label}: {pin.name} is {pin.version}, but {version} in {other}")
    return problems


def main() -> int:
    """Print the problems; the exit code is 1 when there are any."""
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent.parent
    problems = check(root)
    for problem in problems:
        print(problem, file=sys.stderr)
    if problems:
        print("Run `make lock`, and commit what it changes.", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
