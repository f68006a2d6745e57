"""`segue history` and `segue undo`: what was done to the switches, and going back."""

from __future__ import annotations

import argparse
import json
import pwd
import re
from typing import Any, Final

from proxy.admin.switch_endpoints import REVISIONS, UNDO
from proxy.admin.switch_views import RevisionPage, RevisionView, StateView, SwitchesView
from proxy.cli import changes
from proxy.cli.admin import Refused, ask, told_as
from proxy.cli.admin_place import Place, place
from proxy.cli.advice import change
from proxy.cli.asking import add_asking
from proxy.cli.configuration import Subparsers
from proxy.cli.exit_codes import CHANGING, ExitCode
from proxy.cli.parser import whole
from proxy.cli.screen import Screen
from proxy.cli.styled import Column, Line, plain
from proxy.cli.switch_reads import read_switches
from proxy.cli.terminal import shortened, when
from proxy.cli.undone import undoes, would_be

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
    changes.add_reason(command, required=False)
    changes.add_conditions(command, "the newest change")
    command.add_argument(
        "--dry-run", action="store_true", help="only say what it would undo; needs no reason"
    )
    command.set_defaults(refuse=command.error)


def _history(options: argparse.Namespace) -> None:
    where = place(options)
    found, views = _read(where, None, options.limit)
    if options.json:
        print(json.dumps(found))
    elif views:
        is_here = where.path is not None  # The users of another machine are others.
        rows = [_row(each, users_known=is_here) for each in views]
        Screen.of_stdout().table(_COLUMNS, rows)
    else:
        print("nothing was changed yet")


def _read(
    where: Place, before: int | None, left: int
) -> tuple[list[dict[str, Any]], list[RevisionView]]:
    """Revisions before a number, so many at most, the newest first: as they came, and as views."""
    found: list[dict[str, Any]] = []
    views: list[RevisionView] = []
    while left > 0:
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
    return found, views


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
    if options.reason is None and not options.dry_run:
        options.refuse("say why: --reason TEXT")
    where = place(options)
    view, _ = read_switches(where)
    known, newest = _configured(view), view.stored
    to = newest - 1 if options.to is None else options.to
    views = _read(where, newest + 1, min(newest - to, _MOST))[1] if newest else []
    undone = [each for each in views if each.number > to]
    if options.dry_run:
        return _dry(options, undone, known, to, newest)
    expected = newest if options.if_revision is None else options.if_revision
    asked = {"to": options.to, "reason": options.reason, "open_sockets": options.open_sockets}
    answer = change(where, UNDO, asked, if_match=expected, newest=newest, named=options.if_revision)
    notes = undoes(undone, known) if undone else ()
    changes.tell(answer, as_json=options.json, known=known, notes=notes)
    return changes.wait(where, answer, options)


def _dry(
    options: argparse.Namespace,
    undone: list[RevisionView],
    known: changes.Known,
    to: int,
    newest: int,
) -> ExitCode:
    """Only say what would be undone, by the revisions that are kept."""
    if not undone or undone[-1].number != to + 1:
        raise Refused(f"there is no revision {to} to go back to; the newest is {newest}")
    would = would_be(undone)
    if options.json:
        told = {
            "undoes": [each.number for each in undone],
            "revision": would.model_dump(mode="json"),
        }
        print(json.dumps(told))
        return ExitCode.OK
    screen = Screen.of_stdout()
    for text in undoes(undone, known):
        screen.line(text)
    for line in changes.done(would, known):
        screen.line(*line)
    screen.line("nothing was changed")
    return ExitCode.OK


def _configured(view: SwitchesView) -> dict[str, StateView]:
    return {each.switch: changes.set_for_good(each.configured) for each in view.switches}
