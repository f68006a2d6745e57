"""The part of the admin API that records messages, redacted by default.

`POST /recordings` starts one and answers with its name, `GET /recordings/NAME` streams it as JSON
lines, `DELETE /recordings/NAME` ends it. Each line is a message, `in`, and what became of it,
`out`: one object, a list of several, or null for none; where a rule could not be carried out,
`failed` says which, and why. The last line has `end`.
"""

from __future__ import annotations

import asyncio
import json
from typing import Annotated, Any, Final

import pydantic
from aiohttp import web
from pydantic import Field

from proxy.admin.access import author, signature
from proxy.admin.endpoints import Endpoint, Example, Served
from proxy.admin.orders import UNKNOWN_NAME, AdminRequest, Label, refusal
from proxy.control.audit import Audit
from proxy.mapping.engine.explanation import MessageOutcome
from proxy.recording.recorder import (
    MAX_COUNT,
    MAX_SECONDS,
    Busy,
    Recorder,
    Recording,
    Wanted,
)
from proxy.recording.shown import one_line, reason, shown
from proxy.recording.tap import Observed
from proxy.snapshot import Live
from proxy.types import NONE, Direction, Role


def _repeatable(schema: dict[str, Any]) -> None:
    """One that is named twice is named."""
    del schema["uniqueItems"]


class RecordingRequest(AdminRequest):
    """What a client asks for.

    Attributes:
        mapping: only messages that this mapping, alone or in a chain, is bound to; null: any.
        direction: only messages that go this way; null: both.
        cohort: only those of clients in this cohort; null: any.
        count: the number of messages after which it ends.
        seconds: after which it ends.
        outcomes: only messages that ended so; all where empty.
        keep: the keys whose values are shown; where it is null, the words that the mapping itself
            names: all values of its `kinds.field` (`kind` without one), and those that its rules
            compare with.
        raw: whether everything is shown; needs `admin.allow_raw_recordings` and the role `admin`.
    """

    mapping: Label | None = None
    direction: Direction | None = None
    cohort: Label | None = None
    count: Annotated[int, Field(ge=1, le=MAX_COUNT)] = 100
    seconds: Annotated[float, Field(gt=0, le=MAX_SECONDS)] = 60.0
    outcomes: Annotated[frozenset[MessageOutcome], Field(json_schema_extra=_repeatable)] = (
        frozenset()
    )
    keep: Annotated[tuple[Label, ...], Field(max_length=100)] | None = None
    raw: bool = False


class Started(pydantic.BaseModel):
    """The name by which a recording is read and ended.

    Attributes:
        name: nobody can guess it.
    """

    name: str


_NAME: Final = {"name": "of the recording, as it was told when it was started"}
_NAMED: Final = Example(segments={"name": "wJd1nGqGkz0V5h2vN8bYc3Qe"})

START: Final = Endpoint(
    "POST",
    "/recordings",
    Role.OPERATOR,
    RecordingRequest,
    Started,
    status=201,
    refusals={409: "There is a recording already: one is possible at a time.", **UNKNOWN_NAME},
    example=Example({"mapping": "old-to-new", "count": 20, "seconds": 60}),
)
STREAM: Final = Endpoint(
    "GET",
    "/recordings/{name}",
    Role.OPERATOR,
    None,
    None,
    content="application/x-ndjson",
    segments=_NAME,
    example=_NAMED,
)
STOP: Final = Endpoint(
    "DELETE",
    "/recordings/{name}",
    Role.OPERATOR,
    None,
    None,
    status=204,
    segments=_NAME,
    example=_NAMED,
)


class Recordings:
    """Answers the requests of the API."""

    def __init__(self, recorder: Recorder, live: Live, audit: Audit) -> None:
        self._recorder = recorder
        self._audit = audit
        self._live = live
        self._orders: dict[str, RecordingRequest] = {}

    def endpoints(self) -> tuple[Served, ...]:
        """What operators may ask of recordings, and what carries it out."""
        return ((START, self.start), (STREAM, self.stream), (STOP, self.stop))

    async def start(
        self, request: web.Request, order: RecordingRequest
    ) -> web.StreamResponse | Started:
        """Start a recording."""
        unknown = unknown_name(self._live, order.mapping, order.cohort)
        if unknown is not None:
            return refusal(422, unknown)
        if order.raw:
            if not self._live.current.config.admin.allow_raw_recordings:
                return raw_needs_setting()
            if not author(request).role.covers(Role.ADMIN):
                return for_admins(request)
        wanted = Wanted(
            order.mapping,
            order.direction,
            order.cohort,
            order.count,
            order.seconds,
            order.outcomes,
        )
        try:
            recording = self._recorder.start(wanted, raw=order.raw, author=str(author(request)))
        except Busy:
            return refusal(409, "there is a recording already; one is possible at a time")
        # One at a time: what another one was ordered with is of no use any more.
        self._orders = {recording.name: order}
        self._audit.write(
            "recording started",
            **signature(request),
            recording=recording.name,
            **order.model_dump(mode="json", exclude_none=True),
        )
        return Started(name=recording.name)

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """Send what is recorded, as it comes: an object in each line, until the recording ends."""
        recording = self._recorder.find(request.match_info["name"])
        if recording is None:
            return refusal(404, "there is no such recording")
        order = self._orders[recording.name]
        if order.raw and not author(request).role.covers(Role.ADMIN):
            return for_admins(request)
        response = web.StreamResponse(
            headers={"Content-Type": "application/x-ndjson", "Cache-Control": "no-store"}
        )
        try:
            await response.prepare(request)
            async for recorded in recording.messages():
                if request.transport is None or request.transport.is_closing():
                    break
                if recorded is not None:
                    # In a thread, because a message can be large and sockets wait for the loop.
                    line = await asyncio.to_thread(line_of, recorded, order)
                    await response.write(line)
            else:
                await response.write(_last_line(recording))
        except ConnectionError:
            pass  # The reader has gone.
        finally:
            self._recorder.forget(recording)
        return response

    async def stop(self, request: web.Request) -> web.StreamResponse:
        """End a recording; its stream then comes to its end too."""
        recording = self._recorder.find(request.match_info["name"])
        if recording is None:
            return refusal(404, "there is no such recording")
        self._recorder.stop(recording, "stopped")
        self._audit.write("recording stopped", **signature(request), recording=recording.name)
        return web.Response(status=204)


def unknown_name(live: Live, mapping: str | None, cohort: str | None) -> str | None:
    """What is wrong with names: looking at nothing looks as if nothing happened.

    Args:
        live: what serves.
        mapping, cohort: the names; None where none was given.

    Returns:
        None where nothing is.
    """
    snapshot = live.current
    cohorts = [each.name for each in snapshot.config.cohorts]
    for what, name, known in (
        ("mapping", mapping, snapshot.catalog.names),
        ("cohort", cohort, cohorts),
    ):
        if name not in (None, NONE, *known):
            return f"there is no {what} of this name; there are: {', '.join(known) or NONE}"
    return None


def raw_needs_setting() -> web.Response:
    """The answer to who wants to see messages as they are where that is not allowed."""
    return refusal(403, "raw recordings need admin.allow_raw_recordings: true")


def for_admins(request: web.Request) -> web.Response:
    """The answer to who wants to see them and is no admin."""
    return refusal(403, f"raw recordings need the role {Role.ADMIN}; {author(request)} has less")


def line_of(recorded: Observed, order: RecordingRequest) -> bytes:
    """Write a message as a line, without its content unless `order` says otherwise.

    `out` is what the mapping makes of `in` as it is shown, so that the line is an example that
    holds. Where a rule could not be carried out on the message, `failed` says which and why; where
    it cannot be on the placeholders alone, `unshown` names it; where the message is not a JSON
    object, `skipped` says so.
    """
    point, failure = recorded.point, recorded.failure
    line: dict[str, Any] = {
        "direction": point.direction,
        "cohort": point.cohort,
        "outcome": recorded.outcome,
    }
    if point.route:
        line["route"] = point.route
    if recorded.program is not None:
        line["mapping"] = recorded.program.name
    found = shown(recorded, order.keep, raw=order.raw)
    if found.before is None:
        line["skipped"] = "not a JSON object"
        return json.dumps(line).encode() + b"\n"
    pieces = [json.dumps(line)[1:-1], f'"in": {found.before}']
    if failure is not None:
        pieces.append(f'"failed": {json.dumps(reason(failure))}')
    elif found.after is None:
        pieces.append(f'"unshown": {json.dumps(found.unshown)}')
    else:
        pieces.append(f'"out": {_out(found.after)}')
    return one_line(f"{{{', '.join(pieces)}}}").encode() + b"\n"


def _out(texts: tuple[str, ...]) -> str:
    match texts:
        case []:
            return "null"
        case [text]:
            return text
        case _:
            return f"[{', '.join(texts)}]"


def _last_line(recording: Recording) -> bytes:
    end = {"reason": recording.ended, "messages": len(recording), "skipped": recording.skipped}
    return json.dumps({"end": end}).encode() + b"\n"
