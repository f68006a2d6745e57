"""Figures over the last hour: what a point has, and that the ring has a bound."""

from __future__ import annotations

from proxy.observability.last_hour import MAX_SERIES, POINTS, STEP, LastHour, Series

M = ("messages", "modern")
S = ("sockets", "modern", "7")


def test_counts_become_rates_and_levels_stay_as_they_are() -> None:
    kept = LastHour()
    assert kept.is_due(0.0)
    kept.take(0.0, 1000.0, {M: 50}, {S: 3})
    assert not kept.points  # Since when the first have been counted is not known.
    assert not kept.is_due(STEP - 1)
    assert kept.is_due(STEP)
    kept.take(STEP, 1030.0, {M: 50 + 2 * STEP, ("failed",): STEP}, {S: 4})
    (point,) = kept.points
    assert (point.at, point.seconds, point.left_out) == (1030.0, STEP, 0)
    assert point.values == {M: 2.0, ("failed",): 1.0, S: 4}


def test_a_count_that_went_back_has_no_rate() -> None:
    kept = LastHour()
    kept.take(0.0, 0.0, {M: 50}, {})
    kept.take(STEP, STEP, {M: 10}, {})
    kept.take(2 * STEP, 2 * STEP, {M: 10 + STEP}, {})
    assert [point.values for point in kept.points] == [{}, {M: 1.0}]


def test_two_points_of_one_moment_are_none() -> None:
    kept = LastHour()
    kept.take(5.0, 0.0, {M: 50}, {})
    kept.take(5.0, 0.0, {M: 51}, {})
    assert kept.points == ()


def test_an_hour_is_kept_and_of_each_point_the_highest() -> None:
    kept = LastHour()
    levels: dict[Series, float] = {
        ("sockets", "modern", str(number)): float(number) for number in range(100)
    }
    for number in range(2 * POINTS):
        kept.take(number * STEP, float(number), {}, levels)
    assert len(kept.points) == POINTS
    assert kept.points[-1].at == 2 * POINTS - 1
    assert {len(point.values) for point in kept.points} == {MAX_SERIES}
    assert len({id(point.names) for point in kept.points}) == 1  # Not an hour of names.
    assert kept.points[0].left_out == 100 - MAX_SERIES
    assert min(kept.points[0].values.values()) == 100 - MAX_SERIES
