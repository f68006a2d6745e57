"""A process that serves leaves no copy of its memory behind, and no neighbour looks into it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.checkout import ROOT
from tests.support.process import running

FORBIDDEN = """
import ctypes, resource
from proxy.process import core_dumps
core_dumps.forbid()
core_dumps.forbid()
print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0), resource.getrlimit(resource.RLIMIT_CORE))
"""
"""3 is PR_GET_DUMPABLE."""


def test_neither_a_crash_nor_another_process_gets_the_memory() -> None:
    done = subprocess.run(
        [sys.executable, "-c", FORBIDDEN], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "0 (0, 0)\n"


async def test_a_process_that_serves_has_no_core_dumps(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text('upstream: {url: "http://127.0.0.1:9"}\n')
    async with running(config, env={"SEGUE_STATE_DIR": str(tmp_path / "state")}) as process:
        limits = Path(f"/proc/{process.child.pid}/limits").read_text()
        (line,) = (each for each in limits.splitlines() if each.startswith("Max core file size"))
        assert line.split()[4:6] == ["0", "0"]
        # What is not dumpable belongs to root there, whoever runs it.
        assert Path(f"/proc/{process.child.pid}/mem").stat().st_uid == 0


@pytest.mark.parametrize("mode", [0o777, 0o755])
def test_a_state_directory_that_is_open_to_others_keeps_from_starting(
    tmp_path: Path, mode: int
) -> None:
    config, state = tmp_path / "config.yaml", tmp_path / "state"
    config.write_text('upstream: {url: "http://127.0.0.1:9"}\n')
    state.mkdir()
    state.chmod(mode)
    command = [sys.executable, "-m", "proxy", "run", "--config", str(config)]
    addresses = ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]
    done = subprocess.run(
        [*command, *addresses, "--state-dir", str(state)],
        cwd=ROOT,
        env={**os.environ},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert f"chmod 700 {state}" in done.stderr
    assert list(state.iterdir()) == [], "nothing was made there"
