"""The part of the admin API that records messages: from this machine only, redacted by default.

`POST /recordings` starts one and answers with its name, `GET /recordings/NAME` streams it as JSON
lines, `DELETE /recordings/NAME` ends it. Each line is a message, `in`, and what became of it,
`out`: one object, a list of several, or null for none. The last line has `end`.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

import pydantic
from aiohttp import web
from pydantic import Field

from proxy.errors import MappingFailure
from proxy.live import Live
from proxy.mapping.engine import Program
from proxy.recorder import (
    MAX_COUNT,
    MAX_SECONDS,
    Busy,
    Recorded,
    Recorder,
    Recording,
    Wanted,
)
from proxy.redaction import redacted
from proxy.values import NONE, Channel, Direction

_LOCAL_NAMES: Final = frozenset({"localhost", "ip6-localhost"})

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Label = Annotated[str, Field(min_length=1, max_length=256)]


class Order(pydantic.BaseModel):
    """What a client asks for.

    Attributes:
        mapping, direction, cohort, count, seconds: see `proxy.recorder.Wanted`.
        keep: the keys whose values are shown.
        raw: whether everything is shown; needs `admin.allow_raw_recordings`.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    mapping: Label | None = None
    direction: Direction | None = None
    cohort: Label | None = None
    count: Annotated[int, Field(ge=1, le=MAX_COUNT)] = 100
    seconds: Annotated[float, Field(gt=0, le=MAX_SECONDS)] = 60.0
    keep: Annotated[tuple[Label, ...], Field(max_length=100)] = ("kind",)
    raw: bool = False


class Recordings:
    """Answers the requests of the API."""

    def __init__(self, recorder: Recorder, live: Live) -> None:
        self._recorder = recorder
        self._live = live
        self._orders: dict[str, Order] = {}

    def routes(self) -> list[web.RouteDef]:
        """Return the routes for the admin application."""
        return [
            web.post("/recordings", _local(self.start)),
            web.get("/recordings/{name}", _local(self.stream)),
            web.delete("/recordings/{name}", _local(self.stop)),
        ]

    async def start(self, request: web.Request) -> web.StreamResponse:
        """Start a recording."""
        if request.content_type != "application/json":
            return _refusal(415, "expected application/json")
        try:
            order = Order.model_validate_json(await request.read())
        except pydantic.ValidationError as error:
            found = [
                f"{'.'.join(map(str, each['loc'])) or 'the body'}: {each['msg']}"
                for each in error.errors(include_url=False, include_input=False)
            ]
            return _refusal(400, "; ".join(found))
        unknown = self._unknown(order)
        if unknown is not None:
            return _refusal(400, unknown)
        if order.raw and not self._live.current.config.admin.allow_raw_recordings:
            return _refusal(403, "raw recordings need admin.allow_raw_recordings: true")
        wanted = Wanted(order.mapping, order.direction, order.cohort, order.count, order.seconds)
        try:
            recording = self._recorder.start(wanted, raw=order.raw)
        except Busy:
            return _refusal(409, "there is a recording already; one is possible at a time")
        # One at a time: what another one was ordered with is of no use any more.
        self._orders = {recording.name: order}
        return web.json_response({"name": recording.name}, status=201)

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """Send what is recorded, as it comes."""
        recording = self._recorder.find(request.match_info["name"])
        if recording is None:
            return _refusal(404, "there is no such recording")
        order = self._orders[recording.name]
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
            return _refusal(404, "there is no such recording")
        self._recorder.stop(recording, "stopped")
        return web.Response(status=204)

    def _unknown(self, order: Order) -> str | None:
        """What is wrong with the names: a recording of nothing looks as if nothing happened."""
        snapshot = self._live.current
        cohorts = [cohort.name for cohort in snapshot.config.cohorts]
        for what, name, known in (
            ("mapping", order.mapping, snapshot.catalog.names),
            ("cohort", order.cohort, cohorts),
        ):
            if name not in (None, NONE, *known):
                return f"there is no {what} of this name; there are: {', '.join(known) or NONE}"
        return None


def line_of(recorded: Recorded, order: Order) -> bytes:
    """Write a message as a line, without its content unless `order` says otherwise.

    `out` is what the mapping makes of `in` as it is shown, so that the line is an example that
    holds. Where it makes nothing of it, `failed` names the rule; where the message is no JSON
    object, `skipped` says so.
    """
    line: dict[str, Any] = {"direction": recorded.direction, "cohort": recorded.cohort}
    if recorded.program is not None:
        line["mapping"] = recorded.program.name
    shown: str | None
    made, failed = recorded.made, recorded.failed
    # The bodies of HTTP can be lists; as a message's `out`, a list would be several messages.
    lists = recorded.program is not None and recorded.program.channel is Channel.HTTP
    shown = redacted(recorded.message, frozenset(order.keep), lists=lists)
    if shown is not None and order.raw:
        shown = recorded.message.decode()
    elif not order.raw:
        made, failed = _apply(recorded.program, shown)
    if shown is None:
        line["skipped"] = "not a JSON object"
        return json.dumps(line).encode() + b"\n"
    pieces = [json.dumps(line)[1:-1], f'"in": {shown}']
    if failed is not None:
        pieces.append(f'"failed": {json.dumps(failed)}')
    else:
        pieces.append(f'"out": {_out(shown, made)}')
    # Line breaks are space between a JSON text's tokens, and cannot stand within its strings.
    return f"{{{', '.join(pieces)}}}".replace("\n", " ").replace("\r", " ").encode() + b"\n"


def _apply(
    program: Program | None, shown: str | None
) -> tuple[tuple[bytes, ...] | None, str | None]:
    if program is None or shown is None:
        return None, None
    try:
        return program.apply(shown.encode()), None
    except MappingFailure as failure:
        return None, failure.rule


def _out(shown: str, made: tuple[bytes, ...] | None) -> str:
    if made is None:
        return shown
    texts = [each.decode() for each in made]
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


def _local(handler: Handler) -> Handler:
    """Let a handler answer this machine only.

    A page in a browser on this machine cannot get here under its own name (DNS rebinding), because
    `Host` must name this machine too; and what a proxy on this machine forwards says so.
    """

    async def checked(request: web.Request) -> web.StreamResponse:
        peer = request.transport.get_extra_info("peername") if request.transport else None
        forwarded = {"Forwarded", "X-Forwarded-For"} & set(request.headers)
        if not (isinstance(peer, tuple) and _is_loopback(str(peer[0]))):
            return _refusal(403, "recordings are for this machine only")
        if forwarded or not _names_this_machine(request.host):
            return _refusal(403, "recordings are for requests made on this machine itself")
        return await handler(request)

    return checked


def _is_loopback(text: str) -> bool:
    address = ipaddress.ip_address(text.partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback


def _names_this_machine(authority: str) -> bool:
    """Whether a `Host` is an address, or a name that no other machine can have."""
    try:
        host = urlsplit(f"//{authority}").hostname or ""
        return host in _LOCAL_NAMES or bool(ipaddress.ip_address(host))
    except ValueError:
        return False


def _refusal(status: int, detail: str) -> web.Response:
    return web.json_response(
        {"status": status, "detail": detail},
        status=status,
        content_type="application/problem+json",
    )
