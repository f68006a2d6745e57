"""The tap on messages on their way: one mechanism for all who look, recordings and live watchers.

While nobody looks, nothing of this is on the data path: the frame filters hold the very handling
that the gateway gave them. With somebody there is one tap around the rewriter of those messages
that anybody wants, on sockets that are open and on those that come, and it is taken away again. A
frame filter reads its handling at the first fragment of a message, so that none is half seen.
Messages that nothing rewrites go on as they come, and are copied.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, NamedTuple, Protocol

from proxy.errors import MappingFailure
from proxy.http.headers import RawFields
from proxy.mapping.engine.explanation import MessageOutcome
from proxy.mapping.engine.program import Program, program_of
from proxy.recording.bodies import BodyObserver
from proxy.rewriting import MessageCopy, MessageHandling, MessageObserver, Rewriter, Room
from proxy.types import NONE, Direction

MAX_COLLECTED: Final = 16 * 1024 * 1024
"""Bytes of bodies and of messages that are not whole yet, together, to which nothing is done."""

_AT_ONCE: Final = 100
"""Sockets that are tapped, or left again, in one step of the loop."""


class TappedFilter(Protocol):
    """What walks one direction of a socket."""

    handling: MessageHandling


class TappedLeg(Protocol):
    """One side of a socket."""

    @property
    def frame_filter(self) -> TappedFilter: ...


class TappedSocket(Protocol):
    """An open WebSocket: what the client sends, and what the server sends."""

    @property
    def client(self) -> TappedLeg: ...

    @property
    def server(self) -> TappedLeg: ...


class TapPoint(NamedTuple):
    """Where messages come by.

    Attributes:
        direction: which way they go.
        cohort: of the client; `none` where it is in none.
        request_id: of the request whose body, or whose WebSocket's messages, they are.
        route: method and path of a request whose bodies nothing is done to; the path without what
            may be data. Empty for all else.
    """

    direction: Direction
    cohort: str
    request_id: str = ""
    route: str = ""


class Observed(NamedTuple):
    """One message.

    Attributes:
        point: where it came by.
        program: what was applied to it, if anything.
        message: as it came.
        made: what stood in its place; None where it was sent as it came.
        failure: why a rule could not be carried out, if one could not.
        time: when, in seconds since 1970.
        cut: bytes of it and of what stood in its place, where they are not kept; 0 where they are.
    """

    point: TapPoint
    program: Program | None
    message: bytes
    made: tuple[bytes, ...] | None
    failure: MappingFailure | None
    time: float = 0.0
    cut: int = 0

    @property
    def outcome(self) -> MessageOutcome:
        """How it ended."""
        if self.failure is not None:
            return MessageOutcome.FAILED
        if self.made is None:
            return MessageOutcome.PASSED
        return MessageOutcome.MAPPED if self.made else MessageOutcome.DROPPED

    @property
    def size(self) -> int:
        """Bytes of it, and of what stood in its place."""
        return len(self.message) + sum(map(len, self.made or ()))

    def without_content(self) -> Observed:
        """The same, but for what was said: all else is kept, the outcome too."""
        made = None if self.made is None else tuple(b"" for _ in self.made)
        return self._replace(message=b"", made=made, cut=self.size)


class Listener(Protocol):
    """Who looks. What it is told, it is told on the data path."""

    def wants(self, point: TapPoint, mappings: Sequence[str]) -> bool:
        """Whether it wants messages of this point at all; asked anew for each socket and body.

        Args:
            point: where they come by.
            mappings: those that are bound there; `none` where none is.
        """

    def note(self, observed: Observed) -> None:
        """Take note of a message; one that has ended does nothing."""

    def skip(self) -> None:
        """Take note of what came by, and was too long or could not be read."""


class Taps:
    """Knows the open sockets, and who looks."""

    def __init__(self) -> None:
        self._sockets: dict[TappedSocket, tuple[str, str]] = {}
        self._listeners: tuple[Listener, ...] = ()
        self._room = Room(MAX_COLLECTED)
        self._pending: deque[TappedSocket] = deque()
        self._is_stepping = False

    @property
    def are_used(self) -> bool:
        """Whether anybody looks at the moment."""
        return bool(self._listeners)

    def add(self, listener: Listener) -> None:
        """Let somebody look, from each socket's next message on.

        Sockets are gone through some at a time, so that no message waits for all of them.
        """
        self._listeners = (*self._listeners, listener)
        self._renew()

    def remove(self, listener: Listener) -> None:
        """Somebody has ended; of messages that have begun it may be told still."""
        if listener in self._listeners:
            self._listeners = tuple(each for each in self._listeners if each is not listener)
            self._renew()

    def attach(self, socket: TappedSocket, cohort: str | None, request_id: str = "") -> None:
        """Take note of a socket before its first message."""
        self._sockets[socket] = (cohort or NONE, request_id)
        if self._listeners:
            self._tap(socket)

    def detach(self, socket: TappedSocket) -> None:
        """A socket has ended."""
        self._sockets.pop(socket, None)

    def tapped(self, handling: MessageHandling, point: TapPoint) -> MessageHandling:
        """Return the handling to use: the very same, unless somebody wants its messages.

        For what is treated once, such as the body of a response; a socket that stays open is
        attached as well.
        """
        original = untapped(handling)
        if not self._listeners:
            return original
        rewriter = original.rewriter
        program = program_of(rewriter)
        names = (NONE,) if program is None else program.mappings
        wanting = tuple(each for each in self._listeners if each.wants(point, names))
        if not wanting:
            return original
        if rewriter is None:
            return original._replace(observer=_Copies(wanting, original, point, self._room))
        return original._replace(rewriter=_Tap(wanting, original, rewriter, program, point))

    def observer(
        self, ways: Sequence[Direction], point: Callable[[Direction], TapPoint], fields: RawFields
    ) -> BodyObserver | None:
        """What is told of the bodies of a request to which nothing is done; None without need.

        Args:
            ways: whose bodies no mapping is bound to.
            point: of those of one direction.
            fields: of the request.
        """
        wanting = {
            way: (where, found)
            for way in ways
            for where in (point(way),)
            if (found := [each for each in self._listeners if each.wants(where, (NONE,))])
        }
        if not wanting:
            return None
        return BodyObserver(partial(_observed, wanting), list(wanting), fields, self._room)

    def _renew(self) -> None:
        self._pending = deque(self._sockets)
        if not self._is_stepping:
            self._step()

    def _step(self) -> None:
        for _ in range(min(_AT_ONCE, len(self._pending))):
            socket = self._pending.popleft()
            if socket in self._sockets:
                self._tap(socket)
        self._is_stepping = bool(self._pending)
        if self._is_stepping:
            asyncio.get_running_loop().call_soon(self._step)

    def _tap(self, socket: TappedSocket) -> None:
        cohort, request_id = self._sockets[socket]
        for leg, direction in (
            (socket.client, Direction.TO_SERVER),
            (socket.server, Direction.TO_CLIENT),
        ):
            point = TapPoint(direction, cohort, request_id)
            leg.frame_filter.handling = self.tapped(leg.frame_filter.handling, point)


def untapped(handling: MessageHandling) -> MessageHandling:
    """The handling that the gateway gave, whether or not somebody looks."""
    for each in (handling.rewriter, handling.observer):
        if isinstance(each, _Tap | _Copies):
            return each.original
    return handling


def _observed(
    wanting: dict[Direction, tuple[TapPoint, list[Listener]]], way: Direction, body: bytes | None
) -> None:
    point, listeners = wanting[way]
    if body is None:
        for each in listeners:
            each.skip()
        return
    observed = Observed(point, None, body, None, None, time.time())
    for each in listeners:
        each.note(observed)


class _Tap:
    """A rewriter that does what the one inside does, and tells of it."""

    __slots__ = ("_inner", "_listeners", "_point", "_program", "original")

    def __init__(
        self,
        listeners: tuple[Listener, ...],
        original: MessageHandling,
        inner: Rewriter,
        program: Program | None,
        point: TapPoint,
    ) -> None:
        self.original = original
        self._inner = inner
        self._listeners = listeners
        self._program = program
        self._point = point

    def apply(self, message: bytes) -> tuple[bytes, ...] | None:
        try:
            made = self._inner.apply(message)
        except MappingFailure as failure:
            self._note(message, None, failure)
            raise
        self._note(message, made, None)
        return made

    def _note(
        self, message: bytes, made: tuple[bytes, ...] | None, failure: MappingFailure | None
    ) -> None:
        observed = Observed(self._point, self._program, message, made, failure, time.time())
        for each in self._listeners:
            each.note(observed)


class _Copies:
    """Tells of messages that nothing rewrites, and whoever looked at them before."""

    __slots__ = ("_inner", "_listeners", "_point", "_room", "original")

    def __init__(
        self,
        listeners: tuple[Listener, ...],
        original: MessageHandling,
        point: TapPoint,
        room: Room,
    ) -> None:
        self.original = original
        self._inner: MessageObserver | None = original.observer
        self._listeners = listeners
        self._point = point
        self._room = room

    def note(self, message: bytes) -> None:
        if self._inner is not None:
            self._inner.note(message)
        observed = Observed(self._point, None, message, None, None, time.time())
        for each in self._listeners:
            each.note(observed)

    def miss(self, *, too_large: bool) -> None:
        if self._inner is not None:
            self._inner.miss(too_large=too_large)
        for each in self._listeners:
            each.skip()

    def begin(self) -> MessageCopy:
        # A message has a bound of its own (`limits.message`).
        return MessageCopy(self, MAX_COLLECTED, self._room)
