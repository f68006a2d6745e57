"""The lock files: made from `pyproject.toml`, and checked against it.

    python tools/locks.py make [--upgrade]
    python tools/locks.py check [ROOT]

Each `requirements/NAME.txt` that `LOCKS` names is a closure: what is asked for and everything that
this needs, one version each, with hashes. It is installed as it stands, without a resolver
(`tools/install_locked`): one would take up newer releases before it saw the pins.

The check works offline. It finds the forgotten `make lock`, and by the metadata of what is
installed a lock file that is no closure, on each Python that the project claims.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from packaging.dependency_groups import resolve_dependency_groups
from packaging.markers import Marker, default_environment
from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name
from packaging.version import Version

ROOT: Final = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class Lock:
    """One lock file, `requirements/NAME.txt`.

    Attributes:
        name: its name.
        project: does it have the project's own dependencies?
        extras: those of the project's extras that it has.
        build: does it have what `build-system` requires?
        groups: the dependency groups (PEP 735) that it has.
    """

    name: str
    project: bool = False
    extras: tuple[str, ...] = ()
    build: bool = False
    groups: tuple[str, ...] = ()


LOCKS: Final = (
    Lock("runtime", project=True),
    Lock("redis", project=True, extras=("redis",)),
    Lock("otel", project=True, extras=("otel",)),
    Lock("build", build=True),
    Lock("demo", groups=("demo",)),
    Lock("compile", build=True, groups=("compile",)),
    Lock("lock", groups=("lock",)),
    Lock("dev", project=True, extras=("redis", "otel"), groups=("dev",)),
    Lock("fuzz", groups=("fuzz",)),
    Lock("api-fuzz", groups=("api-fuzz",)),
)
"""In the order in which they are made: each keeps to the versions of those before it."""


@dataclass(frozen=True, slots=True)
class Pin:
    """One package of a lock file.

    Attributes:
        name: the normalized name.
        version: the one version that is installed.
        marker: where it is installed; None is everywhere.
        has_hashes: whether it has hashes, all of them SHA-256 and of the right length.
        asked_by: what the lock file says needs it: packages, and sources such as
            `segue-proxy (pyproject.toml:dev)`. Empty for what came by standard input.
        others: further versions of it, for where this one is not installed.
    """

    name: NormalizedName
    version: Version
    marker: Marker | None
    has_hashes: bool
    asked_by: frozenset[str]
    others: tuple[Pin, ...] = ()

    def under(self, environment: dict[str, str]) -> Pin | None:
        """The version that is installed in an environment; None where none is."""
        fit = (pin for pin in (self, *self.others) if pin.fits(environment))
        return next(fit, None)

    def fits(self, environment: dict[str, str]) -> bool:
        """Is this version installed in an environment?"""
        return self.marker is None or self.marker.evaluate(environment)

    @property
    def is_asked_for(self) -> bool:
        """Does a source name it, and not only another package?"""
        return not self.asked_by or any(" (pyproject.toml" in each for each in self.asked_by)


def read_lock(path: Path) -> dict[NormalizedName, Pin]:
    """The pins of a lock file, by name.

    Raises:
        ValueError: an entry is not of the form `name==version`.
    """
    pins: dict[NormalizedName, Pin] = {}
    for entry in re.split(r"\n(?=[^\s#])", "\n" + path.read_text(encoding="utf-8"))[1:]:
        match = re.match(r"([A-Za-z0-9._-]+)==([^\s;]+)(?: *; *([^\\\n]+))?", entry)
        if match is None:
            line = entry.partition("\n")[0]
            raise ValueError(f"{path}: expected `name==version`, found {line!r}")
        name = canonicalize_name(match[1])
        comments = re.findall(r"^ +#(?: +via)?(?: +(\S.*))?$", entry, re.MULTILINE)
        asked_by = frozenset(text for text in comments if text and not text.startswith("-c "))
        hashes = re.findall(r"--hash=(\S+)", entry)
        marker = Marker(match[3].strip()) if match[3] else None
        pin = Pin(name, Version(match[2]), marker, _are_whole(hashes), asked_by)
        before = pins.get(name)
        others = () if before is None else (before, *before.others)
        pins[name] = replace(pin, others=others)
    return pins


def _are_whole(hashes: list[str]) -> bool:
    return bool(hashes) and all(re.fullmatch("sha256:[0-9a-f]{64}", each) for each in hashes)


def wanted_by(lock: Lock, project: dict[str, Any]) -> list[Requirement]:
    """What the sources of a lock file ask for, by the table of `pyproject.toml`."""
    texts: list[str] = []
    if lock.project:
        texts += project["project"]["dependencies"]
    for extra in lock.extras:
        texts += project["project"]["optional-dependencies"][extra]
    if lock.build:
        texts += project["build-system"]["requires"]
    texts += resolve_dependency_groups(project.get("dependency-groups", {}), *lock.groups)
    return [Requirement(text) for text in texts]


def compare(label: str, wanted: list[Requirement], pins: dict[NormalizedName, Pin]) -> list[str]:
    """What a lock file has too little or too much of what its sources name."""
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
        if pin.is_asked_for and pin.name not in names:
            problems.append(f"{label}: {pin.name} is locked, but no longer asked for")
        if not all(each.has_hashes for each in (pin, *pin.others)):
            problems.append(f"{label}: {pin.name} has no hash, or one that is no SHA-256")
    return problems


def requirements_of(pin: Pin) -> list[Requirement] | None:
    """What the package says that it needs; None where that version is not installed here."""
    try:
        found = metadata.distribution(pin.name)
    except metadata.PackageNotFoundError:
        return None
    if Version(found.version) != pin.version:
        return None
    return [Requirement(text) for text in found.requires or ()]


def open_ends(
    label: str, wanted: list[Requirement], pins: dict[NormalizedName, Pin], python: str
) -> Iterator[str]:
    """What a lock file lacks of a closure on this machine, under a Python `major.minor`."""
    environment: dict[str, str] = {**default_environment()}  # type: ignore[dict-item]
    environment["python_version"] = python
    environment["python_full_version"] = environment["implementation_version"] = f"{python}.0"
    # What the sources ask for and is not locked is said by `compare`.
    locked = [each for each in wanted if canonicalize_name(each.name) in pins]
    ask: list[tuple[str, Requirement, str]] = [("its source", each, "") for each in locked]
    seen: set[tuple[NormalizedName, str]] = set()
    while ask:
        by, requirement, extra = ask.pop()
        if requirement.marker and not requirement.marker.evaluate({**environment, "extra": extra}):
            continue
        locked_as = pins.get(canonicalize_name(requirement.name))
        pin = None if locked_as is None else locked_as.under(environment)
        if pin is None:
            yield f"{label}: no closure on Python {python}: {by} needs {requirement}, not locked"
            continue
        if not requirement.specifier.contains(pin.version, prereleases=True):
            yield f"{label}: {pin.name} is {pin.version}, but {by} needs {requirement}"
        for more in ("", *requirement.extras):
            if (pin.name, more) not in seen:
                seen.add((pin.name, more))
                ask += [(pin.name, each, more) for each in requirements_of(pin) or ()]


def claimed_pythons(project: dict[str, Any]) -> list[str]:
    """The versions, `major.minor`, that the classifiers name."""
    pattern = r"Programming Language :: Python :: (3\.\d+)"
    found = (re.fullmatch(pattern, each) for each in project["project"].get("classifiers", ()))
    return [match[1] for match in found if match]


def read_project(root: Path) -> dict[str, Any]:
    """The table of `pyproject.toml`."""
    return tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))


def check(root: Path) -> list[str]:
    """Every problem of the lock files of the repository at `root`; empty when they are right."""
    project = read_project(root)
    problems = []
    seen: dict[NormalizedName, tuple[str, Version]] = {}
    for lock in LOCKS:
        label = f"requirements/{lock.name}.txt"
        pins = read_lock(root / label)
        wanted = wanted_by(lock, project)
        problems += compare(label, wanted, pins)
        for python in claimed_pythons(project):
            problems += open_ends(label, wanted, pins, python)
        for pin in pins.values():
            other, version = seen.setdefault(pin.name, (label, pin.version))
            if version != pin.version:
                problems.append(f"{label}: {pin.name} is {pin.version}, but {version} in {other}")
    return list(dict.fromkeys(problems))


def make(root: Path, *, upgrade: bool) -> None:
    """Compile all lock files anew.

    Raises:
        subprocess.CalledProcessError: uv found no set of versions; it has said why.
    """
    project = read_project(root)
    uv = str(Path(sys.executable).parent / "uv")
    command = [uv, "pip", "compile", "--quiet", "--universal", "--generate-hashes"]
    command += ["--python-version", min(claimed_pythons(project), key=Version)]
    command += ["--no-emit-index-url", "--no-emit-find-links"]
    command += ["--custom-compile-command", "make lock"]
    if upgrade:
        command.append("--upgrade")
    constraints: list[str] = []
    for lock in LOCKS:
        path = f"requirements/{lock.name}.txt"
        sources = [f"--extra={extra}" for extra in lock.extras]
        sources += [f"--group={group}" for group in lock.groups]
        if lock.project:
            sources.append("pyproject.toml")
        if lock.build:
            sources.append("-")
        subprocess.run(
            [*command, *sources, *constraints, "--output-file", path],
            cwd=root,
            input="\n".join(project["build-system"]["requires"]),
            stdout=subprocess.DEVNULL,
            text=True,
            check=True,
        )
        constraints += ["--constraint", path]


def main(arguments: list[str] | None = None) -> int:
    """Make or check; the exit code is 1 when there are problems, which are printed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    made = commands.add_parser("make", help="compile all lock files anew")
    made.add_argument("--upgrade", action="store_true", help="to the newest versions")
    checked = commands.add_parser("check", help="print what is wrong with them (offline)")
    checked.add_argument("root", nargs="?", type=Path, default=ROOT)
    chosen = parser.parse_args(arguments)
    if chosen.command == "make":
        try:
            make(ROOT, upgrade=chosen.upgrade)
        except subprocess.CalledProcessError as error:
            return error.returncode
        return 0
    try:
        problems = check(chosen.root)
    except (OSError, ValueError) as error:  # A lock file that is missing or is none.
        problems = [str(error)]
    for problem in problems:
        print(problem, file=sys.stderr)
    if problems:
        print("Run `make lock`, and commit what it changes.", file=sys.stderr)
        return 1
    print(f"{len(LOCKS)} lock files have what pyproject.toml asks for, whole.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
