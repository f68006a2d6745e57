"""What became of requests, by what was decided for their clients."""

from __future__ import annotations

from proxy.gateway import request_outcomes
from proxy.gateway.request_outcomes import RequestOutcomes
from proxy.http.traceparent import trace_of
from proxy.mapping.decision import NOTHING, Applied, Decision
from proxy.mapping.programs import NO_PROGRAMS
from proxy.observability.access_log import RequestInfo
from proxy.switching.setting import Mode
from proxy.switching.table import SwitchName

ONE, TWO = SwitchName("modern", "one"), SwitchName("modern", "two")


def decided(one: Mode, two: Mode = Mode.OFF) -> Decision:
    applied = (Applied(ONE, "", one), Applied(TWO, "", two))
    return Decision(NO_PROGRAMS, (), applied)


def ended(status: int, waited: float = 0.0) -> RequestInfo:
    trace = trace_of((), lambda bits: 1 << bits - 1)
    info = RequestInfo("id", 100.0, "::1", "GET", "/", trace)
    info.status, info.waited = status, waited
    return info


def test_those_with_the_mapping_stand_beside_those_without() -> None:
    outcomes = RequestOutcomes()
    inside, outside = decided(Mode.ON), decided(Mode.OFF)
    for status in (200, 400, 422, 500, 503, 404, 401, 499, 101):
        outcomes.observe(inside, ended(status), 100.01)
    outcomes.observe(inside, ended(200), 101.0)
    outcomes.observe(inside, ended(200, waited=0.9), 101.0)  # The server took its time.
    outcomes.observe(outside, ended(500), 100.0)
    outcomes.observe(decided(Mode.SHADOW), ended(500), 100.0)
    outcomes.observe(NOTHING, ended(500), 100.0)
    assert outcomes.totals(ONE, 0.25) == (11, 1, 4, 1, 1)
    assert outcomes.totals(TWO, 0.25) == (0, 0, 0, 13, 6)
    assert outcomes.totals(SwitchName("a", "b"), 0.25) == (0, 0, 0, 0, 0)


def test_the_same_decision_of_another_catalogue_counts_on() -> None:
    outcomes = RequestOutcomes()
    for _ in range(3):
        outcomes.observe(decided(Mode.ON), ended(200), 100.0)
    assert outcomes.totals(ONE, 1.0) == (3, 0, 0, 0, 0)


def test_there_is_an_end_to_what_is_told_apart() -> None:
    outcomes = RequestOutcomes()
    for number in range(request_outcomes.MAX_DECIDED + 10):
        applied = (Applied(SwitchName("modern", str(number)), "", Mode.ON),)
        outcomes.observe(Decision(NO_PROGRAMS, (), applied), ended(200), 100.0)
    last = SwitchName("modern", str(request_outcomes.MAX_DECIDED + 9))
    assert outcomes.totals(last, 1.0) == (0, 0, 0, 0, 0)
    assert len(outcomes._counts) == request_outcomes.MAX_DECIDED
