"""`segue sockets`: the open WebSockets of a running Segue, and having some come back."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Final

from proxy.admin.sockets import CLOSE, LIST, MOST, Closing, SocketsPage, SocketView
from proxy.cli.admin import ask, told_as
from proxy.cli.admin_place import place
from proxy.cli.asking import CarryOut, add_asking
from proxy.cli.configuration import Subparsers
from proxy.cli.parser import whole
from proxy.cli.screen import Screen
from proxy.cli.styled import Column
from proxy.cli.terminal import shortened, span
from proxy.configuration.units import duration

_WIDEST: Final = 40
"""Characters of a cell of the table."""

_COLUMNS: Final = (
    Column("REQUEST"),
    Column("PEER", spare=True),
    Column("COHORT", cut=True),
    Column("OPEN FOR"),
    Column("CONFIG", spare=True),
    *(Column(title, cut=True) for title in ("TO CLIENT", "TO SERVER")),
    Column("FROM CLIENT", right=True, spare=True),
    Column("FROM SERVER", right=True, spare=True),
    *(Column(title, cut=True, spare=True) for title in ("UPSTREAM", "PATH")),
)


def add(commands: Subparsers[argparse.ArgumentParser]) -> None:
    """Put the command into place."""
    text = "list the open websockets of a running segue, or have some end and come back"
    command = commands.add_parser("sockets", help=text, description=text.capitalize() + ".")
    actions = command.add_subparsers(dest="action", required=True, metavar="ACTION")
    action = _add(actions, "list", "show them, the oldest first", _list)
    action.add_argument(
        "--limit", type=whole(1, MOST), default=100, metavar="N", help="default: 100"
    )
    action = _add(
        actions,
        "close",
        "close some, one after the other; their clients are told to return",
        _close,
    )
    action.add_argument("--all", action="store_true", help="whatever their cohort and their age")
    action.add_argument(
        "--over",
        type=_time,
        metavar="TIME",
        help="spread over this time, as 30s or 2m (default: half of timeouts.drain)",
    )


def _time(text: str) -> float:
    try:
        return duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _add(
    actions: Subparsers[argparse.ArgumentParser], name: str, text: str, carry_out: CarryOut
) -> argparse.ArgumentParser:
    action = add_asking(actions, name, text, carry_out)
    action.add_argument("--cohort", metavar="NAME", help="only of clients in this cohort")
    action.add_argument(
        "--older-than-reload",
        action="store_true",
        help="only those that began under another configuration than the one that serves",
    )
    action.set_defaults(refuse=action.error)
    return action


def _list(options: argparse.Namespace) -> None:
    asked: dict[str, object] = {"cohort": options.cohort, "limit": options.limit}
    if options.older_than_reload:
        asked["older_than_reload"] = "true"
    page = told_as(SocketsPage, ask(place(options), LIST, asked), "they are")
    if options.json:
        for each in page.sockets:
            print(each.model_dump_json())
    elif page.sockets:
        Screen.of_stdout().table(_COLUMNS, [_row(each) for each in page.sockets])
    else:
        print("no websockets")
    more = page.total - len(page.sockets)
    if more:
        print(f"there are {more} more: --limit", file=sys.stderr)


def _row(each: SocketView) -> tuple[str, ...]:
    cells = (
        each.request_id,
        each.peer,
        each.cohort,
        span(each.seconds),
        each.configuration + (" (old)" if each.older_than_reload else ""),
        each.to_client,
        each.to_server,
        str(each.from_client),
        str(each.from_server),
        each.upstream,
        each.path,
    )
    return tuple(shortened(cell, _WIDEST) or "-" for cell in cells)


def _close(options: argparse.Namespace) -> None:
    if options.cohort is None and not (options.older_than_reload or options.all):
        options.refuse("say which: --cohort NAME, --older-than-reload, or --all")
    asked = {
        "cohort": options.cohort,
        "older_than_reload": options.older_than_reload,
        "everything": options.all,
        "seconds": options.over,
    }
    answer = ask(place(options), CLOSE, asked)
    closing = told_as(Closing, answer, "they are")
    if options.json:
        print(json.dumps(answer))
    elif closing.closing:
        print(
            f"{closing.closing} are told to come back (1012), over {closing.seconds:g} s;"
            " segue sockets list shows which are left"
        )
    else:
        print("there are none of these")
