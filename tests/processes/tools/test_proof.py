"""Proofs: what is run, what is kept of it, and when it no longer speaks for the code."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.checkout import ROOT
from tests.support.waiting import PATIENCE
from tools.proof import __main__ as proof
from tools.proof import results
from tools.proof.parts import PARTS, Part

pytestmark = pytest.mark.needs_git


def commit(root: Path, name: str, text: str) -> None:
    (root / name).write_text(text)
    who = ["-c", "user.name=nobody", "-c", "user.email=nobody@example.org"]
    for arguments in (["add", name], [*who, "commit", "--quiet", "--message", "a change"]):
        subprocess.run(["git", *arguments], cwd=root, check=True)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with two files."""
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    commit(tmp_path, "code.py", "1")
    commit(tmp_path, "other.py", "1")
    monkeypatch.setattr(proof, "ROOT", tmp_path)
    return tmp_path


def printing(text: str, status: int = 0, minutes: int = 5) -> Part:
    """A part that prints something and ends."""
    script = f"print({text!r}); raise SystemExit({status})"
    return Part("it prints", (sys.executable, "-c", script), ("code.py",), minutes)


def test_what_passes_is_kept_and_speaks_for_the_code(root: Path) -> None:
    part = printing(f"begin\n\x1b[32m{root}/x: fine\x1b[0m\n")
    assert proof.run("some", part)
    told = json.loads((root / "proofs/some.json").read_text())
    assert told["passed"]
    assert told["closing"] == ["begin", "./x: fine"]
    assert told["commit"] == results.git(root, "rev-parse", "HEAD")
    assert "cores of" in told["machine"]
    assert results.complaint(root, "some", part) is None


def test_other_changes_leave_it_true_and_changes_of_its_code_make_it_old(root: Path) -> None:
    part = printing("fine")
    proof.run("some", part)
    commit(root, "other.py", "2")
    assert results.complaint(root, "some", part) is None
    commit(root, "code.py", "2")
    commit(root, "code.py", "3")
    told = results.complaint(root, "some", part)
    assert told is not None
    assert told.startswith("some: older than its code (2 commit(s) since ")
    # The same code again, whatever its history: it speaks for that too.
    commit(root, "code.py", "1")
    assert results.complaint(root, "some", part) is None


@pytest.mark.needs_make
def test_a_part_is_not_handed_the_arguments_of_the_make_that_runs_it(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = tmp_path / "inner.mk"
    inner.write_text("ARGS ?= its own\nall:\n\t@echo $(ARGS)\n")
    # What `make ARGS=some` sets for what it runs.
    for name, value in (("MAKEFLAGS", " -- ARGS=some"), ("MAKELEVEL", "1"), ("ARGS", "some")):
        monkeypatch.setenv(name, value)
    assert proof.run("some", Part("it says", ("make", "-f", str(inner)), ("code.py",), 5))
    assert json.loads((root / "proofs/some.json").read_text())["closing"] == ["its own"]


def test_what_fails_is_kept_too(root: Path) -> None:
    part = printing("it broke", status=3)
    assert not proof.run("some", part)
    told = results.complaint(root, "some", part)
    assert told is not None
    assert told.startswith("some: failed on 20")


def test_a_part_that_takes_too_long_is_ended_with_all_that_it_started(root: Path) -> None:
    script = "sleep 1000 & echo begun; wait"
    assert not proof.run("some", Part("it ends", ("sh", "-c", script), ("code.py",), 0))
    assert not json.loads((root / "proofs/some.json").read_text())["passed"]


def test_nothing_is_run_about_code_that_is_not_committed(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (root / "code.py").write_text("not yet")
    assert not proof.run("some", printing("fine"))
    assert capsys.readouterr().err == "some: commit first what it is about: code.py\n"
    assert not (root / "proofs/some.json").exists()


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", '{"passed": true}'])
def test_a_result_that_cannot_be_read_is_said(root: Path, text: str) -> None:
    part = printing("fine")
    told = results.complaint(root, "some", part)
    assert told == "some: was never run; run `make proof ARGS=some`"
    (root / "proofs").mkdir()
    (root / "proofs/some.json").write_text(text)
    assert "cannot be read" in str(results.complaint(root, "some", part))


def test_parts_name_what_exists() -> None:
    for part in PARTS.values():
        assert [path for path in part.about if not (ROOT / path).exists()] == []


def test_the_command_says_which_are_old_and_refuses_unknown_names() -> None:
    command = [sys.executable, "-m", "tools.proof"]
    options = {"cwd": ROOT, "capture_output": True, "text": True, "timeout": PATIENCE}
    told = subprocess.run([*command, "--check"], check=False, **options)  # type: ignore[call-overload]
    lines = told.stdout.splitlines()
    assert (told.returncode, len(lines) > 0) in {(0, True), (1, True)}
    assert all(line.partition(":")[0] in PARTS for line in lines) or told.returncode == 0
    wrong = subprocess.run([*command, "luck"], check=False, **options)  # type: ignore[call-overload]
    assert wrong.returncode == 2
    assert "no such proof: luck" in wrong.stderr


def alive(group: int) -> list[str]:
    """The processes of a group that have not ended."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            name, _, rest = stat.read_text().rpartition(")")
            state, _, of = rest.split()[:3]
            if int(of) == group and state not in "ZX":
                found.append(name)
    return found


def test_what_ends_a_proof_ends_what_it_has_started() -> None:
    script = (
        "from tools.proof import __main__ as proof\n"
        "from tools.proof.parts import PARTS, Part\n"
        "code = 'import os; print(os.getpid(), flush=True)\\nwhile True: pass'\n"
        "PARTS['fuzz'] = Part('endless', ('tools/proof/busy', '2', '1', 'python3', '-c', code),"
        " ('no such file',), 5)\n"
        "raise SystemExit(proof.main())\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, "fuzz"], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    with process.stdout as output:
        group = next(os.getpgid(int(line)) for line in output if line.strip().isdigit())
        process.send_signal(signal.SIGTERM)
        # Everything that could write is gone at the end of the stream.
        output.read()
    assert process.wait(PATIENCE) == 128 + signal.SIGTERM
    # They have been killed, and are gone as soon as each of them has had its turn.
    deadline = time.monotonic() + PATIENCE
    while left := alive(group):
        assert time.monotonic() < deadline, left
        time.sleep(0.01)
