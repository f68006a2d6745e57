"""The part of the admin API that shows messages as they go by, redacted by default.

`GET /tail` is a stream of events: `start`, `message` for each, `left_out` where some were not
shown, and `end` with the reason. A message has `before`, as it came, and `after`, what stood in its
place: a list, or null where it went on as it came; where a rule could not be carried out, `failure`
says which, and why. What went by is gone: there are no ids, and `Last-Event-ID` brings nothing
back.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing
from typing import Annotated, Any, Final

from aiohttp import web
from pydantic import Field

from proxy.admin.access import author, signature
from proxy.admin.endpoints import Endpoint, Example, Served
from proxy.admin.event_stream import EventStream, written
from proxy.admin.orders import AdminRequest, Label, refusal
from proxy.admin.recording import for_admins, raw_needs_setting, unknown_name
from proxy.control.audit import Audit
from proxy.mapping.engine.explanation import MessageOutcome
from proxy.mapping.json.depth import nests_deeper
from proxy.mapping.json.objects import open_object
from proxy.recording.shown import Shown, kind_keys, one_line, reason, shown
from proxy.recording.tail import (
    MAX_OF_ONE,
    MAX_RATE,
    MAX_SECONDS,
    MAX_SHOWN,
    MAX_WATCHERS,
    Tail,
    TooManyWatchers,
    WatchedMessages,
    Watcher,
)
from proxy.recording.tap import Observed
from proxy.snapshot import Live
from proxy.types import Direction, Role


class TailRequest(AdminRequest):
    """What a client asks for.

    Attributes:
        mapping: only messages that this mapping, alone or in a chain, is bound to; null: any.
        direction: only those that go this way; null: both.
        cohort: only those of clients in this cohort; null: any.
        kind: only those of this kind, as they came; null: any.
        outcome: only those that ended so; null: any.
        rate: how many in a second at most; what is left out is counted.
        seconds: after which it ends.
        raw: whether everything is shown; needs `admin.allow_raw_recordings` and the role `admin`.
    """

    mapping: Label | None = None
    direction: Direction | None = None
    cohort: Label | None = None
    kind: Label | None = None
    outcome: MessageOutcome | None = None
    rate: Annotated[int, Field(ge=1, le=MAX_RATE)] = 50
    seconds: Annotated[float, Field(gt=0, le=MAX_SECONDS)] = MAX_SECONDS
    raw: bool = False


MAX_NESTED: Final = 200
"""Levels of a message that is shown: readers of JSON fail at a few hundred more."""

_BETWEEN: Final = 1.0
"""Seconds between two times that a watcher is told what was left out."""

TAIL: Final = Endpoint(
    "GET",
    "/tail",
    Role.OPERATOR,
    TailRequest,
    None,
    content="text/event-stream",
    refusals={409: "There are as many watchers as there can be; end one."},
    example=Example({"mapping": "old-to-new", "rate": 5}),
)


class TailPage:
    """Answers the requests of the API."""

    def __init__(self, tail: Tail, live: Live, audit: Audit) -> None:
        self._tail = tail
        self._live = live
        self._audit = audit

    def endpoints(self) -> tuple[Served, ...]:
        """What may be asked of messages on their way, and what carries it out."""
        return ((TAIL, self.stream),)

    async def stream(self, request: web.Request, order: TailRequest) -> web.StreamResponse:
        """Show messages as they go by: a stream of server-sent events."""
        unknown = unknown_name(self._live, order.mapping, order.cohort)
        if unknown is not None:
            return refusal(400, unknown)
        if order.raw:
            if not self._may_be_raw():
                return raw_needs_setting()
            if not author(request).role.covers(Role.ADMIN):
                return for_admins(request)
        wanted = WatchedMessages(
            order.mapping, order.direction, order.cohort, order.kind, order.outcome, order.rate
        )
        who = str(author(request))
        try:
            watcher = self._tail.watch(wanted, order.seconds, raw=order.raw, author=who)
        except TooManyWatchers:
            some = f"{MAX_WATCHERS} watchers already, or {MAX_OF_ONE} of who asks"
            return refusal(409, f"there are {some}; end one")
        asked = order.model_dump(mode="json", exclude_none=True)
        self._audit.write("tail started", **signature(request), **asked)
        stream = EventStream(request, Role.ADMIN if order.raw else Role.OPERATOR)
        told = _Told(stream, watcher)
        try:
            await stream.open()
            await stream.send(
                "start", json.dumps({**asked, "max_shown": MAX_SHOWN, "replay": False})
            )
            ended = await self._show(stream, watcher, order, told)
            end = {"reason": ended, "messages": told.messages, "left_out": told.left_out}
            await stream.send("end", json.dumps(end))
        except ConnectionError:
            pass  # The reader has gone.
        finally:
            self._tail.leave(watcher, author=who, shown=told.messages, left_out=told.left_out)
        return stream.response

    async def _show(
        self, stream: EventStream, watcher: Watcher, order: TailRequest, told: _Told
    ) -> str:
        """Show messages until there is a reason to end."""
        async with aclosing(watcher.batches()) as batches:
            async for batch in batches:
                if order.raw and not self._may_be_raw():
                    return "raw recordings are not allowed any more"
                if batch:
                    # In a thread, because messages can be large and sockets wait for the loop.
                    events = await asyncio.to_thread(_events, batch, order)
                    told.messages += len(events)
                    await stream.write(b"".join(events))
                await told.tell_left_out()
                why = await stream.keep()
                if why is not None:
                    return why
        await told.tell_left_out(at_last=True)
        return watcher.ended or ""

    def _may_be_raw(self) -> bool:
        return self._live.current.config.admin.allow_raw_recordings


class _Told:
    """What a watcher was told.

    Attributes:
        messages: how many were shown.
        left_out: how many were not.
    """

    def __init__(self, stream: EventStream, watcher: Watcher) -> None:
        self._stream = stream
        self._watcher = watcher
        self._clock = asyncio.get_running_loop().time
        self._next = 0.0
        self.messages = 0
        self.left_out = 0

    async def tell_left_out(self, *, at_last: bool = False) -> None:
        """Tell how many messages were left out since the last time; about once a second."""
        counts = self._watcher.left_out
        if counts and (at_last or self._clock() >= self._next):
            self._next = self._clock() + _BETWEEN
            self.left_out += counts.total()
            data = json.dumps(counts)
            counts.clear()
            await self._stream.send("left_out", data)


def _events(batch: list[Observed], order: TailRequest) -> list[bytes]:
    documents = (document(observed, order.kind, raw=order.raw) for observed in batch)
    return [written("message", each) for each in documents if each is not None]


def document(observed: Observed, kind: str | None, *, raw: bool) -> str | None:
    """Write what a watcher is shown of a message, as JSON in one line.

    Args:
        observed: the message.
        kind: the only kind that is wanted; None for any.
        raw: whether it is shown as it is.

    Returns:
        None where it is of another kind.
    """
    point, program, failure = observed.point, observed.program, observed.failure
    skipped = None
    if observed.cut:
        skipped = "too large"
    elif nests_deeper(observed.message, MAX_NESTED):
        skipped = f"nested deeper than {MAX_NESTED} levels"
    found = shown(observed, None, raw=raw) if skipped is None else Shown(None, None)
    named = _kind(found.before, kind_keys(program))
    if kind is not None and named != kind:
        return None
    mappings = () if program is None else program.mappings
    head: dict[str, Any] = {
        "time": round(observed.time, 3),
        "cohort": point.cohort,
        "mapping": None if program is None else program.name,
        "switches": [f"{point.cohort}/{each}" for each in mappings],
        "direction": point.direction,
        "kind": named,
        "outcome": observed.outcome,
        "request_id": point.request_id,
        "size": observed.cut or len(observed.message),
    }
    if point.route:
        head["route"] = point.route
    if failure is not None:
        head["failure"] = {**reason(failure), "on_error": failure.on_error}
    if found.before is None:
        head["skipped"] = skipped or "not a JSON object"
        return json.dumps(head)
    pieces = [json.dumps(head)[1:-1], f'"before": {found.before}']
    unshown = None if failure is not None else _unshown(observed, found)
    if unshown is not None:
        pieces.append(f'"unshown": {json.dumps(unshown)}')
    elif observed.outcome is MessageOutcome.PASSED:
        pieces.append('"after": null')
    elif found.after is not None:
        pieces.append(f'"after": [{", ".join(found.after)}]')
    return one_line(f"{{{', '.join(pieces)}}}")


def _unshown(observed: Observed, found: Shown) -> str | None:
    """Why what became of a message cannot be told from its placeholders; None where it can."""
    if found.after is None:
        return f"rule {found.unshown} cannot be carried out on the placeholders"
    match found.after:
        case []:
            outcome = MessageOutcome.DROPPED
        case [text] if text == found.before:
            outcome = MessageOutcome.PASSED
        case _:
            outcome = MessageOutcome.MAPPED
    if outcome is observed.outcome:
        return None
    return f"with the placeholders it would be {outcome}"


def _kind(before: str | None, keys: frozenset[str]) -> str | None:
    """What a message says in the field that names its kind; None where that is no text."""
    members = None if before is None else open_object(before.encode())
    for key in sorted(keys):
        value = None if members is None else members.get(key)
        text = b"" if value is None else bytes(value)
        if text.startswith(b'"'):
            return str(json.loads(text))
    return None
