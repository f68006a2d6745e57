"""The command line: `segue run`, `validate`, `demo`, `version`, and those of `proxy.cli`."""

from __future__ import annotations

import argparse
import gc
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import uvloop

from proxy.cli import (
    config,
    explain,
    health,
    record,
    reload,
    schema,
    sessions,
    test,
    token,
    versions,
)
from proxy.cli.configuration import add_config, add_overrides, add_state_directory, snapshot
from proxy.errors import ConfigError, Diagnostic
from proxy.observability import log as logs
from proxy.process import server
from proxy.process.assembly import connections_of, state_directory
from proxy.sessions.store.opening import check_store

EXIT_OK: Final = 0
EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2

_COMMANDS: Final = (
    *(reload, test, explain, record, sessions),
    *(versions, token, config, schema, health),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code.

    0 is success, 1 a configuration that is wrong or a demo that saw a difference, 2 a command line
    that cannot be understood.
    """
    options, rest = parser().parse_known_args(arguments)
    if rest and options.command != "demo":
        parser().error(f"unrecognized arguments: {' '.join(rest)}")
    try:
        match options.command:
            case "run":
                return _run(options)
            case "validate":
                return _validate(options)
            case "demo":
                return _demo(rest)
            case "version":
                print(f"segue {server.segue_version()}")
                return EXIT_OK
            case _:
                return int(options.run(options))
    except BrokenPipeError:
        # Whoever read the output has seen enough. Python would say so again at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED
    except ConfigError as error:
        for problem in error.problems:
            print(problem, file=sys.stderr)
        count = len(error.problems)
        print(f"segue: {count} problem{'s' if count != 1 else ''} found", file=sys.stderr)
        return EXIT_FAILED


def parser() -> argparse.ArgumentParser:
    """Return what understands the command line."""
    made = argparse.ArgumentParser(
        prog="segue",
        description="A migration compatibility proxy: rewrites WebSocket frames between an old"
        " server and clients of every version.",
    )
    commands = made.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, text in (
        ("run", "start the proxy"),
        ("validate", "check what a start would, without making, opening or connecting anything"),
    ):
        command = commands.add_parser(name, help=text, description=text.capitalize() + ".")
        add_config(command)
        add_overrides(command)
        add_state_directory(command)
    for module in _COMMANDS:
        module.add(commands)
    commands.add_parser(
        "demo",
        help="start the old server, the proxy and three clients, and watch the frames",
        add_help=False,
    )
    commands.add_parser("version", help="print the version")
    return made


def _run(options: argparse.Namespace) -> int:
    loaded = snapshot(options)
    writer = logs.to_stderr()
    settings = loaded.config.log
    log = logs.build(writer, settings.level, settings.format, is_terminal=sys.stderr.isatty())
    logs.take_over_libraries(log)
    _settle_memory()
    try:
        uvloop.run(server.run(loaded, log, writer))
    finally:
        writer.close()
    return EXIT_OK


def _settle_memory() -> None:
    """Let the collector look at what was made since the start, and less often.

    What a request leaves behind is freed by its reference counts; looking for cycles among all
    objects took a tenth of its time. At most 20,000 objects wait for it, a few megabytes.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 10, 10)


def _validate(options: argparse.Namespace) -> int:
    loaded = snapshot(options)
    config = loaded.config
    problems: list[Diagnostic] = []
    try:
        connections_of(config)
    except ConfigError as error:
        problems += error.problems
    try:
        if config.sessions.enabled:
            check_store(config.store, state_directory(loaded.source.env))
    except ConfigError as error:
        problems += error.problems
    if problems:
        raise ConfigError(problems)
    print(f"{options.config}: valid")
    print(f"  listen    {config.listen.address}{' (TLS)' if config.listen.tls else ''}")
    print(f"  admin     {config.admin.address}")
    print(f"  upstream  {', '.join(config.upstream.urls)}")
    print(f"  mappings  {', '.join(loaded.catalog.names) or 'none'}")
    default = config.versions.default
    for cohort in config.cohorts:
        programs = loaded.catalog.for_cohort(cohort.name)
        bound = [
            f"{direction} {program.name}"
            for direction, program in (
                ("to client:", programs.to_client),
                ("to server:", programs.to_server),
            )
            if program is not None
        ]
        print(f"  cohort    {cohort.name} {cohort.versions}: {', '.join(bound) or 'no mapping'}")
        for route in cohort.http:
            methods = ",".join(route.methods) or "any method"
            chains = [
                f"{direction} {'+'.join(names)}"
                for direction, names in (
                    ("to client:", route.to_client),
                    ("to server:", route.to_server),
                )
                if names
            ]
            print(f"    route   {methods} {route.path}: {', '.join(chains) or 'no mapping'}")
    print(f"  default   {default if default is not None else 'none (no mapping)'}")
    return EXIT_OK


def _demo(arguments: Sequence[str]) -> int:
    checkout = Path(__file__).resolve().parents[2]
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
