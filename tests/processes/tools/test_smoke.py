"""The smoke run over an installed Segue passes where it serves, and says what does not hold."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from tests.support.checkout import ROOT
from tests.support.waiting import PATIENCE


def smoke(config: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-I", str(ROOT / "tools" / "smoke.py"), *flags, str(config)],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )


def test_what_serves_passes() -> None:
    done = smoke(ROOT / "config.yaml")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("  ok  ") == 7


def test_frames_that_are_not_rewritten_fail(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "mappings", tmp_path / "mappings")
    text = (ROOT / "config.yaml").read_text(encoding="utf-8")
    assert "to_client: [old-to-new]" in text
    config = tmp_path / "config.yaml"
    config.write_text(text.replace("to_client: [old-to-new]", "to_client: []"), encoding="utf-8")
    done = smoke(config)
    assert done.returncode == 1
    assert "FAILED  a client of version 2.1 gets the new frame" in done.stderr


def test_what_does_not_start_fails_with_what_it_said(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("lisen: {}\n")
    done = smoke(config)
    assert done.returncode == 1
    assert "lisen" in done.stderr


def test_a_checkout_is_not_compiled() -> None:
    done = smoke(ROOT / "config.yaml", "--compiled")
    assert done.returncode == 1
    assert "proxy.relay.leg" in done.stderr
