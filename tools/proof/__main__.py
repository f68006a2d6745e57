"""Run proofs, or say which are older than their code: `python -m tools.proof [--check] [NAME...]`.

Each part runs alone, in a session of its own that ends with it, and what it prints is shown as it
comes. Its result goes to `proofs/NAME.json`, to be committed.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import signal
import subprocess
import sys
import time
from collections import deque
from contextlib import suppress
from pathlib import Path
from threading import Timer
from types import FrameType
from typing import Final

from tools.proof import results
from tools.proof.by_hand import by_hand
from tools.proof.parts import MINUTE, PARTS, Part

ROOT: Final = Path(__file__).resolve().parents[2]
_CLOSING: Final = 6
"""Lines of the end of the output that are kept."""


def run(name: str, part: Part) -> bool:
    """Run one part and keep its result; True where it passed."""
    changed = results.uncommitted(ROOT, part)
    if changed:
        print(f"{name}: commit first what it is about: {', '.join(changed[:5])}", file=sys.stderr)
        return False
    print(f"== {name}: {part.shows} (at most {part.minutes} min)", flush=True)
    date, begun = results.now(), time.monotonic()
    commit, code = results.git(ROOT, "rev-parse", "HEAD"), results.digest(ROOT, part)
    closing: deque[str] = deque(maxlen=_CLOSING)
    process = subprocess.Popen(
        part.command,
        cwd=ROOT,
        env=by_hand(os.environ),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    bound = Timer(part.minutes * MINUTE, _end, (process,))
    bound.start()
    try:
        assert process.stdout is not None
        with process.stdout as output:
            for line in output:
                print(line, end="", flush=True)
                if line.strip():
                    closing.append(_plain(line))
        passed = process.wait() == 0
    finally:
        bound.cancel()
        _end(process)
    seconds = round(time.monotonic() - begun)
    python = f"Python {platform.python_version()}"
    told = results.Result(
        part.shows,
        passed,
        date,
        seconds,
        commit,
        code,
        results.machine(python),
        tuple(closing),
    )
    results.write(ROOT, name, told)
    print(f"== {name}: {'passed' if passed else 'FAILED'} in {seconds} s", flush=True)
    return passed


def _plain(line: str) -> str:
    """A line without colours and without the directory of the checkout."""
    return re.sub(r"\x1b\[[0-9;]*m", "", line).rstrip().replace(str(ROOT), ".")


def _stop(number: int, _: FrameType | None) -> None:
    """End as for Ctrl-C: what was started is ended first."""
    sys.exit(128 + number)


def _end(process: subprocess.Popen[str]) -> None:
    """End a part and everything that it started, if any of it is left."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def main() -> int:
    """0 where everything passed; with --check, where no result is older than its code."""
    parser = argparse.ArgumentParser(prog="python -m tools.proof", description=__doc__)
    parser.add_argument("--check", action="store_true", help="run nothing, say what is old")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(PARTS)}")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - PARTS.keys():
        parser.error(f"no such proof: {', '.join(sorted(unknown))}")
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _stop)
    chosen = {name: PARTS[name] for name in arguments.names or PARTS}
    if arguments.check:
        told = (results.complaint(ROOT, name, part) for name, part in chosen.items())
        complaints = [each for each in told if each is not None]
        print(*(complaints or ["Every proof is about the code as it is."]), sep="\n")
        return 1 if complaints else 0
    failed = [name for name, part in chosen.items() if not run(name, part)]
    print(f"Failed: {', '.join(failed)}" if failed else "All passed. Commit proofs/.")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
