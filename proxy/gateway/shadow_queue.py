"""Messages that wait to be compared: within bounds, and by chance where there are more.

Where there is more than can be worked on, the queue stays full, and what comes then takes the place
of another message at random (a reservoir), so that all of a burst have the same chance, and not its
first ones. What is left out is counted. What is queued is no copy, but a second reference to the
bytes.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterator
from typing import Final, NamedTuple

from proxy.errors import MappingFailure
from proxy.gateway.shadow_account import ShadowPoint
from proxy.gateway.shadow_switch import Targets

MAX_MESSAGE: Final = 64 * 1024
"""Bytes of the largest message that is compared; what was sent in its place may be twice as much.
It bounds how long the loop can be kept from its work, and what the queue holds."""

MAX_QUEUED: Final = 256
MAX_QUEUED_BYTES: Final = 4 * 1024 * 1024
"""Messages, and bytes of them, that wait to be compared."""


class OfferedMessage(NamedTuple):
    """A message that waits.

    Attributes:
        targets: what would be applied to it.
        point: its direction, and the cohort of its client.
        message: as it came.
        made: what was sent in its place; None where it was sent as it came.
        failure: why a rule could not be carried out, of those that are really applied.
        size: bytes of all that is held for it.
    """

    targets: Targets
    point: ShadowPoint
    message: bytes
    made: tuple[bytes, ...] | None
    failure: MappingFailure | None
    size: int

    def skip(self, *, too_large: bool = False) -> None:
        """Count it as one that is not compared."""
        for shadow, _ in self.targets:
            shadow.account.skip(too_large=too_large)


class ShadowQueue:
    """Holds what waits.

    Attributes:
        bytes: of all messages in it.
    """

    def __init__(self) -> None:
        self.bytes = 0
        self._waiting: deque[OfferedMessage] = deque()
        # How many were offered since there was room.
        self._crowd = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def __iter__(self) -> Iterator[OfferedMessage]:
        return iter(self._waiting)

    def put(self, offered: OfferedMessage) -> None:
        """Take a message, in place of another one or not at all where there are too many."""
        if len(offered.message) > MAX_MESSAGE or offered.size > 3 * MAX_MESSAGE:
            offered.skip(too_large=True)
            return
        self._crowd += 1
        if len(self._waiting) < MAX_QUEUED and self.bytes + offered.size <= MAX_QUEUED_BYTES:
            self._crowd = len(self._waiting) + 1
            self._waiting.append(offered)
            self.bytes += offered.size
        else:
            self._replace(offered)

    def take(self) -> OfferedMessage:
        """Give away the one that came first of those that are there."""
        offered = self._waiting.popleft()
        self.bytes -= offered.size
        return offered

    def give_up(self) -> None:
        """Compare none of them."""
        for offered in self._waiting:
            offered.skip()
        self._waiting.clear()
        self.bytes = 0

    def _replace(self, offered: OfferedMessage) -> None:
        """Let a message take the place of another, or of none, by chance."""
        place = int(random.random() * self._crowd)  # noqa: S311 (a sample, no secret)
        if place < len(self._waiting):
            other = self._waiting[place]
            size = self.bytes + offered.size - other.size
            if size <= MAX_QUEUED_BYTES:
                self._waiting[place] = offered
                self.bytes = size
                offered = other
        offered.skip()
