"""The results of proofs: small files, `proofs/NAME.json`, and which are older than their code."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import subprocess
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from tools.proof.parts import Part


@dataclass(frozen=True, slots=True)
class Result:
    """What a part gave.

    Attributes:
        shows: what holds where it passed.
        passed: did it?
        date: when it began, in UTC.
        seconds: how long it took.
        commit: the commit that it ran on.
        code: a digest of the files that the part is about, as they were.
        machine: processors and their number, system, Python.
        closing: the last lines that it printed.
    """

    shows: str
    passed: bool
    date: str
    seconds: int
    commit: str
    code: str
    machine: str
    closing: tuple[str, ...]


def file_of(root: Path, name: str) -> Path:
    """Where the result of a part is kept."""
    return root / "proofs" / f"{name}.json"


def write(root: Path, name: str, result: Result) -> None:
    """Keep a result."""
    text = json.dumps(asdict(result), indent=2, ensure_ascii=False)
    file_of(root, name).parent.mkdir(exist_ok=True)
    file_of(root, name).write_text(f"{text}\n", encoding="utf-8")


def git(root: Path, *arguments: str) -> str:
    """What git prints; empty where it fails."""
    command = ["git", "-c", "safe.directory=*", *arguments]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    return done.stdout.rstrip() if not done.returncode else ""


def digest(root: Path, part: Part) -> str:
    """A digest of what is committed of the paths that a part is about; empty without git."""
    listed = git(root, "ls-tree", "-r", "HEAD", "--", *part.about)
    return hashlib.sha256(listed.encode()).hexdigest()[:16] if listed else ""


def uncommitted(root: Path, part: Part) -> list[str]:
    """The files of a part that are not as they are committed."""
    listed = git(root, "status", "--porcelain", "--", *part.about)
    return [line[3:] for line in listed.splitlines()]


def complaint(root: Path, name: str, part: Part) -> str | None:
    """Why the result of a part does not speak for the code as it is; None if it does."""
    try:
        told = json.loads(file_of(root, name).read_text(encoding="utf-8"))
        passed, code, commit = told["passed"], told["code"], told["commit"]
    except FileNotFoundError:
        return f"{name}: was never run; run `make proof ARGS={name}`"
    except (ValueError, KeyError, TypeError):
        return f"{name}: its result cannot be read; run `make proof ARGS={name}`"
    if not passed:
        return f"{name}: failed on {told['date']}"
    if code == digest(root, part):
        return None
    since = git(root, "rev-list", "--count", f"{commit}..HEAD", "--", *part.about)
    changes = f"{since} commit(s) since {commit[:9]}" if since else f"commits since {told['date']}"
    return f"{name}: older than its code ({changes}); run `make proof ARGS={name}`"


def machine(python: str) -> str:
    """What it ran on: nothing that names the machine itself."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        text = ""
    found = re.search(r"^model name\s*: (.*)$", text, re.MULTILINE)
    processor = found[1] if found else platform.machine()
    cores = len(os.sched_getaffinity(0))
    return f"{cores} cores of {processor}, {platform.system()} {platform.release()}, {python}"


def now() -> str:
    """The date and the minute, in UTC."""
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
