"""Coverage-guided fuzzing of the pure floors: `python -m tools.fuzz SECONDS [TARGET...]`.

Each target runs in a process of its own for so many seconds, over the seeds in `tests/corpus` and
what earlier runs found worth keeping (`.fuzz/`). What makes one fail is written there, too, and
belongs into the corpus once the fault is mended.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
SEEDS: Final = ROOT / "tests/corpus"
FOUND: Final = ROOT / ".fuzz"
_MARGIN: Final = 60
"""Seconds beyond those asked for, for the start and a slow last input."""


def run(target: str, seconds: int) -> int:
    """Fuzz one target in a process of its own; its exit code, 0 where nothing was found."""
    kept, faults = FOUND / target, FOUND / "faults"
    for directory in (kept, faults):
        directory.mkdir(parents=True, exist_ok=True)
    command = [
        *(sys.executable, "-m", "tools.fuzz.process", target, str(kept), str(SEEDS / target)),
        f"-max_total_time={seconds}",
        f"-artifact_prefix={faults / target}-",
        *("-max_len=4096", "-timeout=20", "-rss_limit_mb=2048", "-print_final_stats=1"),
    ]
    try:
        return subprocess.run(command, cwd=ROOT, check=False, timeout=seconds + _MARGIN).returncode
    except subprocess.TimeoutExpired:
        print(f"{target}: not done {_MARGIN} s after its time", file=sys.stderr)
        return 1


def main() -> int:
    """Run the targets that were asked for, or all."""
    from tools.fuzz.targets import TARGETS  # noqa: PLC0415 (a wrong call needs no targets)

    seconds, chosen = int(sys.argv[1]), sys.argv[2:] or list(TARGETS)
    failed = []
    for target in chosen:
        print(f"== {target}, {seconds} s", flush=True)
        if run(target, seconds):
            failed.append(target)
    print(f"Found something: {', '.join(failed)}" if failed else "Nothing was found.")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
