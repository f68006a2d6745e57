"""What of the stored table is in force in one process, and what its open sockets do for it."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from proxy.switching.effective import (
    Effective,
    Rollout,
    Serving,
    effective,
    rollout,
    runs,
    turned_by_name,
)
from proxy.switching.history import Revision, revision_of
from proxy.switching.setting import OFF, ON
from proxy.switching.table import (
    EMPTY,
    MAX_FILES,
    UNTOUCHED,
    OpenSockets,
    SwitchName,
    SwitchState,
    Table,
    files,
    for_file,
)

KEEP, NEXT, RECONNECT = OpenSockets.KEEP, OpenSockets.NEXT_MESSAGE, OpenSockets.RECONNECT
NAMES = tuple(SwitchName("modern", letter) for letter in "abcd")
A, B, _, D = NAMES
LIVE = Serving(frozenset(NAMES[:3]), frozenset(), None, RECONNECT)
FILE = Serving(frozenset(NAMES[:3]), frozenset(), "here", RECONNECT)
STATES = st.builds(SwitchState, st.sampled_from((OFF, ON, None)))
DIGESTS = st.sampled_from(("here", "there", "c", "d", "e"))
PARTS = st.dictionaries(st.sampled_from(NAMES), STATES)
TABLES = st.builds(
    Table,
    st.integers(0, 5),
    PARTS,
    st.booleans(),
    st.sampled_from(("", "here", "there")),
    st.dictionaries(st.sampled_from(("c", "d", "e")), PARTS, max_size=MAX_FILES - 1),
)
SERVING = st.sampled_from((LIVE, FILE))
POLICIES = st.sampled_from(OpenSockets)


def off(number: int, *names: SwitchName) -> Table:
    return Table(number, {name: SwitchState(OFF) for name in names})


@given(TABLES, SERVING)
def test_what_is_off_as_a_whole_is_off_everywhere(stored: Table, serving: Serving) -> None:
    found = effective(stored, serving)
    assert found.table.all_off is stored.all_off


@given(TABLES, TABLES, SERVING, POLICIES)
def test_open_sockets_are_told_of_whatever_differs(
    before: Table, after: Table, serving: Serving, asked: OpenSockets
) -> None:
    told = rollout(before, after, asked, serving)
    assert (told is None) == (before == after)
    differing = {name for name in NAMES if before.states.get(name) != after.states.get(name)}
    if told is not None and told.scope is not None:
        # One that was set to what it is anyway is not among them, nor is it told of.
        assert told.scope <= differing
        assert before.all_off is after.all_off


def test_what_was_said_of_another_file_stands_beside_what_counts() -> None:
    table = replace(off(3, A), digest="there", all_off=True)
    here = for_file(table, "here")
    assert here == Table(3, {}, all_off=True, digest="here", others={"there": table.states})
    assert for_file(here, "there") == table
    assert for_file(table, "there") is table
    assert for_file(table, None) is table
    # What was set where no file had the say is of none.
    assert for_file(off(3, A), "here") == Table(3, digest="here")
    # Where nothing is set, nothing is kept.
    ended = replace(table, states={A: SwitchState(revision=3)})
    assert for_file(ended, "here").others == {}


@given(TABLES, st.lists(DIGESTS, max_size=8))
def test_each_file_has_what_was_set_under_it_as_long_as_no_four_others_came(
    table: Table, served: list[str]
) -> None:
    for digest in served:
        before, was = files(table), table
        table = for_file(table, digest)
        known = files(table)
        assert table.digest == digest
        assert table.states == (was.states if was.digest == digest else before.get(digest, {}))
        assert len({digest, *known}) <= MAX_FILES
        # The oldest go, and no other.
        others = [each for each in before if each != digest]
        assert [each for each in known if each != digest] == others[: MAX_FILES - 1]
        assert all(known[each] == before[each] for each in known)
        table = replace(table, states={A: SwitchState(OFF, revision=table.number + 1)})


def test_a_table_under_another_file_is_told_and_what_is_set_here_applied() -> None:
    own = {B: SwitchState(OFF, revision=3)}
    stored = replace(off(4, A), digest="there", others={"here": own})
    here = Table(4, own, digest="here", others={"there": off(4, A).states})
    assert effective(stored, FILE) == Effective(here, (A, B), "there")
    assert effective(stored, LIVE) == Effective(stored)
    assert effective(replace(stored, digest="here", others={}), FILE).stands_on == ""
    before_any_file = off(4, A)
    assert effective(before_any_file, FILE) == Effective(before_any_file)


@given(TABLES, st.sets(st.sampled_from(NAMES)), st.sets(st.sampled_from(NAMES)), SERVING)
def test_each_switch_that_is_here_follows_the_store_and_each_other_is_told(
    stored: Table, here: set[SwitchName], gone: set[SwitchName], serving: Serving
) -> None:
    serving = serving._replace(switches=here, removed=gone)
    found = effective(stored, serving)
    first = dict.fromkeys(here, SwitchState(ON))
    own = for_file(stored, serving.digest) if stored.digest else stored
    for name in here:
        assert found.table.in_force(name, first) == own.in_force(name, first)
    if not found.stands_on:
        missing = {name for name in NAMES if stored.states.get(name, UNTOUCHED).setting}
        assert set(found.unapplied) == missing - here - gone


def revision(
    kind: str, *names: SwitchName, table: Table = EMPTY, policy: OpenSockets = KEEP
) -> Revision:
    facts = {"at": 0.0, "author": "a", "role": "", "reason": "", "digest": ""}
    return revision_of(EMPTY, table, names, kind=kind, open_sockets=policy, **facts)


@given(st.lists(st.tuples(st.booleans(), POLICIES)))
def test_revisions_that_ask_the_same_are_gone_over_at_once(
    asked: list[tuple[bool, OpenSockets]],
) -> None:
    revisions = [
        revision("set", table=Table(number, all_off=all_off), policy=policy)
        for number, (all_off, policy) in enumerate(asked, 1)
    ]
    stops = runs(revisions)
    # At each it is stopped whose neighbour asks for something else, and at the last.
    assert stops == [
        (number, policy)
        for number, (all_off, policy) in enumerate(asked, 1)
        if number == len(asked) or asked[number] != (all_off, policy)
    ]


def test_who_turns_a_switch_by_name_has_it() -> None:
    revisions = [revision("set", A, B), revision("undo", D), revision("expire", D)]
    assert turned_by_name(revisions) == {str(A), str(B)}


def test_what_open_sockets_do() -> None:
    all_off = replace(off(2, A), all_off=True)
    assert rollout(off(1, A), off(2, A, B), KEEP, LIVE) == Rollout(frozenset({B}), KEEP)
    assert rollout(off(1, A), all_off, KEEP, LIVE) == Rollout(None, NEXT)
    assert rollout(all_off, off(3, A), KEEP, LIVE) == Rollout(None, KEEP)
    there = replace(all_off, digest="there")
    assert rollout(there, off(3, A), KEEP, FILE) == Rollout(None, NEXT)
    assert rollout(replace(off(1, A), digest="there"), off(2), KEEP, FILE) == Rollout(
        None, RECONNECT
    )
