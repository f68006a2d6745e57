"""The bounds of a client connection while it speaks HTTP."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """What one client may take up. Times in seconds, sizes in bytes.

    Attributes:
        header_timeout: for the head of a request, from its first byte.
        keepalive_timeout: between two requests, and for a client that takes nothing of what is
            sent to it.
        header_line: the longest request line, and the longest value of a field.
        headers: the largest number of fields.
        write_buffer: the high-water mark of the write buffer.
        connections: how many connections may be open at once, WebSockets among them.
    """

    header_timeout: float
    keepalive_timeout: float
    header_line: int
    headers: int
    write_buffer: int
    connections: int
