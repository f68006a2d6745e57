"""Watching messages go by, live: who watches, what each wants, and how much of it each gets.

What a watcher takes is bounded in messages and bytes a second, and in what waits for it; what is
left out is counted by its reason, and told. On the data path a message is filtered and put into a
queue, as it came; what is shown of it is made by whoever reads the queue, in a thread.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from structlog.typing import FilteringBoundLogger

from proxy.mapping.engine.explanation import MessageOutcome
from proxy.mapping.json.literals import spellings
from proxy.recording.tap import Observed, TapPoint, Taps
from proxy.types import Direction

MAX_WATCHERS: Final = 8
MAX_OF_ONE: Final = MAX_WATCHERS // 2
"""Of one author, so that others are left some."""

MAX_RATE: Final = 200
"""Messages that one watcher gets in a second, at most."""

MAX_SECONDS: Final = 3600.0
"""Seconds after which a watch ends."""

MAX_SHOWN: Final = 64 * 1024
"""Bytes of a message, with what stands in its place, that is shown; of longer ones the size is."""

BYTES_A_SECOND: Final = 128 * 1024
"""Bytes of messages, with what stands in their place, that all watchers together get in a second.
Putting in placeholders takes 1 to 2 microseconds a byte: this bounds it to about a tenth of a core.
"""

MAX_QUEUED: Final = 256
MAX_QUEUED_BYTES: Final = 1024 * 1024
"""Messages, and bytes of them, that wait for one watcher to take them."""

BATCH: Final = 32
"""Messages that a watcher is given at once."""


class LeftOut(StrEnum):
    """Why a message is not shown that a watcher wants."""

    RATE = "rate"
    """There were more in a second than it gets."""
    BYTES = "bytes"
    """There were more bytes in a second than all who watch get together."""
    QUEUE = "queue"
    """It does not read as fast as they come."""
    UNREADABLE = "unreadable"
    """It was too long for its kind to be looked at, or a body that could not be read."""


@dataclass(frozen=True, slots=True)
class WatchedMessages:
    """What a watcher wants; None for any.

    Attributes:
        mapping: only messages that this mapping, alone or in a chain, is bound to.
        direction: only those that go this way.
        cohort: only those of clients in this cohort.
        kind: only those of this kind, as they came.
        outcome: only those that ended so.
        rate: how many in a second, at most `MAX_RATE`.
    """

    mapping: str | None = None
    direction: Direction | None = None
    cohort: str | None = None
    kind: str | None = None
    outcome: MessageOutcome | None = None
    rate: int = 50


class Budget:
    """So much a second, and a second's worth at once."""

    def __init__(self, per_second: float, now: float) -> None:
        self._per_second = per_second
        self._left = per_second
        self._now = now

    def take(self, amount: float, now: float) -> bool:
        """Take an amount if as much is left; more than a second's worth is never there."""
        self._left = min(self._left + (now - self._now) * self._per_second, self._per_second)
        self._now = now
        if amount > self._left:
            return False
        self._left -= amount
        return True


class Watcher:
    """One who watches.

    Attributes:
        wanted: what it wants.
        left_out: how many messages were not shown, by reason, since somebody last asked.
        ended: why it gets no more; None while it does.
    """

    def __init__(
        self, wanted: WatchedMessages, bytes_left: Budget, clock: Callable[[], float]
    ) -> None:
        """It gets nothing before it looks.

        Args:
            wanted: what it wants.
            bytes_left: shared by all who watch.
            clock: seconds of any clock that does not go back.
        """
        self.wanted = wanted
        self.left_out: Counter[LeftOut] = Counter()
        self.ended: str | None = None
        self._clock = clock
        self._messages = Budget(wanted.rate, clock())
        self._bytes_left = bytes_left
        kind = wanted.kind
        self._spelled = () if kind is None else tuple(spellings(("text", kind)))
        self._queue: deque[Observed] = deque()
        self._queued = 0
        self._changed = asyncio.Event()

    def wants(self, point: TapPoint, mappings: Sequence[str]) -> bool:
        """Whether it wants messages of this point."""
        wanted = self.wanted
        return (
            wanted.direction in (None, point.direction)
            and wanted.cohort in (None, point.cohort)
            and (wanted.mapping is None or wanted.mapping in mappings)
        )

    def note(self, observed: Observed) -> None:
        """Put a message into the queue, within all bounds."""
        wanted = self.wanted
        if self.ended is not None or not (
            (wanted.outcome is None or observed.outcome is wanted.outcome)
            and (wanted.kind is None or self._may_be_of_kind(observed.message))
        ):
            return
        now, size = self._clock(), observed.size
        if size > MAX_SHOWN:
            size = 0  # Nothing is made of it but a line with its size.
            observed = observed.without_content()
        if observed.cut and wanted.kind is not None:
            self.left_out[LeftOut.UNREADABLE] += 1
        elif len(self._queue) >= MAX_QUEUED or self._queued + size > MAX_QUEUED_BYTES:
            self.left_out[LeftOut.QUEUE] += 1
        elif not self._messages.take(1, now):
            self.left_out[LeftOut.RATE] += 1
        elif not self._bytes_left.take(size, now):
            self.left_out[LeftOut.BYTES] += 1
        else:
            self._queue.append(observed)
            self._queued += size
        self._changed.set()

    def skip(self) -> None:
        """A body could not be looked at."""
        if self.ended is None:
            self.left_out[LeftOut.UNREADABLE] += 1
            self._changed.set()

    def end(self, reason: str) -> None:
        """Take no more; what waits can be read still."""
        if self.ended is None:
            self.ended = reason
            self._changed.set()

    async def batches(self, pause: float = 1.0) -> AsyncGenerator[list[Observed], None]:
        """Give the messages as they come, some at a time, until it has ended.

        Args:
            pause: seconds without any after which an empty batch is given, so that the reader can
                see whether anybody still watches.
        """
        while True:
            self._changed.clear()
            batch = [self._queue.popleft() for _ in range(min(BATCH, len(self._queue)))]
            self._queued -= sum(each.size for each in batch)
            if batch:
                yield batch
                continue
            if self.ended is not None:
                return
            try:
                async with asyncio.timeout(pause):
                    await self._changed.wait()
            except TimeoutError:
                yield []

    def _may_be_of_kind(self, message: bytes) -> bool:
        # A kind can be spelled with escapes: what has any is looked at by the reader.
        return b"\\" in message or any(each in message for each in self._spelled)


class TooManyWatchers(Exception):
    """There are as many watchers as there may be."""


class Tail:
    """Knows who watches."""

    def __init__(
        self, taps: Taps, loop: asyncio.AbstractEventLoop, log: FilteringBoundLogger
    ) -> None:
        self._taps = taps
        self._loop = loop
        self._log = log
        self._watchers: dict[Watcher, asyncio.TimerHandle] = {}
        self._authors: Counter[str] = Counter()
        self._bytes_left = Budget(BYTES_A_SECOND, loop.time())
        self._closed = False

    def __len__(self) -> int:
        return len(self._watchers)

    def watch(self, wanted: WatchedMessages, seconds: float, *, raw: bool, author: str) -> Watcher:
        """Begin to watch.

        Args:
            wanted: what.
            seconds: after which it ends.
            raw: whether messages will be shown without placeholders, for the log.
            author: who watches; nobody has more than half of all.

        Raises:
            TooManyWatchers: others do, or the same one, or the process ends.
        """
        if self._closed or len(self._watchers) >= MAX_WATCHERS:
            raise TooManyWatchers
        if self._authors[author] >= MAX_OF_ONE:
            raise TooManyWatchers
        self._authors[author] += 1
        watcher = Watcher(wanted, self._bytes_left, self._loop.time)
        self._watchers[watcher] = self._loop.call_later(seconds, watcher.end, "time")
        self._taps.add(watcher)
        self._log.warning(
            "tail started",
            author=author,
            mapping=wanted.mapping,
            direction=wanted.direction,
            cohort=wanted.cohort,
            kind=wanted.kind,
            outcome=wanted.outcome,
            rate=wanted.rate,
            seconds=seconds,
            raw=raw,
        )
        return watcher

    def leave(self, watcher: Watcher, *, author: str, shown: int, left_out: int) -> None:
        """Somebody watches no more.

        Args:
            watcher: who.
            author: whose it was, for the log.
            shown, left_out: how many messages were, for the log.
        """
        watcher.end("the watcher left")
        timer = self._watchers.pop(watcher, None)
        if timer is not None:
            timer.cancel()
            self._taps.remove(watcher)
            self._authors[author] -= 1
            if not self._authors[author]:
                del self._authors[author]
            self._log.warning(
                "tail ended",
                author=author,
                reason=watcher.ended,
                messages=shown,
                left_out=left_out,
            )

    def close(self) -> None:
        """The process ends: nobody gets any more, and their streams end."""
        self._closed = True
        for watcher in self._watchers:
            watcher.end("drain")
