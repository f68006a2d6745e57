"""Measure the branch coverage of the pure floors by their own tests; it has to be full.

    python tools/pure_coverage.py

Which modules are pure is what the import contract `pure` in `pyproject.toml` says.
"""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent


def pure_modules() -> list[str]:
    """The modules of the contract, without the package's name."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    (contract,) = (
        contract
        for contract in settings["tool"]["importlinter"]["contracts"]
        if contract["id"] == "pure"
    )
    return [str(module).removeprefix("proxy.") for module in contract["source_modules"]]


def main() -> int:
    """Run the tests, then print what they did not reach."""
    modules = pure_modules()
    tests = [
        str(path)
        for module in modules
        for path in [ROOT / "tests" / module, *(ROOT / "tests").glob(f"test_{module}*.py")]
        if path.exists()
    ]
    files = ",".join(f"proxy/{module}.py,proxy/{module}/*" for module in modules)
    python = [sys.executable, "-m"]
    ran = subprocess.run(
        [*python, "pytest", "-q", "--cov", "--cov-report=", *tests], cwd=ROOT, check=False
    )
    covered = subprocess.run(
        [*python, "coverage", "report", f"--include={files}", "--fail-under=100"],
        cwd=ROOT,
        check=False,
    )
    return ran.returncode or covered.returncode


if __name__ == "__main__":
    sys.exit(main())
