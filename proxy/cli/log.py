"""`segue log`: has the decisions about some requests of a running Segue logged, for a while."""

from __future__ import annotations

import argparse
import json
from typing import Any

from proxy.admin.log_watches import LIST, START, STOP
from proxy.cli.admin import ask
from proxy.cli.admin_place import place
from proxy.cli.asking import add_asking
from proxy.cli.configuration import Subparsers
from proxy.cli.parser import seconds, whole
from proxy.cli.terminal import printable
from proxy.observability.decisions import MAX_LINES, MAX_SECONDS


def add(commands: Subparsers[argparse.ArgumentParser]) -> None:
    """Put the command into place."""
    text = "have the decisions about some requests of a running segue logged, for a while"
    command = commands.add_parser("log", help=text, description=text.capitalize() + ".")
    actions = command.add_subparsers(dest="action", required=True, metavar="ACTION")
    action = add_asking(actions, "watch", "begin; the lines `decision` come in the log", _watch)
    which = action.add_mutually_exclusive_group(required=True)
    which.add_argument("--cohort", metavar="NAME", help="the requests of this one, or `none`")
    which.add_argument(
        "--request-id",
        metavar="ID",
        help="of an open WebSocket, or one that requests will bring in X-Request-Id",
    )
    action.add_argument(
        "--seconds",
        type=seconds(MAX_SECONDS),
        default=60.0,
        metavar="S",
        help="stop after S (default: 60)",
    )
    action.add_argument(
        "--lines",
        type=whole(1, MAX_LINES),
        default=1000,
        metavar="N",
        help="stop after N lines (default: 1000)",
    )
    add_asking(actions, "list", "show what is watched", _list)
    action = add_asking(actions, "stop", "end a watch before its time", _stop)
    action.add_argument("name", metavar="NAME", help="as `list` shows it")


def _watch(options: argparse.Namespace) -> None:
    names = ("cohort", "request_id", "seconds", "lines")
    order = {name: getattr(options, name) for name in names}
    wanted = {name: value for name, value in order.items() if value is not None}
    watch = ask(place(options), START, wanted)
    print(json.dumps(watch) if options.json else _line(watch))


def _list(options: argparse.Namespace) -> None:
    watches = ask(place(options), LIST).get("watches", [])
    if options.json:
        for watch in watches:
            print(json.dumps(watch))
    elif not watches:
        print("nothing is watched")
    else:
        print("\n".join(map(_line, watches)))


def _stop(options: argparse.Namespace) -> None:
    ask(place(options), STOP, name=options.name)
    print(json.dumps({"stopped": options.name}) if options.json else "stopped")


def _line(watch: dict[str, Any]) -> str:
    cohort, request_id = watch.get("cohort"), watch.get("request_id")
    what = f"cohort {cohort}" if request_id is None else f"request id {request_id}"
    left = f"{watch.get('seconds_left')} s, {watch.get('lines_left')} lines left"
    return printable(f"{watch.get('name')}  {what}  {left}  (by {watch.get('author')})")
