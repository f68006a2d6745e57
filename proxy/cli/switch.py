"""`segue switch`: shows the switches of a running Segue, and turns them."""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import Final

from proxy.admin.endpoints import Endpoint
from proxy.admin.switch_endpoints import ALL_OFF, DROP, RESTORE, RESTORE_SWITCH
from proxy.admin.switch_views import Changed
from proxy.cli import changes, switch_lists, switch_ramp, switch_set
from proxy.cli.admin import told_as
from proxy.cli.admin_place import place
from proxy.cli.advice import change
from proxy.cli.asking import add_asking
from proxy.cli.configuration import Subparsers
from proxy.cli.exit_codes import CHANGING, ExitCode
from proxy.cli.screen import Screen
from proxy.cli.styled import plain
from proxy.cli.switch_arguments import add_switch, exception_name
from proxy.cli.switch_reads import read_switch, read_switches, set_before

_NOTHING_OFF: Final = "nothing was off as a whole: everything is what it is set to"


def add(commands: Subparsers[argparse.ArgumentParser]) -> None:
    """Put the command into place."""
    text = "show the switches of a running segue, and turn them"
    command = commands.add_parser("switch", help=text, description=text.capitalize() + ".")
    actions = command.add_subparsers(dest="action", required=True, metavar="ACTION")
    add_asking(actions, "list", "show them, with exceptions, users and what is overdue", _list)
    switch_set.add(actions)
    switch_ramp.add(actions)
    text = "take an exception for some versions away"
    action = add_asking(actions, "drop", text, _drop, CHANGING)
    add_switch(action)
    action.add_argument(
        "--name", type=exception_name, required=True, metavar="NAME", help="of the exception"
    )
    changes.add_reason(action)
    changes.add_conditions(action, "the switch")
    text = "end what was set of one: it is as the configuration says again, exceptions too"
    action = add_asking(actions, "restore", text, _restore_switch, CHANGING)
    add_switch(action)
    changes.add_reason(action)
    changes.add_conditions(action, "the switch")
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
    changes.add_conditions(action, "the newest change")
    text = "print what they are set to, as the YAML of the section switching"
    add_asking(actions, "export", text, _export)


def _list(options: argparse.Namespace) -> None:
    view, answer = read_switches(place(options))
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
    view, _ = read_switches(place(options))
    for line in switch_lists.notes(view, time.time()):
        print(plain(line), file=sys.stderr)
    if options.json:
        print(json.dumps({"switching": switch_lists.section(view)}))
        return
    for text in switch_lists.exported(view):
        print(text)


def _drop(options: argparse.Namespace) -> ExitCode:
    return _take_back(options, DROP, name=options.name)


def _restore_switch(options: argparse.Namespace) -> ExitCode:
    return _take_back(options, RESTORE_SWITCH)


def _take_back(options: argparse.Namespace, endpoint: Endpoint, **more: str) -> ExitCode:
    """Have something end that was set of a switch.

    Args:
        options: of the command.
        endpoint: what is to be done.
        more: what its path names, besides the switch.
    """
    where, name, named = place(options), options.switch, options.if_revision
    view = read_switch(where, name)
    answer = change(
        where,
        endpoint,
        {"reason": options.reason, "open_sockets": options.open_sockets},
        if_match=view.revision if named is None else named,
        newest=view.revision,
        named=named,
        cohort=name.cohort,
        mapping=name.mapping,
        **more,
    )
    revision = told_as(Changed, answer, "it is").revision
    left = None if revision is None else revision.after.get(str(name))
    if not options.json and (left is None or left.setting is None):
        # Nothing is left of it: what the configuration says is seen only now.
        view = read_switch(where, name)
    changes.tell(answer, as_json=options.json, known=set_before(view))
    return changes.wait(where, answer, options)


def _all_off(options: argparse.Namespace) -> ExitCode:
    where = place(options)
    answer = change(where, ALL_OFF, {"reason": options.reason})
    changes.tell(answer, as_json=options.json, already="everything is off already")
    return changes.wait(where, answer, options)


def _restore(options: argparse.Namespace) -> ExitCode:
    where, named = place(options), options.if_revision
    newest = read_switches(where)[0].stored
    expected = newest if named is None else named
    asked = {"reason": options.reason, "open_sockets": options.open_sockets}
    answer = change(where, RESTORE, asked, if_match=expected, newest=newest, named=named)
    changes.tell(answer, as_json=options.json, already=_NOTHING_OFF)
    return changes.wait(where, answer, options)
