"""Where the server is, what may be expected of it, and what became of connections to it."""

from __future__ import annotations

import ssl
from dataclasses import dataclass

from proxy.histogram import Histogram


@dataclass(frozen=True, slots=True)
class Target:
    """Where the server is, and what may be expected of it. Times in seconds, sizes in bytes.

    Attributes:
        host, port: the address to connect to.
        tls: None for plain TCP.
        server_name: what the server's certificate must name, and SNI.
        connect_timeout: for TCP and TLS together.
        response_timeout: from the end of the request to the head of the response.
        idle_timeout: between two pieces of a response's body.
        max_head: the largest head of a response, those of 1xx included.
        max_idle: how many unused connections are kept.
        write_buffer: the high-water mark of a connection's write buffer.
    """

    host: str
    port: int
    tls: ssl.SSLContext | None
    server_name: str | None
    connect_timeout: float
    response_timeout: float
    idle_timeout: float
    max_head: int
    max_idle: int
    write_buffer: int

    @property
    def name(self) -> str:
        """What the log calls it."""
        return f"{self.host}:{self.port}"


class Counters:
    """What happened to connections; read when the metrics are scraped."""

    __slots__ = ("connect_time", "connects", "failures", "reuses", "up")

    def __init__(self) -> None:
        self.up = True
        self.connects = 0
        self.connect_time = Histogram()
        self.reuses = 0
        self.failures: dict[str, int] = {}

    def fail(self, label: str) -> None:
        """Count a fault under the label of its error."""
        self.failures[label] = self.failures.get(label, 0) + 1
