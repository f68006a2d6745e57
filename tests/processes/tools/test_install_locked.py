"""Lock files are installed as they stand, whatever has been released since they were made."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import venv
from pathlib import Path

import pytest

from tests.support.checkout import ROOT
from tools.newer_releases import NEWER, write_wheel


class Checkout:
    """The script with lock files of its own, an environment, and an index in a directory."""

    def __init__(self, directory: Path) -> None:
        self.index = directory / "in dex"
        self.root = directory / "check out"
        self.python = directory / "environment" / "bin" / "python"
        (self.root / "tools").mkdir(parents=True)
        (self.root / "requirements").mkdir()
        self.index.mkdir()
        shutil.copy(ROOT / "tools/install_locked", self.root / "tools")
        venv.create(directory / "environment", with_pip=True)

    def release(self, name: str, version: str, *requires: str) -> str:
        """Put a release on the index; its line of a lock file."""
        _, digest = write_wheel(self.index, name, version, requires)
        return f"{name}=={version} --hash=sha256:{digest}\n"

    def lock(self, name: str, *lines: str) -> None:
        (self.root / "requirements" / f"{name}.txt").write_text("".join(lines))

    def run(self, *command: str | Path) -> subprocess.CompletedProcess[str]:
        inherited = {name: text for name, text in os.environ.items() if "PIP_" not in name}
        # pip splits a list of places at white space: the directory is named by a URL.
        environment = {**inherited, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": self.index.as_uri()}
        return subprocess.run(
            command, cwd=self.root, env=environment, capture_output=True, text=True, check=False
        )

    def install(self, *names: str) -> subprocess.CompletedProcess[str]:
        return self.run(self.root / "tools/install_locked", self.python, *names)

    def installed(self) -> set[str]:
        listed = self.run(self.python, "-m", "pip", "list", "--format=freeze").stdout.split()
        return {each for each in listed if not each.startswith(("pip=", "setuptools="))}


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def test_newer_releases_do_not_matter(checkout: Checkout) -> None:
    one = checkout.release("one", "1.0", "two[more]>=1")
    two = checkout.release("two", "1.0")
    checkout.lock("some", one, two)
    for name in ("one", "two"):
        checkout.release(name, NEWER)
    done = checkout.install("some")
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert checkout.installed() == {"one==1.0", "two==1.0"}


def test_a_lock_file_that_is_no_closure_is_refused(checkout: Checkout) -> None:
    checkout.lock("open", checkout.release("one", "1.0", "two>=1"))
    done = checkout.install("open")
    assert done.returncode == 1
    assert "one 1.0 requires two, which is not installed" in done.stderr
    assert "run `make lock`" in done.stderr


def test_several_are_one_closure(checkout: Checkout) -> None:
    checkout.lock("first", checkout.release("one", "1.0", "two>=1"))
    checkout.lock("second", checkout.release("two", "1.0"))
    assert checkout.install("first", "second").returncode == 0


def test_a_file_that_is_not_the_hashed_one_is_refused(checkout: Checkout) -> None:
    checkout.release("one", "1.0")
    checkout.lock("wrong", f"one==1.0 --hash=sha256:{'0' * 64}\n")
    done = checkout.install("wrong")
    assert done.returncode != 0
    assert checkout.installed() == set()


def test_no_command_of_the_project_lets_pip_resolve() -> None:
    """A set-up that resolves works only on the day on which its lock files were made."""
    commands = []
    for name in (
        "Makefile",
        "Dockerfile",
        ".ci/run",
        "deploy/install",
        "tools/compile",
        "tools/install_locked",
    ):
        text = (ROOT / name).read_text(encoding="utf-8").replace("\\\n", " ")
        commands += re.findall(r"pip\b(?:\s[^&\n]*)?\s(?:install|wheel)\s[^&\n]*", text)
    assert len(commands) >= 6
    assert [command for command in commands if "--no-deps" not in command] == []
