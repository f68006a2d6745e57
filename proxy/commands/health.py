"""`segue health`: does the Segue of this machine answer? For the health check of a container."""

from __future__ import annotations

import argparse
import http.client
import os
import sys
from pathlib import Path
from typing import Final

from proxy.commands.configuration import Subparsers, add_config, read_text
from proxy.documents import parse
from proxy.errors import ConfigError, Problem
from proxy.notation import Address, address
from proxy.settings import Admin

_VARIABLE: Final = "SEGUE_ADMIN__ADDRESS"
_ANYWHERE: Final = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 (not bound)
_MAX_TIMEOUT: Final = 60.0


def add(commands: Subparsers[argparse.ArgumentParser]) -> None:
    """Put the command into place."""
    text = "ask a running segue whether it is alive; exit code 0 if so"
    command = commands.add_parser("health", help=text, description=text.capitalize() + ".")
    add_config(command)
    add_admin(command)
    command.add_argument(
        "--ready", action="store_true", help="ask whether it takes traffic (/readyz)"
    )
    command.add_argument(
        "--timeout", type=_timeout, default=2.0, metavar="SECONDS", help="default: 2"
    )
    command.set_defaults(run=run)


def add_admin(command: argparse.ArgumentParser) -> None:
    """Give a command the flag that says where the running Segue's admin listener is."""
    command.add_argument(
        "--admin",
        metavar="HOST:PORT",
        help=f"its admin listener (default: ${_VARIABLE}, or admin.address of the configuration)",
    )


def run(options: argparse.Namespace) -> int:
    """Ask, and say what the answer was.

    Raises:
        ConfigError: there is no address to ask.
    """
    where = admin_address(options)
    path = "/readyz" if options.ready else "/healthz"
    connection = http.client.HTTPConnection(where.host, where.port, timeout=options.timeout)
    try:
        connection.request("GET", path)
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        # The text of the second kind quotes what was received.
        reason = error.strerror or "no answer in time" if isinstance(error, OSError) else "no HTTP"
        print(f"segue: http://{where}{path}: {reason.lower()}", file=sys.stderr)
        return 1
    finally:
        connection.close()
    print(f"http://{where}{path}: {status}")
    return 0 if status == 200 else 1


def admin_address(options: argparse.Namespace) -> Address:
    """Where the admin listener of the Segue on this machine can be reached.

    Only this one key of the configuration is looked at: while a faulty change of the file waits to
    be mended, the process that goes on with the last good one is as healthy as before.

    Raises:
        ConfigError: what names the address is none, or leaves the port open.
    """
    source, written = _written(options)
    try:
        found = Admin().address if written is None else address(written)
    except ValueError as error:
        raise ConfigError([Problem(source, 0, 0, "admin.address", str(error))]) from None
    if not found.port:
        message = "port 0 stands for any; name the port with --admin"
        raise ConfigError([Problem(source, 0, 0, "admin.address", message)])
    return Address(_ANYWHERE.get(found.host, found.host), found.port)


def _written(options: argparse.Namespace) -> tuple[str, object]:
    if options.admin is not None:
        return "--admin", options.admin
    if os.environ.get(_VARIABLE):
        return _VARIABLE, os.environ[_VARIABLE]
    try:
        data = parse(read_text(Path(options.config)), options.config).data
    except ConfigError:
        return options.config, None
    section = data.get("admin") if isinstance(data, dict) else None
    return options.config, section.get("address") if isinstance(section, dict) else None


def _timeout(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds <= _MAX_TIMEOUT:
        raise ValueError
    return seconds
