"""What Segue does for a client, and what becomes of a frame: for the command and for the admin API.

The answer comes from the compiled rules and programs that serve traffic, not from a second reading
of them. `explain` tells what the configuration binds, for whoever has nothing but files;
`explain_in_force` what a client of the running process gets, as its switches decide.
"""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import pydantic

from proxy.configuration.document import render_path
from proxy.control.in_force import DecidingSwitch, deciding_switches
from proxy.errors import shortened
from proxy.http.headers import shape_of
from proxy.mapping.checks.comparison import Difference, differences
from proxy.mapping.engine.explanation import Explanation, MessageOutcome
from proxy.mapping.engine.program import Program
from proxy.mapping.programs import Programs
from proxy.snapshot import Snapshot
from proxy.types import Direction, OnError
from proxy.versions.selection import Selection
from proxy.versions.sources import Received, RequestParts, VersionSource

MAX_SHOWN: Final = 120
"""How many characters of a value that changed are shown."""


class Unanswerable(Exception):
    """What was asked cannot be read.

    Attributes:
        part: of the question.
        detail: what is wrong with it.
    """

    def __init__(self, part: str, detail: str) -> None:
        super().__init__(detail)
        self.part = part
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Question:
    """What a client sends, and which frame is asked about.

    Attributes:
        frame: a message or a body; None where only the client is asked about.
        direction: which way it goes.
        route: such as `GET /api/jobs/`, whose body it is; None for a WebSocket message.
        version: told in the first place where a client can tell one.
        headers: each as `NAME: VALUE`.
        query: without the question mark.
        cookies: each as `NAME=VALUE`.
        subprotocols: that are offered.
    """

    frame: bytes | None = None
    direction: Direction = Direction.TO_CLIENT
    route: str | None = None
    version: str | None = None
    headers: tuple[str, ...] = ()
    query: str = ""
    cookies: tuple[str, ...] = ()
    subprotocols: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class InForce:
    """What the switches of a process decide.

    Attributes:
        revision: that is in force.
        all_off: whether everything is off.
        switches: of the mappings that are bound in the place that was asked about.
    """

    revision: int
    all_off: bool
    switches: list[DecidingSwitch]


@dataclass(frozen=True, slots=True)
class Told:
    """What was found out.

    Attributes:
        selection: the client's version, where it was read, its cohort.
        range: the cohort's versions, as the configuration has them.
        to_client, to_server: the programs of its WebSockets, or of the route.
        route: the pattern that fits the route that was asked for.
        direction: which way the frame goes.
        trace: what became of the frame; None without one, or where there is no program for it.
        frame: as it was given.
        in_force: which switches decided; None where none were asked.
    """

    selection: Selection
    range: str | None
    to_client: Program | None
    to_server: Program | None
    route: str | None
    direction: Direction
    trace: Explanation | None
    frame: bytes | None
    in_force: InForce | None = None


def explain(snapshot: Snapshot, question: Question) -> Told:
    """Work out what the configuration binds, be the switches what they may.

    Raises:
        Unanswerable: what was asked cannot be read.
    """
    selection = _select(snapshot, question)
    return _told(snapshot, question, selection, snapshot.catalog.for_cohort(selection.cohort))


def explain_in_force(snapshot: Snapshot, question: Question, user: bytes | None) -> Told:
    """Work out what is in force for a client, as the gateway decides it.

    Args:
        snapshot: what serves.
        question: what the client sends.
        user: who its user is, for canaries; None for nobody: one who is in none of them.

    Raises:
        Unanswerable: what was asked cannot be read.
    """
    selection, switched = _select(snapshot, question), snapshot.switches
    decision = switched.preview(selection.cohort, selection.version, user)
    bound = _bound(snapshot.catalog.for_cohort(selection.cohort), question)
    mappings = {
        name
        for program in (bound.to_client, bound.to_server)
        if program is not None
        for name in program.mappings
    }
    found = InForce(
        switched.table.number,
        switched.table.all_off,
        deciding_switches(
            switched, decision, selection.version, mappings, has_user=user is not None
        ),
    )
    return _told(snapshot, question, selection, decision.programs, found)


def _told(
    snapshot: Snapshot,
    question: Question,
    selection: Selection,
    programs: Programs,
    in_force: InForce | None = None,
) -> Told:
    here = _bound(programs, question)
    program = here.to_client if question.direction is Direction.TO_CLIENT else here.to_server
    frame = question.frame
    ranges = {each.name: str(each.versions) for each in snapshot.config.cohorts}
    return Told(
        selection,
        ranges.get(selection.cohort or ""),
        here.to_client,
        here.to_server,
        here.pattern,
        question.direction,
        None if program is None or frame is None else program.trace(frame),
        frame,
        in_force,
    )


class _Bound(NamedTuple):
    to_client: Program | None = None
    to_server: Program | None = None
    pattern: str | None = None


def _bound(programs: Programs, question: Question) -> _Bound:
    """The programs of the place that is asked about."""
    if question.route is None:
        return _Bound(programs.to_client, programs.to_server)
    route = programs.route(*_route(question.route))
    return _Bound() if route is None else _Bound(route.to_client, route.to_server, route.pattern)


class FailureView(pydantic.BaseModel):
    """Why a rule could not be carried out, and what is sent then.

    Attributes:
        mapping: whose.
        rule: its name.
        detail: what could not be done.
        on_error: what the mapping says is sent then.
    """

    mapping: str
    rule: str
    detail: str
    on_error: OnError


class Change(pydantic.BaseModel):
    """A field of a frame that stays one message.

    Attributes:
        path: of the field.
        before, after: its value, as JSON; null where it is not there.
    """

    path: str
    before: str | None
    after: str | None


class Explained(pydantic.BaseModel):
    """An answer. What is said of a frame is there where there was one, and a mapping for it.

    The admin API tells what is in force; the command, which has only files, what they bind.

    Attributes:
        version: the client's, or the default; null where there is neither.
        source: where it was read.
        cohort: the client's; null where it is in none.
        route: the pattern that fits the route that was asked for.
        to_client, to_server: the mappings that are applied, first to last, joined by `+`; null
            where none is.
        direction: which way the frame goes.
        outcome: how the frame ends.
        note: why no rule was tried.
        messages: what is sent.
        failure: why a rule could not be carried out.
        passes: each mapping's work on each message: the rules that were asked, and the operations.
        cut: whether there would have been more passes.
        changes: the fields that differ.
        revision: of the switches that is in force; null where only files were read.
        all_off: whether everything is off.
        switches: what each switch of the mappings that are bound here decides for this client.
    """

    version: str | None
    source: VersionSource
    cohort: str | None
    route: str | None
    to_client: str | None
    to_server: str | None
    direction: Direction
    outcome: MessageOutcome | None = None
    note: str = ""
    messages: list[str] = []
    failure: FailureView | None = None
    passes: list[dict[str, Any]] = []
    cut: bool = False
    changes: list[Change] = []
    revision: int | None = None
    all_off: bool = False
    switches: list[DecidingSwitch] = []


def data(answer: Told, most: int | None = None) -> Explained:
    """The answer for machines.

    Args:
        answer: what was found out.
        most: bytes of messages that may be in it; if there are more, the passes are left out.
    """
    selection, trace = answer.selection, answer.trace
    found: dict[str, Any] = {
        "version": None if selection.version is None else str(selection.version),
        "source": selection.source,
        "cohort": selection.cohort,
        "route": answer.route,
        "to_client": None if answer.to_client is None else answer.to_client.name,
        "to_server": None if answer.to_server is None else answer.to_server.name,
        "direction": answer.direction,
    }
    if answer.in_force is not None:
        found["revision"] = answer.in_force.revision
        found["all_off"] = answer.in_force.all_off
        found["switches"] = answer.in_force.switches
        if trace is None and answer.frame is not None and answer.in_force.switches:
            found["outcome"] = MessageOutcome.PASSED
            found["note"] = "no mapping is in force here for this client: see `switches`"
            found["messages"] = _plain([answer.frame])
    if trace is None:
        return Explained(**found)
    is_cut = most is not None and _size(trace) > most
    failure = trace.failure
    found["outcome"] = trace.outcome
    found["note"] = trace.note
    found["messages"] = _plain(trace.messages)
    found["failure"] = failure and FailureView(
        mapping=failure.mapping,
        rule=failure.rule,
        detail=failure.detail,
        on_error=failure.on_error,
    )
    found["passes"] = [] if is_cut else [_plain(dataclasses.asdict(each)) for each in trace.passes]
    found["cut"] = trace.cut or is_cut
    if len(trace.messages) == 1:
        changes = differences(trace.message, trace.messages[0])
        found["changes"] = [
            Change(path=path, before=before, after=after)
            for path, before, after in map(texts, changes)
        ]
    return Explained(**found)


def texts(found: Difference) -> tuple[str, str | None, str | None]:
    """Where it is, what was expected and what was found, short and safe to print."""
    path = shortened(render_path(found.path), MAX_SHOWN)
    return path, _text(found.expected), _text(found.found)


def _text(value: bytes | None) -> str | None:
    return None if value is None else shortened(value.decode(errors="replace"), MAX_SHOWN)


def received(snapshot: Snapshot, question: Question) -> Received:
    """What a request has that says what the question does.

    Raises:
        Unanswerable: what was asked cannot be read.
    """
    query = os.fsencode(question.query.removeprefix("?"))
    parts = RequestParts(
        b"/?" + query if query else b"/",
        [(b"cookie", os.fsencode(cookie)) for cookie in question.cookies],
        [os.fsencode(token) for token in question.subprotocols],
    )
    if question.version is not None:
        parts = _telling(snapshot, parts, os.fsencode(question.version))
    fields = [*parts.fields, *map(_field, question.headers)]
    return Received(fields, shape_of(fields), parts.target, parts.subprotocols, None)


def _select(snapshot: Snapshot, question: Question) -> Selection:
    return snapshot.versions.choose(received(snapshot, question))[0]


def _telling(snapshot: Snapshot, parts: RequestParts, version: bytes) -> RequestParts:
    """Tell the version in the first place where a client can."""
    for source in snapshot.versions.sources:
        telling = source.tell(parts, version)
        if telling is not None:
            return telling
    raise Unanswerable("version", "versions.sources has no place where a client could tell it")


def _field(written: str) -> tuple[bytes, bytes]:
    name, colon, value = written.partition(":")
    if not colon or not name.strip():
        raise Unanswerable("headers", "expected a header field such as 'X-Client-Version: 2.0'")
    return os.fsencode(name.strip().lower()), os.fsencode(value.strip())


def _route(written: str) -> tuple[str, bytes]:
    method, _, target = written.strip().partition(" ")
    path = target.strip().partition("?")[0]
    if not path.startswith("/"):
        raise Unanswerable("route", "expected a method and a path such as 'GET /api/jobs/'")
    return method.upper(), os.fsencode(path)


def _size(trace: Explanation) -> int:
    messages = [*trace.messages]
    for each in trace.passes:
        messages += (each.before, *each.after)
        for step in each.carried:
            messages += (*step.before, *step.after)
    return sum(map(len, messages))


def _plain(value: Any) -> Any:
    """Bytes as text, for JSON."""
    match value:
        case bytes():
            return value.decode(errors="replace")
        case dict():
            return {key: _plain(each) for key, each in value.items()}
        case list() | tuple():
            return [_plain(each) for each in value]
    return value
