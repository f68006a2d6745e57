"""What Segue does for a client, and what becomes of a frame: for the command and for the admin API.

The answer comes from the compiled rules and programs that serve traffic, not from a second reading
of them.
"""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass
from typing import Any, Final

import pydantic

from proxy.configuration.document import render_path
from proxy.errors import shortened
from proxy.http.headers import shape_of
from proxy.mapping.checks.comparison import Difference, differences
from proxy.mapping.engine.explanation import Explanation, MessageOutcome
from proxy.mapping.engine.program import Program
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
class Told:
    """What was found out.

    Attributes:
        selection: the client's version, where it was read, its cohort.
        range: the cohort's versions, as the configuration has them.
        to_client, to_server: the programs that are bound: of its WebSockets, or of the route.
        route: the pattern that fits the route that was asked for.
        direction: which way the frame goes.
        trace: what became of the frame; None without one, or where nothing is bound.
        frame: as it was given.
    """

    selection: Selection
    range: str | None
    to_client: Program | None
    to_server: Program | None
    route: str | None
    direction: Direction
    trace: Explanation | None
    frame: bytes | None


def explain(snapshot: Snapshot, question: Question) -> Told:
    """Work out the answer.

    Raises:
        Unanswerable: what was asked cannot be read.
    """
    selection = _select(snapshot, question)
    programs = snapshot.catalog.for_cohort(selection.cohort)
    to_client, to_server, pattern = programs.to_client, programs.to_server, None
    if question.route is not None:
        method, path = _route(question.route)
        route = programs.route(method, path)
        to_client = route.to_client if route is not None else None
        to_server = route.to_server if route is not None else None
        pattern = route.pattern if route is not None else None
    program = to_client if question.direction is Direction.TO_CLIENT else to_server
    frame = question.frame
    traced = None if program is None or frame is None else program.trace(frame)
    ranges = {each.name: str(each.versions) for each in snapshot.config.cohorts}
    return Told(
        selection,
        ranges.get(selection.cohort or ""),
        to_client,
        to_server,
        pattern,
        question.direction,
        traced,
        frame,
    )


class FailureView(pydantic.BaseModel):
    """Why a rule could not be carried out, and what is sent then."""

    mapping: str
    rule: str
    detail: str
    on_error: OnError


class Change(pydantic.BaseModel):
    """A field of a frame that stays one message; null where it is not there."""

    path: str
    before: str | None
    after: str | None


class Explained(pydantic.BaseModel):
    """An answer. What is said of a frame is there where there was one, and a mapping for it.

    Attributes:
        version: the client's, or the default; null where there is neither.
        source: where it was read.
        cohort: the client's; null where it is in none.
        route: the pattern that fits the route that was asked for.
        to_client, to_server: the mappings that are bound; null where none is.
        direction: which way the frame goes.
        outcome: how the frame ends.
        note: why no rule was tried.
        messages: what is sent.
        failure: why a rule could not be carried out.
        passes: each mapping's work on each message: the rules that were asked, and the operations.
        cut: whether there would have been more passes.
        changes: the fields that differ.
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


def _select(snapshot: Snapshot, question: Question) -> Selection:
    query = os.fsencode(question.query.removeprefix("?"))
    parts = RequestParts(
        b"/?" + query if query else b"/",
        [(b"cookie", os.fsencode(cookie)) for cookie in question.cookies],
        [os.fsencode(token) for token in question.subprotocols],
    )
    if question.version is not None:
        parts = _telling(snapshot, parts, os.fsencode(question.version))
    fields = [*parts.fields, *map(_field, question.headers)]
    received = Received(fields, shape_of(fields), parts.target, parts.subprotocols, None)
    return snapshot.versions.choose(received)[0]


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
