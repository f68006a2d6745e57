"""The command line: `segue run`, `validate`, `demo`, `version`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import uvloop

from proxy import log as logs
from proxy import server
from proxy.errors import ConfigError
from proxy.live import Snapshot, load

EXIT_OK: Final = 0
EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2

_DEFAULT_CONFIG: Final = "config.yaml"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code.

    0 is success, 1 a configuration that is wrong or a demo that saw a difference, 2 a command line
    that cannot be understood.
    """
    options, rest = _parser().parse_known_args(arguments)
    if rest and options.command != "demo":
        _parser().error(f"unrecognized arguments: {' '.join(rest)}")
    try:
        match options.command:
            case "run":
                return _run(options)
            case "validate":
                return _validate(options)
            case "demo":
                return _demo(rest)
            case _:
                print(f"segue {server.segue_version()}")
                return EXIT_OK
    except ConfigError as error:
        for problem in error.problems:
            print(problem, file=sys.stderr)
        count = len(error.problems)
        print(f"segue: {count} problem{'s' if count != 1 else ''} found", file=sys.stderr)
        return EXIT_FAILED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="segue",
        description="A migration compatibility proxy: rewrites WebSocket frames between an old"
        " server and clients of every version.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, text in (
        ("run", "start the proxy"),
        ("validate", "do everything that a start does, except to listen"),
    ):
        command = commands.add_parser(name, help=text, description=text.capitalize() + ".")
        command.add_argument(
            "--config",
            metavar="FILE",
            default=os.environ.get("SEGUE_CONFIG", _DEFAULT_CONFIG),
            help="the configuration (default: $SEGUE_CONFIG, or config.yaml)",
        )
        command.add_argument("--listen", metavar="HOST:PORT", help="overrides listen.address")
        command.add_argument("--upstream", metavar="URL", help="overrides upstream.url")
        command.add_argument("--admin", metavar="HOST:PORT", help="overrides admin.address")
    commands.add_parser(
        "demo",
        help="start the old server, the proxy and three clients, and watch the frames",
        add_help=False,
    )
    commands.add_parser("version", help="print the version")
    return parser


def _load(options: argparse.Namespace) -> Snapshot:
    flags = {
        name: value
        for name in ("listen", "upstream", "admin")
        if (value := getattr(options, name)) is not None
    }
    return load(Path(options.config), os.environ, flags)


def _run(options: argparse.Namespace) -> int:
    snapshot = _load(options)
    writer = logs.to_stderr()
    settings = snapshot.config.log
    log = logs.build(writer, settings.level, settings.format, is_terminal=sys.stderr.isatty())
    logs.take_over_libraries(log)
    try:
        uvloop.run(server.run(snapshot, log))
    finally:
        writer.close()
    return EXIT_OK


def _validate(options: argparse.Namespace) -> int:
    snapshot = _load(options)
    server.listener_tls(snapshot.config)
    server.upstream_target(snapshot.config)
    config = snapshot.config
    print(f"{options.config}: valid")
    print(f"  listen    {config.listen.address}{' (TLS)' if config.listen.tls else ''}")
    print(f"  admin     {config.admin.address}")
    print(f"  upstream  {config.upstream.url}")
    print(f"  mappings  {', '.join(snapshot.catalog.names) or 'none'}")
    default = config.versions.default
    for cohort in config.cohorts:
        programs = snapshot.catalog.for_cohort(cohort.name)
        bound = [
            f"{direction} {program.name}"
            for direction, program in (
                ("to client:", programs.to_client),
                ("to server:", programs.to_server),
            )
            if program is not None
        ]
        print(f"  cohort    {cohort.name} {cohort.versions}: {', '.join(bound) or 'no mapping'}")
    print(f"  default   {default if default is not None else 'none (no mapping)'}")
    return EXIT_OK


def _demo(arguments: Sequence[str]) -> int:
    checkout = Path(__file__).resolve().parent.parent
    if not (checkout / "demo" / "__main__.py").is_file():
        print(
            "segue: the demo needs a checkout of the repository; there, run `make demo`",
            file=sys.stderr,
        )
        return EXIT_FAILED
    # In place of this process, so that signals and the exit code are the demo's own.
    paths = [str(checkout), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    sys.stdout.flush()
    command = [sys.executable, "-m", "demo", *arguments]
    return os.execve(sys.executable, command, environment)  # noqa: S606 (our own module)
