"""What is written to a connection and has not been taken by its other end."""

from __future__ import annotations

import asyncio
import fcntl
import sys
import termios


def unacknowledged(transport: asyncio.WriteTransport) -> int:
    """Return how many bytes wait, in the transport and in the kernel, or are on their way.

    The transport's own buffer stands still for long while the kernel sends what it has: it takes
    more only when a good part of its own buffer, some megabytes, has gone. So only both together
    say whether the other end reads. Where the kernel cannot be asked, its part counts as nothing.
    """
    waiting = transport.get_write_buffer_size()
    sock = transport.get_extra_info("socket")
    if sock is None:
        return waiting
    try:
        # SIOCOUTQ of tcp(7), by its other name.
        queued = fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(4))
    except (OSError, ValueError):
        return waiting
    return waiting + int.from_bytes(queued, sys.byteorder)


class Backlog:
    """Whether the other ends of some connections take what is written to them, from time to time.

    Of an end that is slow, and not gone, something is taken between two looks.
    """

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting = 0

    def note(self, *transports: asyncio.WriteTransport) -> None:
        """Count from now on."""
        self._waiting = sum(map(unacknowledged, transports))

    def shrinks(self, *transports: asyncio.WriteTransport) -> bool:
        """Whether less waits than at the last look, or note."""
        before = self._waiting
        self.note(*transports)
        return self._waiting < before
