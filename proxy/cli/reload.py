"""`segue reload`: have a running Segue read its files again; wait, and say what came of it."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any, Final

from proxy.admin.reload import RELOAD
from proxy.cli import changes
from proxy.cli.admin import ask
from proxy.cli.admin_place import place
from proxy.cli.asking import add_asking
from proxy.cli.configuration import Subparsers
from proxy.cli.terminal import printable, when

_TIMEOUT: Final = 120.0
"""Seconds to wait: mappings with many examples take a while to check."""


def add(commands: Subparsers[argparse.ArgumentParser]) -> None:
    """Put the command into place."""
    text = "have a running segue read configuration, mappings and TLS files again, and wait for it"
    add_asking(commands, "reload", text, _reload)


def _reload(options: argparse.Namespace) -> int:
    """Reload; 0 if what was read serves."""
    answer = ask(place(options), RELOAD, {}, timeout=_TIMEOUT)
    succeeded = answer.get("succeeded") is True
    if options.json:
        print(json.dumps(answer))
    else:
        tell(answer)
    return 0 if succeeded else 1


def _removed(each: dict[str, Any]) -> str:
    """Warn of a mapping that is gone and was not said to be safe to delete."""
    last, users = each.get("last_needed"), each.get("users")
    needed = f"last needed {when(last)}" if isinstance(last, int | float) else "no need was seen"
    return (
        f"this removes {each.get('switch')}, which is not safe to delete ({each.get('verdict')}):"
        f" {needed}, about {users} users a day"
    )


def tell(answer: dict[str, Any]) -> None:
    """Print the outcome for people: what is wrong to standard error."""
    serving = printable(str(answer.get("serving")))
    problems = answer.get("problems") or []
    if answer.get("succeeded") is True:
        print(f"reloaded: {serving} serves")
        ended = [str(each) for each in answer.get("ends_switches") or ()]
        for line in changes.ended(ended, all_off=answer.get("ends_all_off") is True):
            print(printable(line))
        for each in answer.get("removed") or ():
            if isinstance(each, dict):
                print(printable(_removed(each)))
        keys = ", ".join(map(str, answer.get("needs_restart") or ()))
        if keys:
            print(f"a restart is needed for some changes: {printable(keys)}")
        return
    for each in problems:
        text = each.get("text") if isinstance(each, dict) else each
        print(printable(str(text)), file=sys.stderr)
    count = len(problems)
    print(
        f"segue: not reloaded: {count} problem{'' if count == 1 else 's'} found; {serving} goes on"
        " serving",
        file=sys.stderr,
    )
