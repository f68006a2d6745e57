"""Guards: what fails, what passes, what is held for lack of data, and the state below a state."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.switching.guards import (
    FEWEST,
    LADDER,
    NO_FIGURES,
    Figure,
    Figures,
    Finding,
    GuardRules,
    Outcome,
    Samples,
    height,
    judge,
    step_back,
    window_of,
)
from proxy.switching.setting import OFF, ON, WHOLE, Mode, Setting

RULES = GuardRules()
HEALTHY = Figures(messages=10_000, failed=20, requests=2000)
BROKEN = Figures(messages=1000, failed=50)
counts = st.integers(0, 10**6)
figures = st.builds(Figures, *[counts] * 10)
settings = st.one_of(
    st.sampled_from((OFF, Setting(Mode.SHADOW), ON)),
    st.integers(0, WHOLE).map(lambda share: Setting(Mode.CANARY, share)),
)


def outcome(rules: GuardRules = RULES, users: int | None = 100, **counted: int) -> Outcome:
    return judge(rules, Samples(0, Figures(**counted), users=users)).outcome


def finding(figure: Figure, rules: GuardRules = RULES, **counted: int) -> Finding:
    found = judge(rules, Samples(0, Figures(**counted), users=100)).findings
    return next(each for each in found if each.figure is figure)


def test_a_share_above_its_bound_fails_and_says_which() -> None:
    verdict = judge(RULES, Samples(0, BROKEN, users=40))
    assert verdict.outcome is Outcome.FAIL
    failure = verdict.failure
    assert failure is not None
    assert (failure.figure, failure.failed, failure.of) == (Figure.FAILED, 50, 1000)
    assert failure.lower > failure.bound == RULES.failed
    assert str(failure).startswith("failed messages: 5% (50 of 1000; ")
    assert str(failure).endswith("bound 1%")


def test_a_share_within_its_bound_passes() -> None:
    verdict = judge(RULES, Samples(0, HEALTHY, users=40))
    assert (verdict.outcome, verdict.missing) == (Outcome.PASS, ())
    assert verdict.failure is None


def test_no_errors_are_zero_and_no_traffic_is_missing() -> None:
    assert outcome(messages=5000) is Outcome.PASS
    verdict = judge(RULES, Samples(users=0))
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert verdict.missing == ("0 of 200 messages", "0 of 10 users")
    assert all(each.value is None for each in verdict.findings)
    assert str(verdict.findings[0]) == "failed messages: none seen"


def test_one_user_alone_fails_nothing_however_many_messages_they_have() -> None:
    assert outcome(users=1, messages=100_000, failed=100_000) is Outcome.INCONCLUSIVE
    assert outcome(users=None, messages=100_000, failed=100_000) is Outcome.FAIL


def test_a_few_failures_are_neither() -> None:
    verdict = judge(RULES, Samples(0, Figures(messages=300, failed=4), users=40))
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert verdict.missing[0].startswith("failed messages: 1.33% (4 of 300; ")


def test_kinds_that_nobody_has_decided_about() -> None:
    assert outcome(messages=1000, unmapped=200) is Outcome.FAIL
    assert outcome(replace(RULES, unmapped=None), messages=1000, unmapped=900) is Outcome.PASS


def test_sockets_closed_for_protocol_errors() -> None:
    assert outcome(messages=5000, sockets=FEWEST, closed=FEWEST) is Outcome.FAIL
    # One fewer is too little to say, and still not what a ramp may go over.
    few = FEWEST - 1
    assert outcome(messages=5000, sockets=few, closed=few) is Outcome.INCONCLUSIVE
    assert outcome(messages=5000, sockets=3) is Outcome.PASS


def test_added_latency_is_a_share_of_slow_requests() -> None:
    assert outcome(messages=5000, requests=1000, slow=50) is Outcome.FAIL
    assert outcome(messages=5000, requests=1000, slow=5) is Outcome.PASS
    told = str(finding(Figure.ADDED_LATENCY, requests=1000, slow=50))
    assert told.endswith("bound 1%, 250 ms")


def test_http_errors_are_set_beside_those_of_the_control_group() -> None:
    rules = replace(RULES, http_errors=0.01)

    def beside(others: int, errors: int) -> Outcome:
        return outcome(
            rules,
            messages=5000,
            requests=3000,
            errors=300,
            others=others,
            other_errors=errors,
        )

    assert beside(20_000, 200) is Outcome.FAIL
    # The server fails for everybody: not the mapping's fault.
    assert beside(20_000, 2000) is Outcome.PASS
    # Nobody to compare with.
    assert beside(0, 0) is Outcome.PASS
    assert beside(FEWEST - 1, 0) is not Outcome.FAIL


def test_without_bounds_nothing_is_said_but_the_minimum_counts() -> None:
    rules = GuardRules(
        failed=None, unmapped=None, protocol_closes=None, added_latency=None, http_errors=None
    )
    assert rules.watched == ()
    assert outcome(rules, messages=200, failed=200) is Outcome.PASS
    assert outcome(rules, messages=199) is Outcome.INCONCLUSIVE


def test_the_window_before_stands_while_there_is_too_little_in_this_one() -> None:
    few = Figures(messages=50)
    assert judge(RULES, Samples(1, few, HEALTHY, 40)).outcome is Outcome.PASS
    assert judge(RULES, Samples(1, few, BROKEN, 40)).outcome is Outcome.FAIL
    assert judge(RULES, Samples(1, BROKEN, HEALTHY, 40)).outcome is Outcome.FAIL
    assert judge(RULES, Samples(1, HEALTHY, few, 40)).outcome is Outcome.PASS
    doubtful = Figures(messages=300, failed=4)
    assert judge(RULES, Samples(1, doubtful, HEALTHY, 40)).outcome is Outcome.INCONCLUSIVE
    verdict = judge(RULES, Samples(3, few, HEALTHY, 40))
    assert (verdict.window, verdict.messages) == (2, HEALTHY.messages)


def test_later_windows_need_more_to_fail() -> None:
    seen = Figures(messages=300, failed=16)
    assert judge(RULES, Samples(0, seen, users=40)).outcome is Outcome.FAIL
    assert judge(RULES, Samples(10_000, seen, users=40)).outcome is Outcome.INCONCLUSIVE


@given(figures, figures, st.integers(0, 10**6), st.one_of(st.none(), st.integers(0, 10**6)))
def test_anything_that_is_counted_has_a_verdict(
    now: Figures, before: Figures, window: int, users: int | None
) -> None:
    rules = replace(RULES, http_errors=0.05)
    verdict = judge(rules, Samples(window, now, before, users))
    assert (verdict.outcome is Outcome.FAIL) is (verdict.failure is not None)
    assert (verdict.outcome is Outcome.PASS) is (verdict.missing == ())
    for each in verdict.findings:
        assert 0 <= each.lower <= (each.value or 0) <= each.upper <= 1
        assert 0 <= each.failed <= each.of
        assert str(each)


@given(figures, figures)
def test_figures_are_added_up_and_taken_from_each_other(one: Figures, other: Figures) -> None:
    assert one + other == other + one
    assert (one + other) - other == one
    assert NO_FIGURES - one == NO_FIGURES
    assert one + NO_FIGURES == one


def test_a_healthy_mapping_is_not_taken_back() -> None:
    """Exactly at its bound, looked at often: as seldom as stated, 1 in 1,000, over all windows."""
    chance, taken_back = random.Random(11), 0
    rules = replace(RULES, error=0.05)
    for _ in range(200):
        messages = failed = 0
        for _ in range(100):
            messages += 50
            failed += sum(chance.random() < 0.01 for _ in range(50))
            seen = Samples(0, Figures(messages=messages, failed=failed), users=40)
            if judge(rules, seen).outcome is Outcome.FAIL:
                taken_back += 1
                break
    # 200 runs at an error of 5 % for all figures: 10 expected at most.
    assert taken_back <= 10


@pytest.mark.parametrize(
    ("setting", "below"),
    [
        (ON, Setting(Mode.CANARY, 5000)),
        (Setting(Mode.CANARY, 7000), Setting(Mode.CANARY, 5000)),
        (Setting(Mode.CANARY, 1000), Setting(Mode.CANARY, 100)),
        (Setting(Mode.CANARY, 100), Setting(Mode.SHADOW)),
        (Setting(Mode.CANARY, 50), Setting(Mode.SHADOW)),
        (Setting(Mode.SHADOW), OFF),
        (OFF, OFF),
    ],
)
def test_one_state_back(setting: Setting, below: Setting) -> None:
    assert step_back(setting) == below


@given(settings, st.lists(settings, max_size=8).map(tuple))
def test_steps_back_come_to_off(setting: Setting, ladder: tuple[Setting, ...]) -> None:
    seen = [setting]
    while setting != OFF:
        setting = step_back(setting, ladder)
        assert height(setting) < height(seen[-1])
        assert setting in (*ladder, OFF)
        seen.append(setting)
    assert len(LADDER) == 5


def test_windows_are_counted_from_the_revision_on() -> None:
    assert window_of(1000.0, 1000.0, 60.0) == 0
    assert window_of(1059.9, 1000.0, 60.0) == 0
    assert window_of(1060.0, 1000.0, 60.0) == 1
    # Another clock, a little behind.
    assert window_of(999.0, 1000.0, 60.0) == 0
