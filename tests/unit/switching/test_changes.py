"""What can be done to a table of switches: each change makes another table, or says why not."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import settings as profile
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from proxy.switching.changes import (
    AllOff,
    Change,
    Expire,
    Follow,
    Restore,
    Undo,
    changed,
    keeps_to_file,
    touched,
)
from proxy.switching.exposure import lowers, state_lowers
from proxy.switching.history import read_table, write_table
from proxy.switching.refusal import ChangeRefused, Why
from proxy.switching.setting import OFF, ON, Mode, Setting
from proxy.switching.switch_changes import (
    DropException,
    RestoreSwitch,
    SetSwitch,
)
from proxy.switching.table import (
    ALL_ON,
    EMPTY,
    MAX_EXCEPTIONS,
    MAX_SWITCHES,
    NO_TERM,
    OpenSockets,
    SwitchName,
    SwitchState,
    Table,
    Term,
    VersionException,
    files,
)
from proxy.switching.terms import (
    due,
    ends,
    expired,
    lasting,
    not_kept,
    overdue,
    policies_due,
    settled,
)
from proxy.versions.version import Range, parse_range

ONE = SwitchName("modern", "one")
TWO = SwitchName("modern", "two")
GONE = SwitchName("modern", "gone")
FIRST = {ONE: ALL_ON, TWO: SwitchState(OFF)}
SHADOW = Setting(Mode.SHADOW)
CANARY = Setting(Mode.CANARY, 1000)
BROKEN = parse_range("==2.1.3")


def refusal(table: Table, change: Change) -> Why:
    with pytest.raises(ChangeRefused) as refused:
        changed(table, change, FIRST)
    assert str(refused.value)
    return refused.value.why


def then(table: Table, *changes: Change) -> Table:
    for change in changes:
        table = changed(table, change, FIRST)
    return table


def nothing(revision: int) -> SwitchState:
    """A switch of which nothing is set any more."""
    return SwitchState(revision=revision)


# One switch.


def test_a_step_down_needs_no_number() -> None:
    table = then(EMPTY, SetSwitch(ONE, OFF))
    assert table == Table(1, {ONE: SwitchState(OFF, revision=1)})
    assert then(table, SetSwitch(ONE, OFF)).revision(ONE) == 2


def test_a_step_up_says_on_what_it_builds() -> None:
    table = then(EMPTY, SetSwitch(ONE, OFF))
    assert refusal(table, SetSwitch(ONE, CANARY)) is Why.UNCONDITIONAL
    assert refusal(table, SetSwitch(ONE, CANARY, expected=0)) is Why.CHANGED
    assert then(table, SetSwitch(ONE, CANARY, expected=1)).states[ONE].setting == CANARY


def test_an_outdated_number_is_refused_on_the_way_down_too() -> None:
    table = then(EMPTY, SetSwitch(ONE, CANARY))
    assert refusal(table, SetSwitch(ONE, OFF, expected=0)) is Why.CHANGED
    assert then(table, SetSwitch(ONE, OFF, expected=1)).number == 2


def test_changes_of_other_switches_are_no_conflict() -> None:
    table = then(EMPTY, SetSwitch(ONE, OFF), SetSwitch(TWO, ON, expected=0))
    assert then(table, SetSwitch(ONE, ON, expected=1)).revision(ONE) == 3


def test_a_switch_that_is_not_there() -> None:
    assert refusal(EMPTY, SetSwitch(GONE, OFF)) is Why.UNKNOWN
    assert refusal(EMPTY, DropException(GONE, "e")) is Why.UNKNOWN
    many = {SwitchName("cohort", f"mapping-{number}"): ALL_ON for number in range(100)}
    with pytest.raises(ChangeRefused, match=r"there are: cohort/mapping-0, .*\.\.\.$"):
        changed(EMPTY, SetSwitch(GONE, OFF), many)
    with pytest.raises(ChangeRefused, match="there are: none"):
        changed(EMPTY, SetSwitch(GONE, OFF), {})


# Exceptions.


def excepted(setting: Setting = OFF, versions: Range = BROKEN, **more: object) -> SetSwitch:
    change = SetSwitch(ONE, setting, versions, "broken")
    return replace(change, **more)  # type: ignore[arg-type]  # the fields of a change


def test_an_exception_is_made_set_again_and_dropped() -> None:
    table = then(EMPTY, excepted())
    assert table.states[ONE] == SwitchState(
        ON, (VersionException("broken", BROKEN, OFF),), revision=1, copied=ALL_ON
    )
    table = then(table, excepted(SHADOW, expected=1))
    assert [each.setting for each in table.states[ONE].exceptions] == [SHADOW]
    assert refusal(table, DropException(ONE, "broken")) is Why.UNCONDITIONAL
    assert refusal(table, DropException(ONE, "broken", expected=1)) is Why.CHANGED
    # Nothing is left that anybody has set, and the configuration counts again.
    assert then(table, DropException(ONE, "broken", expected=2)).states[ONE] == nothing(3)
    assert refusal(table, DropException(ONE, "else")) is Why.UNKNOWN
    assert refusal(EMPTY, DropException(ONE, "else")) is Why.UNKNOWN


def test_an_exception_that_has_more_than_the_rest_is_dropped_without_a_number() -> None:
    table = then(EMPTY, SetSwitch(ONE, OFF), excepted(ON, expected=1))
    assert then(table, DropException(ONE, "broken")).states[ONE].exceptions == ()


def test_other_versions_of_an_exception_can_raise() -> None:
    table = then(EMPTY, excepted(versions=parse_range(">=2.1,<2.2")))
    # As off as it was, for fewer.
    assert refusal(table, excepted()) is Why.UNCONDITIONAL
    assert then(table, excepted(versions=parse_range(">=2"))).number == 2
    on = then(EMPTY, SetSwitch(ONE, OFF), excepted(ON, expected=1))
    # As on as it was, for more.
    assert refusal(on, excepted(ON, parse_range(">=2"))) is Why.UNCONDITIONAL


def test_the_others_of_a_switch_stay_as_they_are() -> None:
    table = then(EMPTY, excepted(), SetSwitch(ONE, OFF, parse_range(">3"), "next"))
    table = then(table, excepted(SHADOW, expected=2))
    assert [each.name for each in table.states[ONE].exceptions] == ["broken", "next"]
    table = then(table, SetSwitch(ONE, CANARY))
    assert len(table.states[ONE].exceptions) == 2


def test_no_more_than_twenty_exceptions() -> None:
    table = EMPTY
    for number in range(MAX_EXCEPTIONS):
        table = then(table, SetSwitch(ONE, OFF, BROKEN, f"e{number}"))
    assert refusal(table, SetSwitch(ONE, OFF, BROKEN, "more")) is Why.CONFLICT
    assert then(table, SetSwitch(ONE, OFF, BROKEN, "e7")).number == MAX_EXCEPTIONS + 1


@pytest.mark.parametrize(
    ("versions", "name"),
    [(None, "broken"), (BROKEN, ""), (BROKEN, "x" * 64), (BROKEN, "a b"), (BROKEN, "a\n")],
)
def test_an_exception_has_versions_and_a_name(versions: Range | None, name: str) -> None:
    assert refusal(EMPTY, SetSwitch(ONE, OFF, versions, name)) is Why.INVALID


# What is temporary.


def for_a_time(until: float) -> Term:
    return Term("ops", until, restore=True)


@pytest.mark.parametrize(
    "term",
    [Term(restore=True), Term("ops", float("nan")), Term("ops", float("inf"), restore=True)],
)
def test_a_time_is_one(term: Term) -> None:
    assert refusal(EMPTY, SetSwitch(ONE, OFF, term=term)) is Why.INVALID
    assert refusal(EMPTY, excepted(term=term)) is Why.INVALID


def test_what_is_set_for_a_time_goes_back() -> None:
    table = then(EMPTY, SetSwitch(ONE, OFF, term=for_a_time(100)))
    assert not due(table, 99.9)
    assert then(table, Expire(99.9)).states == table.states
    assert due(table, 100)
    assert then(table, Expire(100)).states == {ONE: nothing(2)}


def test_what_is_set_for_a_time_brings_back_whose_it_was_and_until_when() -> None:
    owned = Term("ann", 150)
    table = then(EMPTY, SetSwitch(ONE, CANARY, term=owned), excepted(term=owned))
    before = table.states[ONE]
    table = then(
        table,
        SetSwitch(ONE, OFF, term=for_a_time(100)),
        excepted(SHADOW, term=for_a_time(200), expected=3),
        SetSwitch(ONE, SHADOW, term=for_a_time(160), expected=4),
    )
    assert overdue(table, 159) == 0, "what is to be again is not looked after meanwhile"
    back = then(table, Expire(200))
    assert back.states[ONE] == replace(before, revision=6)
    assert overdue(back, 200) == 2, "their own time is over"


OWN = VersionException("own", parse_range("==3"), SHADOW)
CONFIGURED = {ONE: SwitchState(CANARY, (OWN,)), TWO: ALL_ON}
LATER = {ONE: SwitchState(OFF), TWO: ALL_ON}
"""What an edited file says."""

for_an_hour = Term("ops", 100, restore=True)


@pytest.mark.parametrize(
    "changes",
    [
        (SetSwitch(ONE, OFF, term=for_an_hour),),
        (SetSwitch(ONE, OFF, term=for_an_hour), SetSwitch(ONE, SHADOW, BROKEN, "x", for_an_hour)),
        (SetSwitch(ONE, OFF, BROKEN, "x", for_an_hour),),
        (SetSwitch(ONE, OFF, OWN.versions, "own", for_an_hour),),
        (SetSwitch(ONE, OFF, BROKEN, "x"), DropException(ONE, "x")),
        (SetSwitch(ONE, OFF, term=for_an_hour), excepted(), DropException(ONE, "broken")),
    ],
)
def test_of_what_ended_nothing_is_left_and_the_configuration_counts(
    changes: tuple[SetSwitch | DropException, ...],
) -> None:
    table = EMPTY
    for each in changes:
        table = changed(table, replace(each, expected=table.number), CONFIGURED)
        assert table.number == 1 or table.states[ONE].copied in (CONFIGURED[ONE], None)
    if due(table, 100):
        table = changed(table, Expire(100), CONFIGURED)
    assert table.states == {ONE: nothing(table.number)}
    assert table.wanted(ONE, LATER) == SwitchState(OFF, revision=table.number)


@pytest.mark.parametrize(
    "changes",
    [
        # Somebody said for good what the file said, or took away what it had.
        (SetSwitch(ONE, CANARY),),
        (SetSwitch(ONE, SHADOW, OWN.versions, "own"),),
        (DropException(ONE, "own"),),
        (SetSwitch(ONE, SHADOW, BROKEN, "x"),),
    ],
)
def test_what_was_turned_for_good_stays_when_something_ends(
    changes: tuple[SetSwitch | DropException, ...],
) -> None:
    table = EMPTY
    for each in changes:
        table = changed(table, replace(each, expected=table.number), CONFIGURED)
    before = table.states[ONE]
    for each in (
        SetSwitch(ONE, OFF, term=for_an_hour),
        SetSwitch(ONE, OFF, parse_range("==4"), "y", for_an_hour),
    ):
        table = changed(table, replace(each, expected=table.revision(ONE)), CONFIGURED)
    table = changed(table, Expire(100), CONFIGURED)
    assert table.states[ONE] == replace(before, revision=4)


def test_an_exception_that_is_kept_keeps_the_rest_as_it_was() -> None:
    table = changed(EMPTY, SetSwitch(ONE, OFF, term=for_an_hour), CONFIGURED)
    table = changed(table, SetSwitch(ONE, OFF, BROKEN, "x"), CONFIGURED)
    table = changed(table, Expire(100), CONFIGURED)
    kept = table.wanted(ONE, LATER)
    assert kept.for_version(None) == ("", CANARY)
    assert [each.name for each in kept.exceptions] == ["own", "x"]
    assert changed(table, DropException(ONE, "x", 3), LATER).states == {ONE: nothing(4)}


def test_a_table_that_does_not_say_what_was_before_goes_back_to_the_configuration() -> None:
    table = Table(1, {ONE: SwitchState(OFF, term=for_an_hour, revision=1)})
    assert then(table, Expire(100)).states == {ONE: nothing(2)}
    again = then(table, SetSwitch(ONE, CANARY, term=for_a_time(200), expected=1))
    assert then(again, Expire(200)).states == {ONE: nothing(3)}


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (Term("ann", 50), NO_TERM, Term("ann", 50)),
        (Term("ann", 50), Term("ann"), Term("", 50)),
        (Term("ann", 50), Term("bob", 60), Term("ann")),
        (Term("ann", 50), Term("ann", 60), None),
        (NO_TERM, Term("bob"), None),
        # It is over, or will be again.
        (Term("ann", 20), NO_TERM, None),
        (Term("ann", 50), for_a_time(60), None),
    ],
)
def test_of_owner_and_time_it_is_told_what_is_not_kept(
    before: Term, after: Term, expected: Term | None
) -> None:
    table = Table(1, {ONE: SwitchState(ON, term=before)})
    made = then(table, SetSwitch(ONE, OFF, term=after))
    assert not_kept(table.states[ONE], made.states[ONE], "", 20) == expected
    table = then(EMPTY, excepted(term=before))
    made = then(table, excepted(term=after))
    assert not_kept(table.states[ONE], made.states[ONE], "broken", 20) == expected
    assert not_kept(SwitchState(), made.states[ONE], "broken", 20) is None


def test_what_is_set_for_a_time_again_goes_back_to_what_it_was_at_first() -> None:
    ending = (
        SetSwitch(ONE, CANARY, term=for_a_time(100)),
        SetSwitch(ONE, OFF, term=for_a_time(200)),
    )
    table = then(EMPTY, *ending)
    assert not due(table, 150)
    assert then(table, Expire(200)).states[ONE] == nothing(3)
    for_good = then(EMPTY, SetSwitch(ONE, ON, expected=0), *ending)
    assert then(for_good, Expire(200)).states[ONE] == SwitchState(ON, revision=4)


def test_to_keep_what_was_raised_for_a_time_says_on_what_it_builds() -> None:
    table = then(EMPTY, SetSwitch(ONE, OFF))
    table = then(table, SetSwitch(ONE, CANARY, term=for_a_time(10), expected=1))
    assert refusal(table, SetSwitch(ONE, CANARY)) is Why.UNCONDITIONAL
    assert refusal(table, RestoreSwitch(ONE)) is Why.UNCONDITIONAL
    assert then(table, SetSwitch(ONE, CANARY, expected=2)).states[ONE].term == NO_TERM


def test_an_undo_beneath_everything_off_says_on_what_it_builds() -> None:
    stopped = then(EMPTY, AllOff())
    table = then(stopped, SetSwitch(ONE, OFF))
    assert refusal(table, Undo(stopped, now=0)) is Why.UNCONDITIONAL
    assert then(table, Undo(stopped, 2, now=0)).all_off


def test_what_is_set_for_good_stays() -> None:
    table = then(EMPTY, SetSwitch(ONE, CANARY, term=for_a_time(100)), SetSwitch(ONE, OFF))
    assert not due(table, 1e9)
    late = then(EMPTY, SetSwitch(ONE, CANARY, term=Term("ops", 100)))
    assert not due(late, 1e9), "it is shown as overdue, and stays"


def test_an_exception_for_a_time_ends() -> None:
    table = then(EMPTY, excepted(term=for_a_time(100)), excepted(term=for_a_time(200)))
    assert due(table, 200)
    assert then(table, Expire(200)).states[ONE] == nothing(3)


def test_an_exception_that_was_there_is_what_it_was_again() -> None:
    table = then(EMPTY, excepted(SHADOW), excepted(OFF, term=for_a_time(100)))
    table = then(table, excepted(SHADOW, term=for_a_time(200), expected=2))
    ended = then(table, Expire(200)).states[ONE]
    assert ended == SwitchState(
        ON, (VersionException("broken", BROKEN, SHADOW),), revision=4, copied=ALL_ON
    )
    wider = parse_range(">=2")
    assert refusal(table, excepted(OFF, wider, term=for_a_time(300))) is Why.INVALID
    fresh = then(EMPTY, excepted(term=for_a_time(100)))
    assert then(fresh, excepted(OFF, wider, term=for_a_time(200))).number == 2


def test_what_ends_ends_at_once_and_leaves_the_rest() -> None:
    table = then(
        EMPTY,
        SetSwitch(ONE, OFF, term=for_a_time(100)),
        SetSwitch(TWO, OFF, term=for_a_time(300)),
        excepted(term=for_a_time(100)),
        SetSwitch(ONE, OFF, parse_range(">3"), "stays"),
    )
    ended = then(table, Expire(100))
    assert [each.name for each in ended.states[ONE].exceptions] == ["stays"]
    assert (ended.revision(ONE), ended.revision(TWO)) == (5, 2)


# Everything off.


def test_everything_off_and_back() -> None:
    table = then(EMPTY, SetSwitch(ONE, CANARY))
    stopped = then(table, AllOff())
    assert stopped == replace(table, number=2, all_off=True)
    assert then(stopped, AllOff()) == replace(stopped, number=3), "as it is"
    assert refusal(stopped, Restore()) is Why.UNCONDITIONAL
    assert refusal(stopped, Restore(1)) is Why.CHANGED
    assert then(stopped, Restore(2)) == replace(table, number=3)
    for number in (None, 0, 1):
        assert then(table, Restore(number)) == replace(table, number=2), "as it is"


def test_while_everything_is_off_switches_go_down_only() -> None:
    stopped = then(EMPTY, SetSwitch(ONE, CANARY), AllOff())
    assert refusal(stopped, SetSwitch(ONE, ON, expected=1)) is Why.CONFLICT
    assert refusal(stopped, excepted(ON, expected=1)) is Why.CONFLICT
    assert then(stopped, SetSwitch(ONE, OFF), Restore(3)).states[ONE].setting == OFF


# Back to what was.


def test_undo_is_a_change_of_its_own() -> None:
    table = then(EMPTY, SetSwitch(ONE, CANARY), SetSwitch(ONE, OFF))
    back = Table(1, {ONE: SwitchState(CANARY, revision=1)})
    assert refusal(table, Undo(back, now=0)) is Why.UNCONDITIONAL
    assert refusal(table, Undo(back, expected=1, now=0)) is Why.CHANGED
    assert then(table, Undo(back, expected=2, now=0)) == Table(
        3, {ONE: SwitchState(CANARY, revision=3)}
    )


def test_an_undo_that_lowers_needs_no_number_and_minds_one() -> None:
    table = then(EMPTY, SetSwitch(TWO, ON, expected=0))
    assert refusal(table, Undo(EMPTY, expected=0, now=0)) is Why.CHANGED
    undone = then(table, Undo(EMPTY, now=0))
    assert undone == Table(2, {TWO: SwitchState(revision=2)})
    assert undone.wanted(TWO, FIRST) == SwitchState(OFF, revision=2)


def test_an_undo_leaves_what_it_does_not_change_at_its_revision() -> None:
    before = then(EMPTY, SetSwitch(ONE, OFF))
    table = then(before, SetSwitch(TWO, CANARY, expected=0))
    assert then(table, Undo(before, now=0)).revision(ONE) == 1


def test_what_ended_by_itself_comes_back_for_good_by_an_undo() -> None:
    before = then(
        EMPTY,
        excepted(SHADOW),
        excepted(OFF, term=for_a_time(100)),
        SetSwitch(ONE, OFF, term=for_a_time(100)),
        SetSwitch(TWO, SHADOW, term=for_a_time(500), expected=0),
    )
    ended = then(before, Expire(101))
    undo = Undo(before, expected=5, now=102)
    assert undo.outlived == ("modern/one", "modern/one (exception broken)")
    back = then(ended, undo)
    owned = Term("ops")
    assert back.states == {
        ONE: SwitchState(OFF, (VersionException("broken", BROKEN, OFF, owned),), owned, revision=6),
        # What is not over yet ends when it was to.
        TWO: before.states[TWO],
    }
    assert not due(back, 103)
    assert then(back, Expire(103)).states == back.states
    assert Undo(before, now=99).outlived == ()


# What a configuration says.


def test_a_configuration_that_is_followed_has_what_was_set_under_it() -> None:
    table = then(EMPTY, SetSwitch(ONE, OFF), AllOff(), Follow("0123456789ab"))
    assert table == Table(3, digest="0123456789ab")
    table = then(table, SetSwitch(ONE, OFF), AllOff(), Follow("ba9876543210", is_new=False))
    kept = {"0123456789ab": {ONE: SwitchState(OFF, revision=4)}}
    assert table == Table(6, all_off=True, digest="ba9876543210", others=kept)
    # What is done under one changes nothing that was set under the other.
    table = then(table, SetSwitch(TWO, OFF), RestoreSwitch(TWO), Undo(EMPTY, now=0, expected=8))
    assert (table.digest, table.others) == ("ba9876543210", kept)
    back = then(table, Follow("0123456789ab", is_new=False))
    assert back.states == kept["0123456789ab"]
    assert back.others == {}


def test_no_more_switches_than_a_store_takes() -> None:
    full = Table(
        1, {SwitchName("old", str(number)): SwitchState(OFF) for number in range(MAX_SWITCHES)}
    )
    assert refusal(full, SetSwitch(ONE, OFF)) is Why.CONFLICT


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (SetSwitch(ONE, OFF), True),
        (SetSwitch(TWO, ON), False),
        (SetSwitch(ONE, OFF, BROKEN, "broken"), True),
        (SetSwitch(TWO, SHADOW, BROKEN, "broken"), False),
        (Undo(Table(0, {ONE: SwitchState(CANARY)}), now=0), True),
        (Undo(Table(0, {TWO: SwitchState(CANARY)}), now=0), False),
        # Nor where everything is off: it would count when that ends.
        (Undo(Table(0, {TWO: SwitchState(CANARY)}, all_off=True), now=0), False),
        (Undo(Table(0, {GONE: SwitchState(ON)}), now=0), False),
        (AllOff(), True),
        (Restore(), True),
        (RestoreSwitch(ONE), True),
    ],
)
def test_operators_step_down_from_the_file(change: Change, *, expected: bool) -> None:
    assert keeps_to_file(EMPTY, change, FIRST) is expected


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (SetSwitch(ONE, ON), False),
        (SetSwitch(ONE, CANARY), False),
        (RestoreSwitch(ONE), True),
        (Undo(EMPTY, now=0), True),
        (Undo(Table(0, {ONE: SwitchState(CANARY)}), now=0), True),
        (Undo(Table(0, {TWO: SwitchState(CANARY)}), now=0), False),
        (DropException(TWO, "less"), True),
        (DropException(TWO, "own"), False),
    ],
)
def test_what_was_stepped_down_is_taken_back_as_far_as_the_file_says(
    change: Change, *, expected: bool
) -> None:
    own = VersionException("own", parse_range("==3"), OFF)
    first = {ONE: ALL_ON, TWO: SwitchState(SHADOW, (own,))}
    less = SetSwitch(TWO, OFF, BROKEN, "less")
    table = changed(changed(EMPTY, SetSwitch(ONE, OFF), first), less, first)
    assert keeps_to_file(table, change, first) is expected


def test_a_switch_that_is_restored_is_as_the_configuration_says() -> None:
    table = then(EMPTY, SetSwitch(ONE, OFF), SetSwitch(ONE, OFF, BROKEN, "broken"))
    assert refusal(table, RestoreSwitch(ONE)) is Why.UNCONDITIONAL
    assert refusal(table, RestoreSwitch(ONE, 1)) is Why.CHANGED
    assert refusal(then(table, AllOff()), RestoreSwitch(ONE, 2)) is Why.CONFLICT
    restored = then(table, RestoreSwitch(ONE, 2))
    assert restored == Table(3, {ONE: SwitchState(revision=3)})
    assert restored.wanted(ONE, FIRST) == replace(ALL_ON, revision=3)
    assert refusal(restored, RestoreSwitch(ONE, 3)) is Why.CONFLICT
    assert refusal(restored, RestoreSwitch(TWO)) is Why.CONFLICT
    assert refusal(restored, RestoreSwitch(GONE)) is Why.UNKNOWN
    # Where that lowers, nobody has to say on what it builds, nor that all is on.
    raised = then(restored, SetSwitch(TWO, ON, expected=0), AllOff())
    assert then(raised, RestoreSwitch(TWO)).wanted(TWO, FIRST).setting == OFF


def test_touched_is_what_differs() -> None:
    table = then(EMPTY, SetSwitch(TWO, OFF), SetSwitch(ONE, OFF))
    assert touched(EMPTY, table) == (ONE, TWO)
    assert touched(table, then(table, SetSwitch(ONE, OFF))) == ()
    assert touched(table, then(table, SetSwitch(ONE, OFF, term=Term("ops")))) == (ONE,)


# All of it, in any order.

switches = st.sampled_from([ONE, TWO])
some_settings = st.sampled_from([OFF, SHADOW, CANARY, Setting(Mode.CANARY, 1), ON])
some_ranges = st.sampled_from(["==2.1.3", ">=2", ">=2.1,<2.2", "<2.1.3", "!=2.1.3"]).map(
    parse_range
)
some_terms = st.just(NO_TERM) | st.builds(
    Term,
    st.just("ops"),
    st.floats(0, 100),
    st.booleans(),
    st.sampled_from((None, *OpenSockets)),
)
guesses = st.sampled_from(["none", "right", "wrong"])


class Operators(RuleBasedStateMachine):
    """People who turn switches: what they are told, and what is in force then."""

    def __init__(self) -> None:
        super().__init__()
        self.tables = [EMPTY]

    @property
    def table(self) -> Table:
        return self.tables[-1]

    def make(self, change: Change) -> Table | Why:
        before = write_table(self.table)
        try:
            made = changed(self.table, change, FIRST)
        except ChangeRefused as refused:
            return refused.why
        finally:
            assert write_table(self.table) == before
        assert made.number == self.table.number + 1
        self.tables.append(made)
        return made

    def switch(self, change: SetSwitch | DropException | RestoreSwitch, guess: str) -> None:
        revision, table = self.table.revision(change.switch), self.table
        number = {"none": None, "right": revision, "wrong": revision + 1}[guess]
        told = self.make(replace(change, expected=number))
        if isinstance(told, Table):
            assert guess != "wrong"
            before = table.wanted(change.switch, FIRST)
            after = told.wanted(change.switch, FIRST)
            if not state_lowers(before, after):
                assert guess == "right"
                assert not table.all_off
            assert told.revision(change.switch) == told.number
            others = {name: each for name, each in told.states.items() if name != change.switch}
            assert all(table.states[name] == each for name, each in others.items())
        elif told is Why.UNCONDITIONAL:
            assert guess == "none"
        elif told is Why.CHANGED:
            assert guess == "wrong"

    @rule(switch=switches, setting=some_settings, term=some_terms, guess=guesses)
    def set_a_switch(self, switch: SwitchName, setting: Setting, term: Term, guess: str) -> None:
        self.switch(SetSwitch(switch, setting, term=term), guess)

    @rule(
        switch=switches,
        setting=some_settings,
        versions=some_ranges,
        name=st.integers(0, 25).map("e{}".format),
        term=some_terms,
        guess=guesses,
    )
    def set_an_exception(
        self,
        switch: SwitchName,
        setting: Setting,
        versions: Range,
        name: str,
        term: Term,
        guess: str,
    ) -> None:
        self.switch(SetSwitch(switch, setting, versions, name, term), guess)

    @rule(switch=switches, data=st.data(), guess=guesses)
    def drop_an_exception(self, switch: SwitchName, data: st.DataObject, guess: str) -> None:
        names = [each.name for each in self.table.wanted(switch, FIRST).exceptions]
        self.switch(DropException(switch, data.draw(st.sampled_from([*names, "none"]))), guess)

    @rule(switch=switches, guess=guesses)
    def restore_a_switch(self, switch: SwitchName, guess: str) -> None:
        before = self.table
        self.switch(RestoreSwitch(switch), guess)
        if self.table is not before:
            configured = replace(FIRST[switch], revision=self.table.number)
            assert self.table.wanted(switch, FIRST) == configured

    @rule()
    def stop_everything(self) -> None:
        table = self.table
        assert self.make(AllOff()) == replace(table, number=table.number + 1, all_off=True)
        assert self.table.all_off

    @rule(guess=guesses)
    def restore(self, guess: str) -> None:
        table = self.table
        number = {"none": None, "right": table.number, "wrong": table.number + 1}[guess]
        told = self.make(Restore(number))
        if not table.all_off or guess == "right":
            assert told == replace(table, number=table.number + 1, all_off=False)
        else:
            assert isinstance(told, Why)

    @precondition(lambda self: len(self.tables) > 1)
    @rule(data=st.data(), guess=guesses, now=st.floats(0, 110))
    def undo(self, data: st.DataObject, guess: str, now: float) -> None:
        earlier, table = data.draw(st.sampled_from(self.tables)), self.table
        number = {"none": None, "right": table.number, "wrong": table.number + 1}[guess]
        undo = Undo(earlier, number, now=now)
        states = {name: lasting(state, now) for name, state in earlier.states.items()}
        is_lower = lowers(table, replace(earlier, states=states), FIRST)
        told = self.make(undo)
        if not isinstance(told, Table):
            assert guess == "wrong" or (guess == "none" and not is_lower)
            return
        assert guess == "right" or is_lower
        assert (touched(earlier, told) == ()) is (undo.outlived == ())
        assert not due(told, now)
        assert told.all_off is earlier.all_off
        for name in (ONE, TWO):
            expected = replace(earlier.wanted(name, FIRST), revision=told.revision(name))
            assert told.wanted(name, FIRST) == lasting(expected, now)

    @rule(now=st.floats(0, 110))
    def time_goes_by(self, now: float) -> None:
        for policy in policies_due(self.table, now):
            before = self.table
            told = self.make(Expire(now, policy))
            assert isinstance(told, Table)
            assert policies_due(told, now) == tuple(
                each for each in policies_due(before, now) if each is not policy
            )
        assert not due(self.table, now)

    @rule(digest=st.sampled_from("abcdef"))
    def another_configuration(self, digest: str) -> None:
        before = {**files(self.table), self.table.digest: self.table.states}
        told = self.make(Follow(digest))
        assert isinstance(told, Table)
        assert (told.digest, told.all_off) == (digest, False)
        assert told.states == before.get(digest, {})

    @invariant()
    def nothing_is_out_of_bounds(self) -> None:
        table = self.table
        assert table.number == len(self.tables) - 1
        for state in table.states.values():
            assert len(state.exceptions) <= MAX_EXCEPTIONS
            names = [each.name for each in state.exceptions]
            assert len(names) == len({*names})
            assert state.revision <= table.number
            assert (state.before is None) or state.term.restore
            assert state == settled(state)
            ended = expired(state, 101)
            assert not ends(ended)
            assert ended.setting is None or (ended.before, ended.copied) in (
                (None, None),
                (None, FIRST[TWO]),
                (None, FIRST[ONE]),
            )
        assert read_table(write_table(table)) == table


Operators.TestCase.settings = profile(max_examples=60, stateful_step_count=40)
TestOperators = Operators.TestCase
