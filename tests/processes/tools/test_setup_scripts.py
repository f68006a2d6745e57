"""The set-up scripts, on machines made of a directory of programs: what they do and say."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import system_components
from tests.support.checkout import ROOT
from tools.proof.by_hand import by_hand

# What every Debian has, and the scripts use.
ESSENTIAL = ["cat", "dirname", "env", "grep", "mktemp", "rm", "sh"]


class Machine:
    """A machine that has the essential programs and those that a test adds."""

    def __init__(self, directory: Path) -> None:
        self.bin = directory
        for command in ESSENTIAL:
            found = shutil.which(command)
            assert found is not None
            (directory / command).symlink_to(found)

    def add(self, command: str, script: str) -> None:
        path = self.bin / command
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def run(self, script: str, *arguments: str, **environment: str) -> tuple[int, str, str]:
        done = subprocess.run(
            [ROOT / "tools" / script, *arguments],
            env={"PATH": str(self.bin), **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout, done.stderr


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A machine whose user is not root, without apt."""
    machine = Machine(tmp_path)
    machine.add("id", "echo 1000")
    return machine


def apt_that_installs(machine: Machine, *commands: str) -> None:
    """An apt-get that writes down its calls, and whose `install` brings the commands."""
    makes = "".join(f"echo '#!/bin/sh' > {machine.bin}/{command}; " for command in commands)
    chmod = shutil.which("chmod")
    paths = " ".join(f"{machine.bin}/{command}" for command in commands)
    machine.add(
        "apt-get",
        f'echo "$*" >> {machine.bin}/calls\n'
        f'case "$*" in *install*) {makes}{chmod} +x {paths};; esac',
    )


def all_but(machine: Machine, *missing: str) -> None:
    """Every program that tests need is there, but for these."""
    for command in system_components().keys() - set(missing):
        machine.add(command, "")


def test_what_is_there_is_not_installed(machine: Machine) -> None:
    all_but(machine)
    apt_that_installs(machine, "chromium")
    assert machine.run("system_packages") == (0, "", "")
    assert not (machine.bin / "calls").exists()


def test_root_installs_what_is_missing_by_apt(machine: Machine) -> None:
    machine.add("id", "echo 0")
    all_but(machine, "chromium", "make")
    apt_that_installs(machine, "chromium", "make")
    code, output, errors = machine.run("system_packages", TESTS_REQUIRE_ALL="1")
    assert (code, errors) == (0, "")
    assert output == "Installing by apt: chromium make\n"
    update, install = (machine.bin / "calls").read_text().splitlines()
    assert update.endswith("update")
    assert install.endswith("install --no-install-recommends chromium make")


def test_who_may_not_install_is_told_what_to_install(machine: Machine) -> None:
    all_but(machine, "chromium", "make")
    apt_that_installs(machine, "chromium", "make")
    code, output, errors = machine.run("system_packages")
    assert (code, output) == (0, "")
    assert "Install them with: apt install chromium make" in errors
    assert not (machine.bin / "calls").exists()


def test_a_missing_program_fails_where_all_are_required(machine: Machine) -> None:
    all_but(machine, "chromium", "git")
    code, _, errors = machine.run("system_packages", TESTS_REQUIRE_ALL="1")
    assert code == 1
    assert "Missing for some tests: chromium git \n" in errors


def test_an_apt_that_fails_is_heard(machine: Machine) -> None:
    machine.add("id", "echo 0")
    machine.add("apt-get", 'case "$*" in *install*) echo "E: no such package"; exit 100;; esac')
    code, _, errors = machine.run("system_packages", TESTS_REQUIRE_ALL="1")
    assert code == 1
    assert "E: no such package" in errors


def test_without_python_the_way_out_is_named(machine: Machine, tmp_path: Path) -> None:
    code, _, errors = machine.run("create_venv", "python3", str(tmp_path / "venv"))
    assert code == 1
    assert "There is no python3 here" in errors
    assert "make PYTHON=" in errors


def test_a_python_that_does_not_run_is_as_good_as_none(machine: Machine, tmp_path: Path) -> None:
    """Such as a command of pyenv's while another version is selected."""
    machine.add("python3", "echo 'pyenv: python3: command not found' >&2; exit 127")
    code, _, errors = machine.run("create_venv", "python3", str(tmp_path / "venv"))
    assert code == 1
    assert errors.startswith("There is no python3 here that runs. Install Python 3.11, 3.12 or")


def test_an_environment_without_pip_is_to_be_removed(machine: Machine, tmp_path: Path) -> None:
    machine.add("python3", 'case "$*" in *pip*) exit 1;; esac')
    python = str(tmp_path / "python3")
    code, _, errors = machine.run("install_locked", python, "runtime")
    assert code == 1
    assert "is broken: its Python or its pip does not run." in errors
    assert f"rm -rf {tmp_path.parent}" in errors


@pytest.mark.needs_make
@pytest.mark.parametrize("python", ["", "/", "nonesuch", "/usr/bin/env"])
def test_make_names_the_pythons_where_the_named_one_does_not_run(python: str) -> None:
    done = subprocess.run(
        ["make", "-s", "help", f"PYTHON={python}"],
        cwd=ROOT,
        env=by_hand(os.environ),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert f"PYTHON={python} does not run. Name a Python 3.11, 3.12 or 3.13" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.needs_make
def test_an_environment_whose_python_is_gone_is_made_anew(tmp_path: Path) -> None:
    """Its stamps would say that everything is in it."""
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "requirements").symlink_to(ROOT / "requirements")
    environment = tmp_path / ".venv"
    (environment / "bin").mkdir(parents=True)
    (environment / "bin/python").symlink_to("/nowhere")
    (environment / ".segue").touch()
    done = subprocess.run(
        ["make", "-n", "install"],
        cwd=tmp_path,
        env=by_hand(os.environ),
        capture_output=True,
        text=True,
        check=False,
    )
    assert "tools/create_venv" in done.stdout
    assert not (environment / ".segue").exists()


def test_an_old_python_is_refused(machine: Machine, tmp_path: Path) -> None:
    machine.add("python3", 'case "$1$2" in -V) echo Python 3.9.2;; *version_info*) exit 1;; esac')
    code, _, errors = machine.run("create_venv", "python3", str(tmp_path / "venv"))
    assert code == 1
    assert "Segue needs Python 3.11 or later; python3 is Python 3.9.2." in errors


def test_a_python_without_ensurepip_names_the_package(machine: Machine, tmp_path: Path) -> None:
    machine.add("python3", 'case "$2" in *ensurepip*) exit 1;; esac')
    code, _, errors = machine.run("create_venv", "python3", str(tmp_path / "venv"))
    assert code == 1
    assert "apt install python3-venv" in errors


def test_root_gets_the_package_of_ensurepip_by_apt(machine: Machine, tmp_path: Path) -> None:
    machine.add("id", "echo 0")
    apt_that_installs(machine, "installed")
    machine.add(
        "python3",
        f'case "$2" in *ensurepip*) [ -e {machine.bin}/installed ];; '
        f'venv) echo "$3" > {machine.bin}/venv;; esac',
    )
    code, _, errors = machine.run("create_venv", "python3", str(tmp_path / "venv"))
    assert (code, errors) == (0, "")
    assert (machine.bin / "venv").read_text().strip() == str(tmp_path / "venv")
