"""Recording messages on their way, for a short time and within bounds, to write mappings from them.

Without a recording nothing of this is on the data path: the frame filters hold the very handling
that the gateway gave them. A recording puts a tap around the rewriter of those that it wants, on
sockets that are open and on those that come, and takes it away again. A frame filter reads its
handling at the first fragment of a message, so that none is half recorded.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol

from structlog.typing import FilteringBoundLogger

from proxy.errors import MappingFailure
from proxy.http.headers import RawFields
from proxy.mapping.engine.explanation import MessageOutcome
from proxy.mapping.engine.program import Program
from proxy.recording.bodies import BodyObserver, Room
from proxy.rewriting import MessageHandling
from proxy.types import NONE, Direction

MAX_COUNT: Final = 1000
MAX_SECONDS: Final = 300.0
MAX_BYTES: Final = 16 * 1024 * 1024
"""Bytes of messages that one recording holds; further ones are skipped."""

LINGER: Final = 30.0
"""Seconds for which a recording that has ended waits for its reader."""


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


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a recording takes.

    Attributes:
        mapping: only messages that this mapping, alone or in a chain, is bound to; None: any.
        direction: only messages that go this way; None: both.
        cohort: only those of clients in this cohort; None: any.
        count: the number of messages after which it ends, at most `MAX_COUNT`.
        seconds: the time after which it ends, at most `MAX_SECONDS`.
        outcomes: only messages that ended so; empty for any.
    """

    mapping: str | None
    direction: Direction | None
    cohort: str | None
    count: int
    seconds: float
    outcomes: frozenset[MessageOutcome] = frozenset()


@dataclass(frozen=True, slots=True)
class Recorded:
    """One message.

    Attributes:
        direction: which way it went.
        cohort: of the client; `none` where it is in none.
        program: what was applied to it, if anything.
        message: as it came.
        made: what stood in its place; None where it was sent as it came.
        failure: why a rule could not be carried out, if one could not.
        route: method and path of the request whose body it is, where nothing is mapped there; the
            path without what may be data. Empty for all else.
    """

    direction: Direction
    cohort: str
    program: Program | None
    message: bytes
    made: tuple[bytes, ...] | None
    failure: MappingFailure | None
    route: str = ""

    @property
    def outcome(self) -> MessageOutcome:
        """How it ended."""
        if self.failure is not None:
            return MessageOutcome.FAILED
        if self.made is None:
            return MessageOutcome.PASSED
        return MessageOutcome.MAPPED if self.made else MessageOutcome.DROPPED


class Recording:
    """What was recorded so far.

    Attributes:
        name: nobody can guess it.
        wanted: what it takes.
        skipped: messages that did not fit.
        ended: why it takes no more; None while it does.
    """

    def __init__(self, wanted: Wanted) -> None:
        self.name = secrets.token_urlsafe(18)
        self.wanted = wanted
        self.skipped = 0
        self.ended: str | None = None
        self._taken: list[Recorded] = []
        self._bytes = 0
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        return len(self._taken)

    def take(self, recorded: Recorded) -> bool:
        """Keep a message, if there is room; return whether the recording is full."""
        outcomes = self.wanted.outcomes
        if self.ended is not None or (outcomes and recorded.outcome not in outcomes):
            return False
        size = len(recorded.message) + sum(map(len, recorded.made or ()))
        if self._bytes + size > MAX_BYTES:
            self.skipped += 1
            return False
        self._bytes += size
        self._taken.append(recorded)
        self._changed.set()
        return len(self._taken) >= self.wanted.count

    def end(self, reason: str) -> None:
        """Take no more."""
        if self.ended is None:
            self.ended = reason
            self._changed.set()

    async def messages(self, pause: float = 1.0) -> AsyncGenerator[Recorded | None, None]:
        """Give the messages from the first on, as they come, until the recording has ended.

        Args:
            pause: seconds without a message after which None is given, so that the reader can see
                whether anybody still listens.
        """
        position = 0
        while True:
            while position < len(self._taken):
                yield self._taken[position]
                position += 1
            if self.ended is not None:
                return
            self._changed.clear()
            try:
                async with asyncio.timeout(pause):
                    await self._changed.wait()
            except TimeoutError:
                yield None


class Busy(Exception):
    """There is a recording already. One at a time bounds what recordings can cost."""


class Recorder:
    """Knows the open sockets, and the one recording that there may be."""

    def __init__(self, loop: asyncio.AbstractEventLoop, log: FilteringBoundLogger) -> None:
        self._loop = loop
        self._log = log
        self._cohorts: dict[TappedSocket, str] = {}
        self._recording: Recording | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._room = Room(MAX_BYTES)

    @property
    def is_recording(self) -> bool:
        """Whether anything is recorded at the moment."""
        return self._recording is not None and self._recording.ended is None

    def attach(self, socket: TappedSocket, cohort: str | None) -> None:
        """Take note of a socket before its first message."""
        self._cohorts[socket] = cohort or NONE
        self._tap(socket)

    def detach(self, socket: TappedSocket) -> None:
        """A socket has ended."""
        self._cohorts.pop(socket, None)

    def start(self, wanted: Wanted, *, raw: bool, author: str) -> Recording:
        """Begin to record.

        Args:
            wanted: what to take.
            raw: whether it will be read without placeholders, for the log.
            author: who wants it, for the log.

        Raises:
            Busy: there is another one, which has not been read to its end yet.
        """
        if self._recording is not None:
            raise Busy
        recording = self._recording = Recording(wanted)
        self._timer = self._loop.call_later(wanted.seconds, self.stop, recording, "time")
        for socket in self._cohorts:
            self._tap(socket)
        self._log.warning(
            "recording started",
            author=author,
            mapping=wanted.mapping,
            direction=wanted.direction,
            cohort=wanted.cohort,
            count=wanted.count,
            seconds=wanted.seconds,
            outcomes=sorted(wanted.outcomes),
            raw=raw,
        )
        return recording

    def find(self, name: str) -> Recording | None:
        """Return the recording of this name."""
        recording = self._recording
        if recording is None or not secrets.compare_digest(recording.name.encode(), name.encode()):
            return None
        return recording

    def stop(self, recording: Recording, reason: str) -> None:
        """End a recording; what it holds can still be read for a while."""
        if recording.ended is not None:
            return
        recording.end(reason)
        for socket in self._cohorts:
            for leg in (socket.client, socket.server):
                handling = leg.frame_filter.handling
                if isinstance(handling.rewriter, _Tap):
                    leg.frame_filter.handling = handling.rewriter.original
        self._log.warning(
            "recording ended", reason=reason, messages=len(recording), skipped=recording.skipped
        )
        self._cancel()
        self._timer = self._loop.call_later(LINGER, self.forget, recording)

    def forget(self, recording: Recording) -> None:
        """Give up a recording with all that it holds."""
        self.stop(recording, "given up")
        if self._recording is recording:
            self._recording = None
            self._cancel()

    def close(self) -> None:
        """The process ends."""
        if self._recording is not None:
            self.forget(self._recording)

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def wants(self, direction: Direction, cohort: str, names: Sequence[str]) -> bool:
        """Whether there is a recording that takes such messages.

        Args:
            direction: which way they go.
            cohort: of the client.
            names: of the mappings that are bound; `none` where none is.
        """
        recording = self._recording
        if recording is None or recording.ended is not None:
            return False
        wanted = recording.wanted
        return (
            wanted.direction in (None, direction)
            and wanted.cohort in (None, cohort)
            and (wanted.mapping is None or wanted.mapping in names)
        )

    def observer(
        self, ways: Sequence[Direction], cohort: str, route: str, fields: RawFields
    ) -> BodyObserver | None:
        """What is told of the bodies of a request to which nothing is done; None without need.

        Args:
            ways: whose bodies no mapping is bound to.
            cohort, route: see `Recorded`.
            fields: of the request.
        """
        if self._recording is None:
            return None
        wanted = [way for way in ways if self.wants(way, cohort, (NONE,))]
        if not wanted:
            return None
        take = partial(self._observed, self._recording, cohort, route)
        return BodyObserver(take, wanted, fields, self._room)

    def _observed(
        self,
        recording: Recording,
        cohort: str,
        route: str,
        direction: Direction,
        body: bytes | None,
    ) -> None:
        if body is None:
            recording.skipped += 1
        else:
            self.take(recording, Recorded(direction, cohort, None, body, None, None, route))

    def tapped(
        self, handling: MessageHandling, direction: Direction, cohort: str
    ) -> MessageHandling:
        """Return the handling to use: the very same, unless a recording wants its messages.

        For what is treated once, such as the body of a response; a socket that stays open is
        attached as well.
        """
        recording, rewriter = self._recording, handling.rewriter
        if recording is None:
            return handling
        program = rewriter if isinstance(rewriter, Program) else None
        names = (NONE,) if program is None else program.mappings
        if isinstance(rewriter, _Tap) or not self.wants(direction, cohort, names):
            return handling
        return handling._replace(rewriter=_Tap(self, recording, handling, direction, cohort))

    def _tap(self, socket: TappedSocket) -> None:
        cohort = self._cohorts[socket]
        for leg, direction in (
            (socket.client, Direction.TO_SERVER),
            (socket.server, Direction.TO_CLIENT),
        ):
            leg.frame_filter.handling = self.tapped(leg.frame_filter.handling, direction, cohort)

    def take(self, recording: Recording, recorded: Recorded) -> None:
        """Keep a message; end the recording when it was the last that was wanted."""
        if recording.take(recorded):
            # Later, because this is the data path, and there may be many sockets.
            self._loop.call_soon(self.stop, recording, "count")


class _Tap:
    """A rewriter that does what the one inside does, and takes note of it."""

    __slots__ = ("_cohort", "_direction", "_inner", "_recorder", "_recording", "original")

    def __init__(
        self,
        recorder: Recorder,
        recording: Recording,
        original: MessageHandling,
        direction: Direction,
        cohort: str,
    ) -> None:
        self.original = original
        self._inner = original.rewriter
        self._recorder = recorder
        self._recording = recording
        self._direction = direction
        self._cohort = cohort

    def apply(self, message: bytes) -> tuple[bytes, ...] | None:
        try:
            made = None if self._inner is None else self._inner.apply(message)
        except MappingFailure as failure:
            self._note(message, None, failure)
            raise
        self._note(message, made, None)
        return made

    def _note(
        self, message: bytes, made: tuple[bytes, ...] | None, failure: MappingFailure | None
    ) -> None:
        program = self._inner if isinstance(self._inner, Program) else None
        recorded = Recorded(self._direction, self._cohort, program, message, made, failure)
        self._recorder.take(self._recording, recorded)
