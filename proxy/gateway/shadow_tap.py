"""What is on the way of messages for a shadow: it passes them on, and offers them."""

from __future__ import annotations

from typing import Protocol

from proxy.errors import MappingFailure
from proxy.gateway.shadow_account import ShadowPoint
from proxy.gateway.shadow_queue import MAX_MESSAGE
from proxy.gateway.shadow_switch import Targets
from proxy.mapping.engine.program import Program
from proxy.rewriting import MessageCopy, Rewriter, Room


class Offering(Protocol):
    """Who works on what would have become of messages."""

    def offer(
        self,
        targets: Targets,
        point: ShadowPoint,
        message: bytes,
        made: tuple[bytes, ...] | None,
        failure: MappingFailure | None,
    ) -> None:
        """Take note of a message that is about to be sent; on the data path."""

    def miss(self, targets: Targets, *, too_large: bool) -> None:
        """Take note of a message that went by and cannot be compared."""


class ShadowTap:
    """A rewriter that does what the one inside does, and offers it to be compared.

    Attributes:
        inner: the one inside.
        program: that one, where it is a program; None where it is none.
    """

    __slots__ = ("_point", "_shadows", "_targets", "inner", "program")

    def __init__(
        self,
        shadows: Offering,
        inner: Rewriter,
        targets: Targets,
        point: ShadowPoint,
    ) -> None:
        self.inner = inner
        self.program = inner if isinstance(inner, Program) else None
        self._shadows = shadows
        self._targets = targets
        self._point = point

    def apply(self, message: bytes) -> tuple[bytes, ...] | None:
        """See `Program.apply`."""
        try:
            made = self.inner.apply(message)
        except MappingFailure as failure:
            self._shadows.offer(self._targets, self._point, message, None, failure)
            raise
        self._shadows.offer(self._targets, self._point, message, made, None)
        return made


class ShadowObserver:
    """Offers the messages of a socket to which nothing is done."""

    __slots__ = ("_point", "_room", "_shadows", "_targets")

    def __init__(self, shadows: Offering, targets: Targets, point: ShadowPoint, room: Room) -> None:
        self._shadows = shadows
        self._targets = targets
        self._point = point
        self._room = room

    def note(self, message: bytes) -> None:
        self._shadows.offer(self._targets, self._point, message, None, None)

    def miss(self, *, too_large: bool) -> None:
        self._shadows.miss(self._targets, too_large=too_large)

    def begin(self) -> MessageCopy:
        return MessageCopy(self, MAX_MESSAGE, self._room)
