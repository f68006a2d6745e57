"""Are the same tests collected every time? Twice, at other times, with other hashes, elsewhere.

    python tools/collected.py [PYTEST-ARGUMENT...]

Names of tests that are made from the time of day, from random numbers, addresses, temporary paths
or the order of a set differ between two processes: pytest-xdist ends a run whose workers disagree.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from difflib import unified_diff
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
MOST: Final = 20
"""Lines of differences that are printed."""


def collecting(arguments: list[str], seed: int, directory: str) -> subprocess.Popen[str]:
    """Start a collection; each seed has its own hashes, clock, time zone and directory."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider"]
    command += arguments
    if seed:
        command = ["faketime", "-f", f"+{seed}y", *command]
    environment = {name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"}
    environment |= {"PYTHONHASHSEED": str(seed), "TMPDIR": directory}
    environment["TZ"] = "Pacific/Chatham" if seed else "UTC"
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)


def main() -> int:
    """Compare two collections; the exit code is 1 where they differ, or nothing is collected."""
    if shutil.which("faketime") is None:
        print("faketime is missing: apt install faketime", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        runs = [collecting(sys.argv[1:], seed, path) for seed, path in enumerate((one, other))]
        outputs = [run.communicate()[0] for run in runs]
    first, second = ([line for line in text.splitlines() if "::" in line] for text in outputs)
    if any(run.returncode for run in runs):
        print(*outputs, sep="\n", file=sys.stderr)
        return 1
    if first == second:
        print(f"{len(first)} tests, collected twice alike")
        return 0
    differences = list(unified_diff(first, second, "once", "once more", lineterm="", n=0))
    shown = [line for line in differences if not re.match(r"@@|---|\+\+\+", line)]
    print("Not the same tests are collected each time:", *shown[:MOST], sep="\n", file=sys.stderr)
    if len(shown) > MOST:
        print(f"(and {len(shown) - MOST} more)", file=sys.stderr)
    print("Give what is made of time, chance or addresses a name: id=...", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
