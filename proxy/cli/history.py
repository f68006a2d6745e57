"""`segue history` and `segue undo`: what was done to the switches, and going back."""

from __future__ import annotations

import argparse
import json
import pwd
import re
from typing import Any, Final

from proxy.admin.switch_views import RevisionPage, RevisionView, StateView, SwitchesView
from proxy.admin.switching import LIST, REVISIONS, UNDO
from proxy.cli import changes
from proxy.cli.admin import ask, told_as
from proxy.cli.admin_place import place
from proxy.cli.advice import change
from proxy.cli.asking import add_asking
from proxy.cli.configuration import Subparsers
from proxy.cli.exit_codes import CHANGING, ExitCode
from proxy.cli.parser import whole
from proxy.cli.screen import Screen
from proxy.cli.styled import Column, Line, plain
from proxy.cli.terminal import shortened, when

_PAGE: Final = 100
_MOST: Final = 1000
"""Revisions that are kept."""

_WIDEST: Final = 60
"""Characters of a cell of the table that somebody has written."""

_BY_SOCKET: Final = re.compile(r"uid ([0-9]{1,10}) \(socket\)")
"""The author of a change that was asked for by the Unix socket."""

_SHOWN: Final = 3
"""Changes of one revision that are told in the table."""

_COLUMNS: Final = (
    Column("REVISION", right=True),
    Column("WHEN"),
    Column("AUTHOR", cut=True),
    Column("ROLE", spare=True),
    Column("WHAT", wrap=True),
    Column("OPEN SOCKETS", spare=True),
    Column("REASON", wrap=True),
)


def add(commands: Subparsers[argparse.ArgumentParser]) -> None:
    """Put the commands into place."""
    text = "show what was done to the switches of a running segue, the newest first"
    command = add_asking(commands, "history", text, _history)
    command.add_argument(
        "--limit", type=whole(1, _MOST), default=20, metavar="N", help="default: 20"
    )
    text = "undo the newest change of the switches of a running segue, or all since an earlier one"
    command = add_asking(commands, "undo", text, _undo, CHANGING)
    command.add_argument(
        "--to",
        type=whole(0, changes.MOST_REVISIONS),
        metavar="N",
        help="have everything be what it was at revision N; 0: as configured",
    )
    changes.add_reason(command)
    changes.add_open_sockets(command)
    changes.add_if_revision(command, "the newest change")
    changes.add_wait(command)


def _history(options: argparse.Namespace) -> None:
    where, left, before = place(options), options.limit, None
    found: list[dict[str, Any]] = []
    views: list[RevisionView] = []
    while left:
        answer = ask(where, REVISIONS, {"before": before, "limit": min(left, _PAGE)})
        page = told_as(RevisionPage, answer, "they are").revisions
        if not page:
            break
        found += answer["revisions"]
        views += page
        left -= len(page)
        before = page[-1].number
        if before <= 1:
            break
    if options.json:
        print(json.dumps(found))
    elif views:
        is_here = where.path is not None  # The users of another machine are others.
        rows = [_row(each, users_known=is_here) for each in views]
        Screen.of_stdout().table(_COLUMNS, rows)
    else:
        print("nothing was changed yet")


def _author(text: str) -> str:
    """Who made a revision; with the name of a user who was known by the Unix socket."""
    match = _BY_SOCKET.fullmatch(text)
    if match is None:
        return text
    try:
        return f"{pwd.getpwuid(int(match[1])).pw_name} (uid {match[1]})"
    except (KeyError, OverflowError):
        return text


def _row(each: RevisionView, *, users_known: bool = False) -> Line:
    told = [plain(line) for line in changes.done(each, {})]
    more = f" and {len(told) - _SHOWN} more" if len(told) > _SHOWN else ""
    return (
        str(each.number),
        when(each.at),
        shortened(_author(each.author) if users_known else each.author, _WIDEST),
        each.role or "-",
        "; ".join(told[:_SHOWN]) + more,
        each.open_sockets.value,
        shortened(each.reason, _WIDEST),
    )


def _undo(options: argparse.Namespace) -> ExitCode:
    where = place(options)
    view = told_as(SwitchesView, ask(where, LIST), "they are")
    expected = view.stored if options.if_revision is None else options.if_revision
    asked = {"to": options.to, "reason": options.reason, "open_sockets": options.open_sockets}
    answer = change(
        where, UNDO, asked, if_match=expected, newest=view.stored, named=options.if_revision
    )
    changes.tell(answer, as_json=options.json, known=_configured(view))
    return changes.wait(where, answer, options)


def _configured(view: SwitchesView) -> dict[str, StateView]:
    return {
        each.switch: StateView(
            setting=each.configured, exceptions=[], owner="", until=None, restore=False
        )
        for each in view.switches
    }
