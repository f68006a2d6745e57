"""The command line: `segue run`, `validate`, `demo`, and those of the modules of `proxy.cli`."""

from __future__ import annotations

import argparse
import errno
import gc
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import uvloop

from proxy.cli import (
    audit,
    completion,
    config,
    explain,
    health,
    history,
    log,
    record,
    reload,
    schema,
    sessions,
    sockets,
    status,
    sunset,
    switch,
    tail,
    test,
    token,
    validate,
    version,
    versions,
)
from proxy.cli.configuration import add_config, add_overrides, add_state_directory, snapshot
from proxy.cli.exit_codes import COMMON, ExitCode
from proxy.cli.parser import Parser
from proxy.cli.version import segue_version
from proxy.errors import ConfigError
from proxy.observability import log as logs
from proxy.process import core_dumps, open_files, running
from proxy.types import MAX_DEPTH

_UNWRITTEN: Final = (errno.ENOSPC, errno.EDQUOT)

_SHOWN: Final = 100
"""Problems that are printed: nobody reads more of them at once."""

_HELP: Final = "help"

_COMMANDS: Final = (
    *(validate, reload, status, switch, sunset, history, sockets, test, explain, record, tail, log),
    *(sessions, versions, token, audit, config, schema, health, version, completion),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code.

    They are those of `proxy.cli.exit_codes`.
    """
    reader = parser()
    given = sys.argv[1:] if arguments is None else arguments
    if not given:
        reader.print_help(sys.stderr)
        return ExitCode.USAGE
    if given[0] == _HELP:
        given = [*given[1:], "--help"]
    try:
        try:
            options, rest = reader.parse_known_args(given)
        except SystemExit:
            sys.stdout.flush()  # After `--help`, as below.
            raise
        match options.command:
            case "run":
                return _run(options)
            case "demo":
                return _demo(rest)
            case _:
                code = int(options.run(options))
                # Here, where somebody can still be told that it was not written.
                sys.stdout.flush()
                return code
    except BrokenPipeError:
        # Whoever read the output has seen enough. Python would say so again at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.FAILED
    except OSError as error:
        if given[0] == "run" or error.errno not in _UNWRITTEN:
            raise
        print(f"segue: the output cannot be written: {os.strerror(error.errno)}", file=sys.stderr)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.FAILED
    except ConfigError as error:
        count = len(error.problems)
        for problem in error.problems[:_SHOWN]:
            print(problem, file=sys.stderr)
        if count > _SHOWN:
            print(f"... and {count - _SHOWN} more", file=sys.stderr)
        print(f"segue: {count} problem{'s' if count != 1 else ''} found", file=sys.stderr)
        return ExitCode.FAILED


def parser() -> Parser:
    """Return what understands the command line."""
    made = Parser(
        prog="segue",
        description="A migration compatibility proxy: rewrites WebSocket frames between an old"
        " server and clients of every version.",
        epilog="More about one: segue help COMMAND",
    )
    made.add_argument("--version", action="version", version=f"segue {segue_version()}")
    commands = made.add_subparsers(dest="command", required=True, metavar="COMMAND")
    command = commands.add_parser("run", help="start the proxy", description="Start the proxy.")
    add_config(command)
    add_overrides(command)
    add_state_directory(command)
    command.set_defaults(codes=COMMON - {ExitCode.INTERRUPTED})
    for module in _COMMANDS:
        module.add(commands)
    text = "start the old server, the proxy and three clients, and watch the frames"
    demo = commands.add_parser(
        "demo",
        help=text,
        description=text.capitalize() + ".",
        add_help=False,
        takes_rest=True,
    )
    demo.set_defaults(takes_rest=True)
    text = "print what commands there are, or the flags of one"
    command = commands.add_parser(_HELP, help=text, description=text.capitalize() + ".")
    command.add_argument("topic", nargs="*", metavar="COMMAND", help="such as: sessions list")
    return made


def _run(options: argparse.Namespace) -> int:
    core_dumps.forbid()  # Before the first key is read.
    open_files.raise_limit()
    loaded = snapshot(options)
    writer = logs.to_stderr()
    settings = loaded.config.log
    log = logs.build(writer, settings.level, settings.format, is_terminal=sys.stderr.isatty())
    logs.take_over_libraries(log)
    _allow_depth()
    _settle_memory()
    try:
        uvloop.run(running.run(loaded, log, writer))
    finally:
        writer.close()
    return ExitCode.OK


def _settle_memory() -> None:
    """Let the collector look at what was made since the start, and less often.

    What a request leaves behind is freed by its reference counts; looking for cycles among all
    objects took a tenth of its time. At most 20,000 objects wait for it, a few megabytes.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 10, 10)


def _allow_depth() -> None:
    """Let msgspec read what is nested as deeply as `limits.json_depth` allows by default.

    In Python 3.11 its depth counts together with that of the calls it is in; what is deeper is
    looked at token by token, which takes fifty times as long.
    """
    sys.setrecursionlimit(max(sys.getrecursionlimit(), 2 * MAX_DEPTH))


def _demo(arguments: Sequence[str]) -> int:
    checkout = Path(__file__).resolve().parents[2]
    if not (checkout / "demo" / "__main__.py").is_file():
        print(
            "segue: the demo needs a checkout of the repository; there, run `make demo`",
            file=sys.stderr,
        )
        return ExitCode.FAILED
    # In place of this process, so that signals and the exit code are the demo's own.
    paths = [str(checkout), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    sys.stdout.flush()
    command = [sys.executable, "-m", "demo", *arguments]
    return os.execve(sys.executable, command, environment)  # noqa: S606 (our own module)
