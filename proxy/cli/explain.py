"""`segue explain`: what Segue does for a client, and what becomes of a frame, rule by rule.

How it is found out: `proxy.control.explain`, which the admin API asks too. The command reads files
alone: it tells what they bind, and the API what is in force.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Final

from proxy.cli.answer import told
from proxy.cli.configuration import Subparsers, add_config, add_overrides, read_bytes, snapshot
from proxy.cli.parser import add_json
from proxy.cli.screen import Screen
from proxy.configuration.reading import Config
from proxy.control.explain import Question, Told, Unanswerable, data, explain
from proxy.errors import ConfigError, Diagnostic
from proxy.mapping.engine.explanation import MessageOutcome
from proxy.types import Direction


def add(commands: Subparsers[argparse.ArgumentParser]) -> None:
    """Put the command into place."""
    text = "tell which mapping a client gets, and what becomes of a frame, rule by rule"
    description = (
        f"{text.capitalize()}, by the configuration: files are read, no running Segue is asked,"
        " and switches count for nothing (POST /api/v1/explain tells what is in force)."
    )
    command = commands.add_parser("explain", help=text, description=description)
    add_config(command)
    add_overrides(command)
    client = command.add_argument_group("the client; without any of these, one that tells nothing")
    client.add_argument("--client-version", metavar="X", help="where it is looked for first")
    client.add_argument("--header", action="append", default=[], metavar="'NAME: VALUE'")
    client.add_argument("--query", default="", metavar="A=B&C=D")
    client.add_argument("--cookie", action="append", default=[], metavar="NAME=VALUE")
    client.add_argument("--subprotocol", action="append", default=[], metavar="TOKEN")
    frame = command.add_argument_group("the frame")
    frame.add_argument(
        "--frame", metavar="TEXT", help="a message; - reads standard input, @FILE a file"
    )
    frame.add_argument(
        "--direction",
        choices=[each.value for each in Direction],
        default=Direction.TO_CLIENT.value,
        help="which way it goes (default: to_client)",
    )
    frame.add_argument(
        "--route",
        metavar="'METHOD /PATH'",
        help="it is the body of this HTTP route, and no WebSocket message",
    )
    command.add_argument("--diff", action="store_true", help="mark what changed")
    add_json(command)
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Tell; return 1 where a rule matched that cannot be carried out.

    Raises:
        ConfigError: the configuration is wrong, or what was asked cannot be read.
    """
    answer = _explained(options)
    failed = answer.trace is not None and answer.trace.outcome is MessageOutcome.FAILED
    if options.json:
        found = data(answer).model_dump(mode="json", exclude_unset=True)
        print(json.dumps(found, indent=2))
    else:
        screen = Screen.of_stdout()
        for line in told(answer, diff=options.diff):
            screen.line(*line)
    return 1 if failed else 0


def _explained(options: argparse.Namespace) -> Told:
    loaded = snapshot(options)
    question = Question(
        frame=_frame(options, loaded.config),
        direction=Direction(options.direction),
        route=options.route,
        version=options.client_version,
        headers=tuple(options.header),
        query=options.query,
        cookies=tuple(options.cookie),
        subprotocols=tuple(options.subprotocol),
    )
    try:
        return explain(loaded, question)
    except Unanswerable as fault:
        flag = _FLAGS[fault.part]
        raise ConfigError([Diagnostic(flag, 0, 0, "", fault.detail)]) from None


_FLAGS: Final = {"version": "--client-version", "headers": "--header", "route": "--route"}


def _frame(options: argparse.Namespace, config: Config) -> bytes | None:
    written = options.frame
    if written is None:
        return None
    if written == "-" or written.startswith("@"):
        data = read_bytes(Path(written.removeprefix("@")), config.limits.message)
        # What was pasted or saved ends with a line break that is no part of it.
        return data.rstrip(b"\r\n")
    return os.fsencode(written)
