"""Times: the calendar against Python's own, digits that survive, and what is refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.mapping.language.times import (
    Instant,
    Style,
    Untimely,
    read_epoch,
    read_iso,
    read_offset,
    write_epoch,
    write_iso,
)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
AS_IT_COMES = Style()


offsets = st.integers(-23 * 60 - 59, 23 * 60 + 59).map(lambda m: timezone(timedelta(minutes=m)))
times = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=offsets)  # noqa: DTZ001


@given(times)
def test_reading_agrees_with_python(time: datetime) -> None:
    instant = read_iso(time.isoformat(), AS_IT_COMES)
    assert Fraction(instant.units, 10**instant.digits) == Fraction(
        (time - EPOCH) // MICROSECOND, 10**6
    )


@given(times, st.integers(-23 * 60, 23 * 60))
def test_writing_agrees_with_python(time: datetime, minutes: int) -> None:
    zone = timezone(timedelta(minutes=minutes))
    try:
        local = time.astimezone(zone)
    except OverflowError:
        return
    offset = local.isoformat(timespec="microseconds")[-6:]
    instant = Instant((time - EPOCH) // MICROSECOND, 6)
    written = write_iso(instant, Style(offset=offset))
    assert written == local.isoformat(timespec="microseconds")


@given(st.integers(-(10**10), 10**10), st.integers(0, 18), st.sampled_from([0, 3]))
def test_numbers_come_back_digit_by_digit(units: int, digits: int, scale: int) -> None:
    written = write_epoch(Instant(units, digits), scale, AS_IT_COMES)
    again = read_epoch(written, scale)
    assert Fraction(again.units, 10**again.digits) == Fraction(units, 10**digits)
    assert Fraction(written) == Fraction(units, 10**digits) * 10**scale


@pytest.mark.parametrize(
    ("text", "units", "digits"),
    [
        ("1970-01-01T00:00:00Z", 0, 0),
        ("1970-01-01 00:00z", 0, 0),
        ("1970-01-01t01:30:00.50+01:30", 50, 2),
        ("1970-01-01T00:00:00,5-0000", 5, 1),
        ("1969-12-31T23:59:59.9Z", -1, 1),
        ("1970-01-01T02:00:00+02", 0, 0),
        ("2000-02-29T00:00:00Z", 951782400, 0),
        ("1970-01-01T00:00:00.000000000000000001Z", 1, 18),
    ],
)
def test_spellings_that_are_read(text: str, units: int, digits: int) -> None:
    assert read_iso(text, AS_IT_COMES) == Instant(units, digits)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "not a date and time"),
        ("2025-03-04", "not a date and time"),
        ("2025-03-04T10:15:00.Z", "not a date and time"),
        ("2025-03-04T10:15:00.0000000000000000001Z", "not a date and time"),
        ("٢٠٢٥-03-04T10:15:00Z", "not a date and time"),
        ("2025-03-04T10:15:00Z\n", "not a date and time"),
        ("2025-02-29T10:15:00Z", "does not exist"),
        ("1900-02-29T10:15:00Z", "does not exist"),
        ("2025-13-01T10:15:00Z", "does not exist"),
        ("0000-01-01T10:15:00Z", "does not exist"),
        ("2025-03-00T10:15:00Z", "does not exist"),
        ("2016-12-31T23:59:60Z", "time of day"),
        ("2025-03-04T24:00:00Z", "time of day"),
        ("2025-03-04T10:60:00Z", "time of day"),
        ("2025-03-04T10:15:00", "no offset"),
        ("2025-03-04T10:15:00+24:00", "expected an offset"),
        ("2025-03-04T10:15:00+00:60", "expected an offset"),
    ],
)
def test_what_is_no_time_is_refused_without_repeating_it(text: str, reason: str) -> None:
    with pytest.raises(Untimely, match=reason) as caught:
        read_iso(text, AS_IT_COMES)
    assert not text or text not in str(caught.value)


def test_a_missing_offset_is_assumed_only_where_one_is_given() -> None:
    assert read_iso("1970-01-01T01:00", Style(offset="+01:00")) == Instant(0, 0)
    assert read_iso("1970-01-01T01:00Z", Style(offset="+01:00")) == Instant(3_600, 0)


def test_digits_are_added_refused_or_cut_towards_the_past() -> None:
    assert write_iso(Instant(15, 1), Style(3)) == "1970-01-01T00:00:01.500Z"
    with pytest.raises(Untimely, match="more than 0 digits"):
        write_iso(Instant(15, 1), Style(0))
    assert write_iso(Instant(20, 1), Style(0)) == "1970-01-01T00:00:02Z"
    assert write_iso(Instant(15, 1), Style(0, cut=True)) == "1970-01-01T00:00:01Z"
    assert write_epoch(Instant(-15, 1), 0, Style(0, cut=True)) == "-2"
    assert write_epoch(Instant(1, 1), 3, AS_IT_COMES) == "100"
    assert write_epoch(Instant(-1, 1), 0, AS_IT_COMES) == "-0.1"


@pytest.mark.parametrize("text", ["1E3", "", "NaN", "true", "1" * 19, "1." + "1" * 31, "+1", "[1]"])
def test_numbers_without_use_for_a_time_are_refused(text: str) -> None:
    with pytest.raises(Untimely, match="not a time since 1970"):
        read_epoch(text, 0)


def test_years_of_more_than_four_digits_and_too_many_digits_are_not_written() -> None:
    with pytest.raises(Untimely, match="year"):
        write_iso(Instant(10**15, 0), AS_IT_COMES)
    with pytest.raises(Untimely, match="year"):
        write_iso(Instant(-(10**15), 0), AS_IT_COMES)
    with pytest.raises(Untimely, match="18 digits"):
        write_iso(Instant(1, 19), AS_IT_COMES)


@pytest.mark.parametrize("text", ["", "+1:00", "UTC", "+25:00", "01:00"])
def test_what_is_no_offset(text: str) -> None:
    with pytest.raises(ValueError, match="expected an offset"):
        read_offset(text)
