"""`segue tail`: watch messages go by in a running Segue, with what its mappings change of them.

It does not connect again by itself: what goes by meanwhile would be missing without a word.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any, Final

from msgspec import Raw

from proxy.admin.tail import TAIL
from proxy.cli.admin import Refused
from proxy.cli.admin_place import place
from proxy.cli.asking import add_asking
from proxy.cli.comparison import shown
from proxy.cli.configuration import Subparsers
from proxy.cli.exit_codes import ASKING, ExitCode
from proxy.cli.parser import seconds, whole
from proxy.cli.screen import Screen
from proxy.cli.streamed import Interrupts, lines_of
from proxy.cli.styled import Line, Span, Style
from proxy.cli.terminal import counted, printable, shortened
from proxy.mapping.checks.comparison import differences
from proxy.mapping.engine.explanation import MessageOutcome
from proxy.mapping.json.objects import open_list, open_object
from proxy.recording.tail import MAX_RATE, MAX_SECONDS
from proxy.types import Direction

MAX_MESSAGE: Final = 2000
"""How many characters of a message are shown."""

MAX_DIFFERENCES: Final = 30
"""How many differing fields of a message are marked."""

MAX_WORD: Final = 80
"""How many characters of a name are."""

_LATEST: Final = 1e11
"""Seconds since 1970 of the latest time that is printed."""

_QUIET: Final = 60.0
"""Seconds without a line, comments included, after which nobody is there any more."""

_BESIDE: Final = len("  before  ... (1000000 characters)")
"""Characters of a line besides the message."""

_LEAST: Final = 40
"""How many characters of a message are shown on the narrowest terminal."""

_CHOOSING: Final = ("mapping", "cohort", "direction", "kind", "outcome")
_ASKED: Final = (*_CHOOSING, "rate", "seconds")


def add(commands: Subparsers[argparse.ArgumentParser]) -> None:
    """Put the command into place."""
    text = "watch messages go by, redacted, with what is changed of them"
    codes = ASKING - {ExitCode.INTERRUPTED}
    command = add_asking(commands, "tail", text, carry_out, codes)
    command.add_argument("--mapping", metavar="NAME", help="messages that this mapping is bound to")
    command.add_argument("--cohort", metavar="NAME", help="only of clients in this cohort")
    command.add_argument(
        "--direction", choices=[each.value for each in Direction], help="only those that go so"
    )
    command.add_argument("--kind", metavar="KIND", help="only messages of this kind, as they came")
    command.add_argument(
        "--outcome",
        choices=[each.value for each in MessageOutcome],
        help="only messages that ended so",
    )
    command.add_argument(
        "--rate",
        type=whole(1, MAX_RATE),
        metavar="N",
        help="at most N messages a second; how many more there were is told (default: 50)",
    )
    command.add_argument(
        "--seconds",
        type=seconds(MAX_SECONDS),
        metavar="S",
        help=f"stop after S seconds (default: {MAX_SECONDS:g})",
    )
    command.add_argument(
        "--raw", action="store_true", help="show everything; needs admin.allow_raw_recordings"
    )
    command.add_argument(
        "--long",
        action="store_true",
        help=f"{MAX_MESSAGE} characters of each message, and not what fits the terminal",
    )


def carry_out(options: argparse.Namespace) -> int:
    """Watch until Ctrl-C, or for as long as was asked: 0. Return 1 where it ended otherwise.

    Raises:
        Refused: Segue cannot be reached, or will not show it.
        ConfigError: there is no address to ask.
    """
    asked = {name: getattr(options, name) for name in _ASKED}
    if options.raw:
        asked["raw"] = "true"
    screen = Screen.of_stdout()
    width = MAX_MESSAGE if options.long or screen.width is None else screen.width
    chosen = [f"{name} {asked[name]}" for name in _CHOOSING if asked[name] is not None]
    stream = _Stream(
        screen,
        as_json=options.json,
        most=min(max(width - _BESIDE, _LEAST), MAX_MESSAGE),
        wanted=", ".join(map(printable, chosen)),
    )
    lines = lines_of(place(options), TAIL, TAIL.target(asked), _QUIET)
    with Interrupts() as interrupts:
        try:
            while (line := interrupts.next_line(lines)) is not None:
                stream.take(line)
        except KeyboardInterrupt:
            stream.end = "Ctrl-C"
    told = f"{counted(stream.messages, 'message')} shown"
    if stream.left_out:
        told += f", {stream.left_out} left out"
    end = stream.end or "the end of the connection"
    print(f"{told}; ended by {printable(end)}", file=sys.stderr)
    return ExitCode.OK if end in ("Ctrl-C", "time") else ExitCode.FAILED


class _Stream:
    """Prints what a stream of events says.

    Attributes:
        messages: how many were shown.
        left_out: how many were not.
        end: why it ended, as far as Segue said so.
    """

    def __init__(
        self, screen: Screen, *, as_json: bool, most: int = MAX_MESSAGE, wanted: str = ""
    ) -> None:
        """Nothing was shown yet.

        Args:
            screen: where to.
            as_json: whether to print what is told as it is.
            most: characters that are shown of a message.
            wanted: which messages are, for people; empty for all.
        """
        self._most = most
        self._wanted = wanted
        self.messages = 0
        self.left_out = 0
        self.end: str | None = None
        self._screen = screen
        self._as_json = as_json
        self._event = ""

    def take(self, line: bytes) -> None:
        """Print what one line says; comments and empty ones say nothing.

        Raises:
            Refused: it is of another version's form.
        """
        field, _, value = line.rstrip(b"\r\n").partition(b": ")
        if field == b"event":
            self._event = value.decode(errors="replace")
        elif field == b"data":
            try:
                self._show(value)
            except (KeyError, TypeError, ValueError, AttributeError, RecursionError):
                raise Refused("messages told in a form that this version does not know") from None
            sys.stdout.flush()

    def _show(self, data: bytes) -> None:
        name = self._event
        if self._as_json:
            text = printable(data.decode(errors="replace"))
            print(text if name == "message" else f"{{{json.dumps(name)}: {text}}}")
        match name:
            case "start":
                only = f" for messages of {self._wanted}" if self._wanted else ""
                print(f"watching{only}; Ctrl-C ends it", file=sys.stderr)
            case "message":
                if not self._as_json:
                    for each in told(data, self._most):
                        self._screen.line(*each)
                self.messages += 1
            case "left_out":
                counts = json.loads(data)
                self.left_out += sum(map(int, counts.values()))
                if not self._as_json:
                    self._screen.line(Span(_left_out(counts), Style.DIM))
            case "end":
                self.end = str(json.loads(data)["reason"])


def told(data: bytes, most: int = MAX_MESSAGE) -> Iterator[Line]:
    """Yield the lines that show a message: what it was, before and after, and what changed.

    Args:
        data: the message, as `GET /api/v1/tail` tells it.
        most: characters that are shown of what it was, and of what it became.

    Raises:
        KeyError: it is of another version's form; so ValueError, TypeError and AttributeError.
    """
    members = open_object(data) or {}
    pieces = {"before", "after"}
    facts = {name: json.loads(bytes(each)) for name, each in members.items() if name not in pieces}
    yield _head(facts)
    if "skipped" in facts:
        yield (Span(f"  not shown: {facts['skipped']} ({facts['size']} bytes)", Style.DIM),)
    before = members.get("before")
    if before is not None:
        yield (f"  before  {_text(bytes(before), most)}",)
        yield from _after(bytes(before), members.get("after"), most)
    if "unshown" in facts:
        yield (Span(f"  what became of it is not shown: {facts['unshown']}", Style.DIM),)
    if "failure" in facts:
        yield (Span(f"  failed  {_failure(facts['failure'])}", Style.BAD),)


def _head(facts: Mapping[str, Any]) -> Line:
    if not 0 <= facts["time"] < _LATEST:
        raise ValueError
    moment = time.strftime("%H:%M:%S", time.localtime(facts["time"]))
    moment += f".{int(facts['time'] * 1000) % 1000:03d}"
    named = (facts["cohort"], facts["mapping"] or "no mapping", facts["kind"] or "-")
    way = facts["direction"].replace("_", " ")
    words = "  ".join(shortened(each, MAX_WORD) for each in (way, *named))
    outcome = Span(facts["outcome"], _STYLES.get(facts["outcome"], Style.DIM))
    end = " ".join(filter(None, (facts.get("route"), facts["request_id"])))
    return (Span(moment, Style.HEADING), f"  {words}  ", outcome, Span(f"  {end}", Style.DIM))


def _after(before: bytes, after: Raw | None, most: int) -> Iterator[Line]:
    if after is None:
        return
    messages = open_list(bytes(after))
    if messages is None:
        yield ("  after   as it came",)
        return
    if not messages:
        yield ("  after   nothing: a rule drops it",)
    for each in messages:
        yield (f"  after   {_text(bytes(each), most)}",)
    if len(messages) == 1:
        for number, found in enumerate(differences(before, bytes(messages[0]))):
            if number == MAX_DIFFERENCES:
                yield (Span("    and more", Style.DIM),)
                break
            yield from (("    ", line) for line in shown(found))


def _failure(failure: Mapping[str, str]) -> str:
    names = ("mapping", "rule", "operation", "field")
    where = ", ".join(f"{name} {failure[name]}" for name in names if name in failure)
    return shortened(f"{where}: {failure['reason']} (on_error: {failure['on_error']})", MAX_MESSAGE)


def _left_out(counts: Mapping[str, int]) -> str:
    told = ", ".join(f"{count} {_REASONS.get(why, why)}" for why, count in counts.items())
    return f"... left out: {told}"


def _text(message: bytes, most: int) -> str:
    return shortened(message.decode(errors="replace"), most)


_STYLES: Final = {"mapped": Style.GOOD, "failed": Style.BAD, "dropped": Style.HEADING}
_REASONS: Final = {
    "rate": "above the rate (--rate)",
    "bytes": "more bytes than are shown in a second",
    "queue": "faster than they were read",
    "unreadable": "too long to be looked at, or unreadable",
}
