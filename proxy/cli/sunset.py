"""`segue sunset`: which mappings are still needed, and which can go."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from typing import Final

from proxy.admin.sunset import SUNSET, MappingSunset, SunsetView
from proxy.cli.admin import ask, told_as
from proxy.cli.admin_place import place
from proxy.cli.asking import add_asking
from proxy.cli.configuration import Subparsers
from proxy.cli.screen import Screen
from proxy.cli.styled import Column, Line, Span, Style
from proxy.cli.sunset_report import report
from proxy.cli.terminal import shortened, span
from proxy.switching.sunset_verdict import Verdict

_WIDEST: Final = 60
_NONE: Final = "-"

_COLUMNS: Final = (
    Column("SWITCH"),
    Column("VERDICT", wrap=True),
    Column("LAST NEEDED"),
    Column("USERS", right=True),
    Column("OPEN", right=True, spare=True),
    Column("WATCHED", right=True),
    Column("VERSIONS", cut=True, spare=True),
)

_STYLES: Final = {
    Verdict.NEEDED: Style.PLAIN,
    Verdict.IDLE: Style.CANARY,
    Verdict.SAFE: Style.GOOD,
    Verdict.UNKNOWN: Style.BAD,
}


def add(commands: Subparsers[argparse.ArgumentParser]) -> None:
    """Put the command into place."""
    text = "show which mappings messages still need, and which can go"
    command = add_asking(commands, "sunset", text, _show)
    command.add_argument(
        "--report", action="store_true", help="print a report in Markdown, for people who decide"
    )


def _show(options: argparse.Namespace) -> None:
    answer = ask(place(options), SUNSET)
    if options.json:
        print(json.dumps(answer))
        return
    view = told_as(SunsetView, answer, "it is")
    if options.report:
        print(report(view))
        return
    screen = Screen.of_stdout()
    for line in notes(view):
        screen.line(*line)
    if view.mappings:
        screen.table(_COLUMNS, list(rows(view)))
    else:
        print("no cohort names a mapping")


def rows(view: SunsetView) -> Iterator[Line]:
    """A row for each mapping of each cohort."""
    for each in view.mappings:
        yield (
            shortened(each.switch, _WIDEST),
            Span(verdict(each), _STYLES[each.verdict]),
            _NONE
            if each.last_needed is None
            else f"{span(max(view.now - each.last_needed, 0))} ago",
            f"~{each.users:,}" if each.users else _NONE,
            f"{each.open:,}" if each.open else _NONE,
            f"{each.watched:.0%}",
            ", ".join(version.version for version in each.versions) or _NONE,
        )


def verdict(each: MappingSunset) -> str:
    """A verdict in words."""
    if each.verdict is Verdict.IDLE:
        return f"idle for {each.idle_days} day{'' if each.idle_days == 1 else 's'}"
    if each.verdict is Verdict.SAFE:
        return "safe to delete"
    return each.verdict.value


def notes(view: SunsetView) -> Iterator[Line]:
    """What is to be said besides: what is not watched, and why."""
    if view.silent:
        names = shortened(", ".join(view.silent), 200)
        yield (Span(f"these processes tell nothing, or their clock is wrong: {names}", Style.BAD),)
    if view.read_at is None:
        yield (Span("the store has not been read yet: what others saw is missing", Style.BAD),)
    for each in view.mappings:
        if each.blind is not None and each.verdict is not Verdict.NEEDED:
            yield (Span(f"{each.switch} is not watched now: {each.blind}", Style.DIM),)
