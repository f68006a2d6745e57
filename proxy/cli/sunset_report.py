"""The report of `segue sunset --report`: Markdown, for people who decide and read no metrics."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from proxy.admin.sunset import MappingSunset, SunsetView
from proxy.cli.terminal import when
from proxy.errors import printable
from proxy.switching.sunset_verdict import Verdict

_DAY: Final = 86_400
_LISTED: Final = 14
"""Days that are told one by one; more are nothing to read."""

_SPECIAL: Final = re.compile(r"([\\`*_{}\[\]<>()#|!~])")


def report(view: SunsetView) -> str:
    """Write it; nothing that a client or a file says is Markdown in it."""
    return "\n".join(_lines(view))


def _lines(view: SunsetView) -> Iterator[str]:
    days = view.idle / _DAY
    yield "# Which mappings can go"
    yield ""
    yield f"As of {when(view.now)}. Days are days in UTC."
    yield ""
    yield from _summary(view)
    if view.silent:
        yield ""
        yield (
            f"**{len(view.silent)} process(es) of Segue tell nothing, or their clock is wrong**:"
            " what went through them is not in this report, and nothing is called safe meanwhile."
        )
    for each in view.mappings:
        yield ""
        yield from _mapping(each, view)
    yield ""
    yield "## What this says, and what it does not"
    yield ""
    yield (
        "- A mapping was *needed* when a message was changed or dropped by it, or failed in it."
        " A message that already had the wanted form did not need it."
    )
    yield (
        f"- *Safe to delete* means: nothing needed it for {days:g} days, and Segue watched at least"
        f" {view.enough:.0%} of that time. Clients that come back less often than that are not"
        " seen: who is used once a quarter needs a longer `switching.sunset.idle`."
    )
    yield (
        "- Numbers of users are estimates (standard error"
        f" {view.error:.1%}); no list of users is kept."
    )
    yield (
        "- Browsers' WebSockets cannot read the fields of an answer: what is announced by HTTP"
        " fields does not reach the code of pages that speak to the server by WebSocket alone."
    )


def _summary(view: SunsetView) -> Iterator[str]:
    if not view.mappings:
        yield "No cohort names a mapping."
        return
    yield "| mapping | can it go? | last needed | users, last 31 days |"
    yield "|---|---|---|---|"
    for each in view.mappings:
        yield (
            f"| {_text(each.switch)} | {_short(each)} | {_last(each)} |"
            f" {f'about {each.users:,}' if each.users else 'none seen'} |"
        )


def _short(each: MappingSunset) -> str:
    match each.verdict:
        case Verdict.NEEDED:
            return "no: needed"
        case Verdict.IDLE:
            return f"not yet: idle for {each.idle_days} day(s)"
        case Verdict.SAFE:
            return "**yes: safe to delete**"
        case Verdict.UNKNOWN:
            return f"unknown: only {each.watched:.0%} of the time was watched"


def _last(each: MappingSunset) -> str:
    return "never seen" if each.last_needed is None else when(each.last_needed)


def _mapping(each: MappingSunset, view: SunsetView) -> Iterator[str]:
    yield f"## {_text(each.switch)}"
    yield ""
    yield f"- Verdict: {_short(each)}"
    yield f"- Last needed: {_last(each)}"
    yield f"- Watched: {each.watched:.1%} of the time since {when(each.watched_since)}"
    if each.blind is not None:
        yield f"- **Not watched at the moment**: {_text(each.blind)}"
    yield f"- Messages in the last 31 days: {each.messages:,}"
    if each.ignored:
        yield f"- Besides, of probes and scanners, which do not count: {each.ignored:,}"
    if each.websocket:
        yield f"- Open WebSockets that it applies to: {each.open:,}"
    if each.versions:
        named = ", ".join(f"{_text(one.version)} ({one.messages:,})" for one in each.versions)
        yield f"- Versions of clients (messages): {named}"
    yield from _announced(each, view.now)
    if each.messages:
        yield ""
        yield "| day | users | messages | watched |"
        yield "|---|---|---|---|"
        for day in each.days[:_LISTED]:
            yield f"| {day.day} | {day.users:,} | {day.messages:,} | {day.watched:.0%} |"


def _announced(each: MappingSunset, now: float) -> Iterator[str]:
    told = each.announced
    if told is None:
        if each.http:
            yield "- Clients are told nothing of its end (`switching.sunset.announce`)"
        return
    passed = "since" if told.deprecation <= now else "from"
    text = f"- Clients are told that it is deprecated {passed} {when(told.deprecation)}"
    if told.sunset is not None:
        text += f", and that the URIs stop answering at {when(told.sunset)}"
    if told.link is not None:
        text += f": {_text(told.link)}"
    yield text
    if not each.http:
        yield "- It applies to WebSockets alone, whose clients cannot be told by HTTP fields"
    elif each.websocket:
        yield "- Browsers' WebSockets, to which it applies too, cannot read that"


def _text(text: str) -> str:
    return _SPECIAL.sub(r"\\\1", printable(text))
