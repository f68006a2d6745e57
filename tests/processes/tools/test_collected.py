"""Tests whose names differ from one process to the next are found."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.checkout import ROOT

pytestmark = pytest.mark.needs_faketime


def collected(directory: Path, parameters: str) -> subprocess.CompletedProcess[str]:
    """Compare the collections of one file, with one test for each of the parameters."""
    file = directory / "test_example.py"
    file.write_text(f"""
import gzip, random, tempfile
import pytest

@pytest.mark.parametrize("value", {parameters})
def test_example(value):
    pass
""")
    return subprocess.run(
        [sys.executable, "tools/collected.py", "--rootdir", str(directory), str(file)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    "parameters",
    [
        "[gzip.compress(b'x')]",
        "[random.random()]",
        "[str(object())]",
        "{'one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight'}",
        "[tempfile.gettempdir()]",
    ],
)
def test_names_made_of_what_changes_are_found(tmp_path: Path, parameters: str) -> None:
    done = collected(tmp_path, parameters)
    assert done.returncode == 1, done
    assert "Not the same tests are collected each time:" in done.stderr
    assert "test_example" in done.stderr


def test_names_that_stay_are_counted(tmp_path: Path) -> None:
    done = collected(tmp_path, "['one', 2, b'three', None]")
    assert (done.returncode, done.stdout) == (0, "4 tests, collected twice alike\n"), done


def test_a_collection_that_fails_is_shown(tmp_path: Path) -> None:
    done = collected(tmp_path, "[undefined]")
    assert done.returncode == 1
    assert "NameError" in done.stderr
