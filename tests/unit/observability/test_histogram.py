"""The buckets, against counting by hand."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.observability.histogram import BOUNDS, Histogram

LONGEST = 1e6


@given(durations=st.lists(st.floats(0, LONGEST) | st.sampled_from(BOUNDS)))
def test_each_bucket_counts_what_was_at_most_that_long(durations: list[float]) -> None:
    histogram = Histogram()
    for duration in durations:
        histogram.observe(duration)
    for label, count in histogram.buckets():
        assert count == sum(duration <= float(label) for duration in durations)
    assert histogram.observed == len(durations)
    assert histogram.total == pytest.approx(sum(durations))


def test_the_bounds_rise_from_ten_microseconds_to_a_minute_and_to_infinity() -> None:
    labels = [label for label, _ in Histogram().buckets()]
    assert (labels[0], labels[-2], labels[-1]) == ("0.00001", "60", "+Inf")
    assert [float(label) for label in labels] == [*BOUNDS, math.inf]
    assert sorted(set(BOUNDS)) == [*BOUNDS]
