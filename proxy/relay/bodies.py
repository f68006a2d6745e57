"""JSON bodies of the routes that have a mapping: held whole, rewritten, measured anew.

What depends on the old bytes of a body goes with them: its length, validators and digests. So that
there is a whole, readable body at all, the server is asked for the identity encoding, and neither
for a part of it nor whether it has changed. Preconditions of writes (`If-Match`,
`If-Unmodified-Since`) go on: without them a guarded write would become an unguarded one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

from proxy.downstream.connection import ClientConnection
from proxy.downstream.request import Request
from proxy.errors import (
    ClientError,
    ContentTooLarge,
    MappingFailure,
    MemoryFull,
    RequestTimeout,
)
from proxy.http.deprecation import Deprecation, says_so, tell
from proxy.http.headers import Fields, RawFields, values_of
from proxy.http.representation import (
    ask_for_identity,
    has_length,
    is_json,
    vary,
    with_length,
    without_length,
)
from proxy.memory import Reservation
from proxy.relay.exchange import Exchange, ExchangeEnds
from proxy.rewriting import MessageHandling
from proxy.types import NONE, OnError
from proxy.upstream.response import Head


@dataclass(frozen=True, slots=True)
class HoldLimits:
    """The bounds of a body that is held until it is whole.

    Attributes:
        size: bytes of the largest one.
        piece: seconds until the next piece of a request's body must have come.
        whole: seconds until all of it must have.
    """

    size: int
    piece: float
    whole: float


async def read_body(request: Request, limits: HoldLimits, held: Reservation) -> bytes:
    """Return the whole body of a request.

    Args:
        limits: of what is held.
        held: what is reserved for it, as `Request.held` from now on: whoever ends the request gives
            it back.

    Raises:
        ContentTooLarge: there is more.
        MemoryFull: there is no room for it now.
        RequestTimeout: it does not come.
        ClientError: its framing is broken.
    """
    body = bytearray()
    request.held = held
    clock = asyncio.get_running_loop().time
    latest = clock() + limits.whole
    try:
        while True:
            async with asyncio.timeout_at(min(clock() + limits.piece, latest)):
                data = await request.payload.readany()
            request.on_read()
            if not data:
                return bytes(body)
            _keep(held, len(body) + len(data))
            body += data
            request.check_size(len(body))
            if len(body) > limits.size:
                raise ContentTooLarge("the body is larger than a mapping may hold")
    except TimeoutError:
        raise RequestTimeout("the body of the request took too long") from None
    except (ClientError, MemoryFull, asyncio.CancelledError):
        raise
    except Exception:  # noqa: BLE001 (whatever the parser found wrong with the body)
        raise ClientError("the body of the request is not valid HTTP/1.1") from None
    finally:
        body.clear()  # A traceback may hold on to it for long.


def _keep(held: Reservation, size: int) -> None:
    """Reserve what a body takes.

    Raises:
        ContentTooLarge: nobody may hold as much.
        MemoryFull: there is no room for it now.
    """
    if held.resize(size):
        return
    if size > held.most:
        raise ContentTooLarge(_TOO_LARGE_FOR_ONE)
    raise MemoryFull("bodies and messages are held up to `limits.memory`; try again later")


async def take_body(
    client: ClientConnection,
    request: Request,
    fields: Fields,
    limits: HoldLimits,
    held: Reservation,
) -> Fields:
    """Read the whole body of a request before the server is asked; `Request.body` has it then.

    A client that waits for a 100 gets it from Segue: nobody else would say it (RFC 9110 section
    10.1.1).

    Args:
        client: who sends it.
        fields: of the request, as the server is to see them.
        limits, held: as for `read_body`.

    Returns:
        The fields, without an expectation that has been met.

    Raises:
        ClientError, MemoryFull: as for `read_body`.
    """
    if [value.lower() for value in values_of(fields, b"expect")] == [b"100-continue"]:
        client.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        fields = [field for field in fields if field[0].lower() != b"expect"]
    request.body = await read_body(request, limits, held)
    return fields


def rewrite(handling: MessageHandling, body: bytes) -> bytes:
    """Return what a body becomes.

    Raises:
        MappingFailure: the mapping says that a failure is answered with an error.
    """
    try:
        bodies = handling.rewrite(body)
    finally:
        handling.counts.settle()
    return body if bodies is None else b"".join(bodies)


class Notice(NamedTuple):
    """What a client is told of the end of what it uses.

    Attributes:
        deprecation: that.
        request: the fields of its request.
        on_told: told of each answer that says so.
    """

    deprecation: Deprecation
    request: RawFields
    on_told: Callable[[], None]


@dataclass(slots=True, eq=False)
class BodyMapping:
    """What is done to the bodies of one request, on a route that has a mapping.

    Attributes:
        to_server, to_client: how request and response bodies are treated; None leaves them alone.
        limits: of a body that is held.
        vary: the name of the version header, which responses depend on; empty where it is no
            source of versions.
        request_held: what is reserved for the request's body.
        response_held: what is reserved for the response's.
        notice: what the client is told of the end of what it uses; None for nothing.
    """

    to_server: MessageHandling | None
    to_client: MessageHandling | None
    limits: HoldLimits
    vary: bytes
    request_held: Reservation
    response_held: Reservation
    notice: Notice | None = None

    async def prepare(self, client: ClientConnection, request: Request, fields: Fields) -> Fields:
        """Rewrite the request's body; return the fields of the request for the server.

        A body that is no JSON streams as it comes.

        Raises:
            ClientError: the body is too large, too slow, or broken.
            MemoryFull: there is no room for it now.
            MappingFailure: the mapping says that a failure is answered with an error.
        """
        handling = self.to_server
        has_body = request.chunked or not request.payload.is_eof() or has_length(request.fields)
        if handling is not None and has_body and is_json(request.fields):
            sizes = [int(size) for size in values_of(fields, b"content-length")]
            if any(size > self.limits.size for size in sizes):
                raise ContentTooLarge("the body is larger than a mapping may hold")
            if any(size > self.request_held.most for size in sizes):
                raise ContentTooLarge(_TOO_LARGE_FOR_ONE)
            fields = await take_body(client, request, fields, self.limits, self.request_held)
            request.body = rewrite(handling, request.body or b"")
            request.chunked = False
            _keep(self.request_held, len(request.body))
            fields = with_length(fields, len(request.body))
        return fields if self.to_client is None else ask_for_identity(fields)

    def amend(self, _: int, fields: Fields) -> Fields:
        """Say that the response depends on the client's version, whether or not it was changed.

        And tell the client of the end of what it uses, where there is something to be told.
        """
        if self.vary:
            fields = vary(fields, self.vary)
        if self.notice is None or says_so(fields):
            return fields
        self.notice.on_told()
        return tell(self.notice.request, fields, self.notice.deprecation)

    def held_response(self, status: int, fields: Fields, body: bytes) -> tuple[Fields, bytes]:
        """Rewrite a response that was held until it was whole; return its fields and its body.

        Raises:
            MappingFailure: the mapping says that a failure is answered with an error.
        """
        fields, handling = self.amend(status, fields), self.to_client
        if handling is None or not body or not is_json(fields):
            return fields, body
        if len(body) > self.limits.size:
            handling.refuse(MappingFailure("", NONE, _TOO_LARGE, OnError.PASS))
            handling.counts.settle()
            return fields, body
        rewritten = rewrite(handling, body)
        return (fields if rewritten is body else with_length(fields, len(rewritten))), rewritten


_TOO_LARGE: Final = "the body is larger than `limits.body`"
_TOO_LARGE_FOR_ONE: Final = "the body is larger than what `limits.memory` leaves for one client"
_NO_ROOM: Final = "there is no room for the body in `limits.memory`"


class MappedExchange(Exchange):
    """An exchange whose JSON response is rewritten.

    A response that is no JSON, or has no body, passes as it came. So does one that is larger, or
    takes longer, than what is held may, or finds no room; that is counted as failed.
    """

    __slots__ = ("_body", "_clock", "_handling", "_held_head", "_latest", "_limits", "_room")

    def __init__(
        self, ends: ExchangeEnds, handling: MessageHandling, limits: HoldLimits, held: Reservation
    ) -> None:
        """Begin as an `Exchange` does.

        Args:
            ends: as there.
            handling: what rewrites the body of the response, and where it counts.
            limits: of a body that is held.
            held: what is reserved for it; whoever ends the request gives it back.
        """
        super().__init__(ends)
        self._handling = handling
        self._limits = limits
        self._room = held
        held.release()  # Of an exchange before this one, whose response was not sent.
        self._clock = ends.loop.time
        self._latest = 0.0
        self._held_head: Head | None = None
        self._body = bytearray()

    def on_head(self, head: Head) -> None:
        """Keep the head of what may be rewritten: its length is not known yet."""
        if head.status in self.watched and self.holds(head):
            return
        if head.bodiless or not is_json(head.fields):
            if self._request.method == "HEAD" and is_json(head.fields):
                # What a GET would say is not known without its body (RFC 9110 section 8.6).
                head.fields = without_length(head.fields)
            super().on_head(head)
        else:
            self._held_head = head
            self._latest = self._clock() + self._limits.whole

    def on_body(self, data: bytes) -> None:
        """Collect a piece."""
        if self._held_head is None:
            super().on_body(data)
            return
        self._body += data
        reason = ""
        if len(self._body) > self._limits.size:
            reason = _TOO_LARGE
        elif not self._room.resize(len(self._body)):
            reason = _NO_ROOM
        elif self._clock() > self._latest:
            # Where no piece comes any more, `timeouts.idle` ends it.
            reason = "the body took longer than `timeouts.message`"
        if reason:
            self._handling.refuse(MappingFailure("", NONE, reason, OnError.PASS))
            self._handling.counts.settle()
            body = bytes(self._body)
            self._body.clear()
            self._let_go(self._held_head, body)

    def on_end(self) -> None:
        """Rewrite the body, and send it."""
        head = self._held_head
        if head is not None:
            body = bytes(self._body)
            self._body.clear()
            try:
                rewritten = rewrite(self._handling, body)
            except MappingFailure as failure:
                self._held_head = None
                self._fail(failure)
                return
            if rewritten is not body:
                head.fields = with_length(head.fields, len(rewritten))
                head.chunked = head.until_close = False
            self._let_go(head, rewritten)
        super().on_end()

    def _let_go(self, head: Head, body: bytes) -> None:
        self._held_head = None
        self._room.release()  # From here on it counts where it waits to be sent.
        super().on_head(head)
        if body:
            super().on_body(body)
