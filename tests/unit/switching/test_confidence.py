"""Confidence sequences: right at every look, close to the exact answer, and never off the scale."""

from __future__ import annotations

import random
from math import comb, log

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.switching.confidence import ANYTHING, interval, spent


def test_nothing_seen_says_nothing() -> None:
    assert interval(0, 0, 0.001) == ANYTHING


@given(st.integers(1, 10**9), st.data())
def test_what_was_seen_is_inside(of: int, data: st.DataObject) -> None:
    failed = data.draw(st.integers(0, of))
    lower, upper = interval(failed, of, 0.001)
    assert 0 <= lower <= failed / of <= upper <= 1
    # Beyond a million, what is one short of all can be rounded to all.
    if of <= 10**6:
        assert (lower == 0) is (failed == 0)
        assert (upper == 1) is (failed == of)
    assert lower == 0 or failed
    assert upper == 1 or failed < of


@given(st.integers(1, 5000), st.floats(1e-9, 0.5), st.data())
def test_more_confidence_is_wider(of: int, error: float, data: st.DataObject) -> None:
    failed = data.draw(st.integers(0, of))
    sure, surer = interval(failed, of, error), interval(failed, of, error / 10)
    assert surer.lower <= sure.lower <= sure.upper <= surer.upper


def test_the_bound_is_where_the_mixture_says() -> None:
    # One of one: B(3/2, 1/2) / B(1/2, 1/2) = 1/2, and so 1/2 / p = 1 / error.
    assert interval(1, 1, 0.05).lower == pytest.approx(0.025)
    # Two of two: B(5/2, 1/2) / B(1/2, 1/2) = 3/8, and so 3/8 / p^2 = 1 / error.
    assert interval(2, 2, 0.06).lower == pytest.approx((0.06 * 3 / 8) ** 0.5)
    # None of n: C(2n, n) / 4^n / (1 - p)^n = 1 / error.
    expected = 1 - (0.01 * comb(2 * 500, 500) / 4**500) ** (1 / 500)
    assert interval(0, 500, 0.01).upper == pytest.approx(expected)
    assert expected < 3 * log(500) / 500  # The price of looking always: not far from 4.6 / n.


def test_looking_at_each_trial_errs_no_more_often_than_stated() -> None:
    # 400 runs at 10 %: 40 expected if all of the error were used, 20 more is over 3 deviations.
    chance = random.Random(7)
    error, share, wrong = 0.1, 0.02, 0
    for _ in range(400):
        failed = 0
        for of in range(1, 1501):
            failed += chance.random() < share
            if of % 10 == 0 and not interval(failed, of, error).lower <= share:
                wrong += 1
                break
    assert wrong <= 60


def test_all_windows_together_have_the_whole_error() -> None:
    total = sum(spent(0.001, window) for window in range(100_000))
    assert 0.00099 < total <= 0.001
