"""`segue explain`: what Segue does for a client, and what becomes of a frame, rule by rule.

The answer comes from the compiled rules and programs that serve traffic, not from a second reading
of them.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

from proxy.cli.answer import Told, data, told
from proxy.cli.configuration import Subparsers, add_config, add_overrides, read_bytes, snapshot
from proxy.cli.parser import add_json
from proxy.cli.screen import Screen
from proxy.configuration.reading import Config
from proxy.errors import ConfigError, Diagnostic
from proxy.http.headers import shape_of
from proxy.mapping.engine.explanation import MessageOutcome
from proxy.snapshot import Snapshot
from proxy.types import Direction
from proxy.versions.selection import Selection
from proxy.versions.sources import Received, RequestParts


def add(commands: Subparsers[argparse.ArgumentParser]) -> None:
    """Put the command into place."""
    text = "tell which mapping a client gets, and what becomes of a frame, rule by rule"
    command = commands.add_parser("explain", help=text, description=text.capitalize() + ".")
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
    answer = explain(options)
    failed = answer.trace is not None and answer.trace.outcome is MessageOutcome.FAILED
    if options.json:
        print(json.dumps(data(answer), indent=2))
    else:
        screen = Screen.of_stdout()
        for line in told(answer, diff=options.diff):
            screen.line(*line)
    return 1 if failed else 0


def explain(options: argparse.Namespace) -> Told:
    """Work out the answer.

    Raises:
        ConfigError: the configuration is wrong, or what was asked cannot be read.
    """
    loaded = snapshot(options)
    selection = _select(loaded, options)
    programs = loaded.catalog.for_cohort(selection.cohort)
    to_client, to_server, pattern = programs.to_client, programs.to_server, None
    if options.route is not None:
        method, path = _route(options.route)
        route = programs.route(method, path)
        to_client = route.to_client if route is not None else None
        to_server = route.to_server if route is not None else None
        pattern = route.pattern if route is not None else None
    direction = Direction(options.direction)
    program = to_client if direction is Direction.TO_CLIENT else to_server
    frame = _frame(options, loaded.config)
    traced = None if program is None or frame is None else program.trace(frame)
    ranges = {each.name: str(each.versions) for each in loaded.config.cohorts}
    return Told(
        selection,
        ranges.get(selection.cohort or ""),
        to_client,
        to_server,
        pattern,
        direction,
        traced,
        frame,
    )


def _select(loaded: Snapshot, options: argparse.Namespace) -> Selection:
    query = os.fsencode(options.query.removeprefix("?"))
    parts = RequestParts(
        b"/?" + query if query else b"/",
        [(b"cookie", os.fsencode(cookie)) for cookie in options.cookie],
        [os.fsencode(token) for token in options.subprotocol],
    )
    if options.client_version is not None:
        parts = _telling(loaded, parts, os.fsencode(options.client_version))
    fields = [*parts.fields, *map(_field, options.header)]
    received = Received(fields, shape_of(fields), parts.target, parts.subprotocols, None)
    return loaded.versions.choose(received)[0]


def _telling(loaded: Snapshot, parts: RequestParts, version: bytes) -> RequestParts:
    """Tell the version in the first place where a client can."""
    for source in loaded.versions.sources:
        telling = source.tell(parts, version)
        if telling is not None:
            return telling
    message = "versions.sources has no place where a client could tell it"
    raise ConfigError([Diagnostic("--client-version", 0, 0, "", message)])


def _field(written: str) -> tuple[bytes, bytes]:
    name, colon, value = written.partition(":")
    if not colon or not name.strip():
        message = "expected a header field such as 'X-Client-Version: 2.0'"
        raise ConfigError([Diagnostic("--header", 0, 0, "", message)])
    return os.fsencode(name.strip().lower()), os.fsencode(value.strip())


def _route(written: str) -> tuple[str, bytes]:
    method, _, target = written.strip().partition(" ")
    path = target.strip().partition("?")[0]
    if not path.startswith("/"):
        message = "expected a method and a path such as 'GET /api/jobs/'"
        raise ConfigError([Diagnostic("--route", 0, 0, "", message)])
    return method.upper(), os.fsencode(path)


def _frame(options: argparse.Namespace, config: Config) -> bytes | None:
    written = options.frame
    if written is None:
        return None
    if written == "-" or written.startswith("@"):
        data = read_bytes(Path(written.removeprefix("@")), config.limits.message)
        # What was pasted or saved ends with a line break that is no part of it.
        return data.rstrip(b"\r\n")
    return os.fsencode(written)
