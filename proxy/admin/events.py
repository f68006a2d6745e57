"""The part of the admin API that tells what happens in the control plane, as it happens.

`GET /events` is a stream of events: reloads, servers ejected and recovered, the store, drain. Each
has an id, and a reader that comes back with `Last-Event-ID` gets what it has missed, of the newest
that are kept; where some are lost, or the process is another one, `gap` says so first.
"""

from __future__ import annotations

import asyncio
import json
from typing import Annotated, Final

from aiohttp import web
from pydantic import Field

from proxy.admin.access import author
from proxy.admin.endpoints import Endpoint, Example, HeaderField, Served
from proxy.admin.event_stream import EventStream
from proxy.admin.orders import AdminRequest, refusal
from proxy.control.events import (
    KEPT,
    MAX_OF_ONE,
    MAX_SUBSCRIBERS,
    ControlEvent,
    ControlEvents,
    Subscription,
    TooManySubscribers,
)
from proxy.types import Role

MAX_SECONDS: Final = 3600.0
"""Seconds after which a stream ends; its reader can come back with the last id."""


class EventsRequest(AdminRequest):
    """What a client asks for.

    Attributes:
        seconds: after which the stream ends.
    """

    seconds: Annotated[float, Field(gt=0, le=MAX_SECONDS)] = MAX_SECONDS


EVENTS: Final = Endpoint(
    "GET",
    "/events",
    Role.VIEWER,
    EventsRequest,
    None,
    content="text/event-stream",
    refusals={409: "There are as many streams of events as there can be."},
    takes=(HeaderField("Last-Event-ID", "the `id` of the last event that the reader has"),),
    example=Example({"seconds": 600}),
)

_LOOK: Final = 1.0
"""Seconds between two looks whether the reader is there and may read."""


class EventsPage:
    """Answers the requests of the API."""

    def __init__(self, events: ControlEvents) -> None:
        self._events = events

    def endpoints(self) -> tuple[Served, ...]:
        """What may be asked of events, and what carries it out."""
        return ((EVENTS, self.stream),)

    async def stream(self, request: web.Request, order: EventsRequest) -> web.StreamResponse:
        """Tell what the control plane does, as it happens: a stream of server-sent events."""
        try:
            subscription = self._events.subscribe(
                request.headers.get("Last-Event-ID"), str(author(request))
            )
        except TooManySubscribers:
            told = f"{MAX_SUBSCRIBERS} streams of events already, or {MAX_OF_ONE} of who asks"
            return refusal(409, f"there are {told}")
        stream = EventStream(request, Role.VIEWER)
        # That of the newest: who comes back before the next one misses nothing.
        position = self._events.id_of(subscription.position)
        try:
            await stream.open()
            await stream.send("start", json.dumps({"kept": KEPT}), position)
            reason = await self._told(stream, subscription, order.seconds)
            await stream.send("end", json.dumps({"reason": reason}))
        except ConnectionError:
            pass  # The reader has gone.
        finally:
            self._events.leave(subscription)
        return stream.response

    async def _told(self, stream: EventStream, subscription: Subscription, seconds: float) -> str:
        """Tell until there is a reason to end."""
        clock = asyncio.get_running_loop().time
        end = clock() + seconds
        while True:
            ended = self._events.ended or ("time" if clock() >= end else None)
            lost, found = subscription.take()
            if lost:
                await stream.send("gap", json.dumps({"reason": "events before these are lost"}))
            for event in found:
                await stream.send(event.kind, _document(event), self._events.id_of(event.number))
            reason = ended or await stream.keep()
            if reason is not None:
                return reason
            try:
                async with asyncio.timeout_at(min(clock() + _LOOK, end)):
                    await subscription.changed.wait()
            except TimeoutError:
                pass


def _document(event: ControlEvent) -> str:
    head = {"time": round(event.time, 3), "kind": event.kind}
    return json.dumps({**head, **event.facts, **head}, default=str)
