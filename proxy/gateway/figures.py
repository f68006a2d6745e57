"""What is kept for plots over the last hour: few figures, of all mappings together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from proxy.observability.last_hour import Series
from proxy.observability.metrics import Metrics
from proxy.sessions.service import Sessions

UNMAPPED = "other"
"""The kind of messages that are in no list of a mapping's file."""


def counts(metrics: Metrics, sessions: Sessions | None) -> dict[Series, float]:
    """Totals that only grow."""
    found: Counter[Series] = Counter({("failed",): 0, ("unmapped",): 0})
    for (cohort, _, _, outcome), count in metrics.message_outcomes():
        found["messages", cohort] += int(count)
        if outcome == "failed":
            found["failed",] += int(count)
    for labels, count in metrics.unmapped_kinds():
        if labels[-1] == UNMAPPED:
            found["unmapped",] += int(count)
    found["errors",] = metrics.errors.total()
    if sessions is not None:
        found["refreshes",] = sessions.counts.refreshes.total()
    return dict(found)


def levels(
    by_revision: Mapping[tuple[str, int], int], sessions: Sessions | None
) -> dict[Series, float]:
    """Values of this moment.

    Args:
        by_revision: the open WebSockets, by cohort and revision.
        sessions: None where they are off.
    """
    found: dict[Series, float] = {
        ("sockets", cohort, str(revision)): count
        for (cohort, revision), count in by_revision.items()
        if count
    }
    if sessions is not None:
        found["sessions",] = sessions.counts.open
    return found
