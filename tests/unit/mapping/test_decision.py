"""What is decided for clients, and what is counted with it."""

from __future__ import annotations

from proxy.mapping.decision import NOTHING, Decision, RequestCounts
from proxy.mapping.programs import NO_PROGRAMS


def test_a_decision_has_counted_nothing_yet() -> None:
    decision = Decision(NO_PROGRAMS)
    assert (decision.taken, decision.requests, decision.applied) == (0, None, ())
    assert decision != NOTHING
    counts = RequestCounts()
    assert (counts.requests, counts.errors, counts.added.observed) == (0, 0, 0)
