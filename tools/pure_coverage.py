"""Run the unit tests, and measure the branch coverage of the pure rooms by them: it has to be full.

    python tools/pure_coverage.py [PYTEST-ARGUMENT...]

What is pure is what the import contract `pure` in `pyproject.toml` says. Each room or module of it
has files, and tests that mirror them: `proxy.http` has `tests/unit/http/`, `proxy.upstream.health`
has `tests/unit/upstream/test_health.py`.
"""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent


def pure_modules(root: Path) -> list[str]:
    """The packages and modules of the contract, without the name of the whole."""
    settings = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))
    (contract,) = (
        contract
        for contract in settings["tool"]["importlinter"]["contracts"]
        if contract["id"] == "pure"
    )
    return [str(module).removeprefix("proxy.") for module in contract["source_modules"]]


def sources_of(root: Path, module: str) -> list[Path]:
    """The file of a module, or those of a package and all that is in it; empty if there is none."""
    path = root / "proxy" / module.replace(".", "/")
    if path.is_dir():
        return sorted(path.rglob("*.py"))
    return [file for file in (path.with_suffix(".py"),) if file.is_file()]


def tests_of(root: Path, module: str) -> list[Path]:
    """What tests a module: files of its name, and those in a directory of its name."""
    *package, name = module.split(".")
    directory = root.joinpath("tests", "unit", *package)
    named = [*directory.glob(f"test_{name}.py"), *directory.glob(f"test_{name}_*.py")]
    return sorted(named) + sorted((directory / name).rglob("test_*.py"))


def missing(root: Path) -> list[str]:
    """What is wrong with the list: modules without a file, or without a test."""
    problems = []
    for module in pure_modules(root):
        if not sources_of(root, module):
            problems.append(f"the contract `pure` names proxy.{module}, which has no file")
        elif not tests_of(root, module):
            problems.append(f"proxy.{module} has no test of its name in tests/unit")
    return problems


def main() -> int:
    """Run the tests, then print what they did not reach."""
    problems = missing(ROOT)
    for problem in problems:
        print(problem, file=sys.stderr)
    if problems:
        return 1
    files = ",".join(
        str(path.relative_to(ROOT))
        for module in pure_modules(ROOT)
        for path in sources_of(ROOT, module)
    )
    python = [sys.executable, "-m"]
    options = ["-q", "--numprocesses", "auto", "--dist", "loadfile", "--cov", "--cov-report="]
    ran = subprocess.run(
        [*python, "pytest", *options, "tests/unit", *sys.argv[1:]], cwd=ROOT, check=False
    )
    covered = subprocess.run(
        [*python, "coverage", "report", f"--include={files}", "--fail-under=100"],
        cwd=ROOT,
        check=False,
    )
    return ran.returncode or covered.returncode


if __name__ == "__main__":
    sys.exit(main())
