"""What is shown of answers that are given again."""

from __future__ import annotations

from proxy.gateway.freshness import Freshness
from proxy.observability.families import Combined, Families, counter, gauge


def families(freshness: Freshness) -> Families:
    """What was given, what was not kept and why, what was heard, and what waiting cost."""
    return (
        counter(
            "segue_coalescing_given",
            "GETs that were answered with an answer that was kept, on routes with `fresh_until`.",
            ("route",),
            lambda: [((route,), count) for route, count in freshness.given.items()],
        ),
        counter(
            "segue_coalescing_not_kept",
            "GETs and answers on routes with `fresh_until` of which nothing was kept, by the"
            " reason: `session` (the GET has none), `request` or `response` (it forbids it),"
            " `socket` (that session has no WebSocket open here for that resource), `changed`"
            " (a message, a write or a WebSocket came between question and answer, or the question"
            " was sent within `settle` of a message), `full` (no room in `limits.memory`).",
            ("route", "reason"),
            freshness.not_kept.items,
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
            lambda: [((route,), seconds) for route, seconds in freshness.settling.items()],
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
