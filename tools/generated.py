"""Files that a tool generates: written, or held against what would be written."""

from __future__ import annotations

from pathlib import Path


def write_or_check(arguments: list[str], target: Path, root: Path, text: str, module: str) -> int:
    """Write a file; with `--check` as the only argument say whether it is what would be written.

    Args:
        arguments: of the command line.
        target: the file.
        root: the checkout, from which the file is named.
        text: what it is to hold.
        module: what generates it, as it is run by `python -m`.

    Returns:
        The exit code.
    """
    if arguments == ["--check"]:
        if target.exists() and target.read_text(encoding="utf-8") == text:
            return 0
        print(f"{target.relative_to(root)} is out of date: run `python -m {module}`")
        return 1
    target.write_text(text, encoding="utf-8")
    return 0
