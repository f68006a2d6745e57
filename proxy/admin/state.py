"""What the metrics page says of the present: open connections, the pool, the log's queue."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from proxy.changeover import Pools
from proxy.connections import Connections
from proxy.metrics import Distribution, Family, Metrics
from proxy.relay.takeover import ClientConnection, Listener


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


def show_upstream(metrics: Metrics, pools: Pools) -> None:
    """Show the connections to the server."""
    counters = pools.counters
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
            lambda: [(("busy",), pools.busy), (("idle",), pools.idle)],
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
