"""`segue switch`: shows the switches of a running Segue, and turns them."""

from __future__ import annotations

import argparse
import datetime as dt
import json
import re
import sys
import time
from itertools import takewhile
from typing import Any, Final

from proxy.admin.endpoints import Endpoint
from proxy.admin.switch_views import DryRun, RevisionPage, StateView, SwitchesView, SwitchView
from proxy.admin.switching import (
    ALL_OFF,
    DROP,
    LIST,
    MOST_TERM,
    RESTORE,
    RESTORE_SWITCH,
    REVISIONS,
    SET,
    SHOW,
)
from proxy.cli import changes, switch_lists
from proxy.cli.admin import Refused, ask, told_as
from proxy.cli.admin_place import Place, place
from proxy.cli.advice import change
from proxy.cli.asking import add_asking
from proxy.cli.configuration import Subparsers
from proxy.cli.exit_codes import ALREADY_PROBLEM, CHANGING, ExitCode
from proxy.cli.parser import did_you_mean
from proxy.cli.screen import Screen
from proxy.cli.styled import plain
from proxy.cli.terminal import shortened, when
from proxy.configuration.units import duration
from proxy.switching.changes import ChangeRefused, SetSwitch, turned
from proxy.switching.exposure import state_lowers, state_takes
from proxy.switching.setting import Mode, parse_setting, share_of
from proxy.switching.table import SwitchName, SwitchState, Table, VersionException, read_name
from proxy.types import LABEL
from proxy.versions.version import parse_range

_LONGEST_OWNER: Final = 256
_LONGEST_RANGE: Final = 256
_DRY: Final = "dry run"
_UNKNOWN: Final = 404
_PAGE: Final = 100
"""Revisions that are looked through for the one that put everything off."""
_WIDEST: Final = 400
"""Characters of a list of switches in a message."""


def add(commands: Subparsers[argparse.ArgumentParser]) -> None:
    """Put the command into place."""
    text = "show the switches of a running segue, and turn them"
    command = commands.add_parser("switch", help=text, description=text.capitalize() + ".")
    actions = command.add_subparsers(dest="action", required=True, metavar="ACTION")
    add_asking(actions, "list", "show them, with exceptions, users and what is overdue", _list)
    _add_set(actions)
    text = "take an exception for some versions away"
    action = add_asking(actions, "drop", text, _drop, CHANGING)
    _add_switch(action)
    action.add_argument(
        "--name", type=_name, required=True, metavar="NAME", help="of the exception"
    )
    changes.add_reason(action)
    changes.add_open_sockets(action)
    changes.add_if_revision(action, "the switch")
    changes.add_wait(action)
    text = "end what was set of one: it is as the configuration says again, exceptions too"
    action = add_asking(actions, "restore", text, _restore_switch, CHANGING)
    _add_switch(action)
    changes.add_reason(action)
    changes.add_open_sockets(action)
    changes.add_if_revision(action, "the switch")
    changes.add_wait(action)
    text = "have everything pass as it is, or end that"
    command = actions.add_parser("all", help=text, description=text.capitalize() + ".")
    everything = command.add_subparsers(dest="everything", required=True, metavar="ACTION")
    text = "have everything pass as it is, on open websockets from the next message on"
    action = add_asking(everything, "off", text, _all_off, CHANGING)
    changes.add_reason(action)
    changes.add_wait(action)
    text = "have everything be what it is set to again"
    action = add_asking(everything, "restore", text, _restore, CHANGING)
    changes.add_reason(action)
    changes.add_open_sockets(action)
    changes.add_if_revision(action, "the newest change")
    changes.add_wait(action)
    text = "print what they are set to, as the YAML of the section switching"
    add_asking(actions, "export", text, _export)


def _add_set(actions: Subparsers[argparse.ArgumentParser]) -> None:
    text = "set one to off, shadow, canary or on; or make an exception for some versions"
    action = add_asking(actions, "set", text, _set, CHANGING)
    _add_switch(action)
    action.add_argument(
        "state",
        choices=[mode.value for mode in Mode],
        help="off, shadow, canary (with --percent) or on",
    )
    action.add_argument(
        "--percent", type=_percent, metavar="N", help="of users, for a canary: 0 to 100"
    )
    action.add_argument(
        "--versions",
        type=_versions,
        metavar="RANGE",
        help='an exception, for these versions alone, such as "==2.1.3"; one that is there is'
        " changed by its --name alone",
    )
    action.add_argument("--name", type=_name, metavar="NAME", help="of the exception")
    changes.add_reason(action, required=False)
    action.add_argument(
        "--owner", type=_owner, default="", metavar="NAME", help="who answers for it (default: you)"
    )
    term = action.add_mutually_exclusive_group()
    term.add_argument(
        "--until",
        type=_until,
        metavar="TIME",
        help="it is overdue after this time, such as 72h, or from then on, such as 2027-01-31 or"
        " 2027-01-31T10:00 (in UTC)",
    )
    term.add_argument(
        "--for",
        type=_time,
        metavar="TIME",
        dest="term",
        help="it ends by itself after this time, such as 90s, 10m or 72h",
    )
    changes.add_open_sockets(action)
    changes.add_if_revision(action, "the switch")
    changes.add_wait(action)
    action.add_argument(
        "--dry-run", action="store_true", help="only say what it would touch; needs no reason"
    )
    action.set_defaults(refuse=action.error, mistaken=_mistaken)


def _mistaken(options: argparse.Namespace, word: str) -> str:
    """What an argument too many may have meant."""
    is_percent = word.removesuffix("%").replace(".", "", 1).isdecimal()
    return f"; did you mean --percent {word}?" if is_percent and options.state == "canary" else ""


def _add_switch(action: argparse.ArgumentParser) -> None:
    action.add_argument(
        "switch", type=_switch, metavar="SWITCH", help="such as modern/old-to-new; `list` shows all"
    )


# The types of arguments.


def _switch(text: str) -> SwitchName:
    try:
        return read_name(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{error}, not {text!r}") from None


def _percent(text: str) -> float:
    try:
        number = float(text.removesuffix("%"))
        share_of(number)
    except ValueError:
        what = "a number from 0 to 100 with at most two decimals"
        raise argparse.ArgumentTypeError(f"expected {what}, not {text!r}") from None
    return number


def _versions(text: str) -> str:
    if len(text) > _LONGEST_RANGE:
        raise argparse.ArgumentTypeError(f"expected at most {_LONGEST_RANGE} characters")
    try:
        parse_range(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"expected a range, not {text!r}: {error}") from None
    return text


def _name(text: str) -> str:
    if re.fullmatch(LABEL, text) is None:
        what = "small letters, digits, `_` and `-`, at most 63 of them"
        raise argparse.ArgumentTypeError(f"expected {what}, not {text!r}")
    return text


def _owner(text: str) -> str:
    if len(text) > _LONGEST_OWNER or not text.isprintable():
        raise argparse.ArgumentTypeError(
            f"expected a name in one line, at most {_LONGEST_OWNER} characters"
        )
    return text


def _time(text: str) -> float:
    if text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected a time with its unit, such as {text[:9]}m")
    try:
        seconds = duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    if not 0 < seconds <= MOST_TERM:
        raise argparse.ArgumentTypeError("expected a time above 0, a year at most")
    return seconds


def _until(text: str) -> float:
    """The seconds to a time that is told, or to a moment, which is one in UTC without an offset."""
    if "-" not in text:
        return _time(text)
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        forms = "72h, 2027-01-31, or 2027-01-31T10:00 (in UTC)"
        raise argparse.ArgumentTypeError(f"expected a time such as {forms}") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=dt.UTC)
    left = moment.timestamp() - time.time()
    if not 0 < left <= MOST_TERM:
        raise argparse.ArgumentTypeError("expected a time to come, in a year at most")
    return left


# What is shown.


def _list(options: argparse.Namespace) -> None:
    view, answer = _read_all(place(options))
    if options.json:
        print(json.dumps(answer["switches"]))
        return
    screen, now = Screen.of_stdout(), time.time()
    for line in switch_lists.notes(view, now):
        screen.line(*line)
    if view.switches:
        screen.table(switch_lists.columns(view), list(switch_lists.rows(view, now)))
    else:
        screen.line("no switches: no cohort names a mapping")


def _export(options: argparse.Namespace) -> None:
    view, _ = _read_all(place(options))
    for line in switch_lists.notes(view, time.time()):
        print(plain(line), file=sys.stderr)
    if options.json:
        print(json.dumps({"switching": switch_lists.section(view)}))
        return
    for text in switch_lists.exported(view):
        print(text)


def _read_all(where: Place) -> tuple[SwitchesView, dict[str, object]]:
    answer = ask(where, LIST)
    return told_as(SwitchesView, answer, "they are"), answer


# What is changed.


def _set(options: argparse.Namespace) -> ExitCode:
    _check(options)
    where, name = place(options), options.switch
    view = _shown(where, name)
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
            known=_known(view),
            notes=filter(None, [lost, _ended(options, view)]),
        )
        return changes.wait(where, answer, options)
    run = told_as(DryRun, answer, "it is")
    if options.json:
        print(json.dumps(answer))
        return ExitCode.OK
    screen = Screen.of_stdout()
    for line in switch_lists.dry(run, lost):
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


def _ended(options: argparse.Namespace, view: SwitchView) -> str:
    """What was said of owner and time before, and is not said anew; empty for nothing."""
    terms = {each.name: each.term for each in view.exceptions}
    term = view.term if options.name is None else terms.get(options.name)
    if term is None or term.overdue:
        return ""
    gone = []
    if term.owner and not options.owner:
        gone.append(f"owner {shortened(term.owner, _WIDEST)}")
    if term.until is not None and not (options.until or options.term):
        gone.append(f"until {when(term.until)}")
    if not gone:
        return ""
    return f"not kept from before: {', '.join(gone)} (say --owner and --until anew to keep them)"


_States = tuple[SwitchState, SwitchState]


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


def _shown(where: Place, name: SwitchName) -> SwitchView:
    try:
        answer = ask(where, SHOW, cohort=name.cohort, mapping=name.mapping)
    except Refused as refused:
        if refused.status != _UNKNOWN:
            raise
        known = [each.switch for each in _read_all(where)[0].switches]
        hint = did_you_mean(str(name), known)
        listed = f"; there are: {shortened(', '.join(known), _WIDEST)}" if known else "; none is"
        raise Refused(f"there is no switch {str(name)!r}{hint}{listed}", _UNKNOWN) from None
    return told_as(SwitchView, answer, "it is")


def _known(view: SwitchView) -> dict[str, StateView]:
    """What the switch was set to, for where that was what the configuration says."""
    exceptions = [
        f"{each.name} ({each.versions}): {switch_lists.setting(each.state, each.percent)}"
        for each in view.exceptions
    ]
    state = StateView(
        setting=view.set_to, exceptions=exceptions, owner="", until=None, restore=False
    )
    return {view.switch: state}


def _drop(options: argparse.Namespace) -> ExitCode:
    where, name = place(options), options.switch
    view = _shown(where, name)
    answer = _taken_back(where, options, view, DROP, name=options.name)
    changes.tell(answer, as_json=options.json, known=_known(view))
    return changes.wait(where, answer, options)


def _restore_switch(options: argparse.Namespace) -> ExitCode:
    where, name = place(options), options.switch
    answer = _taken_back(where, options, _shown(where, name), RESTORE_SWITCH)
    known = {} if options.json else _known(_shown(where, name))
    changes.tell(answer, as_json=options.json, known=known)
    return changes.wait(where, answer, options)


def _taken_back(
    where: Place, options: argparse.Namespace, view: SwitchView, endpoint: Endpoint, **more: str
) -> dict[str, Any]:
    """Have something end that was set of a switch; the answer's object.

    Args:
        where: who is asked.
        options: of the command.
        view: the switch, as it is before.
        endpoint: what is to be done.
        more: what its path names, besides the switch.
    """
    named = options.if_revision
    return change(
        where,
        endpoint,
        {"reason": options.reason, "open_sockets": options.open_sockets},
        if_match=view.revision if named is None else named,
        newest=view.revision,
        named=named,
        cohort=options.switch.cohort,
        mapping=options.switch.mapping,
        **more,
    )


def _all_off(options: argparse.Namespace) -> ExitCode:
    where = place(options)
    try:
        answer = change(where, ALL_OFF, {"reason": options.reason})
    except Refused as refused:
        if not refused.is_of(ALREADY_PROBLEM):
            raise
        return _is_off_already(where, options)
    changes.tell(answer, as_json=options.json)
    return changes.wait(where, answer, options)


def _is_off_already(where: Place, options: argparse.Namespace) -> ExitCode:
    """Say since when: who asks for it again at night has what they want."""
    page = told_as(RevisionPage, ask(where, REVISIONS, {"limit": _PAGE}), "they are")
    run = list(takewhile(lambda each: each.all_off, page.revisions))
    # Where all that was read are of that run, it began before.
    since = run[-1] if run and (run[-1].number == 1 or len(run) < len(page.revisions)) else None
    if options.json:
        told = None if since is None else since.model_dump(mode="json")
        print(json.dumps({"already": True, "revision": told}))
    else:
        more = "" if since is None else f", since revision {since.number} by {since.author}"
        Screen.of_stdout().line(f"everything is off already{more}")
    if since is None:
        return ExitCode.OK
    return changes.wait_for(where, since, options)


def _restore(options: argparse.Namespace) -> ExitCode:
    where, named = place(options), options.if_revision
    newest = _read_all(where)[0].stored
    expected = newest if named is None else named
    asked = {"reason": options.reason, "open_sockets": options.open_sockets}
    answer = change(where, RESTORE, asked, if_match=expected, newest=newest, named=named)
    changes.tell(answer, as_json=options.json)
    return changes.wait(where, answer, options)
