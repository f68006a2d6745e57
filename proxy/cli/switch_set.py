"""`segue switch set`: turns a switch, or makes an exception for some versions."""

from __future__ import annotations

import argparse
import json
from typing import Final

from proxy.admin.switch_endpoints import SET
from proxy.admin.switch_views import DryRun, SwitchView
from proxy.cli import changes, switch_lists
from proxy.cli.admin import told_as
from proxy.cli.admin_place import place
from proxy.cli.advice import change
from proxy.cli.asking import add_asking
from proxy.cli.configuration import Subparsers
from proxy.cli.exit_codes import CHANGING, ExitCode
from proxy.cli.screen import Screen
from proxy.cli.switch_arguments import (
    add_switch,
    exception_name,
    owner,
    percent,
    period,
    until,
    versions,
)
from proxy.cli.switch_reads import read_switch, set_before
from proxy.cli.terminal import shortened
from proxy.switching.exposure import state_lowers, state_takes
from proxy.switching.refusal import ChangeRefused
from proxy.switching.setting import Mode, parse_setting
from proxy.switching.switch_changes import (
    SetSwitch,
    turned,
)
from proxy.switching.table import SwitchName, SwitchState, Table, VersionException
from proxy.versions.version import parse_range

_DRY: Final = "dry run"
_WIDEST: Final = 400
"""Characters of a list of names in a message."""

_States = tuple[SwitchState, SwitchState]


def add(actions: Subparsers[argparse.ArgumentParser]) -> None:
    """Put the command into place, among the actions of `segue switch`."""
    text = "set one to off, shadow, canary or on; or make an exception for some versions"
    action = add_asking(actions, "set", text, _set, CHANGING)
    add_switch(action)
    action.add_argument(
        "state",
        choices=[mode.value for mode in Mode],
        help="off, shadow, canary (with --percent) or on",
    )
    action.add_argument(
        "--percent", type=percent, metavar="N", help="of users, for a canary: 0 to 100"
    )
    action.add_argument(
        "--versions",
        type=versions,
        metavar="RANGE",
        help='an exception, for these versions alone, such as "==2.1.3"; one that is there is'
        " changed by its --name alone",
    )
    action.add_argument("--name", type=exception_name, metavar="NAME", help="of the exception")
    changes.add_reason(action, required=False)
    action.add_argument(
        "--owner", type=owner, default="", metavar="NAME", help="who answers for it (default: you)"
    )
    term = action.add_mutually_exclusive_group()
    term.add_argument(
        "--until",
        type=until,
        metavar="TIME",
        help="it is overdue after this time, such as 72h, or from then on, such as 2027-01-31 or"
        " 2027-01-31T10:00 (in UTC)",
    )
    term.add_argument(
        "--for",
        type=period,
        metavar="TIME",
        dest="term",
        help="it ends by itself after this time, such as 90s, 10m or 72h",
    )
    changes.add_conditions(action, "the switch")
    action.add_argument(
        "--dry-run", action="store_true", help="only say what it would touch; needs no reason"
    )
    action.set_defaults(refuse=action.error, mistaken=_mistaken)


def _mistaken(options: argparse.Namespace, word: str) -> str:
    """What an argument too many may have meant."""
    is_percent = word.removesuffix("%").replace(".", "", 1).isdecimal()
    return f"; did you mean --percent {word}?" if is_percent and options.state == "canary" else ""


def _set(options: argparse.Namespace) -> ExitCode:
    _check(options)
    where, name = place(options), options.switch
    view = read_switch(where, name)
    _complete(options, view)
    states = _states(options, view)
    asked: dict[str, object] = {
        "state": options.state,
        "percent": options.percent,
        "versions": options.versions,
        "name": options.name,
        "reason": options.reason or _DRY,
        "owner": options.owner,
        "seconds": options.term or options.until,
        "restore": options.term is not None,
        "open_sockets": options.open_sockets,
        "dry_run": options.dry_run,
    }
    answer = change(
        where,
        SET,
        asked,
        if_match=_builds_on(options, view, states),
        newest=view.revision,
        named=options.if_revision,
        cohort=name.cohort,
        mapping=name.mapping,
    )
    lost = _lost(options, view, states)
    if not options.dry_run:
        changes.tell(
            answer,
            as_json=options.json,
            known=set_before(view),
            notes=filter(None, [lost]),
        )
        return changes.wait(where, answer, options)
    run = told_as(DryRun, answer, "it is")
    if options.json:
        print(json.dumps(answer))
        return ExitCode.OK
    screen = Screen.of_stdout()
    for line in switch_lists.dry(run, filter(None, [lost, *changes.not_kept(run.not_kept)])):
        screen.line(*line)
    return ExitCode.OK


def _check(options: argparse.Namespace) -> None:
    """Refuse flags that make no sense together, as a command line that is wrong."""
    is_canary = options.state == Mode.CANARY
    if is_canary and options.percent is None:
        options.refuse("say how many: canary --percent 10")
    if options.percent is not None and not is_canary:
        options.refuse(f"--percent is of a canary, not of {options.state!r}")
    if options.versions is not None and options.name is None:
        options.refuse("say what the exception is called: --name NAME")
    if options.reason is None and not options.dry_run:
        options.refuse("say why: --reason TEXT")


def _complete(options: argparse.Namespace, view: SwitchView) -> None:
    """Have an exception that is there, and is only named, keep its range."""
    if options.name is None or options.versions is not None:
        return
    options.versions = next(
        (each.versions for each in view.exceptions if each.name == options.name), None
    )
    if options.versions is None:
        text = f"{view.switch} has no exception {options.name!r}"
        options.refuse(f"{text}: to make it, say for which versions, --versions RANGE")


def _states(options: argparse.Namespace, view: SwitchView) -> _States | None:
    """What the switch is before the change, and after it; None where it will be refused."""
    name: SwitchName = options.switch
    wanted = SetSwitch(
        name,
        switch_lists.setting(Mode(options.state), options.percent),
        None if options.versions is None else parse_range(options.versions),
        options.name or "",
    )
    state = SwitchState(
        parse_setting(view.set_to),
        tuple(
            VersionException(
                each.name,
                parse_range(each.versions),
                switch_lists.setting(each.state, each.percent),
            )
            for each in view.exceptions
        ),
    )
    try:
        return turned(Table(0, {name: state}), wanted, {name: state})
    except ChangeRefused:
        return None  # Why is said by who refuses it.


def _builds_on(options: argparse.Namespace, view: SwitchView, states: _States | None) -> int | None:
    """The revision that is sent: None for a step down, which is never refused for its age."""
    if options.if_revision is not None:
        return int(options.if_revision)
    # What ends by itself, and how, is known to Segue alone: it may be kept for good by this.
    is_to_end = any(each.restore for each in (view.term, *(one.term for one in view.exceptions)))
    lowers = states is not None and state_lowers(*states)
    return None if lowers and not is_to_end else view.revision


def _lost(options: argparse.Namespace, view: SwitchView, states: _States | None) -> str:
    """Who loses the mapping by the change; empty where nobody does."""
    is_all_off = switch_lists.setting(view.state, view.percent) != parse_setting(view.set_to)
    if states is None or is_all_off or not state_takes(*states):
        return ""
    those = "" if options.versions is None else f" of {shortened(options.versions, _WIDEST)}"
    but = f", but for {options.percent:g}% of the users," if options.percent else ""
    return f"this lowers: new connections{those}{but} lose it"
