"""`python -m demo`, which `segue demo` runs: watch old frames come out new.

Exit codes: 0, everything arrived as it should; 1, something differed, timed out or ended; 2, the
command line is wrong; 128 and the signal's number, it was ended before there was a verdict.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from demo.faults import ShowFailed
from demo.packages import missing
from demo.programs import ROOT
from demo.screen import Screen, Span, Style
from demo.show import Options, Show


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demonstration; return its exit code."""
    parsed = _parser().parse_args(arguments)
    # A terminal that cannot show a character gets a question mark, not a traceback.
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")
    if absent := missing():
        sys.stderr.write(
            f"segue demo: packages of the old server are not installed: {', '.join(absent)}\n"
            f"In {ROOT}, `make demo` installs them and runs the demo; or, for this Python:\n"
            f"`{sys.executable} -m pip install --require-hashes -r requirements/demo.txt`\n"
        )
        return 1
    options = Options(parsed.config.resolve(), once=parsed.once, fast=parsed.fast, logs=parsed.logs)
    screen = Screen.on(sys.stdout, colour=not parsed.no_color)
    try:
        return asyncio.run(_run(options, screen))
    except BrokenPipeError:
        # Whoever read has seen enough. Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="segue demo",
        description="Starts an old server, the proxy before it and three clients of different"
        " versions, shows what each of them gets, turns a switch while frames flow, has a guard"
        " take a broken mapping back, and keeps running until Ctrl-C.",
    )
    parser.add_argument("--once", action="store_true", help="end when the script is through")
    parser.add_argument("--fast", action="store_true", help="play the script without pauses")
    parser.add_argument("--no-color", action="store_true", help="plain text (also: NO_COLOR)")
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        default=ROOT / "config.yaml",
        help="the proxy's configuration (default: the shipped one)",
    )
    parser.add_argument(
        "--logs",
        type=Path,
        metavar="DIRECTORY",
        help="where the logs of the programs are kept until the next time (default: .demo/logs of"
        " the checkout)",
    )
    return parser


async def _run(options: Options, screen: Screen) -> int:
    show = Show(options, screen)
    task = asyncio.create_task(show.run())
    received: list[int] = []

    def end(number: int) -> None:
        # Once: a second one would cut short the clearing up, which is bounded anyway.
        if not received:
            task.cancel()
        received.append(number)

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, end, number)
    try:
        await task
    except asyncio.CancelledError:
        if show.differences is None:
            return 128 + received[0]
    except ShowFailed as failure:
        screen.line()
        screen.line(Span("✗ ", Style.BAD), Span(str(failure), Style.BAD))
        for detail in failure.details:
            screen.line(f"    {detail}")
        return 1
    finally:
        show.say_where_the_logs_are()
    return 1 if show.differences else 0


if __name__ == "__main__":
    sys.exit(main())
