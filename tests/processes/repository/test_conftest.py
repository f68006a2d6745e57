"""The test suite's own machinery: a skipped component, a required one, a leak, the event loops."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.checkout import ROOT


def run_pytest(directory: Path, text: str, *options: str, **environment: str) -> tuple[int, str]:
    """Run one test file as this suite is run; the exit code and the output."""
    file = directory / "test_example.py"
    file.write_text(text)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "tests.conftest",
        "-c",
        str(ROOT / "pyproject.toml"),
    ]
    done = subprocess.run(
        [*command, "--rootdir", str(directory), "-p", "no:cacheprovider", *options, str(file)],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


NEEDS_GIT = """
import pytest

@pytest.mark.needs_git
def test_example():
    pass
"""


def test_a_missing_component_skips_by_name(tmp_path: Path) -> None:
    code, output = run_pytest(tmp_path, NEEDS_GIT, PATH=str(tmp_path), TESTS_REQUIRE_ALL="")
    assert code == 0
    assert "SKIPPED" in output
    assert "needs git: apt install git" in output


def test_a_missing_component_fails_where_all_are_required(tmp_path: Path) -> None:
    code, output = run_pytest(tmp_path, NEEDS_GIT, PATH=str(tmp_path), TESTS_REQUIRE_ALL="1")
    assert code == 1
    assert "needs git: apt install git" in output


def test_settings_of_whoever_runs_the_tests_do_not_reach_them(tmp_path: Path) -> None:
    text = """
import os

def test_example():
    assert "SEGUE_LOG__LEVEL" not in os.environ
"""
    code, output = run_pytest(tmp_path, text, SEGUE_LOG__LEVEL="loud")
    assert code == 0, output


def test_a_component_that_is_not_listed_is_refused(tmp_path: Path) -> None:
    code, output = run_pytest(tmp_path, NEEDS_GIT.replace("needs_git", "needs_luck"))
    assert code == 2
    assert "'needs_luck' not found" in output


def test_a_leaked_task_fails_its_test(tmp_path: Path) -> None:
    text = """
import asyncio

async def forever():
    await asyncio.Event().wait()

async def test_example():
    test_example.task = asyncio.create_task(forever())
"""
    code, output = run_pytest(tmp_path, text)
    assert code == 1
    assert "tasks still running after the test" in output
    assert "forever" in output


def test_a_task_that_a_fixture_ends_is_no_leak(tmp_path: Path) -> None:
    text = """
import asyncio
import contextlib
import pytest

@pytest.fixture
async def server():
    task = asyncio.create_task(asyncio.Event().wait())
    yield
    task.cancel()

async def test_example(server):
    pass
"""
    code, output = run_pytest(tmp_path, text)
    assert code == 0, output


LOOP = """
import asyncio

async def test_example():
    print("on", type(asyncio.get_running_loop()).__module__)
"""


@pytest.mark.parametrize(
    ("option", "modules"),
    [
        ("--loop=uvloop", ["uvloop"]),
        ("--loop=asyncio", ["asyncio.unix_events"]),
        ("--loop=all", ["uvloop", "asyncio.unix_events"]),
    ],
)
def test_the_event_loop_is_chosen_by_an_option(
    tmp_path: Path, option: str, modules: list[str]
) -> None:
    code, output = run_pytest(tmp_path, LOOP, "-s", option)
    assert code == 0, output
    assert re.findall(r"\bon (\S+)", output) == modules


def test_a_warning_is_an_error(tmp_path: Path) -> None:
    text = "import warnings\n\ndef test_example():\n    warnings.warn('look out')\n"
    code, output = run_pytest(tmp_path, text)
    assert code == 1
    assert "UserWarning: look out" in output


INHERITS = """
import os, signal, subprocess, sys

def test_example():
    child = "import signal; signal.raise_signal(signal.SIGINT)"
    assert subprocess.run([sys.executable, "-c", child], capture_output=True).returncode == -2
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_DFL
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == set()
    assert os.umask(0) == 0o022
"""


def test_what_the_caller_ignores_or_forbids_is_not_inherited(tmp_path: Path) -> None:
    """A shell ignores SIGINT for what it starts with `&`, and nohup ignores SIGHUP."""
    numbers = (signal.SIGINT, signal.SIGHUP)
    before = [signal.signal(number, signal.SIG_IGN) for number in numbers]
    mask = os.umask(0o077)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    try:
        code, output = run_pytest(tmp_path, INHERITS)
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR1})
        os.umask(mask)
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
    assert code == 0, output
