"""Presenting a refresh token to the server: one request on a fresh connection.

Fresh, because on a kept one it cannot be told whether the server has seen a request that got no
answer, and a refresh token is not to be sent twice for that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from proxy.errors import UpstreamError
from proxy.http.headers import SERVERS_OWN, serialize
from proxy.sessions.client_refresh import RefreshAnswer, RefreshRequest
from proxy.upstream.connection import Connection
from proxy.upstream.response import Head

Connect = Callable[[], Awaitable[Connection]]
"""Opens a connection to the server; raises UpstreamError or OutOfResources."""


MAX_ANSWER: Final = 1024 * 1024
"""Bytes of the largest answer that is taken; tokens are looked for in one of `MAX_BODY` only."""


async def present(connect: Connect, request: RefreshRequest, timeout: float) -> RefreshAnswer:
    """Send a refresh token, and return what comes back.

    Args:
        connect: opens the connection.
        request: what is sent, the refresh token in it.
        timeout: seconds from here to the end of the answer.

    Raises:
        UpstreamError: there was no connection; nothing has been sent.
        OutOfResources: none could be made; nothing has been sent.
    """
    body = request.body
    connection = await connect()
    own = connection.target.authority
    fields = [
        *(
            (name, own if value == SERVERS_OWN else value)
            for name, value in request.fields
            if name.lower() not in _SET_HERE
        ),
        (b"Accept-Encoding", b"identity"),
        (b"Content-Length", b"%d" % len(body)),
    ]
    try:
        head = serialize(b"%b %b HTTP/1.1" % (request.method.encode(), request.target), fields)
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


_SET_HERE: Final = frozenset({b"accept-encoding", b"content-length"})


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
            return RefreshAnswer(0, is_whole=False)
        if len(self._body) > MAX_ANSWER:
            return RefreshAnswer(head.status, head.reason, head.fields, is_whole=False)
        return RefreshAnswer(head.status, head.reason, head.fields, bytes(self._body))

    def on_informational(self, head: Head) -> None:
        """Nothing follows from a 1xx."""

    def on_head(self, head: Head) -> None:
        if head.status == 101:
            raise UpstreamError("the server switched protocols without being asked")
        self._head = head

    def on_body(self, data: bytes) -> None:
        if len(self._body) <= MAX_ANSWER:
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
