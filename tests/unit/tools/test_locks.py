"""The offline check of the lock files: what it accepts, and each way of forgetting `make lock`."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

from tools.locks import LOCKS, check, main, read_lock
from tools.newer_releases import write_wheel

HASH = "sha256:" + "0" * 64

PROJECT = """
[build-system]
requires = ["hatchling>=1"]
[project]
name = "example"
classifiers = ["Programming Language :: Python :: 3.11", "Programming Language :: Python :: 3.13"]
dependencies = ["Alpha.One>=1.2,<2"]
[project.optional-dependencies]
redis = ["epsilon>=3"]
otel = ["eta>=5"]
[dependency-groups]
demo = []
compile = []
lock = []
fuzz = []
api-fuzz = []
dev = ["beta>=2", { include-group = "demo" }]
"""


def entry(name: str, version: str, *via: str, marker: str = "") -> str:
    condition = f" ; {marker}" if marker else ""
    reasons = "".join(f"    #   {each}\n" for each in via)
    return f"{name}=={version}{condition} \\\n    --hash={HASH}\n" + (
        f"    # via\n{reasons}" if via else ""
    )


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository whose lock files are right."""
    root = tmp_path / "repository"
    requirements = root / "requirements"
    requirements.mkdir(parents=True)
    (root / "pyproject.toml").write_text(PROJECT)
    for lock in LOCKS:
        text = "# made by a machine\n"
        if lock.project:
            text += entry("alpha-one", "1.3", "-c runtime.txt", "example (pyproject.toml)")
        if "otel" in lock.extras:
            text += entry("eta", "5.0", "example (pyproject.toml)")
        if "redis" in lock.extras:
            text += entry("epsilon", "3.1", "example (pyproject.toml)")
        if lock.build:
            text += entry("hatchling", "1.5")
        if "dev" in lock.groups:
            text += entry("beta", "2.0", "example (pyproject.toml:dev)", "gamma")
        (requirements / f"{lock.name}.txt").write_text(text)
    return root


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory that Python finds distributions in; nothing is in it yet."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(site)
    return site


def install(site: Path, name: str, version: str, *requires: str) -> None:
    wheel, _ = write_wheel(site.parent, name, version, requires)
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def append(path: Path, text: str) -> None:
    path.write_text(path.read_text() + text)


def test_right_lock_files_have_no_problems(repository: Path) -> None:
    assert check(repository) == []


def test_pins_are_read_with_their_hashes_conditions_and_reasons(repository: Path) -> None:
    path = repository / "requirements/dev.txt"
    append(path, entry("zeta", "4", "beta", "-c runtime.txt", marker="sys_platform == 'win32'"))
    pin = read_lock(path)[canonicalize_name("zeta")]
    assert (str(pin.version), pin.has_hashes, str(pin.marker)) == (
        "4",
        True,
        'sys_platform == "win32"',
    )
    assert pin.asked_by == {"beta"}
    assert not pin.is_asked_for


def test_a_package_may_be_locked_twice_for_different_pythons(
    repository: Path, installed: Path
) -> None:
    """As the resolver does where the newest release needs a later Python."""
    install(installed, "beta", "2.0", "zeta>=4")
    path = repository / "requirements/dev.txt"
    append(path, entry("zeta", "4", "beta", marker="python_full_version < '3.11.5'"))
    append(path, entry("zeta", "5", "beta", marker="python_full_version >= '3.11.5'"))
    pin = read_lock(path)[canonicalize_name("zeta")]
    for python, version in (("3.11.0", "4"), ("3.12.0", "5")):
        found = pin.under({"python_full_version": python})
        assert found is not None
        assert str(found.version) == version
    assert check(repository) == []
    edit(path, "python_full_version < '3.11.5'", "python_full_version < '3.11'")
    assert any(
        "no closure on Python 3.11: beta needs zeta>=4" in each for each in check(repository)
    )


@pytest.mark.parametrize(
    ("file", "old", "new", "problem"),
    [
        ("pyproject.toml", "beta>=2", "beta>=3", "dev.txt: beta is 2.0, asked for is beta>=3"),
        ("pyproject.toml", '"beta>=2", ', "", "dev.txt: beta is locked, but no longer asked for"),
        ("pyproject.toml", "ling>=1", "ling>=2", "build.txt: hatchling is 1.5, asked for is"),
        ("pyproject.toml", "ilon>=3", "ilon>=4", "redis.txt: epsilon is 3.1, asked for is"),
        ("requirements/fuzz.txt", "# made", "x==1\n# made", "fuzz.txt: x has no hash"),
        (
            "requirements/dev.txt",
            "alpha-one==1.3",
            "alpha-one==1.4",
            "dev.txt: alpha-one is 1.4, but 1.3 in requirements/runtime.txt",
        ),
    ],
)
def test_a_forgotten_lock_is_found(
    repository: Path, file: str, old: str, new: str, problem: str
) -> None:
    edit(repository / file, old, new)
    assert any(problem in found for found in check(repository))


@pytest.mark.parametrize(
    ("old", "new", "names"),
    [
        ('<2"', '<2", "delta"', ("runtime", "redis", "otel", "dev")),
        ("demo = [", 'demo = ["delta"', ("demo", "dev")),
    ],
)
def test_what_is_asked_for_and_not_locked_is_found(
    repository: Path, old: str, new: str, names: tuple[str, ...]
) -> None:
    edit(repository / "pyproject.toml", old, new)
    # Once, and not again for each Python.
    assert check(repository) == [
        f"requirements/{name}.txt: delta is asked for, but not locked" for name in names
    ]


def test_what_a_package_needs_and_the_lock_file_lacks_is_found(
    repository: Path, installed: Path
) -> None:
    install(installed, "beta", "2.0", "gamma>=1", "delta>=1; python_version < '3.12'")
    append(repository / "requirements/dev.txt", entry("gamma", "1.0", "beta"))
    (problem,) = check(repository)
    assert problem.startswith("requirements/dev.txt: no closure on Python 3.11: beta needs delta")


def test_a_pin_for_other_pythons_alone_does_not_close_it(repository: Path, installed: Path) -> None:
    install(installed, "beta", "2.0", "gamma>=1")
    elsewhere = entry("gamma", "1.0", "beta", marker="python_full_version < '3.13'")
    append(repository / "requirements/dev.txt", elsewhere)
    (problem,) = check(repository)
    assert "no closure on Python 3.13: beta needs gamma>=1" in problem


def test_extras_are_followed_and_versions_compared(repository: Path, installed: Path) -> None:
    install(installed, "beta", "2.0", "gamma[more]>=2")
    install(installed, "gamma", "1.0", "zeta; extra == 'more'", "eta; extra == 'other'")
    append(repository / "requirements/dev.txt", entry("gamma", "1.0", "beta"))
    problems = check(repository)
    assert "requirements/dev.txt: gamma is 1.0, but beta needs gamma[more]>=2" in problems
    assert any("gamma needs zeta" in problem for problem in problems)
    assert not any(
        "eta;" in problem.removeprefix("z") for problem in problems if "zeta" not in problem
    )


def test_another_version_than_the_pinned_says_nothing(repository: Path, installed: Path) -> None:
    install(installed, "beta", "1.0", "gamma>=1")
    assert check(repository) == []


@pytest.mark.parametrize("hash_", ["sha256:abc", "sha512:" + "0" * 64, "sha256:" + "0" * 65])
def test_a_hash_that_is_no_whole_sha256_is_found(repository: Path, hash_: str) -> None:
    edit(
        repository / "requirements/dev.txt",
        f"beta==2.0 \\\n    --hash={HASH}",
        f"beta==2.0 --hash={hash_}",
    )
    assert check(repository) == [
        "requirements/dev.txt: beta has no hash, or one that is no SHA-256"
    ]


def test_the_command_says_what_it_found(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", str(repository)]) == 0
    assert (
        capsys.readouterr().out
        == f"{len(LOCKS)} lock files have what pyproject.toml asks for, whole.\n"
    )
    (repository / "requirements/dev.txt").unlink()
    assert main(["check", str(repository)]) == 1
    errors = capsys.readouterr().err
    assert "requirements/dev.txt" in errors
    assert "Run `make lock`" in errors


def test_an_entry_without_an_exact_version_is_refused(repository: Path) -> None:
    edit(repository / "requirements/dev.txt", "beta==2.0", "beta>=2.0")
    with pytest.raises(ValueError, match=r"dev\.txt: expected `name==version`, found .beta>=2.0"):
        check(repository)
