"""What the metrics page says of the present: open connections, the pool, the log's queue."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, cast

from proxy.connections import Connections
from proxy.metrics import Distribution, Family, Metrics
from proxy.relay.takeover import ClientConnection, Listener
from proxy.upstream import Counters


class Upstream(Protocol):
    """The connections to the server.

    Attributes:
        counters: of all of them, from the start.
    """

    counters: Counters

    @property
    def busy(self) -> int:
        """How many carry an exchange."""

    @property
    def idle(self) -> int:
        """How many wait for use."""


def show_connections(metrics: Metrics, listener: Listener, connections: Connections) -> None:
    """Show the connections of clients."""

    def in_flight() -> int:
        return sum(cast(ClientConnection, each).is_busy for each in listener.connections)

    metrics.add(
        Family(
            "gauge",
            "segue_open_connections",
            "Client connections open now: those that speak HTTP, and WebSockets.",
            ("kind",),
            lambda: [
                (("http",), len(listener.connections)),
                (("websocket",), len(connections)),
            ],
        )
    )
    metrics.add(
        Family(
            "gauge",
            "segue_requests_in_flight",
            "Requests being served now, WebSocket handshakes among them.",
            (),
            lambda: [((), in_flight())],
        )
    )


def show_upstream(metrics: Metrics, pool: Upstream) -> None:
    """Show the connections to the server."""
    counters = pool.counters
    metrics.add(
        Family(
            "gauge",
            "segue_upstream_up",
            "1 if the newest attempt to connect to the server succeeded, else 0.",
            (),
            lambda: [((), counters.up)],
        )
    )
    metrics.add(
        Family(
            "gauge",
            "segue_upstream_connections",
            "Pooled connections to the server: busy with an exchange, or idle.",
            ("state",),
            lambda: [(("busy",), pool.busy), (("idle",), pool.idle)],
        )
    )
    metrics.add(
        Family(
            "counter",
            "segue_upstream_connects",
            "Connections to the server that were opened.",
            (),
            lambda: [((), counters.connects)],
        )
    )
    metrics.add(
        Distribution(
            "histogram",
            "segue_upstream_connect_duration_seconds",
            "How long it took to open a connection to the server, TLS included.",
            (),
            lambda: [((), counters.connect_time)],
        )
    )
    metrics.add(
        Family(
            "counter",
            "segue_upstream_reuses",
            "Exchanges that used a kept connection to the server.",
            (),
            lambda: [((), counters.reuses)],
        )
    )
    metrics.add(
        Family(
            "counter",
            "segue_upstream_failures",
            "Connection attempts and exchanges that failed on the server's side, by error.",
            ("error",),
            lambda: [((label,), count) for label, count in counters.failures.items()],
        )
    )


def show_log(metrics: Metrics, dropped: Callable[[], int]) -> None:
    """Show what the log has lost."""
    metrics.add(
        Family(
            "counter",
            "segue_log_lines_dropped",
            "Lines of the log that were lost because whoever reads it was too slow.",
            (),
            lambda: [((), dropped())],
        )
    )
