"""Revisions and tables as JSON: what is written is read, and anything else is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.switching.history import (
    Unreadable,
    fitted,
    read_revision,
    read_table,
    revision_of,
    state_text,
    within,
    write_revision,
    write_table,
)
from proxy.switching.setting import OFF, ON, WHOLE, Mode, Setting
from proxy.switching.table import (
    EMPTY,
    MAX_EXCEPTIONS,
    MAX_FILES,
    NO_TERM,
    Earlier,
    OpenSockets,
    SwitchName,
    SwitchState,
    Table,
    Term,
    VersionException,
    for_file,
)
from proxy.versions.version import parse_range

NAME = SwitchName("modern", "old-to-new")

numbers = st.integers(0, 2**53)
times = st.none() | st.floats(allow_nan=False, allow_infinity=False)
texts = st.text(st.characters(exclude_categories=["Cs"]))
settings = st.one_of(
    st.sampled_from([OFF, ON, Setting(Mode.SHADOW)]),
    st.builds(Setting, st.just(Mode.CANARY), st.integers(0, WHOLE)),
)
terms = st.builds(Term, texts, times, st.booleans(), st.sampled_from((None, *OpenSockets)))
earlier = st.none() | st.builds(Earlier, settings, st.builds(Term, texts, times))
exceptions = st.builds(
    VersionException,
    st.from_regex(r"[a-z0-9_-]{1,63}", fullmatch=True),
    st.sampled_from(["==2.1.3", ">=2.1,<2.2", "!=1!2.0rc1, > 0"]).map(parse_range),
    settings,
    terms,
    earlier,
)
copies = st.builds(
    SwitchState,
    settings,
    st.lists(
        st.builds(replace, exceptions, term=st.just(NO_TERM), before=st.none()), max_size=2
    ).map(tuple),
)
states = st.builds(
    SwitchState,
    st.none() | settings,
    st.lists(exceptions, max_size=4).map(tuple),
    terms,
    earlier,
    numbers,
    st.none() | copies,
)
names = st.builds(
    SwitchName,
    st.from_regex(r"[a-z0-9_-]{1,63}", fullmatch=True),
    st.from_regex(r"[a-z0-9-]{1,64}", fullmatch=True),
)
parts = st.dictionaries(names, states, max_size=4)
others = st.dictionaries(texts, parts, max_size=MAX_FILES - 1)
tables = st.builds(Table, numbers, parts, st.booleans(), texts, others)


@given(tables)
def test_a_table_is_read_as_it_was_written(table: Table) -> None:
    assert read_table(write_table(table)) == table


@given(tables, tables, texts)
def test_a_revision_is_read_as_it_was_written(before: Table, after: Table, text: str) -> None:
    scope = tuple(sorted({*before.states, *after.states}))
    revision = revision_of(
        before,
        after,
        scope,
        at=1764453600.25,
        author=text,
        role="operator",
        reason=text,
        kind="set",
        open_sockets=OpenSockets.RECONNECT,
        digest="0123456789ab",
    )
    assert read_revision(write_revision(revision)) == revision
    assert revision.number == after.number
    assert revision.scope == tuple(map(str, scope))
    for name in scope:
        if name in after.states:
            assert revision.after[str(name)] == state_text(after.states[name])


@given(tables, tables, st.integers(700, 5_000))
def test_a_revision_that_has_no_room_says_less_and_that_it_does(
    before: Table, after: Table, most: int
) -> None:
    scope = tuple(sorted({*before.states, *after.states}))
    outlived = tuple(f"{name} (exception {'x' * 63})" for name in scope)
    revision = revision_of(
        before,
        after,
        scope,
        at=1764453600.25,
        author="a" * 64,
        role="operator",
        reason="r" * 100,
        kind="undo",
        open_sockets=OpenSockets.RECONNECT,
        digest="0123456789ab",
        outlived=outlived,
    )
    found = fitted(revision, most)
    assert len(write_revision(found)) <= most
    if len(write_revision(revision)) <= most:
        assert found is revision
        return
    assert (found.cut, found.before, found.after) == (True, {}, {})
    assert found.scope == revision.scope[: len(found.scope)]
    assert found.outlived == revision.outlived[: len(found.outlived)]
    facts = ("number", "at", "author", "reason", "kind", "all_off", "open_sockets", "digest")
    assert all(getattr(found, each) == getattr(revision, each) for each in facts)
    assert read_revision(write_revision(found)) == found


def test_what_a_revision_always_says_is_no_more_than_it_is_allowed() -> None:
    revision = revision_of(
        EMPTY, EMPTY, (), at=0.0, author="a", role="", reason="long" * 100, kind="set",
        open_sockets=OpenSockets.KEEP, digest="",
    )  # fmt: skip
    assert fitted(revision, 10).cut


def test_a_table_is_written_so() -> None:
    exception = VersionException(
        "broken", parse_range("==2.1.3"), OFF, Term("ops", 5.5, restore=True), Earlier(ON)
    )
    canary = Setting(Mode.CANARY, 250)
    state = SwitchState(canary, (exception,), revision=7, copied=SwitchState(canary))
    table = Table(7, {NAME: state}, all_off=True, digest="0123456789ab")
    # Other processes, and later versions, read it.
    assert json.loads(write_table(table)) == {
        "format": 1,
        "number": 7,
        "states": {
            "modern/old-to-new": {
                "setting": "canary 2.5%",
                "exceptions": [
                    {
                        "name": "broken",
                        "versions": "==2.1.3",
                        "setting": "off",
                        "owner": "ops",
                        "until": 5.5,
                        "restore": True,
                        "before": "on",
                    }
                ],
                "revision": 7,
                "copied": {"setting": "canary 2.5%"},
            }
        },
        "all_off": True,
        "digest": "0123456789ab",
    }


def test_a_table_of_one_file_is_read_and_what_is_of_others_is_written_beside_it() -> None:
    """As versions wrote it that kept what was set under one alone, and as those read it."""
    old = of_state(setting="off", revision=1) | {"digest": "here"}
    table = read_table(json.dumps(old).encode())
    assert table == Table(1, {NAME: SwitchState(OFF, revision=1)}, digest="here")
    assert json.loads(write_table(for_file(table, "there"))) == {
        **TABLE,
        "digest": "there",
        "others": {"here": {"modern/old-to-new": {"setting": "off", "revision": 1}}},
    }


@given(tables, st.integers(0, 3000))
def test_what_is_kept_for_other_files_makes_room(table: Table, most: int) -> None:
    found = within(table, most)
    assert replace(found, others=table.others) == table
    assert list(found.others.items()) == list(table.others.items())[: len(found.others)]
    assert len(write_table(found)) <= most or not found.others
    if len(found.others) < len(table.others):
        more = list(table.others.items())[: len(found.others) + 1]
        assert len(write_table(replace(table, others=dict(more)))) > most


def test_a_table_of_before_is_read() -> None:
    """One that goes back to a setting alone, as versions wrote it that knew no more."""
    state = {"setting": "off", "until": 5.0, "restore": True, "before": "on"}
    table = read_table(json.dumps(of_state(**state, exceptions=[{**EXCEPTION, **state}])).encode())
    (exception,) = table.states[NAME].exceptions
    assert table.states[NAME].before == exception.before == Earlier(ON)
    assert table.states[NAME].copied is None


@given(st.binary() | texts.map(str.encode))
def test_garbage_is_unreadable(written: bytes) -> None:
    with pytest.raises(Unreadable):
        read_table(written)
    with pytest.raises(Unreadable):
        read_revision(written)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts | st.just("off"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)


@given(tables, st.data())
def test_a_table_that_somebody_has_changed_is_read_or_unreadable(
    table: Table, data: st.DataObject
) -> None:
    written = json.loads(write_table(table))
    found: list[Any] = [written]
    for each in found:  # It grows meanwhile.
        inner = each.values() if isinstance(each, dict) else each
        found += [value for value in inner if value and isinstance(value, dict | list)]
    chosen = data.draw(st.sampled_from(found))
    keys = list(chosen) if isinstance(chosen, dict) else range(len(chosen))
    chosen[data.draw(st.sampled_from(list(keys)))] = data.draw(values)
    try:
        read = read_table(json.dumps(written).encode())
    except Unreadable:
        return
    assert read_table(write_table(read)) == read


TABLE = {"format": 1, "number": 1, "states": {}, "all_off": False, "digest": ""}


def of_state(**state: object) -> dict[str, object]:
    return {**TABLE, "states": {"modern/old-to-new": state}}


EXCEPTION = {"name": "e", "versions": "==1", "setting": "off"}


@pytest.mark.parametrize(
    "table",
    [
        {**TABLE, "number": -1},
        {**TABLE, "number": 2**53 + 1},
        {**TABLE, "states": {"modern": {}}},
        of_state(setting="canary 101%"),
        of_state(setting=""),
        of_state(before="maybe"),
        {**TABLE, "others": {"there": {"modern": {}}}},
        {**TABLE, "others": {"there": {"a/b": {"setting": "maybe"}}}},
        {**TABLE, "others": {str(number): {} for number in range(MAX_FILES)}},
        of_state(copied={}),
        of_state(copied={"setting": "maybe"}),
        of_state(copied={"setting": "on", "exceptions": [EXCEPTION] * (MAX_EXCEPTIONS + 1)}),
        of_state(revision=-1),
        of_state(exceptions=[{**EXCEPTION, "versions": "2.1.3"}]),
        of_state(exceptions=[{**EXCEPTION, "setting": "half"}]),
        of_state(exceptions=[{**EXCEPTION, "before": "half"}]),
        of_state(exceptions=[EXCEPTION] * (MAX_EXCEPTIONS + 1)),
        {},
        [],
    ],
)
def test_what_no_table_says_is_unreadable(table: object) -> None:
    assert read_table(json.dumps(TABLE).encode()) == Table(1)
    assert read_table(json.dumps(of_state(exceptions=[EXCEPTION] * 20)).encode()).number == 1
    with pytest.raises(Unreadable):
        read_table(json.dumps(table).encode())


def test_a_table_of_a_later_version_says_so() -> None:
    with pytest.raises(Unreadable, match="a table of format 2; this version reads 1"):
        read_table(write_table(EMPTY).replace(b'"format":1', b'"format":2'))


@pytest.mark.parametrize("nest", [b"[", b'{"format":', b'{"states":{"a/b":'])
def test_what_is_nested_without_end_is_unreadable(nest: bytes) -> None:
    for read in (read_table, read_revision):
        with pytest.raises(Unreadable):
            read(nest * 100_000)
