"""`segue status`: what a running Segue is, and what somebody who is paged would look at first."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from math import inf

from proxy.admin.replicas import REPLICAS, ReplicasView, ReplicaView
from proxy.admin.status import STATUS, Status
from proxy.admin.switch_status import SwitchesStatus
from proxy.admin.upstreams import UpstreamView
from proxy.cli.admin import Refused, ask, told_as
from proxy.cli.admin_place import Place, place
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
    where = place(options)
    answer = ask(where, STATUS)
    status = told_as(Status, answer, "it is")
    replicas = _replicas(where)
    if options.json:
        told = None if replicas is None else replicas.model_dump(mode="json")
        print(json.dumps({**answer, "replicas": told}))
        return
    screen = Screen.of_stdout()
    for line in lines(status, time.time()):
        screen.line(*line)
    for line in replica_lines(replicas):
        screen.line(*line)


def _replicas(where: Place) -> ReplicasView | None:
    """Who else is there; None where that is not known: the store is away."""
    try:
        return told_as(ReplicasView, ask(where, REPLICAS), "the replicas are")
    except Refused as refused:
        if refused.status == 503:
            return None
        raise


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
    yield from _switches(status.switches, now)
    audit = status.audit
    text = f"{counted(audit.written, 'line')} written, {audit.waiting} waiting, {audit.lost} lost"
    why = "" if audit.trouble is None else f": {audit.trouble}"
    yield _titled("audit", text + why, bad=audit.trouble is not None or audit.lost > 0)


def replica_lines(replicas: ReplicasView | None) -> Iterator[Line]:
    """The processes on the store of switches, where there are several."""
    if replicas is None:
        yield _titled("replicas", "not known: the store of switches is away", bad=True)
    elif len(replicas.replicas) > 1:
        for each in replicas.replicas:
            text, good = _replica(each, replicas)
            yield _titled("replica", text, bad=not good)


def _replica(replica: ReplicaView, replicas: ReplicasView) -> tuple[str, bool]:
    """What is said of one, and whether all is well with it."""
    text = f"{replica.name} {replica.version}, pid {replica.pid}, on revision {replica.revision}"
    if not replica.current:
        text += f" and not on {replicas.newest}"
    if replica.unapplied:
        text += f" (not turned there: {', '.join(replica.unapplied)})"
    if replica.other_configuration:
        text += f", with other files ({replica.configuration})"
    if replica.sockets_behind:
        text += f", {counted(replica.sockets_behind, 'websocket')} behind"
    if replica.name == replicas.answered:
        text += "; it answers"
    return text, replica.current and not replica.other_configuration


def _switches(switches: SwitchesStatus, now: float) -> Iterator[Line]:
    """What is to be known of switches; what is as the configuration says needs one line."""
    title = "switches"
    text = f"{switches.switches}, revision {switches.revision}"
    text += ", the configuration is the authority" if switches.authority == "file" else ""
    yield _titled(title, text + ("" if switches.kept else ", in memory alone"))
    if switches.all_off:
        yield _titled(title, "everything is OFF: segue switch all restore ends it", bad=True)
    if switches.away_since is not None:
        away = f"their store is away, for {_ago(now, switches.away_since)}: {switches.store}"
        yield _titled(title, away, bad=True)
    if switches.stands_on:
        text = f"revision {switches.stored} is not in force: it is of the configuration"
        text += f" {switches.stands_on}, which does not serve here"
        text += f" (it turns {', '.join(switches.unapplied)})" if switches.unapplied else ""
        yield _titled(title, text, bad=True)
    elif switches.unapplied:
        names = ", ".join(switches.unapplied)
        text = f"not in the configuration here, and set in the store: {names}"
        yield _titled(title, text, bad=True)
    for each in switches.overdue:
        named = f"{each.switch}, exception {each.exception}" if each.exception else each.switch
        owner = f" of {each.owner}" if each.owner else ""
        yield _titled(title, f"{named}{owner} is overdue by {_ago(now, each.until)}", bad=True)
    for differing in switches.differing:
        names = ", ".join(differing.exceptions)
        text = f"{differing.switch} is {differing.set_to}{f' (but for {names})' if names else ''}"
        yield _titled(title, f"{text}; configured: {differing.configured}")
    if switches.orphans:
        yield _titled(title, f"set, and named by no cohort: {', '.join(switches.orphans)}")
    for behind in switches.behind:
        text = f"{counted(behind.websockets, 'websocket')} of cohort {behind.cohort}"
        yield _titled(title, f"{text} on an older revision")


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
