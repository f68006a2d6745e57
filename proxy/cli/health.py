"""`segue health`: does the Segue of this machine answer? For the health check of a container."""

from __future__ import annotations

import argparse
import http.client
import json
import sys
from typing import Final

from proxy.cli.admin_place import add_address, probed
from proxy.cli.configuration import Subparsers, add_config, add_state_directory
from proxy.cli.parser import add_json, seconds

_MAX_TIMEOUT: Final = 60.0


def add(commands: Subparsers[argparse.ArgumentParser]) -> None:
    """Put the command into place."""
    text = "ask a running segue whether it is alive; exit code 0 if so"
    command = commands.add_parser("health", help=text, description=text.capitalize() + ".")
    add_config(command)
    add_address(command)
    add_state_directory(command)
    command.add_argument(
        "--ready", action="store_true", help="ask whether it takes traffic (/readyz)"
    )
    command.add_argument(
        "--timeout", type=seconds(_MAX_TIMEOUT), default=2.0, metavar="SECONDS", help="default: 2"
    )
    add_json(command)
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Ask, and say what the answer was.

    Raises:
        ConfigError: there is no address to ask.
    """
    where = probed(options)
    path = "/readyz" if options.ready else "/healthz"
    url = f"{where.name}{path}"
    connection = where.connection(options.timeout)
    try:
        connection.request("GET", path)
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        # The text of the second kind quotes what was received.
        reason = error.strerror or "no answer in time" if isinstance(error, OSError) else "no HTTP"
        how = f" ({where.how})" if where.how else ""
        if options.json:
            print(json.dumps({"url": url, "healthy": False, "reason": reason.lower()}))
        else:
            print(f"segue: {url}{how}: {reason.lower()}", file=sys.stderr)
        return 1
    finally:
        connection.close()
    if where.how:
        print(f"segue: asked {where.how}", file=sys.stderr)
    if options.json:
        print(json.dumps({"url": url, "healthy": status == 200, "status": status}))
    else:
        print(f"{url}: {status}")
    return 0 if status == 200 else 1
