"""`segue sessions`: who is logged in at a running Segue, and ending that. It shows no tokens."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from proxy.admin.sessions import END, END_ALL, LIST
from proxy.cli.admin import Refused, ask
from proxy.cli.admin_place import Place, place
from proxy.cli.asking import add_asking
from proxy.cli.configuration import Subparsers
from proxy.cli.parser import whole
from proxy.cli.screen import Screen
from proxy.cli.styled import Column
from proxy.cli.terminal import printable, shortened, span

_PAGE: Final = 500
_MOST: Final = 1_000_000
_WIDEST: Final = 40
"""Characters of a user, cohort or version in the table."""

_COLUMNS: Final = (
    Column("SESSION"),
    *(Column(title, cut=True) for title in ("USER", "COHORT", "VERSION")),
    *(Column(title) for title in ("AGE", "IDLE")),
    *(Column(title, right=True) for title in ("RENEWED", "SOCKETS")),
    *(Column(title) for title in ("TOKEN", "ENDS")),
)


class _Session(msgspec.Struct):
    """What the table shows of a session; see `proxy.admin.sessions`."""

    session: str
    user: str
    cohort: str
    version: str
    age: float
    idle: float
    refreshes: int
    websockets: int
    access_expires: float
    refresh_expires: float
    over: float


def add(commands: Subparsers[argparse.ArgumentParser]) -> None:
    """Put the command into place."""
    text = "list the sessions of a running segue, end one, or all of a user"
    command = commands.add_parser("sessions", help=text, description=text.capitalize() + ".")
    actions = command.add_subparsers(dest="action", required=True, metavar="ACTION")
    action = add_asking(actions, "list", "show the open sessions, without their tokens", _list)
    action.add_argument("--user", metavar="ID", help="only of this user")
    action.add_argument(
        "--limit", type=whole(1, _MOST), default=100, metavar="N", help="default: 100"
    )
    action.add_argument("--after", default="", metavar="SESSION", help="go on after this one")
    action = add_asking(actions, "end", "end one: its tokens are refused from then on", _end)
    action.add_argument("session", metavar="SESSION", help="as `list` shows it")
    action = add_asking(actions, "end-user", "end all sessions of a user", _end_user)
    action.add_argument("user", metavar="ID", help="as `list` shows it")
    action.add_argument("--host", help="only those that began at this host; else at any")


def _list(options: argparse.Namespace) -> None:
    where, now = place(options), time.time()
    rows: list[tuple[str, ...]] = []
    following, unreadable = "", list[str]()
    for page in _pages(where, options):
        following = page.get("next") or ""
        unreadable += page["unreadable"]
        for each in page["sessions"]:
            if options.json:
                print(json.dumps(each))
            else:
                rows.append(_row(each, now))
    if rows:
        Screen.of_stdout().table(_COLUMNS, rows)
    elif not options.json:
        print("no sessions")
    if unreadable:
        names = printable(", ".join(map(str, unreadable)))
        print(f"damaged, or of a later version, and not shown: {names}", file=sys.stderr)
    if following:
        print(f"there are more: --after {printable(following)}", file=sys.stderr)


def _pages(where: Place, options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    left, after = options.limit, options.after
    while left:
        wanted = {"limit": min(left, _PAGE), "after": after, "user": options.user}
        page = ask(where, LIST, wanted)
        page = {"sessions": [], "unreadable": [], **page}
        yield page
        left -= len(page["sessions"]) + len(page["unreadable"])
        after = page.get("next")
        if not after:
            return


def _row(each: object, now: float) -> tuple[str, ...]:
    try:
        seen = msgspec.convert(each, _Session)
    except msgspec.ValidationError:
        raise Refused("the sessions are told in a form that this version does not know") from None
    return (
        printable(seen.session),
        *(shortened(text, _WIDEST) or "-" for text in (seen.user, seen.cohort, seen.version)),
        span(max(seen.age, 0)),
        span(max(seen.idle, 0)),
        str(seen.refreshes),
        str(seen.websockets),
        span(seen.access_expires - now),
        span(min(seen.over, seen.refresh_expires) - now),
    )


def _end(options: argparse.Namespace) -> None:
    ended = ask(place(options), END, session=options.session).get("ended")
    if options.json:
        print(json.dumps({"ended": ended}))
    else:
        print("ended" if ended else "it had ended before")


def _end_user(options: argparse.Namespace) -> None:
    where, total = place(options), 0
    after: str | None = ""
    try:
        # Each step is one that the proxy answers in time, however many there are.
        while after is not None:
            order = {"user": options.user, "after": after, "host": options.host}
            answer = ask(where, END_ALL, order)
            total += int(answer.get("ended") or 0)
            after = answer.get("next")
    except Refused as refusal:
        raise refusal.said(f"{refusal}; {total} ended before") from None
    print(json.dumps({"ended": total}) if options.json else f"{total} ended")
