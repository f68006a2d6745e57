"""When switches may rise."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.switching.windows import DAY, Moment, RiseWindow, closed, parse_clock, parse_days

OFFICE = RiseWindow(parse_days("mon-fri"), parse_clock("09:00"), parse_clock("17:00"))
NIGHT = RiseWindow(parse_days("fri"), parse_clock("22:00"), parse_clock("02:00"), "Europe/Berlin")


def at(day: str, clock: str) -> Moment:
    return Moment(min(parse_days(day)), parse_clock(clock))


@pytest.mark.parametrize(
    ("window", "moment", "is_in"),
    [
        (OFFICE, at("mon", "09:00"), True),
        (OFFICE, at("fri", "16:59"), True),
        (OFFICE, at("fri", "17:00"), False),
        (OFFICE, at("sat", "12:00"), False),
        (NIGHT, at("fri", "22:00"), True),
        (NIGHT, at("sat", "01:59"), True),
        (NIGHT, at("sat", "02:00"), False),
        (NIGHT, at("fri", "01:00"), False),
        (NIGHT, at("fri", "12:00"), False),
    ],
)
def test_hours(window: RiseWindow, moment: Moment, is_in: bool) -> None:
    assert window.has(moment) is is_in
    assert (closed([window], [moment]) == "") is is_in


def test_one_window_is_enough_and_none_is_no_limit() -> None:
    assert closed([], []) == ""
    assert closed([OFFICE, NIGHT], [at("sat", "01:00"), at("sat", "01:00")]) == ""
    told = closed([OFFICE, NIGHT], [at("sun", "01:00"), at("sun", "01:00")])
    assert told == (
        "switches rise only within switching.windows: mon, tue, wed, thu, fri 09:00-17:00 UTC;"
        " fri 22:00-02:00 Europe/Berlin"
    )


@given(st.integers(0, 6), st.integers(0, DAY - 1), st.integers(0, DAY), st.integers(0, DAY))
def test_every_moment_of_a_week_is_in_or_not(day: int, minute: int, begin: int, end: int) -> None:
    always = RiseWindow(frozenset(range(7)), begin, end)
    is_in = begin <= minute < end if begin < end else minute >= begin or minute < end
    assert always.has(Moment(day, minute)) is is_in


@pytest.mark.parametrize(
    ("text", "days"),
    [
        ("mon-fri", {0, 1, 2, 3, 4}),
        ("Sat-Mon", {5, 6, 0}),
        ("mon, wed", {0, 2}),
        ("sun", {6}),
    ],
)
def test_days(text: str, days: set[int]) -> None:
    assert parse_days(text) == days


@pytest.mark.parametrize("text", ["", "monday", "mon-", "-fri", "mon,,tue", "mon fri"])
def test_no_days(text: str) -> None:
    with pytest.raises(ValueError, match="expected days"):
        parse_days(text)


@pytest.mark.parametrize(
    ("text", "minute"), [("00:00", 0), ("9:30", 570), ("09:30", 570), ("24:00", DAY)]
)
def test_times(text: str, minute: int) -> None:
    assert parse_clock(text) == minute


@pytest.mark.parametrize(
    "text", ["", "9", "09:60", "24:01", "009:00", "09:0", "-1:00", "x:00", "\u0669:00", "9:000"]
)
def test_no_times(text: str) -> None:
    with pytest.raises(ValueError, match="expected a time"):
        parse_clock(text)
