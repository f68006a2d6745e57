"""Whether a change lowers, held against a look at every version there is."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from proxy.switching.exposure import lowers, lowers_for_good, state_lowers, state_takes
from proxy.switching.setting import OFF, ON, Mode, Setting
from proxy.switching.table import (
    ALL_ON,
    EMPTY,
    Earlier,
    SwitchName,
    SwitchState,
    Table,
    Term,
    VersionException,
)
from proxy.versions.version import Version, parse_range

NAME = SwitchName("modern", "old-to-new")
OTHER = SwitchName("modern", "other")
FIRST = {NAME: ALL_ON, OTHER: ALL_ON}
CANARY = Setting(Mode.CANARY, 1000)

BOUNDS = ("0", "1", "1.1", "1.2", "2", "1!0")
"""What ranges are made of here."""

EVERY_VERSION = [None] + [
    Version.parse(text)
    for text in (
        *BOUNDS, "0.0.0.0.0.0.0.1", "0.5", "1.0.0.0.0.0.0.1", "1.0.5", "1.1.0.0.1", "1.1.9",
        "1.2.3", "1.99", "2.0.1", "99999", "1!0.1", "2!5",
    )
]  # fmt: skip
"""No version at all, each bound, and versions between and around them."""

ranges = st.lists(
    st.tuples(st.sampled_from([">=", ">", "<", "<=", "==", "!="]), st.sampled_from(BOUNDS)),
    min_size=1,
    max_size=2,
).map(lambda parts: parse_range(",".join(operator + bound for operator, bound in parts)))
settings = st.sampled_from([OFF, Setting(Mode.SHADOW), CANARY, ON])
exceptions = st.builds(VersionException, st.sampled_from("abc"), ranges, settings)
states = st.builds(
    SwitchState, settings, st.lists(exceptions, max_size=3, unique_by=lambda e: e.name).map(tuple)
)


@given(states, states)
def test_a_change_lowers_if_it_does_for_every_version(
    before: SwitchState, after: SwitchState
) -> None:
    expected = all(
        after.for_version(version)[1].lowers(before.for_version(version)[1])
        for version in EVERY_VERSION
    )
    if not expected:
        assert not state_lowers(before, after)
    elif state_lowers(before, after) is False:
        # It may know of a version that is between those above, but not without one.
        assert before.exceptions != after.exceptions
        gaps = {
            Version(bound.epoch, (*bound.release, *[0] * count, 1), "")
            for bound in EVERY_VERSION
            if bound is not None
            for count in (0, 8)
        }
        assert any(
            not after.for_version(version)[1].lowers(before.for_version(version)[1])
            for version in gaps
        )


@given(states, states)
def test_a_change_takes_if_it_does_for_some_version(
    before: SwitchState, after: SwitchState
) -> None:
    taken = any(
        after.for_version(version)[1].exposed < before.for_version(version)[1].exposed
        for version in EVERY_VERSION
    )
    if taken:
        assert state_takes(before, after)
    if state_takes(before, after):
        assert not state_lowers(after, before)


@given(states)
def test_what_stays_lowers(state: SwitchState) -> None:
    assert state_lowers(state, state)
    assert not state_takes(state, state)


def excepted(setting: Setting, *pairs: tuple[str, Setting]) -> SwitchState:
    return SwitchState(
        setting,
        tuple(
            VersionException(f"e{number}", parse_range(versions), of_them)
            for number, (versions, of_them) in enumerate(pairs)
        ),
    )


def test_a_wider_exception_that_is_off_lowers_and_a_narrower_one_raises() -> None:
    narrow, wide = excepted(ON, ("==2.1.3", OFF)), excepted(ON, (">=2.1,<2.2", OFF))
    assert state_lowers(narrow, wide)
    assert not state_lowers(wide, narrow)


def test_a_wider_exception_that_is_on_raises_and_a_narrower_one_lowers() -> None:
    narrow, wide = excepted(OFF, ("==2.1.3", ON)), excepted(OFF, (">=2.1,<2.2", ON))
    assert not state_lowers(narrow, wide)
    assert state_lowers(wide, narrow)


def test_a_gap_of_one_version_is_seen() -> None:
    assert not state_lowers(excepted(ON, (">=1,<2", OFF)), excepted(ON, (">1,<2", OFF)))
    assert not state_lowers(excepted(OFF), excepted(OFF, ("==0", ON)))
    assert not state_lowers(excepted(OFF), excepted(OFF, ("<0.0.0.0.0.0.0.1", ON)))
    assert not state_lowers(
        excepted(ON, (">=1,<=1.0.0.0.0.0.0.1", OFF)), excepted(ON, ("==1", OFF))
    )


def test_an_exception_behind_another_that_has_all_its_versions_changes_nothing() -> None:
    assert state_lowers(excepted(ON, (">=1", OFF)), excepted(ON, (">=1", OFF), (">=2", ON)))


def test_a_term_neither_lowers_nor_raises() -> None:
    before = excepted(ON, ("==1", OFF))
    (exception,) = before.exceptions
    after = SwitchState(
        ON,
        (VersionException("renamed", exception.versions, OFF, Term("ops", 5.0)),),
        Term("ops", 7.0),
    )
    assert state_lowers(before, after)
    assert state_lowers(after, before)


def test_more_bounds_than_anybody_needs_are_not_looked_at() -> None:
    many = excepted(
        ON, *((f"!={number}." + f",!={number}.".join("123456789"), OFF) for number in range(30))
    )
    assert not state_lowers(excepted(ON), many)
    assert state_lowers(many, many)


def test_tables_are_compared_switch_by_switch() -> None:
    off = Table(1, {NAME: SwitchState(OFF, revision=1)})
    both = Table(2, {NAME: SwitchState(OFF, revision=1), OTHER: SwitchState(CANARY, revision=2)})
    assert lowers(EMPTY, off, FIRST)
    assert not lowers(off, EMPTY, FIRST)
    assert lowers(off, both, FIRST)
    assert not lowers(both, off, FIRST)


def test_nothing_lowers_everything_off_but_everything_off() -> None:
    stopped = Table(1, all_off=True)
    for table, after in itertools.product((EMPTY, stopped), repeat=2):
        assert lowers(table, after, FIRST) is (after.all_off or not table.all_off)


def test_what_is_set_beneath_everything_off_is_compared_too() -> None:
    off = Table(1, {NAME: SwitchState(OFF, revision=1)}, all_off=True)
    on = Table(2, {NAME: SwitchState(ON, revision=2)}, all_off=True)
    assert lowers(on, off, FIRST)
    assert not lowers(off, on, FIRST)
    assert not lowers(off, Table(2, all_off=True), FIRST)
    assert not lowers(off, Table(2, off.states), FIRST)


def test_what_ends_by_itself_is_compared_when_it_has_ended() -> None:
    def until(time: float, setting: Setting = ON, before: Setting | None = OFF) -> SwitchState:
        earlier = None if before is None else Earlier(before)
        return SwitchState(setting, term=Term("ann", time, restore=True), before=earlier)

    assert lowers_for_good(until(10), until(10), ALL_ON)
    assert lowers_for_good(until(10), until(9), ALL_ON)
    assert not lowers_for_good(until(10), until(11), ALL_ON)
    assert not lowers_for_good(until(10), SwitchState(CANARY), ALL_ON)
    assert lowers_for_good(until(10, before=CANARY), SwitchState(CANARY), ALL_ON)
    assert lowers_for_good(SwitchState(ON), until(10), ALL_ON)
    # What goes back to nothing is as the configuration says.
    assert lowers_for_good(until(10, before=None), SwitchState(CANARY), ALL_ON)
    assert not lowers_for_good(until(10, before=None), SwitchState(CANARY), SwitchState(OFF))
