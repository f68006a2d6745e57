"""Facts that keep the repository true: what is committed, what is locked, what texts promise."""

from __future__ import annotations

import re
import subprocess
import tomllib
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import pytest

from tests.support.checkout import ROOT
from tools import interpreters, locks

# One letter of each is in brackets, so that this file does not contain what it looks for.
INDEX_HOSTS = re.compile(
    r"py[p]i\.(?:org|python)"
    r"|python[h]osted\.org"
    r"|registry\.(?:np[m]js|yarn[p]kg)"
    r"|(?:deb|security|ftp)\.[d]ebian\.org"
    r"|crates\.[i]o"
    r"|proxy\.[g]olang"
    r"|registry-1\.[d]ocker"
    r"|--(?:extra-)?[i]ndex-url[ =]"
    r"|--[f]ind-links[ =]"
)
MACHINE_PATHS = re.compile(
    r"(?<![\w.}-])/(?:work|root|home/\w+|Users/\w+)(?:/|$)|/opt/[pw](?:ypi|heels)"
)


@pytest.fixture(scope="module")
def tracked() -> dict[str, str]:
    """The text files that are, or are about to be, in the repository: name to text."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    names = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files", "-z", "-co", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split("\0")
    texts = {}
    for name in filter(None, names):
        path = ROOT / name
        if path.is_file():
            try:
                texts[name] = path.read_text(encoding="utf-8")
            except UnicodeDecodeError:
                continue
    return texts


def mentions(tracked: dict[str, str], pattern: re.Pattern[str]) -> list[str]:
    return [
        f"{name}:{number}: {match[0]}"
        for name, text in tracked.items()
        for number, line in enumerate(text.splitlines(), 1)
        if (match := pattern.search(line))
    ]


def makefile_targets() -> set[str]:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    return set(re.findall(r"^([a-z][a-z-]*):", text, re.MULTILINE))


@pytest.mark.needs_git
def test_no_file_names_a_package_index(tracked: dict[str, str]) -> None:
    assert "pyproject.toml" in tracked
    assert mentions(tracked, INDEX_HOSTS) == []


@pytest.mark.needs_git
def test_no_file_names_a_path_of_the_machine_it_was_written_on(tracked: dict[str, str]) -> None:
    assert mentions(tracked, MACHINE_PATHS) == []


@pytest.mark.needs_git
def test_nothing_tracked_is_generated(tracked: dict[str, str]) -> None:
    generated = re.compile(r"(^|/)(__pycache__|\.venv|\.[a-z_]+_cache|node_modules)/|\.pyc$")
    assert [name for name in tracked if generated.search(name)] == []


def test_lock_files_are_closures_with_hashes_and_say_what_their_sources_ask_for() -> None:
    assert locks.check(ROOT) == []


def test_the_installed_package_is_the_one_that_is_declared() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert metadata.version(project["name"]) == project["version"]
    (command,) = metadata.entry_points(group="console_scripts", name="segue")
    assert command.value == project["scripts"]["segue"]
    assert callable(command.load())


def test_only_tested_python_versions_are_claimed() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    claimed = {
        classifier.rpartition(" ")[2]
        for classifier in project["classifiers"]
        if re.fullmatch(r"Programming Language :: Python :: 3\.\d+", classifier)
    }
    assert claimed == set(interpreters.SUPPORTED)


def test_changelog_has_its_unreleased_section() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    section = re.search(r"^## \[Unreleased\]\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert section is not None
    assert re.search(r"^- \S", section[1], re.MULTILINE), "nothing is listed"


@pytest.mark.parametrize(
    "name", ["README.md", *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md")))]
)
def test_make_targets_that_the_texts_name_exist(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    named = set(re.findall(r"(?:`|^\s*(?:\$ )?)make (?:-s )?([a-z][a-z-]*)", text, re.MULTILINE))
    assert named <= makefile_targets()


def test_readme_names_its_two_commands() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "make demo" in text
    assert "make test" in text


@pytest.mark.needs_make
def test_make_help_lists_every_target() -> None:
    done = subprocess.run(
        ["make", "-s", "help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    listed = {line.split()[0] for line in done.stdout.splitlines()}
    assert listed == makefile_targets()


@pytest.mark.needs_make
@pytest.mark.parametrize("target", sorted(makefile_targets()))
def test_every_make_target_parses(target: str) -> None:
    subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, check=True)


def test_scripts_can_be_executed() -> None:
    scripts = [
        ROOT / ".ci/run",
        ROOT / "tools/create_venv",
        ROOT / "tools/install_locked",
        ROOT / "tools/proof/busy",
        ROOT / "tools/proof/fresh",
        ROOT / "tools/system_packages",
        ROOT / "tools/autobahn/setup",
    ]
    assert [script.name for script in scripts if not script.stat().st_mode & 0o100] == []


def test_ci_runs_the_tests_by_the_same_command_as_the_readme() -> None:
    lines = (ROOT / ".ci/run").read_text(encoding="utf-8").splitlines()
    assert lines[-1].startswith("make test ")
    assert "export TESTS_REQUIRE_ALL=1" in lines


def test_require_gives_the_path_of_a_program(require: Callable[[str], str]) -> None:
    assert Path(require("git")).name == "git"
