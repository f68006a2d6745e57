"""The offline check of the lock files: what it accepts, and each way of forgetting `make lock`."""

from __future__ import annotations

from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

from tools.check_locks import check, read_lock

HASH = "sha256:" + "0" * 64

PROJECT = """
[build-system]
requires = ["hatchling>=1"]
[project]
name = "example"
dependencies = ["Alpha.One>=1.2,<2"]
[project.optional-dependencies]
more = ["epsilon>=3"]
"""


def entry(name: str, version: str, via: str, *, hashed: bool = True) -> str:
    hashes = f" \\\n    --hash={HASH}" if hashed else ""
    return f"{name}=={version}{hashes}\n    # via {via}\n"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository whose lock files are right."""
    (tmp_path / "pyproject.toml").write_text(PROJECT)
    requirements = tmp_path / "requirements"
    requirements.mkdir()
    (requirements / "build.in").write_text("hatchling>=1\n")
    (requirements / "build.txt").write_text(
        "# made by a machine\n" + entry("hatchling", "1.5", "-r requirements/build.in")
    )
    (requirements / "more.in").write_text("epsilon>=3\n")
    (requirements / "more.txt").write_text(entry("epsilon", "3.1", "-r requirements/more.in"))
    (requirements / "dev.in").write_text("# a comment\nbeta>=2  # and another\n")
    (requirements / "dev.txt").write_text(
        entry("alpha-one", "1.3", "beta")
        + f"beta==2.0 ; sys_platform != 'win32' \\\n    --hash={HASH} \\\n    --hash={HASH}\n"
        "    # via\n    #   -c requirements/runtime.txt\n    #   -r requirements/dev.in\n"
    )
    (requirements / "runtime.txt").write_text(entry("alpha-one", "1.3", "example (pyproject.toml)"))
    return tmp_path


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_right_lock_files_have_no_problems(repository: Path) -> None:
    assert check(repository) == []


def test_pins_are_read_with_their_hashes_and_reasons(repository: Path) -> None:
    pin = read_lock(repository / "requirements/dev.txt")[canonicalize_name("beta")]
    assert (str(pin.version), pin.hashes) == ("2.0", 2)
    assert pin.asked_by == {"-c requirements/runtime.txt", "-r requirements/dev.in"}


@pytest.mark.parametrize(
    ("file", "old", "new", "problem"),
    [
        ("dev.in", "beta>=2", "beta>=2\ngamma", "dev.txt: gamma is asked for, but not locked"),
        ("dev.in", "beta>=2", "beta>=3", "dev.txt: beta is 2.0, asked for is beta>=3"),
        ("dev.in", "beta>=2", "", "dev.txt: beta is locked, but no longer asked for"),
        ("build.txt", HASH, "sha256:0", "build.txt: hatchling has no hash"),
        ("dev.txt", "==1.3", "==1.4", "alpha-one is 1.4, but 1.3 in requirements/runtime.txt"),
        ("build.in", ">=1", ">=1.4", "build-system.requires is not requirements/build.in"),
        ("more.in", ">=3", ">=3.1", "the extra more is not requirements/more.in"),
    ],
)
def test_a_forgotten_lock_is_found(
    repository: Path, file: str, old: str, new: str, problem: str
) -> None:
    edit(repository / "requirements" / file, old, new)
    (found,) = check(repository)
    assert problem in found


def test_a_dependency_of_the_project_that_is_not_locked_is_found(repository: Path) -> None:
    edit(repository / "pyproject.toml", '<2"', '<2", "delta"')
    assert check(repository) == ["requirements/runtime.txt: delta is asked for, but not locked"]


def test_an_entry_without_an_exact_version_is_refused(repository: Path) -> None:
    edit(repository / "requirements/dev.txt", "beta==2.0", "beta>=2.0")
    with pytest.raises(ValueError, match=r"dev\.txt: expected `name==version`, found .beta>=2.0"):
        check(repository)
