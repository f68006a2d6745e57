"""Where a server is, what may be expected of it, and what became of connections to it."""

from __future__ import annotations

import ssl
import sys
from collections import Counter
from dataclasses import dataclass

from proxy.observability.histogram import Histogram


@dataclass(frozen=True, slots=True)
class Target:
    """Where a server is, and what may be expected of it. Times in seconds, sizes in bytes.

    Attributes:
        host, port: the address to connect to.
        authority: what `Host` says where the client's is not kept.
        tls: None for plain TCP.
        server_name: what the server's certificate must name, and SNI.
        connect_timeout: for TCP and TLS together.
        response_timeout: from the end of the request to the head of the response.
        idle_timeout: between two pieces of a response's body.
        max_head: the largest head of a response, those of 1xx included.
        max_idle: how many unused connections are kept.
        keepalive: how long one is kept, where the server does not say how long it does.
        write_buffer: the high-water mark of a connection's write buffer.
        last_file: the number of an open file from which on no connection is made: the rest is kept
            for others.
    """

    host: str
    port: int
    authority: bytes
    tls: ssl.SSLContext | None
    server_name: str | None
    connect_timeout: float
    response_timeout: float
    idle_timeout: float
    max_head: int
    max_idle: int
    keepalive: float
    write_buffer: int
    last_file: int = sys.maxsize

    @property
    def name(self) -> str:
        """What metrics and log call it: `host:port`."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Counters:
    """What happened to connections; read when the metrics are scraped.

    Attributes:
        up: whether the newest attempt to connect succeeded.
        connects, connect_time: connections that were opened, and how long that took.
        reuses: exchanges on a kept connection.
        failures: attempts and exchanges that failed, by the label of the error.
        retries: requests that were sent again after this server had failed, by reason.
        ejections: how often the server was put out.
    """

    __slots__ = ("connect_time", "connects", "ejections", "failures", "retries", "reuses", "up")

    def __init__(self) -> None:
        self.up = True
        self.connects = 0
        self.connect_time = Histogram()
        self.reuses = 0
        self.failures: Counter[str] = Counter()
        self.retries: Counter[str] = Counter()
        self.ejections = 0

    def fail(self, label: str) -> None:
        """Count a fault under the label of its error."""
        self.failures[label] += 1
