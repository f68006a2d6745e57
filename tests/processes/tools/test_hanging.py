"""A test that hangs ends as a failure, and the run goes on behind it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from tests.support.checkout import ROOT
from tests.support.waiting import PATIENCE

TESTS = """
import asyncio, os, pathlib, re, subprocess, threading
import pytest

@pytest.fixture
async def never_set_up():
    await asyncio.Event().wait()

@pytest.fixture
async def never_torn_down():
    yield
    await asyncio.Event().wait()

def test_before():
    pass

async def test_coroutine():
    await asyncio.Event().wait()

async def test_setup(never_set_up):
    pass

async def test_teardown_of_one_that_failed(never_torn_down):
    assert not "this"

async def test_thread():
    await asyncio.to_thread(threading.Event().wait)

def test_child():
    child = subprocess.Popen(["sh", "-c", "sleep 1000 & echo $!; wait"], stdout=subprocess.PIPE)
    pathlib.Path(os.environ["CHILDREN"]).write_bytes(b"%d " % child.pid + child.stdout.readline())
    child.wait()

def test_c_that_keeps_the_lock():
    re.match("(a|a)*b", 100 * "a")

def test_after():
    pass
"""
LIMIT = 4
HANGING = (
    ("test_coroutine", "call"),
    ("test_setup", "setup"),
    ("test_teardown_of_one_that_failed", "teardown"),
    ("test_thread", "call"),
    ("test_child", "call"),
)


def run(
    directory: Path, *arguments: str, files: Iterable[str] = ("test_example.py",)
) -> subprocess.CompletedProcess[str]:
    """Run the tests above, on uvloop, with a limit that each that hangs soon reaches."""
    (directory / "pytest.ini").write_text(
        "[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\n"
    )
    (directory / "conftest.py").write_text(
        "import uvloop\n\ndef pytest_asyncio_loop_factories():\n"
        "    return {'uvloop': uvloop.new_event_loop}\n"
    )
    (directory / "test_example.py").write_text(TESTS)
    command = [sys.executable, "-m", "pytest", "-p", "tests.support.hanging", "-p", "no:valkey"]
    command += ["--override-ini", f"hang_limit={LIMIT}", "--rootdir", str(directory), *arguments]
    return subprocess.run(
        [*command, *(str(directory / file) for file in files)],
        cwd=directory,
        env={**os.environ, "PYTHONPATH": str(ROOT), "CHILDREN": str(directory / "children")},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def test_each_that_hangs_is_named_and_the_others_are_run(tmp_path: Path) -> None:
    workers = ("--numprocesses", "1", "--dist", "loadfile", "--max-worker-restart", "100")
    done = run(tmp_path, *workers, "-v")
    for name, phase in HANGING:
        what = f"test_example.py::{name} hangs: its {phase} has taken {LIMIT} seconds"
        assert what in done.stderr, done
        assert f"crashed while running 'test_example.py::{name}'" in done.stdout, done
    assert "crashed while running 'test_example.py::test_c_that_keeps_the_lock'" in done.stdout
    assert "PASSED test_example.py::test_before" in done.stdout
    assert "PASSED test_example.py::test_after" in done.stdout
    # The one whose teardown hangs had failed before.
    assert f"{len(HANGING) + 2} failed, 2 passed" in done.stdout, done
    # What it started has ended too: at most its entry is left, for init to take.
    for pid in (tmp_path / "children").read_text().split():
        entry = subprocess.run(["ps", "-o", "args=", pid], capture_output=True, check=False)
        assert b"sleep" not in entry.stdout


def test_a_worker_that_ended_many_files_later_leaves_the_others_what_is_left(
    tmp_path: Path,
) -> None:
    for name in "abc":
        (tmp_path / f"test_{name}.py").write_text("def test_at_once():\n    pass\n")
    (tmp_path / "test_d.py").write_text(
        "import threading\n\ndef test_hanging():\n    threading.Event().wait()\n\n"
        "def test_after():\n    pass\n"
    )
    files = [f"test_{name}.py" for name in "abcd"]
    done = run(tmp_path, "--numprocesses", "1", "--dist", "loadfile", files=files)
    assert "1 failed, 4 passed" in done.stdout, done


def test_a_run_without_workers_ends_and_tells_at_which(tmp_path: Path) -> None:
    done = run(tmp_path, "--numprocesses", "0")
    assert done.returncode == 1
    assert (
        f"test_example.py::test_coroutine hangs: its call has taken {LIMIT} seconds" in done.stderr
    )
    assert "most recent call first" in done.stderr
