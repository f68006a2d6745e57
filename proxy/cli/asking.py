"""Commands that ask a running Segue: how they are put into place, and how they end."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from proxy.cli.admin import Refused
from proxy.cli.admin_place import add_admin
from proxy.cli.configuration import Subparsers, add_config
from proxy.cli.exit_codes import ASKING, WORDS, ExitCode
from proxy.cli.parser import add_json

CarryOut = Callable[[argparse.Namespace], int | None]
"""Asks, and prints the answer; returns the exit code, nothing for 0. May raise `Refused`."""


def add_asking(
    commands: Subparsers[argparse.ArgumentParser],
    name: str,
    text: str,
    carry_out: CarryOut,
    codes: frozenset[ExitCode] = ASKING,
) -> argparse.ArgumentParser:
    """Put such a command into place, with the flags that all of them have.

    Args:
        commands: those that it will be one of.
        name: what it is called.
        text: its help.
        carry_out: what it does.
        codes: those that it may end with; a refusal that has none of them is a failure.
    """
    ends = ", ".join(f"{code.value} {WORDS[code]}" for code in sorted(codes))
    command = commands.add_parser(
        name, help=text, description=text.capitalize() + ".", epilog=f"Exit codes: {ends}."
    )
    add_config(command)
    add_admin(command)
    add_json(command)
    command.set_defaults(run=run, carry_out=carry_out, codes=codes)
    return command


def run(options: argparse.Namespace) -> int:
    """Carry the command out; where Segue cannot be reached, or will not do it, return why.

    Raises:
        ConfigError: there is no address to ask.
    """
    try:
        return options.carry_out(options) or 0
    except Refused as refusal:
        return refused(refusal, options)


def refused(refusal: Refused, options: argparse.Namespace) -> ExitCode:
    """Print why a command was refused; return what it ends with."""
    print(f"segue: {refusal}", file=sys.stderr)
    if options.verbose and refusal.asked:
        print(f"segue: asked {refusal.asked}", file=sys.stderr)
    return refusal.code if refusal.code in options.codes else ExitCode.FAILED
