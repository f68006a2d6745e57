"""`python -m demo.backend`: migrates the database, then serves until SIGTERM or SIGINT."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence
from dataclasses import fields
from typing import Any, Final

import django
from daphne.endpoints import build_endpoint_description_strings

# Daphne's own reactor: importing it puts Twisted on an asyncio event loop, which is `twisted_loop`.
from daphne.server import Server, reactor, twisted_loop
from django.conf import settings
from django.core.management import call_command
from django.db import connection
from django.utils.module_loading import import_string
from twisted.internet.defer import Deferred

from demo.backend.options import Options, variable


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the server; the exit code is 0 after a signal, 1 if it could not listen.

    Raises:
        SystemExit: 2, the arguments or the environment are wrong.
    """
    parser = _parser()
    parsed = vars(parser.parse_args(arguments))
    host, port = parsed.pop("host"), parsed.pop("port")
    os.environ.update({variable(name): text for name, text in parsed.items()})
    os.environ["DJANGO_SETTINGS_MODULE"] = "demo.backend.settings"
    try:
        Options.from_environ(os.environ)
    except ValueError as error:
        parser.error(str(error))
    django.setup()
    _prepare_database()
    return _serve(host, port)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m demo.backend", description=__doc__, argument_default=argparse.SUPPRESS
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument(
        "--port", type=_port, default=8001, help="port to listen on; 0: one that is free"
    )
    for option in fields(Options):
        if option.metadata["flag"]:
            parser.add_argument(
                f"--{option.name.replace('_', '-')}",
                metavar="VALUE",
                help=f"{option.metadata['help']} ({option.metadata['default']}; "
                f"{variable(option.name)})",
            )
    return parser


_BACKLOG: Final = 2048
"""Connections that may wait to be accepted. Of Twisted's 50 the rest of a crowd is dropped by the
kernel, tries again after seconds, and may wait for minutes."""


def _port(text: str) -> int:
    port = int(text)
    if port not in range(65_536):
        raise ValueError
    return port


def _prepare_database() -> None:
    call_command("migrate", verbosity=0)
    with connection.cursor() as cursor:
        # Kept in the file: readers and the one writer no longer wait for each other.
        cursor.execute("PRAGMA journal_mode=WAL")
    import_string("demo.backend.orchestrator.abandon_unfinished")()
    connection.close()


def _serve(host: str, port: int) -> int:
    options: Options = settings.SEGUE_DEMO
    orchestrator = import_string("demo.backend.orchestrator.Orchestrator")(
        dialect=options.dialect, delay=options.script_delay, prd_size=options.prd_size
    )
    server = _AnnouncingServer(
        import_string(settings.ASGI_APPLICATION),
        endpoints=[
            f"{endpoint}:backlog={_BACKLOG}"
            for endpoint in build_endpoint_description_strings(host=host, port=port)
        ],
    )
    asyncio.set_event_loop(twisted_loop)
    work = twisted_loop.create_task(orchestrator.run())
    reactor.addSystemEventTrigger("before", "shutdown", _cancel, work)
    server.run()
    return 1 if server.abort_start else 0


def _cancel(work: asyncio.Task[None]) -> Deferred[Any]:
    work.cancel()
    return Deferred.fromFuture(asyncio.ensure_future(asyncio.wait([work])))


class _AnnouncingServer(Server):
    """Daphne that says on standard output where it listens."""

    def listen_success(self, port: Any) -> None:
        super().listen_success(port)
        address = port.getHost()
        host = f"[{address.host}]" if ":" in address.host else address.host
        # Once the reactor runs: from then on a signal ends the server in good order.
        reactor.callWhenRunning(print, f"listening on http://{host}:{address.port}", flush=True)

    def listen_error(self, failure: Any) -> None:
        sys.stderr.write(f"cannot listen: {failure.getErrorMessage()}\n")
        self.stop()


if __name__ == "__main__":
    sys.exit(main())
