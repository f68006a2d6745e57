"""`segue versions`: which versions the clients of a running Segue tell, and what they are given."""

from __future__ import annotations

import argparse
import json
import time
from typing import Any, Final

import msgspec

from proxy.admin.versions import SHOW
from proxy.cli.admin import Refused, ask
from proxy.cli.admin_place import place
from proxy.cli.asking import add_asking
from proxy.cli.configuration import Subparsers
from proxy.cli.screen import Screen
from proxy.cli.styled import Column
from proxy.cli.terminal import shortened, span

_WIDEST: Final = 40
"""Characters of a version or cohort in the table."""

_COLUMNS: Final = (
    Column("VERSION", cut=True),
    Column("COHORT", cut=True),
    Column("REQUESTS", right=True),
    Column("SHARE", right=True),
    Column("LAST"),
)


class _Version(msgspec.Struct):
    version: str
    cohort: str
    readable: bool
    requests: int
    last: float


class _Table(msgspec.Struct):
    """What is shown; see `proxy.admin.versions`."""

    versions: list[_Version]
    other: int
    untold: int


def add(commands: Subparsers[argparse.ArgumentParser]) -> None:
    """Put the command into place."""
    text = "show which versions clients tell a running segue, and their cohorts"
    add_asking(commands, "versions", text, _show)


def _show(options: argparse.Namespace) -> None:
    told = ask(place(options), SHOW)
    if options.json:
        print(json.dumps(told))
    else:
        _print(_read(told))


def _read(told: dict[str, Any]) -> _Table:
    try:
        return msgspec.convert(told, _Table)
    except msgspec.ValidationError:
        raise Refused("the versions are told in a form that this version does not know") from None


def _print(table: _Table) -> None:
    now = time.time()
    total = sum(each.requests for each in table.versions) + table.other + table.untold
    rows = [
        (
            (shortened(each.version, _WIDEST) or "(empty, or too long)")
            + ("" if each.readable else " (unreadable)"),
            shortened(each.cohort, _WIDEST),
            str(each.requests),
            _share(each.requests, total),
            f"{span(max(now - each.last, 0))} ago",
        )
        for each in table.versions
    ]
    for name, count in (("(other)", table.other), ("(none told)", table.untold)):
        if count:
            rows.append((name, "", str(count), _share(count, total), ""))
    if not rows:
        print("no requests yet")
        return
    Screen.of_stdout().table(_COLUMNS, rows)


def _share(count: int, total: int) -> str:
    return f"{count / total:.1%}"
