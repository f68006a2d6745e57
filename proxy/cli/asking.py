"""Commands that ask a running Segue: how they are put into place, and how they end."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from proxy.cli.admin import Refused
from proxy.cli.admin_place import add_admin
from proxy.cli.configuration import Subparsers, add_config
from proxy.cli.parser import add_json

CarryOut = Callable[[argparse.Namespace], int | None]
"""Asks, and prints the answer; returns the exit code, nothing for 0. May raise `Refused`."""


def add_asking(
    commands: Subparsers[argparse.ArgumentParser], name: str, text: str, carry_out: CarryOut
) -> argparse.ArgumentParser:
    """Put such a command into place, with the flags that all of them have."""
    command = commands.add_parser(name, help=text, description=text.capitalize() + ".")
    add_config(command)
    add_admin(command)
    add_json(command)
    command.set_defaults(run=run, carry_out=carry_out)
    return command


def run(options: argparse.Namespace) -> int:
    """Carry the command out; 1 where Segue cannot be reached, or will not do it.

    Raises:
        ConfigError: there is no address to ask.
    """
    try:
        return options.carry_out(options) or 0
    except Refused as refusal:
        print(f"segue: {refusal}", file=sys.stderr)
        return 1
