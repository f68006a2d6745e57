"""What is shown of the servers, and of the connections to them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from proxy.observability.families import Combined, Families, Samples, counter, gauge, histogram
from proxy.upstream.fleet import Fleet
from proxy.upstream.target import Counters


def families(fleet: Fleet) -> Families:
    """What is shown of the servers, and of the connections to them. Every series bears its server.

    Gauges are of the servers that are configured; counts also of those that were.
    """
    return (
        gauge(
            "segue_upstream_up",
            "1 if the newest attempt to connect to the server succeeded, and it is not left alone"
            " because of failures or of what probes say; else 0.",
            ("target",),
            lambda: [
                ((pool.name,), pool.counters.up and pool.health.is_healthy) for pool in fleet.pools
            ],
            over_processes=Combined.EACH,
        ),
        gauge(
            "segue_upstream_load",
            "Requests that the server is being asked, and WebSockets open to it: the next request"
            " goes to the server with the fewest of both.",
            ("target", "kind"),
            lambda: [
                ((pool.name, kind), value)
                for pool in fleet.known
                for kind, value in (("request", pool.in_flight), ("websocket", pool.sockets))
            ],
            over_processes=Combined.SUM,
        ),
        gauge(
            "segue_upstream_connections",
            "Pooled connections to the server: busy with an exchange, or idle.",
            ("target", "state"),
            lambda: [
                ((pool.name, state), value)
                for pool in fleet.known
                for state, value in (("busy", pool.busy), ("idle", pool.idle))
            ],
            over_processes=Combined.SUM,
        ),
        counter(
            "segue_upstream_connects",
            "Connections to the server that were opened.",
            ("target",),
            lambda: [((pool.name,), pool.counters.connects) for pool in fleet.known],
        ),
        histogram(
            "segue_upstream_connect_duration_seconds",
            "How long it took to open a connection to the server, TLS included.",
            ("target",),
            lambda: [((pool.name,), pool.counters.connect_time) for pool in fleet.known],
        ),
        counter(
            "segue_upstream_reuses",
            "Exchanges that used a kept connection to the server.",
            ("target",),
            lambda: [((pool.name,), pool.counters.reuses) for pool in fleet.known],
        ),
        counter(
            "segue_upstream_failures",
            "Connection attempts and exchanges that failed on the server's side, by error.",
            ("target", "error"),
            lambda: _each(fleet, lambda counters: counters.failures),
        ),
        counter(
            "segue_upstream_retries",
            "Requests that were tried once more after this server had failed: `unreached`, it could"
            " not be connected to, and another was tried; `unanswered`, it closed the connection,"
            " and another was asked; `stale`, it had closed a kept connection, and was asked on a"
            " fresh one.",
            ("target", "reason"),
            lambda: _each(fleet, lambda counters: counters.retries),
        ),
        counter(
            "segue_upstream_ejections",
            "How often the server was left alone for a while, because it had failed.",
            ("target",),
            lambda: [((pool.name,), pool.counters.ejections) for pool in fleet.known],
        ),
    )


def _each(fleet: Fleet, counted: Callable[[Counters], Counter[str]]) -> Samples:
    """The counts of each server by a label."""
    for pool in fleet.known:
        for label, count in counted(pool.counters).items():
            yield (pool.name, label), count
