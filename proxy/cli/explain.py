"""`segue explain`: what Segue does for a client, and what becomes of a frame, rule by rule.

The answer comes from the compiled rules and programs that serve traffic, not from a second reading
of them.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Final

from proxy.cli.answer import Told, data, told
from proxy.cli.configuration import Subparsers, add_config, add_overrides, read_bytes, snapshot
from proxy.cli.terminal import Paint
from proxy.configuration.reading import Config
from proxy.errors import ConfigError, Diagnostic
from proxy.snapshot import Snapshot
from proxy.types import Direction
from proxy.versions.selection import Selection
from proxy.versions.version import VersionSource


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
    command.add_argument("--json", action="store_true", help="for machines")
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Tell.

    Raises:
        ConfigError: the configuration is wrong, or what was asked cannot be read.
    """
    answer = explain(options)
    if options.json:
        print(json.dumps(data(answer), indent=2, ensure_ascii=False))
        return 0
    paint = Paint(sys.stdout, os.environ)
    for line in told(answer, paint, diff=options.diff):
        print(line)
    return 0


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
    versions = loaded.config.versions
    headers = [_field(written) for written in options.header]
    query, cookies = options.query.removeprefix("?"), list(options.cookie)
    subprotocols = list(options.subprotocol)
    if options.client_version is not None:
        told = options.client_version
        match next((each for each in versions.sources if each in _WRITABLE), None):
            case VersionSource.HEADER:
                headers.append((versions.header.lower(), told))
            case VersionSource.SUBPROTOCOL:
                subprotocols.append(versions.subprotocol_prefix + told)
            case VersionSource.QUERY:
                query = "&".join(filter(None, [query, f"{versions.query}={told}"]))
            case VersionSource.COOKIE:
                cookies.append(f"{versions.cookie}={told}")
            case _:
                message = "versions.sources has no place where a client could tell it"
                raise ConfigError([Diagnostic("--client-version", 0, 0, "", message)])
    own = [
        value
        for name, value in headers
        if name == versions.header.lower() and VersionSource.HEADER in versions.sources
    ]
    return loaded.versions.choose(
        header=os.fsencode(",".join(own)) if own else None,
        subprotocols=[os.fsencode(token) for token in subprotocols],
        query=os.fsencode(query),
        cookies=[
            os.fsencode(value)
            for value in (*cookies, *(value for name, value in headers if name == "cookie"))
        ],
    )


_WRITABLE: Final = (
    VersionSource.HEADER,
    VersionSource.SUBPROTOCOL,
    VersionSource.QUERY,
    VersionSource.COOKIE,
)


def _field(written: str) -> tuple[str, str]:
    name, colon, value = written.partition(":")
    if not colon or not name.strip():
        message = "expected a header field such as 'X-Client-Version: 2.0'"
        raise ConfigError([Diagnostic("--header", 0, 0, "", message)])
    return name.strip().lower(), value.strip()


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
