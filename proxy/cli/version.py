"""`segue version`, which `segue --version` is too: what is installed."""

from __future__ import annotations

import argparse
import json
import platform

from proxy.cli.configuration import Subparsers
from proxy.cli.parser import add_json
from proxy.process.version import segue_version

__all__ = ["add", "run", "segue_version"]


def add(commands: Subparsers[argparse.ArgumentParser]) -> None:
    """Put the command into place."""
    command = commands.add_parser(
        "version", help="print the version", description="Print the version."
    )
    add_json(command)
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print it."""
    if options.json:
        print(json.dumps({"version": segue_version(), "python": platform.python_version()}))
    else:
        print(f"segue {segue_version()}")
    return 0
