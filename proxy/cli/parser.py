"""What command lines are understood by: their parser, the types of their flags, and suggestions.

Whatever is wrong is said in words of the command line. A command's flags take their types from
here (`whole`, `seconds`), or raise `argparse.ArgumentTypeError` with the words: any other exception
would have argparse name the function.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterable, Sequence
from difflib import get_close_matches
from typing import Any, NoReturn

from proxy.cli.exit_codes import ExitCode


class Parser(argparse.ArgumentParser):
    """Reads a command line, and suggests what a misspelt word may have meant.

    Args:
        takes_rest: whether what it does not know is left to somebody else.
    """

    def __init__(self, *args: Any, takes_rest: bool = False, **named: Any) -> None:
        # An abbreviation would mean something else once another flag begins like it.
        super().__init__(*args, **{"allow_abbrev": False, **named})
        self._takes_rest = takes_rest

    def parse_known_args(  # type: ignore[override]  # of its overloads, the one that is used
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Understand a command line; what is left is for commands that take it."""
        found, rest = super().parse_known_args(args, namespace)
        if rest and not self._takes_rest and not getattr(found, "takes_rest", False):
            word = rest[0].partition("=")[0]
            what = "option" if word.startswith("-") else "argument"
            hint = did_you_mean(word, self._option_string_actions)
            if hasattr(found, "mistaken"):
                hint = found.mistaken(found, word) or hint
            self.error(f"unknown {what} {word!r}{hint}")
        return found, rest

    def error(self, message: str) -> NoReturn:
        """Say what is wrong, and where to read on, in one line; exit with 2."""
        self.exit(ExitCode.USAGE, f"{self.prog}: {message} (see `{self.prog} --help`)\n")

    def options(self) -> list[argparse.Action]:
        """Its flags, in the order of its help."""
        return [each for each in self._actions if each.option_strings]

    def arguments(self) -> list[argparse.Action]:
        """What stands in its command line without a flag, but for commands."""
        return [
            each
            for each in self._actions
            if not each.option_strings and each.nargs != argparse.PARSER
        ]

    def commands(self) -> dict[str, Parser]:
        """The commands below it."""
        found = [each.choices for each in self._actions if each.nargs == argparse.PARSER]
        return {name: inner for choices in found for name, inner in dict(choices or {}).items()}

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is None or value in action.choices:
            return
        known = [str(each) for each in action.choices]
        hint = did_you_mean(str(value), known)
        if action.metavar in ("COMMAND", "ACTION"):
            what = f"unknown {action.metavar.lower()} {value!r}"
            listed = f"; there are: {', '.join(known)}"
            raise argparse.ArgumentError(None, f"{what}{hint or listed}")
        raise argparse.ArgumentError(action, f"{value!r} is none of {', '.join(known)}{hint}")


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The end of a message: what a misspelt word may have meant; empty where nothing is near."""
    listed = list(known)
    near = get_close_matches(word, listed, n=1) or get_close_matches(word.lower(), listed, n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def add_json(command: argparse.ArgumentParser) -> None:
    """Give a command the flag of all those that read: the answer as JSON."""
    command.add_argument("--json", action="store_true", help="for machines")


def whole(least: int, most: int) -> Callable[[str], int]:
    """The type of a flag whose value is a whole number within bounds."""

    def read(text: str) -> int:
        if not text.isascii() or not text.isdecimal() or not least <= int(text[:20]) <= most:
            raise argparse.ArgumentTypeError(
                f"expected a whole number from {least} to {most}, not {text!r}"
            )
        return int(text)

    return read


def seconds(most: float) -> Callable[[str], float]:
    """The type of a flag whose value is a number of seconds: more than 0, `most` at most."""

    def read(text: str) -> float:
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not 0 < number <= most:
            raise argparse.ArgumentTypeError(
                f"expected a number of seconds, {most:g} at most, not {text!r}"
            )
        return number

    return read
