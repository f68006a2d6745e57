"""What is shown of answers that are given again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from proxy.gateway.freshness import Freshness
from proxy.observability.families import Combined, Families, Samples, counter, gauge
from proxy.snapshot import Live

REASONS: Final = ("session", "request", "response", "socket", "changed", "full", "waiters")


def families(freshness: Freshness, live: Live) -> Families:
    """What was given, what was not kept and why, what was heard, and what waiting cost.

    What has not happened yet on a route is shown as 0: a rate needs a beginning.
    """

    def routes() -> Iterator[str]:
        return (route.name for route in live.current.config.coalescing if route.fresh_until)

    def by_route(counts: Mapping[str, float]) -> Samples:
        return [((route,), counts.get(route, 0)) for route in {*routes(), *counts}]

    def not_kept() -> Samples:
        counts = dict.fromkeys(((route, reason) for route in routes() for reason in REASONS), 0)
        return (counts | freshness.not_kept).items()

    return (
        counter(
            "segue_coalescing_given",
            "GETs that were answered with an answer that was kept, on routes with `fresh_until`.",
            ("route",),
            lambda: by_route(freshness.given),
        ),
        counter(
            "segue_coalescing_not_kept",
            "GETs and answers on routes with `fresh_until` of which nothing was kept, by the"
            " reason: `session` (the GET has none), `request` or `response` (it forbids it),"
            " `socket` (that session has no WebSocket open here for that resource), `changed`"
            " (a message, a write or a WebSocket came between question and answer, or the question"
            " was sent within `settle` of a message), `full` (no room in `limits.memory`),"
            " `waiters` (sent apart, as `limits.shared_waiters` was reached).",
            ("route", "reason"),
            not_kept,
        ),
        counter(
            "segue_coalescing_signs",
            "What was taken for a sign that a resource may have changed: `message`, `unreadable`"
            " (a message: all of its session counts as changed), `socket` (one has opened, or"
            " closed: what was asked for before all that are open is not given), `write` (a request"
            " that is not safe was sent, or answered); and `copy`, of a message that had come on"
            " another WebSocket of the same session and path, and counts for nothing.",
            ("sign",),
            lambda: [((sign.value,), count) for sign, count in freshness.generations.signs.items()],
        ),
        counter(
            "segue_coalescing_settle_seconds",
            "Time that questions waited before they were sent, because of `settle`.",
            ("route",),
            lambda: by_route(freshness.settling),
        ),
        gauge(
            "segue_coalescing_kept_answers",
            "Answers that are kept at the moment; their bytes are those of the kind `kept_answer`"
            " in `segue_memory_reserved_bytes`.",
            (),
            lambda: [((), len(freshness.answers))],
            over_processes=Combined.SUM,
        ),
    )
