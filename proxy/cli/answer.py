"""What `segue explain` found out, as text for people."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from proxy.cli.comparison import shown
from proxy.cli.styled import Line, Span, Style
from proxy.cli.terminal import shortened
from proxy.control.explain import Told
from proxy.mapping.checks.comparison import differences
from proxy.mapping.engine.explanation import Explanation, MessageOutcome, Pass
from proxy.types import OnError
from proxy.versions.sources import KINDS, VersionSource

MAX_FRAME: Final = 2000
"""How many characters of a frame are shown."""


def told(answer: Told, *, diff: bool) -> Iterator[Line]:
    """Yield the lines of an answer; with `diff`, those that mark what changed among them."""
    selection = answer.selection
    version = "none" if selection.version is None else str(selection.version)
    yield _title("version"), f"   {version}, {_SOURCES[selection.source]}"
    cohort = selection.cohort
    within = f"{cohort} ({answer.range})" if cohort is not None else "none: nothing is mapped"
    yield _title("cohort"), f"    {within}"
    if answer.route is not None:
        yield _title("route"), f"     {answer.route}"
    for label, program in (("to client", answer.to_client), ("to server", answer.to_server)):
        yield _title(label), f" {program.name if program is not None else 'no mapping'}"
    if answer.frame is None:
        return
    yield ()
    text = shortened(answer.frame.decode(errors="replace"), MAX_FRAME)
    yield _title("frame"), f"     {answer.direction.value.replace('_', ' ')}"
    yield (f"  {text}",)
    trace = answer.trace
    if trace is None:
        yield _title("outcome"), "   passed: no mapping is bound, it goes on as it came"
        return
    for each in trace.passes:
        yield from _pass(each, diff=diff)
    if trace.cut:
        yield (Span("what follows is not shown", Style.DIM),)
    yield _title("outcome"), f"   {_outcome(trace)}"
    if trace.outcome is MessageOutcome.MAPPED:
        for message in trace.messages:
            yield (f"  {shortened(message.decode(errors='replace'), MAX_FRAME)}",)
        if diff and len(trace.messages) == 1:
            for found in differences(trace.message, trace.messages[0]):
                yield from (("  ", line) for line in shown(found))


def _title(text: str) -> Span:
    return Span(text, Style.HEADING)


def _pass(told: Pass, *, diff: bool) -> Iterator[Line]:
    where = "" if told.element is None else f", element {told.element}"
    yield _title("mapping"), f"   {told.mapping}{where}"
    width = max((len(each.rule) for each in told.considered), default=0)
    for each in told.considered:
        if each.matched:
            yield (Span(f"  {each.rule:<{width}}  matches", Style.GOOD),)
        else:
            yield (Span(f"  {each.rule:<{width}}  no: {each.why_not or ''}", Style.DIM),)
    if told.applied is None:
        yield ("  no rule matches",)
    for step in told.carried:
        if step.failure is not None:
            result = Span(f"fails: {step.failure}", Style.BAD)
        elif step.skipped is not None:
            result = Span(f"skipped: {step.skipped}", Style.DIM)
        elif not step.changed:
            result = Span("nothing to do", Style.DIM)
        elif len(step.after) != len(step.before):
            result = Span(f"{len(step.before)} message(s) in, {len(step.after)} out")
        else:
            result = Span("done")
        yield f"    {step.index + 1}. {step.operation}: ", result
        if diff and step.changed and len(step.before) == len(step.after):
            for before, after in zip(step.before, step.after, strict=True):
                for found in differences(before, after):
                    yield from (("       ", line) for line in shown(found))


def _outcome(trace: Explanation) -> str:
    match trace.outcome:
        case MessageOutcome.MAPPED if len(trace.messages) != 1:
            return f"mapped to {len(trace.messages)} messages"
        case MessageOutcome.PASSED:
            reason = trace.note or "no rule has anything to do"
            return f"passed as it came: {reason}"
        case MessageOutcome.DROPPED:
            return "dropped: a rule says so, nothing is sent"
        case MessageOutcome.FAILED:
            assert trace.failure is not None
            note = f"; {trace.note}" if trace.note else ""
            return f"failed: {_ON_ERROR[trace.failure.on_error]}{note}"
        case _:
            return trace.outcome.value


_ON_ERROR: Final = {
    OnError.PASS: "the original is sent (on_error: pass)",
    OnError.DROP: "nothing is sent (on_error: drop)",
    OnError.CLOSE: "the connection ends, a request with 502 (on_error: close)",
}

_SOURCES: Final = {
    **{kind.label: kind.words for kind in KINDS},
    VersionSource.DEFAULT: "by versions.default: the client tells none",
    VersionSource.UNREADABLE: "by versions.default: what the client tells cannot be read",
    VersionSource.NONE: "the client tells none, and versions.default is not set",
}
