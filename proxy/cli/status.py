"""`segue status`: what a running Segue is, and what somebody who is paged would look at first."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from math import inf

from proxy.admin.status import STATUS, Status
from proxy.admin.upstreams import UpstreamView
from proxy.cli.admin import ask, told_as
from proxy.cli.admin_place import place
from proxy.cli.asking import add_asking
from proxy.cli.configuration import Subparsers
from proxy.cli.screen import Screen
from proxy.cli.styled import Line, Span, Style
from proxy.cli.terminal import counted, span
from proxy.process.tls_files import SOON


def add(commands: Subparsers[argparse.ArgumentParser]) -> None:
    """Put the command into place."""
    text = "say what runs, what it listens to and asks, and what is wrong"
    add_asking(commands, "status", text, _show)


def _show(options: argparse.Namespace) -> None:
    answer = ask(place(options), STATUS)
    status = told_as(Status, answer, "it is")
    if options.json:
        print(json.dumps(answer))
        return
    screen = Screen.of_stdout()
    for line in lines(status, time.time()):
        screen.line(*line)


def lines(status: Status, now: float) -> Iterator[Line]:
    """The status for people."""
    configuration = status.configuration

    yield _titled(
        "segue",
        f"{status.version}, {status.state}, pid {status.pid}, for {_ago(now, status.since)}",
    )
    yield _titled(
        "config",
        f"{configuration.file or 'variables and flags, without a file'} ({configuration.digest}),"
        f" read {_ago(now, configuration.since)} ago",
    )
    yield _titled("mappings", ", ".join(configuration.mappings) or "none")
    for listener in status.listeners:
        text = f"{listener.name} {listener.address}{' (TLS)' if listener.tls else ''}"
        left = inf if listener.certificate_ends is None else listener.certificate_ends - now
        if listener.certificate_ends is not None:
            text += f", its certificate {'has ended' if left < 0 else 'ends in ' + span(left)}"
        yield _titled("listener", text, bad=left < SOON)
    yield _titled("connections", str(status.connections))
    for server in status.upstreams:
        good = server.health == "healthy" and server.trouble is None
        yield _titled("upstream", _server(server), bad=not good)
    if not status.websockets:
        yield _titled("websockets", "none")
    for sockets in status.websockets:
        older = " (older than the reload)" if sockets.older_than_reload else ""
        text = f"{sockets.open} of cohort {sockets.cohort}, began under {sockets.configuration}"
        yield _titled("websockets", text + older)
    yield from _last_reload(status, now)
    reached = ", ".join(f"{name} {count}" for name, count in sorted(status.limits.items()))
    yield _titled("limits", f"reached: {reached}" if reached else "none was reached")
    store = status.store
    if not store.sessions:
        yield _titled("store", "sessions are off")
    else:
        text = f"{store.state}, {counted(store.open, 'session')}, {store.unsaved} unsaved"
        yield _titled("store", text, bad=store.state != "up")
    audit = status.audit
    text = f"{counted(audit.written, 'line')} written, {audit.waiting} waiting, {audit.lost} lost"
    why = "" if audit.trouble is None else f": {audit.trouble}"
    yield _titled("audit", text + why, bad=audit.trouble is not None or audit.lost > 0)


def _server(server: UpstreamView) -> str:
    # What is asked though it fails, because there is no other, is not what people call healthy.
    health = server.health if server.trouble is None or server.health != "healthy" else "failing"
    why = "" if server.trouble is None else f" ({server.trouble})"
    open_now = f"{counted(server.requests, 'request')}, {counted(server.websockets, 'websocket')}"
    failures = f"{counted(server.failures, 'failure')} since the start"
    return f"{server.target} {health}{why}; now {open_now}; {failures}"


def _last_reload(status: Status, now: float) -> Iterator[Line]:
    last, title = status.last_reload, "last reload"
    if last is None:
        yield _titled(title, "none since the start")
        return
    if last.succeeded:
        yield _titled(title, f"succeeded {_ago(now, last.ended)} ago")
        if last.needs_restart:
            yield _titled(title, f"needs a restart for {', '.join(last.needs_restart)}")
        return
    failed = f"FAILED {_ago(now, last.ended)} ago; what served before goes on"
    yield _titled(title, failed, bad=True)
    for problem in last.problems:
        yield (Span(f"  {problem.text}", Style.BAD),)


def _titled(title: str, text: str, *, bad: bool = False) -> Line:
    """A line with its title; one of something that is wrong is red."""
    return Span(f"{title:<12}", Style.HEADING), Span(text, Style.BAD if bad else Style.PLAIN)


def _ago(now: float, then: float) -> str:
    return span(max(now - then, 0))
