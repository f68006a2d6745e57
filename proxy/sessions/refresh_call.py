"""Presenting a refresh token to the server: one request on a fresh connection.

Fresh, because on a kept one it cannot be told whether the server has seen a request that got no
answer, and a refresh token is not to be sent twice for that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from proxy.errors import UpstreamError
from proxy.http.content_coding import plain
from proxy.http.headers import SERVERS_OWN, RawFields, serialize
from proxy.tokens.bodies import MAX_BODY, OwnRequest
from proxy.upstream.connection import Connection
from proxy.upstream.response import Head

Connect = Callable[[], Awaitable[Connection]]
"""Opens a connection to the server; raises UpstreamError or OutOfResources."""


@dataclass(frozen=True, slots=True)
class RefreshAnswer:
    """What the server said.

    Attributes:
        status: 0 where there was no answer, or no whole one.
        fields: as received.
        body: without its content coding; empty where it was larger than what is read for tokens.
    """

    status: int
    fields: RawFields
    body: bytes = field(repr=False)


async def present(
    connect: Connect, path: str, request: OwnRequest, context: RawFields, timeout: float
) -> RefreshAnswer:
    """Send a refresh token, and return what comes back.

    Args:
        connect: opens the connection.
        path: where refreshes go.
        request: what is sent, the refresh token in it.
        context: `Host`, and on whose behalf it is sent.
        timeout: seconds from here to the end of the answer.

    Raises:
        UpstreamError: there was no connection; nothing has been sent.
        OutOfResources: none could be made; nothing has been sent.
    """
    body = request.body
    connection = await connect()
    own = connection.target.authority
    fields = [
        *((name, own if value == SERVERS_OWN else value) for name, value in context),
        (b"Accept", b"application/json"),
        (b"Accept-Encoding", b"identity"),
        *request.fields,
        (b"Content-Type", request.kind),
        (b"Content-Length", b"%d" % len(body)),
    ]
    try:
        head = serialize(b"POST %b HTTP/1.1" % path.encode(), fields)
    except ValueError:
        connection.abort()
        raise UpstreamError("a field of the request carries a line break") from None
    collector = _Collector()
    connection.begin(collector, is_head=False)
    connection.transport.write(head + body)
    connection.expect_answer()
    try:
        async with asyncio.timeout(timeout):
            await collector.done
    except TimeoutError:
        pass
    finally:
        if collector.complete:
            connection.release()
        else:
            connection.abort()
    return collector.answer()


class _Collector:
    """Takes the whole answer, within bounds; a `Sink`."""

    def __init__(self) -> None:
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.complete = False
        self._head: Head | None = None
        self._body = bytearray()

    def answer(self) -> RefreshAnswer:
        head = self._head
        if head is None or not self.complete:
            return RefreshAnswer(0, (), b"")
        body = bytes(self._body) if len(self._body) <= MAX_BODY else b""
        # Some servers compress though they were asked not to.
        return RefreshAnswer(head.status, head.fields, plain(body, head.fields, MAX_BODY))

    def on_informational(self, head: Head) -> None:
        """Nothing follows from a 1xx."""

    def on_head(self, head: Head) -> None:
        if head.status == 101:
            raise UpstreamError("the server switched protocols without being asked")
        self._head = head

    def on_body(self, data: bytes) -> None:
        if len(self._body) <= MAX_BODY:
            self._body += data

    def on_end(self) -> None:
        self.complete = True

    def on_fault(self, _: UpstreamError) -> None:
        self._settle()

    def on_flush(self) -> None:
        if self.complete:
            self._settle()

    def on_writable(self) -> None:
        """All of it was written at once."""

    def _settle(self) -> None:
        if not self.done.done():
            self.done.set_result(None)
