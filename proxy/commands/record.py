"""`segue record`: record real messages from a running Segue on this machine, as example files.

What comes out can be put beside a mapping as it is: a line for each message, with `in` and `out`.
Unless `--raw` is given and allowed, everything but the values of the keys named by `--keep` is
replaced by placeholders before it leaves the proxy.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final, TextIO

from proxy.commands.configuration import Subparsers, add_config
from proxy.commands.health import add_admin, admin_address
from proxy.commands.terminal import printable
from proxy.errors import ConfigError, Problem
from proxy.mapping.objects import open_object
from proxy.notation import Address
from proxy.values import Direction

MAX_LINE: Final = 64 * 1024 * 1024
"""Bytes of the longest line that is read; the proxy holds less for a whole recording."""

_TIMEOUT: Final = 15.0
"""Seconds to wait for the proxy's answer; while it records, it answers at the latest at the end."""


class Refused(Exception):
    """The proxy cannot be reached, or will not record. The text says why."""


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
        "--count", type=int, default=100, metavar="N", help="stop after N messages (default: 100)"
    )
    command.add_argument(
        "--seconds", type=float, default=60.0, metavar="S", help="stop after S (default: 60)"
    )
    command.add_argument(
        "--keep",
        default="kind",
        metavar="KEY,...",
        help="keys whose values are shown; all others become placeholders (default: kind)",
    )
    command.add_argument(
        "--raw", action="store_true", help="show everything; needs admin.allow_raw_recordings"
    )
    command.add_argument(
        "--output", metavar="FILE", help="a new file for the examples (default: standard output)"
    )
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Record; Ctrl-C ends it early, with what came so far.

    Raises:
        ConfigError: there is no address to ask, or the file cannot be made.
    """
    where = admin_address(options)
    with _output(options.output) as output:
        try:
            end, counts = _record(where, _order(options), output, options.seconds)
        except Refused as refusal:
            print(f"segue: {refusal}", file=sys.stderr)
            return 1
    told = [f"{counts['written']} examples written", f"ended by {end}"]
    if counts["skipped"]:
        told.append(f"{counts['skipped']} messages skipped: too large, or no JSON objects")
    if counts["failed"]:
        told.append(
            f"{counts['failed']} messages left out: the mapping cannot be carried out on their"
            " placeholders; name the fields that it reads with --keep"
        )
    print("\n".join(told), file=sys.stderr)
    return 0


def _order(options: argparse.Namespace) -> dict[str, object]:
    keep = [key for key in options.keep.split(",") if key]
    names = ("mapping", "direction", "cohort", "count", "seconds", "raw")
    order = {name: getattr(options, name) for name in names}
    return {**{name: value for name, value in order.items() if value is not None}, "keep": keep}


def _record(
    where: Address, order: dict[str, object], output: TextIO, seconds: float
) -> tuple[str, Counter[str]]:
    counts: Counter[str] = Counter()
    name = str(json.loads(_ask(where, "POST", "/recordings", json.dumps(order))).get("name"))
    print("recording; Ctrl-C ends it", file=sys.stderr)
    end = "the end of the connection"
    lines = _lines(where, f"/recordings/{name}", seconds + _TIMEOUT)
    while True:
        try:
            line = next(lines, None)
        except KeyboardInterrupt:
            # The read that was interrupted cannot go on; what it would have brought is given up.
            with contextlib.suppress(Refused):
                _ask(where, "DELETE", f"/recordings/{name}")
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
        elif "in" in members and "out" in members:
            before, after = bytes(members["in"]).decode(), bytes(members["out"]).decode()
            output.write(f'{{"in": {before}, "out": {after}}}\n')
            output.flush()
            counts["written"] += 1
        else:
            counts["failed" if "failed" in members else "skipped"] += 1


def _lines(where: Address, path: str, timeout: float) -> Iterator[bytes]:
    with _request(where, "GET", path, None, timeout) as response:
        while True:
            try:
                line = response.readline(MAX_LINE)
            except (OSError, http.client.HTTPException):
                return
            if not line:
                return
            yield line


def _ask(where: Address, method: str, path: str, body: str | None = None) -> bytes:
    with _request(where, method, path, body, _TIMEOUT) as response:
        return response.read(MAX_LINE)


@contextlib.contextmanager
def _request(
    where: Address, method: str, path: str, body: str | None, timeout: float
) -> Iterator[http.client.HTTPResponse]:
    connection = http.client.HTTPConnection(where.host, where.port, timeout=timeout)
    try:
        try:
            fields = {"Content-Type": "application/json"} if body is not None else {}
            connection.request(method, path, body, fields)
            response = connection.getresponse()
            if response.status >= 300:
                detail = _detail(response.read(MAX_LINE))
                raise Refused(f"http://{where}{path}: {response.status}: {detail}")
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "strerror", None) or "no answer"
            raise Refused(f"http://{where}: {reason.lower()}; is segue running?") from None
        yield response
    finally:
        connection.close()


def _detail(body: bytes) -> str:
    try:
        problem = json.loads(body)
    except ValueError:
        return "no reason given"
    return printable(str(problem.get("detail"))) if isinstance(problem, dict) else "refused"


@contextlib.contextmanager
def _output(file: str | None) -> Iterator[TextIO]:
    if file is None:
        yield sys.stdout
        return
    try:
        with Path(file).open("x", encoding="utf-8") as opened:
            yield opened
    except OSError as error:
        reason = (error.strerror or "cannot be written").lower()
        raise ConfigError([Problem(file, 0, 0, "", reason)]) from None
