"""How many WebSockets a session has open at a path: the oldest make room for new ones.

A client that opens a socket whenever it draws its page, and forgets the one before, would fill the
server and its own address. It cannot be told to stop; so the oldest socket ends in a way on which
it does not connect again, once the new one is open (a handshake that fails costs nobody a live
socket). While as many are open as may be, its handshakes go to the server one after the other, in
their order. The newest few wait; one that waited before them is answered in the server's place and
ended at once, as if it had been open. The server has said of the same session and path that it may;
and a client that is refused would come back.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import blake2b
from typing import Final

from proxy.configuration.websocket import SocketBound
from proxy.downstream.connection import ClientConnection
from proxy.errors import ClientGone, TooManyHandshakes
from proxy.gateway.context import RequestContext
from proxy.gateway.open_websocket import OpenWebSocket, SocketGroup
from proxy.http.cookies import cookie_values
from proxy.http.headers import values_of

PER_SESSION: Final = "websockets_per_session"
PACE: Final = "handshake_pace"
"""The names of the limits."""

MOST_WAITING: Final = 4
"""Handshakes of one session at one path that wait for their turn: the newest."""

LONGEST_WAIT: Final = 10.0
"""Seconds that one of them waits."""

_LOOK: Final = 0.5
"""Seconds between two looks whether its client is still there."""


class SocketBounds:
    """Keeps the bounds of `websocket.per_session`, in this process.

    Attributes:
        paced: handshakes that have waited for their turn.
    """

    def __init__(self, on_limit: Callable[[str, str], None]) -> None:
        """Construct.

        Args:
            on_limit: told the name of the limit and the client's address, for each socket that had
                to make room.
        """
        self._on_limit = on_limit
        self._groups: dict[tuple[str | bytes, bytes], SocketGroup] = {}
        self._secret = os.urandom(16)
        self.paced = 0

    @property
    def waiting(self) -> int:
        """Handshakes that wait for their turn now."""
        return sum(len(group.waiting) for group in self._groups.values())

    def __len__(self) -> int:
        """How many groups there are."""
        return len(self._groups)

    @contextmanager
    def entered(self, context: RequestContext) -> Iterator[SocketGroup | None]:
        """Count a handshake while it is under way; None where nothing bounds it."""
        bounds = context.snapshot.socket_bounds
        bound = None if bounds is None else bounds.find(context.request.method, context.path)
        who = None if bound is None else self._who(context, bound)
        if bound is None or who is None:
            yield None
            return
        key = (who, context.path)
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = SocketGroup(key, bound)
        group.bound = bound
        group.shaking += 1
        try:
            yield group
        finally:
            group.shaking -= 1
            self._forget_empty(group)

    async def turn(self, group: SocketGroup, client: ClientConnection, address: str) -> bool:
        """Wait until it is the turn of a handshake that has entered.

        Returns:
            Whether it is; false where newer ones took its place, and as many sockets are open as
            may be: as if it had been opened, and made room at once.

        Raises:
            TooManyHandshakes: newer ones took its place, and the sockets are not there yet.
            ClientGone: the client sends nothing more, so that it cannot want a WebSocket.
        """
        if len(group.sockets) + group.shaking <= group.bound.most:
            return True
        loop = asyncio.get_running_loop()
        if not group.waiting and loop.time() >= group.next_at:
            group.next_at = loop.time() + 1 / group.bound.pace
            return True
        self.paced += 1
        waiter: asyncio.Future[bool] = loop.create_future()
        group.waiting.append(waiter)
        if len(group.waiting) > MOST_WAITING:
            _tell(group.waiting.popleft(), goes_on=False)
        self._arm(group, loop)
        try:
            goes_on = await _told(waiter, client, loop.time() + LONGEST_WAIT)
        finally:
            if waiter in group.waiting:
                group.waiting.remove(waiter)
        if not goes_on:
            self._on_limit(PACE, address)
            if not group.is_full:
                raise TooManyHandshakes(
                    "one session opens WebSockets at this path faster than they are let through"
                )
        return goes_on

    def _arm(self, group: SocketGroup, loop: asyncio.AbstractEventLoop) -> None:
        if group.timer is None and group.waiting:
            group.timer = loop.call_at(group.next_at, self._next, group, loop)

    def _next(self, group: SocketGroup, loop: asyncio.AbstractEventLoop) -> None:
        """It is the turn of the oldest."""
        group.timer = None
        if group.waiting:
            _tell(group.waiting.popleft(), goes_on=True)
            group.next_at = loop.time() + 1 / group.bound.pace
            self._arm(group, loop)

    def opened(self, group: SocketGroup, socket: OpenWebSocket) -> None:
        """A WebSocket is open: the oldest make room, if there are too many."""
        group.sockets[socket] = None
        socket.group = group
        while len(group.sockets) > group.bound.most:
            oldest = next(iter(group.sockets))
            del group.sockets[oldest]
            oldest.group = None
            oldest.make_room(group.bound.code)
            if oldest.replaced:
                self._on_limit(PER_SESSION, oldest.info.client or oldest.info.peer)

    def ended(self, socket: OpenWebSocket) -> None:
        """A WebSocket has ended."""
        group, socket.group = socket.group, None
        if group is not None:
            group.sockets.pop(socket, None)
            self._forget_empty(group)

    def _forget_empty(self, group: SocketGroup) -> None:
        if not group.sockets and not group.shaking and self._groups.get(group.key) is group:
            del self._groups[group.key]
            if group.timer is not None:
                group.timer.cancel()

    def _who(self, context: RequestContext, bound: SocketBound) -> str | bytes | None:
        """Whose sockets count together; None for somebody of whom nothing is known.

        An address alone is no person: everybody behind it would have these few sockets together.
        Nor is a cookie of which nobody has said that it tells people apart.
        """
        if context.session is not None:
            return context.session.cached.record.session
        fields, places = context.request.fields, context.snapshot.config.sessions.tokens.places
        told = (places.access_cookie, places.refresh_cookie, *map(str.encode, bound.cookies))
        named = dict.fromkeys(name for name in told if name is not None)
        shown = [
            *values_of(fields, b"authorization"),
            *(
                name + b"=" + value.encode("latin-1")
                for name in named
                for value in cookie_values(fields, name)
            ),
            *(token.encode() for token in places.query_tokens(context.head.target)),
            *(token.encode() for token in places.offered_tokens(fields)),
        ]
        if not shown:
            return None
        whose = context.info.client or context.client.bucket
        # Keyed and short: no credentials are kept, and nobody can make two of one digest.
        text = b"\0".join([whose.encode(), *shown])
        return blake2b(text, digest_size=16, key=self._secret).digest()


def _tell(waiter: asyncio.Future[bool], *, goes_on: bool) -> None:
    if not waiter.done():
        waiter.set_result(goes_on)


async def _told(waiter: asyncio.Future[bool], client: ClientConnection, deadline: float) -> bool:
    """Wait until one that waits is told whether it goes on; it does not after the deadline."""
    time = asyncio.get_running_loop().time
    while (left := deadline - time()) > 0:
        done, _ = await asyncio.wait((waiter,), timeout=min(left, _LOOK))
        if done:
            return waiter.result()
        if client.has_finished:
            raise ClientGone("the client gave its handshake up")
    return False
