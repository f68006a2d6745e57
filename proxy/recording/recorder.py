"""Recording messages on their way, for a short time and within bounds, to write mappings from them.

A recording is one of those who look through the tap (`proxy.recording.tap`).
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from structlog.typing import FilteringBoundLogger

from proxy.mapping.engine.explanation import MessageOutcome
from proxy.recording.tap import Observed, TapPoint, Taps
from proxy.types import Direction

MAX_COUNT: Final = 1000
MAX_SECONDS: Final = 300.0
MAX_BYTES: Final = 16 * 1024 * 1024
"""Bytes of messages that one recording holds; further ones are skipped."""

LINGER: Final = 30.0
"""Seconds for which a recording that has ended waits for its reader."""


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


class Recording:
    """What was recorded so far.

    Attributes:
        name: nobody can guess it.
        wanted: what it takes.
        skipped: messages that did not fit.
        ended: why it takes no more; None while it does.
    """

    def __init__(self, wanted: Wanted, on_full: Callable[[Recording], None]) -> None:
        """It takes nothing before it looks.

        Args:
            wanted: what to take.
            on_full: told, on the data path, when the last message that was wanted has come.
        """
        self.name = secrets.token_urlsafe(18)
        self.wanted = wanted
        self.skipped = 0
        self.ended: str | None = None
        self._on_full = on_full
        self._taken: list[Observed] = []
        self._bytes = 0
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        return len(self._taken)

    def wants(self, point: TapPoint, mappings: Sequence[str]) -> bool:
        """Whether it takes messages of this point."""
        wanted = self.wanted
        return (
            self.ended is None
            and wanted.direction in (None, point.direction)
            and wanted.cohort in (None, point.cohort)
            and (wanted.mapping is None or wanted.mapping in mappings)
        )

    def note(self, observed: Observed) -> None:
        """Keep a message, if there is room."""
        outcomes = self.wanted.outcomes
        if self.ended is not None or (outcomes and observed.outcome not in outcomes):
            return
        size = observed.size
        if self._bytes + size > MAX_BYTES:
            self.skipped += 1
            return
        self._bytes += size
        self._taken.append(observed)
        self._changed.set()
        if len(self._taken) >= self.wanted.count:
            self._on_full(self)

    def skip(self) -> None:
        """A body did not fit."""
        self.skipped += 1

    def end(self, reason: str) -> None:
        """Take no more."""
        if self.ended is None:
            self.ended = reason
            self._changed.set()

    async def messages(self, pause: float = 1.0) -> AsyncGenerator[Observed | None, None]:
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
    """Knows the one recording that there may be."""

    def __init__(
        self, taps: Taps, loop: asyncio.AbstractEventLoop, log: FilteringBoundLogger
    ) -> None:
        self._taps = taps
        self._loop = loop
        self._log = log
        self._recording: Recording | None = None
        self._timer: asyncio.TimerHandle | None = None

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
        recording = self._recording = Recording(wanted, self._full)
        self._timer = self._loop.call_later(wanted.seconds, self.stop, recording, "time")
        self._taps.add(recording)
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
        self._taps.remove(recording)
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

    def _full(self, recording: Recording) -> None:
        # Later, because this is the data path, and there may be many sockets.
        self._loop.call_soon(self.stop, recording, "count")
