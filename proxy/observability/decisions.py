"""What was decided about a request, step by step, for those that somebody wants to watch.

All requests are watched where the log's level is `debug`. Otherwise an operator asks for those of
one cohort, or for one request id, for a while; whether a request belongs to them is known when its
version was chosen, so its first decisions wait until then. A watch ends by itself.
"""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass, field
from typing import Final

from proxy.observability.log import Log
from proxy.types import NONE

MAX_WATCHES: Final = 8
"""At the same time."""

MAX_SECONDS: Final = 3600.0
MAX_LINES: Final = 100_000

_WAITING: Final = 16
"""Decisions of a request that wait until its cohort is known."""


class TooMany(Exception):
    """There are as many watches as there may be."""


@dataclass(slots=True, eq=False)
class Watch:
    """What somebody wants to see, and for how long.

    Attributes:
        cohort: the requests of this one; None where a request id is watched.
        request_id: requests with this id: Segue's own, or the one in their `X-Request-Id`.
        until: when it ends, on the loop's clock.
        lines: how many may still be written.
        author: who asked for it.
        name: by which it is stopped.
        ended: whether it is over.
    """

    cohort: str | None
    request_id: str | None
    until: float
    lines: int
    author: str
    name: str = field(default_factory=lambda: secrets.token_hex(4))
    ended: bool = False
    timer: asyncio.TimerHandle | None = None


class Trail:
    """The decisions of one request."""

    __slots__ = ("_log", "_request_id", "_waiting", "_watch")

    def __init__(self, log: DecisionLog, request_id: str, *, waits: bool) -> None:
        """Construct.

        Args:
            log: where they are written.
            request_id: of the request.
            waits: whether it is not known yet that somebody watches it.
        """
        self._log = log
        self._request_id = request_id
        self._waiting: list[tuple[str, dict[str, object]]] | None = [] if waits else None
        self._watch: Watch | None = None

    def note(self, about: str, **decided: object) -> None:
        """Write what was decided about something; no value here is a token or a message's."""
        if self._waiting is None:
            self._log.write(self._watch, self._request_id, about, decided)
        elif len(self._waiting) < _WAITING:
            self._waiting.append((about, decided))

    def belongs(self, watch: Watch) -> None:
        """Somebody watches it."""
        self._watch = watch
        waiting, self._waiting = self._waiting, None
        for about, decided in waiting or ():
            self.note(about, **decided)

    @property
    def is_over(self) -> bool:
        """Whether whoever watched it does so no more."""
        return self._watch is not None and self._watch.ended

    @property
    def waits(self) -> bool:
        """Whether it is not known yet that somebody watches the request."""
        return self._waiting is not None


class DecisionLog:
    """The watches that there are.

    Attributes:
        active: whether any request is watched: asked for each of them, so it is kept apart.
    """

    def __init__(self, log: Log, loop: asyncio.AbstractEventLoop, *, everything: bool) -> None:
        """Construct.

        Args:
            log: where decisions are written.
            loop: for the ends of watches.
            everything: whether all requests are watched, for as long as the process lives.
        """
        self._log = log
        self._loop = loop
        self._everything = everything
        self._watches: dict[str, Watch] = {}
        self.active = everything

    @property
    def watches(self) -> tuple[Watch, ...]:
        """Those that go on, in the order in which they began."""
        return tuple(self._watches.values())

    def left(self, watch: Watch) -> float:
        """The seconds for which it goes on."""
        return max(watch.until - self._loop.time(), 0.0)

    # What operators ask.

    def start(
        self, cohort: str | None, request_id: str | None, seconds: float, lines: int, author: str
    ) -> Watch:
        """Begin to watch the requests of a cohort, or those with a request id.

        Raises:
            TooMany: there are `MAX_WATCHES`.
        """
        if len(self._watches) >= MAX_WATCHES:
            raise TooMany
        watch = Watch(cohort, request_id, self._loop.time() + seconds, lines, author)
        watch.timer = self._loop.call_later(seconds, self._end, watch, "time")
        self._watches[watch.name] = watch
        self.active = True
        self._log.warning(
            "log watch started", **_told(watch), author=author, seconds=seconds, lines=lines
        )
        return watch

    def stop(self, name: str) -> bool:
        """End a watch; whether there was one of this name."""
        watch = self._watches.get(name)
        if watch is None:
            return False
        self._end(watch, "stopped")
        return True

    def close(self) -> None:
        """The process ends."""
        for watch in self.watches:
            self._end(watch, "the end of the process")

    # What requests tell.

    def follow(self, request_id: str, received: bytes) -> Trail | None:
        """Return the trail of a request that somebody watches, or may be watching.

        Args:
            request_id: Segue's own.
            received: the one that came with it; empty for none.
        """
        if self._everything:
            return Trail(self, request_id, waits=False)
        ids = (request_id, received.decode("latin-1"))
        for watch in self._watches.values():
            if watch.request_id is not None and watch.request_id in ids:
                trail = Trail(self, request_id, waits=False)
                trail.belongs(watch)
                return trail
        if any(watch.cohort is not None for watch in self._watches.values()):
            return Trail(self, request_id, waits=True)
        return None

    def settle(self, trail: Trail, cohort: str) -> Trail | None:
        """Say whether a request is watched, now that its cohort is known; None where it is not."""
        if not trail.waits:
            return trail
        for watch in self._watches.values():
            if watch.cohort == (cohort or NONE):
                trail.belongs(watch)
                return trail
        return None

    def late(self, trail: Trail | None, request_id: str, cohort: str) -> Trail | None:
        """Return the trail of an open WebSocket, which may be watched since long after it opened.

        Args:
            trail: that it has; None for none.
            request_id, cohort: of the WebSocket.
        """
        if trail is not None and not trail.is_over:
            return trail
        found = self.follow(request_id, b"") if self.active else None
        return None if found is None else self.settle(found, cohort)

    def write(
        self, watch: Watch | None, request_id: str, about: str, decided: dict[str, object]
    ) -> None:
        """Write a decision, unless the watch that it is for is over."""
        if watch is not None:
            if watch.ended:
                return
            watch.lines -= 1
        self._log.detail("decision", {"request_id": request_id, "about": about, **decided})
        if watch is not None and watch.lines <= 0:
            self._end(watch, "lines")

    def _end(self, watch: Watch, reason: str) -> None:
        if self._watches.pop(watch.name, None) is None:
            return
        watch.ended = True
        if watch.timer is not None:
            watch.timer.cancel()
        self.active = self._everything or bool(self._watches)
        self._log.warning("log watch ended", **_told(watch), reason=reason)


def _told(watch: Watch) -> dict[str, str | None]:
    told = {"cohort": watch.cohort, "watched_request_id": watch.request_id}
    return {"name": watch.name, **{key: value for key, value in told.items() if value is not None}}
