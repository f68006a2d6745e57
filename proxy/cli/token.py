"""`segue token`: a new token for the admin listener, and the entry of the configuration for it."""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import re
import secrets
from pathlib import Path
from typing import Final

from proxy.cli.configuration import Subparsers
from proxy.cli.parser import add_json
from proxy.cli.terminal import printable
from proxy.configuration.admin import token_name
from proxy.errors import ConfigError, Diagnostic
from proxy.tokens.admin_token import RANDOM_BYTES, hash_of, token_from
from proxy.types import Role

_SPAN: Final = re.compile(r"([1-9][0-9]{0,3})([hdw])")
_UNITS: Final = {"h": "hours", "d": "days", "w": "weeks"}


def add(commands: Subparsers[argparse.ArgumentParser]) -> None:
    """Put the command into place."""
    text = "make a token for the admin listener"
    command = commands.add_parser("token", help=text, description=text.capitalize() + ".")
    actions = command.add_subparsers(dest="action", required=True, metavar="ACTION")
    text = "print a new token, once, and the entry of admin.tokens with its hash"
    action = actions.add_parser("new", help=text, description=text.capitalize() + ".")
    action.add_argument("--name", required=True, type=_name, help="who it is for")
    action.add_argument(
        "--role", required=True, choices=[role.value for role in Role], help="what it may do"
    )
    action.add_argument(
        "--expires",
        type=_span,
        metavar="SPAN",
        help="until when it is good: 12h, 90d, 26w from now (default: for ever)",
    )
    action.add_argument(
        "--cohort",
        action="append",
        type=_cohort,
        metavar="NAME",
        help="the only cohort whose switches it may change; can be given several times",
    )
    action.add_argument(
        "--only-lowers", action="store_true", help="it may only have less rewritten"
    )
    action.add_argument(
        "--output",
        metavar="FILE",
        help="a new file for the token, which only its owner may read, in place of printing it",
    )
    add_json(action)
    action.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Make a token.

    Raises:
        ConfigError: the file cannot be made, or there is nothing to limit.
    """
    if (options.cohort or options.only_lowers) and not Role(options.role).covers(Role.OPERATOR):
        message = "limits are for the roles that change something: operator, admin"
        raise ConfigError([Diagnostic("--cohort, --only-lowers", 0, 0, "", message)])
    token = token_from(secrets.token_bytes(RANDOM_BYTES))
    entry: dict[str, object] = {
        "name": options.name,
        "role": options.role,
        "hash": hash_of(token),
    }
    if options.expires is not None:
        until = dt.datetime.now(dt.UTC).replace(microsecond=0) + options.expires
        entry["expires"] = until.isoformat().replace("+00:00", "Z")
    if options.cohort:
        entry["cohorts"] = options.cohort
    if options.only_lowers:
        entry["only_lowers"] = True
    if options.output is not None:
        _write(options.output, token)
    if options.json:
        print(json.dumps({"entry": entry} | ({} if options.output else {"token": token})))
        return 0
    if options.output is None:
        print("The token. It is shown this once and kept nowhere:\n")
        print(f"{token}\n")
    else:
        print(f"The token is in {printable(options.output)}, which only its owner may read.\n")
    print("Put this into the configuration, and reload:\n")
    print("admin:\n  tokens:")
    for index, (key, value) in enumerate(entry.items()):
        print(f"    {'-' if not index else ' '} {key}: {json.dumps(value)}")
    return 0


def _write(file: str, token: str) -> None:
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as opened:
            opened.write(f"{token}\n")
    except OSError as error:
        reason = (error.strerror or "cannot be written").lower()
        raise ConfigError([Diagnostic(str(Path(file)), 0, 0, "", reason)]) from None


def _name(text: str) -> str:
    try:
        return token_name(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _cohort(text: str) -> str:
    if not 1 <= len(text) <= 256 or not text.isprintable():
        raise argparse.ArgumentTypeError("expected the name of a cohort")
    return text


def _span(text: str) -> dt.timedelta:
    match = _SPAN.fullmatch(text)
    if match is None:
        raise argparse.ArgumentTypeError('expected a span such as "12h", "90d" or "26w"')
    return dt.timedelta(**{_UNITS[match[2]]: int(match[1])})
