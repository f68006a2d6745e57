"""The demonstration in an environment that has what the proxy needs, and not the old server's."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path
from sysconfig import get_path

from demo.packages import NEEDED, missing
from tests.support.checkout import ROOT
from tests.support.waiting import PATIENCE


def test_what_is_asked_for_is_what_the_project_names() -> None:
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
    named = {text.partition(">")[0].partition("<")[0] for text in groups["demo"]}
    assert set(NEEDED.values()) == named
    assert missing() == []


def test_without_the_old_servers_packages_there_is_a_hint_and_no_traceback(tmp_path: Path) -> None:
    for installed in Path(get_path("purelib")).iterdir():
        if installed.name not in NEEDED and installed.suffix != ".pth":
            (tmp_path / installed.name).symlink_to(installed)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), str(tmp_path)))}
    # Without site-packages of its own: what it finds is in that directory.
    result = subprocess.run(
        [sys.executable, "-S", "-m", "demo", "--once", "--fast"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    assert "not installed: django, djangorestframework," in result.stderr
    assert "make demo" in result.stderr
    assert result.stdout == ""
