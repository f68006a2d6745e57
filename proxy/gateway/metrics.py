"""What is shown of the steps of requests."""

from __future__ import annotations

from proxy.gateway.coalescing import Coalescer
from proxy.observability.families import Families, counter


def families(coalescer: Coalescer) -> Families:
    """What request coalescing was asked, and asks."""
    return (
        counter(
            "segue_coalescing_requests",
            "GETs of clients on the routes of `coalescing`.",
            ("route",),
            lambda: [((route,), count) for route, count in coalescer.received.items()],
        ),
        counter(
            "segue_coalescing_upstream_requests",
            "Requests that were made to the server for them; the difference is what sharing"
            " spared it.",
            ("route",),
            lambda: [((route,), count) for route, count in coalescer.sent.items()],
        ),
    )
