"""The Pythons that Segue supports, and where this machine has them.

    python -m tools.interpreters [--others]

Prints `VERSION PATH` for each that is found, on standard output, and names each that is absent, on
standard error. Looked for are `pythonX.Y` on the path, and what pyenv has installed: its own
commands of that name refuse to run while another version is selected.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from packaging.version import InvalidVersion, Version

from tools import locks

SUPPORTED: Final = tuple(locks.claimed_pythons(locks.read_project(locks.ROOT)))
"""What the classifiers name, `major.minor`."""


def find(version: str) -> str | None:
    """The path of an interpreter of that version that runs; None where there is none."""
    return next((path for path in _candidates(version) if _runs(path, version)), None)


def _candidates(version: str) -> Iterator[str]:
    """Where one might be, the likeliest first."""
    found = shutil.which(f"python{version}")
    if found is not None:
        yield found
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    installed = pyenv.glob(f"{version}.*/bin/python")
    yield from map(str, sorted(installed, key=_patch_level, reverse=True))


def _patch_level(path: Path) -> Version:
    """How new the Python is whose directory this is in."""
    try:
        return Version(path.parent.parent.name)
    except InvalidVersion:  # Such as `3.13.0t`.
        return Version("0")


def _runs(path: str, version: str) -> bool:
    """Does it start, and is it CPython of that version with its lock?"""
    code = (
        "import sys, sysconfig; print('%d.%d' % sys.version_info[:2], sys.implementation.name, "
        "bool(sysconfig.get_config_var('Py_GIL_DISABLED')))"
    )
    try:
        done = subprocess.run([path, "-c", code], capture_output=True, text=True, check=False)
    except OSError:
        return False
    return done.stdout.split() == [version, "cpython", "False"]


def main(arguments: list[str] | None = None) -> int:
    """Print what is found, and say what is not."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--others", action="store_true", help="leave out the one that runs this")
    chosen = parser.parse_args(arguments)
    own = "{}.{}".format(*sys.version_info)
    for version in SUPPORTED:
        if chosen.others and version == own:
            continue
        path = find(version)
        if path is None:
            print(f"Python {version}: absent, so nothing is tested on it", file=sys.stderr)
        else:
            print(version, path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
