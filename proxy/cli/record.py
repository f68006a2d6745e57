"""`segue record`: record real messages from a running Segue, as example files.

What comes out can be put beside a mapping as it is: a line for each message, with `in` and `out`;
one that failed has `failed`, with the reason, in place of `out`. Unless `--raw` is given and
allowed, everything but the words of the dialect is replaced by placeholders before it leaves the
proxy.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
from collections import Counter
from collections.abc import Iterator
from typing import TextIO

from proxy.admin.recording import START, STOP, STREAM
from proxy.cli.admin import TIMEOUT, Refused, ask
from proxy.cli.admin_place import Place, add_admin, place
from proxy.cli.asking import refused
from proxy.cli.configuration import Subparsers, add_config
from proxy.cli.exit_codes import ASKING, ExitCode
from proxy.cli.parser import seconds, whole
from proxy.cli.streamed import Interrupts, lines_of
from proxy.errors import ConfigError, Diagnostic
from proxy.mapping.engine.explanation import MessageOutcome
from proxy.mapping.json.objects import open_object
from proxy.recording.recorder import MAX_COUNT, MAX_SECONDS
from proxy.types import Direction


def add(commands: Subparsers[argparse.ArgumentParser]) -> None:
    """Put the command into place."""
    text = "record messages of a running segue, redacted, as examples for mappings"
    command = commands.add_parser("record", help=text, description=text.capitalize() + ".")
    add_config(command)
    add_admin(command)
    which = command.add_mutually_exclusive_group(required=True)
    which.add_argument("--mapping", metavar="NAME", help="messages that this mapping is bound to")
    which.add_argument(
        "--direction", choices=[each.value for each in Direction], help="messages that go this way"
    )
    command.add_argument("--cohort", metavar="NAME", help="only of clients in this cohort")
    command.add_argument(
        "--outcome",
        action="append",
        default=[],
        choices=[each.value for each in MessageOutcome],
        help="only messages that ended so; more than once for several",
    )
    command.add_argument(
        "--count",
        type=whole(1, MAX_COUNT),
        default=100,
        metavar="N",
        help="stop after N messages (default: 100)",
    )
    command.add_argument(
        "--seconds",
        type=seconds(MAX_SECONDS),
        default=60.0,
        metavar="S",
        help="stop after S seconds (default: 60)",
    )
    command.add_argument(
        "--keep",
        metavar="KEY,...",
        help="keys whose values are shown; all others become placeholders (default: the kinds.field"
        " of the mapping, and the values that its rules compare with; kind where none is bound)",
    )
    command.add_argument(
        "--raw", action="store_true", help="show everything; needs admin.allow_raw_recordings"
    )
    command.add_argument(
        "--output", metavar="FILE", help="a new file for the examples (default: standard output)"
    )
    command.set_defaults(run=run, codes=ASKING - {ExitCode.INTERRUPTED})


def run(options: argparse.Namespace) -> int:
    """Record; Ctrl-C ends it early, with what came so far. Return 1 where that is nothing.

    Raises:
        ConfigError: there is no address to ask, or the file cannot be made.
    """
    where = place(options)
    with _output(options.output) as output:
        try:
            with Interrupts() as interrupts:
                order = _order(options)
                end, counts = _record(where, order, output, options.seconds, interrupts)
        except Refused as refusal:
            return refused(refusal, options)
    told = [f"{counts['written']} examples written", f"ended by {end}"]
    if counts["failed"]:
        told.append(
            f"{counts['failed']} of them could not be mapped: `failed` says why; write what each is"
            " to become as `out` in its place"
        )
    if counts["skipped"]:
        told.append(f"{counts['skipped']} messages skipped: too large, or not JSON objects")
    if counts["unshown"]:
        told.append(
            f"{counts['unshown']} messages left out: the mapping cannot be carried out on their"
            " placeholders; name the fields that it reads with --keep"
        )
    print("\n".join(told), file=sys.stderr)
    return 0 if counts["written"] else 1


def _order(options: argparse.Namespace) -> dict[str, object]:
    if options.keep is not None:
        keep = {"keep": [key for key in options.keep.split(",") if key]}
    else:
        keep = {}
    outcomes = {"outcomes": options.outcome} if options.outcome else {}
    names = ("mapping", "direction", "cohort", "count", "seconds", "raw")
    order = {name: getattr(options, name) for name in names}
    return {
        **{name: value for name, value in order.items() if value is not None},
        **keep,
        **outcomes,
    }


def _record(
    where: Place,
    order: dict[str, object],
    output: TextIO,
    seconds: float,
    interrupts: Interrupts,
) -> tuple[str, Counter[str]]:
    counts: Counter[str] = Counter()
    name = str(ask(where, START, order).get("name"))
    print("recording; Ctrl-C ends it", file=sys.stderr)
    end = "the end of the connection"
    lines = lines_of(where, STREAM, STREAM.target(name=name), seconds + TIMEOUT)
    while True:
        try:
            line = interrupts.next_line(lines)
        except KeyboardInterrupt:
            # The read that was interrupted cannot go on; what it would have brought is given up.
            with contextlib.suppress(Refused):
                ask(where, STOP, name=name)
            lines = iter(())
            end = "Ctrl-C"
            continue
        if line is None:
            return end, counts
        members = open_object(line) or {}
        if "end" in members:
            last = json.loads(bytes(members["end"]))
            end = str(last["reason"])
            counts["skipped"] += int(last["skipped"])
        elif "in" in members and ("out" in members or "failed" in members):
            names = {"in": "in", "out": "out", "failed": "failed", "route": "note"}
            texts = (
                f'"{name}": {bytes(members[told]).decode()}'
                for told, name in names.items()
                if told in members
            )
            output.write(f"{{{', '.join(texts)}}}\n")
            output.flush()
            counts["written"] += 1
            counts["failed"] += "failed" in members
        else:
            counts["unshown" if "unshown" in members else "skipped"] += 1


@contextlib.contextmanager
def _output(file: str | None) -> Iterator[TextIO]:
    if file is None:
        yield sys.stdout
        return
    try:
        # What users wrote, as far as it is shown: for whoever asked for it alone.
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
            yield opened
    except OSError as error:
        reason = (error.strerror or "cannot be written").lower()
        raise ConfigError([Diagnostic(file, 0, 0, "", reason)]) from None
