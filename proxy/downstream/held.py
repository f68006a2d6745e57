"""What the connection of one client holds while it speaks HTTP, as `limits.memory` counts it."""

from __future__ import annotations

from proxy.memory import Kind, MemoryBudget, Reservation, Reserve


class HeldByConnection:
    """What came from a client and was read by nobody, and what it has not taken.

    Most connections never reserve anything.

    Attributes:
        holder: for whom it counts.
    """

    __slots__ = ("_memory", "_received", "_unsent", "holder")

    def __init__(self, memory: MemoryBudget, holder: str) -> None:
        """Begin with nothing.

        Args:
            memory: what may be held.
            holder: see the attribute.
        """
        self.holder = holder
        self._memory = memory
        self._received: Reservation | None = None
        self._unsent: Reservation | None = None

    def reserve(self, kind: Kind) -> Reservation:
        """Return a reservation of nothing yet."""
        return self._memory.reserve(kind, self.holder)

    def for_good(self) -> Reserve:
        """What does the same for the client of now, whatever becomes of its connection."""
        memory, holder = self._memory, self.holder
        return lambda kind: memory.reserve(kind, holder)

    def receive(self, size: int) -> bool:
        """Hold so many bytes that nobody has read; whether there is room for them."""
        if self._received is None:
            if not size:
                return True
            self._received = self.reserve(Kind.RECEIVED)
        if self._received.resize(size):
            return True
        self._received.release()  # All of it is thrown away.
        return False

    def left(self, size: int) -> None:
        """So many bytes are left that nobody has read."""
        if self._received is not None:
            self._received.take(size)

    def send(self, size: int) -> bool:
        """Hold so many bytes that wait to be sent; whether there is room for them."""
        if self._unsent is None:
            self._unsent = self.reserve(Kind.UNSENT)
        return self._unsent.resize(size)

    def sent(self) -> None:
        """Nothing much waits to be sent any more."""
        if self._unsent is not None:
            self._unsent.release()
            self._unsent = None

    def read(self) -> None:
        """All that came was read."""
        if self._received is not None:
            self._received.release()
            self._received = None

    def give_back(self) -> None:
        """The connection has ended, or became something else."""
        self.sent()
        self.read()
