"""Differences by field: what is told, what is not, and that hostile messages are bounded."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.mapping.engine.difference import (
    MAX_FIELDS,
    MAX_LEVELS,
    MAX_NESTED,
    MAX_READ,
    MAX_STEPS,
    difference,
)
from tests.support.jsontexts import values

Told = list[tuple[str, str]]


def told(before: str | bytes, after: str | bytes) -> Told:
    """The fields and kinds of one pair, where no bound is reached."""
    one, other = (each.encode() if isinstance(each, str) else each for each in (before, after))
    found = difference((one,), (other,))
    assert not found.cut
    assert all((each.before, each.after) == (None, None) for each in found.fields)
    return [(each.field, each.kind.value) for each in found.fields]


@pytest.mark.parametrize(
    ("before", "after", "fields"),
    [
        ('{"a": 1}', '{"a": 1}', []),
        ('{"a": 1, "b": 2}', '{"b":2,"a":1}', []),
        ('{"a": 1}', '{"a": 2}', [("a", "value")]),
        ('{"a": 1}', '{"a": "1"}', [("a", "type")]),
        ('{"a": true}', '{"a": null}', [("a", "type")]),
        ('{"a": true}', '{"a": false}', [("a", "value")]),
        ('{"a": {}}', '{"a": []}', [("a", "type")]),
        ('{"a": 1}', '{"a": NaN}', [("a", "value")]),
        ('{"a": -Infinity}', '{"a": Infinity}', [("a", "value")]),
        ('{"a": NaN}', '{ "a": NaN}', []),
        ('{"old": 1}', '{"new": 1}', [("old", "removed"), ("new", "added")]),
        ('{"u": {"n": "A"}}', '{"u": {"n": "B", "m": 1}}', [("u.n", "value"), ("u.m", "added")]),
        # Equal is what means the same.
        ('{"a": 1.0, "b": "\\u0041"}', '{"a": 1.00, "b": "A"}', []),
        ('{"a": 12345678901234567890123}', '{"a": 12345678901234567890124}', [("a", "value")]),
        ('{"a": "\\ud800"}', '{"a": "\\uD800"}', []),
        ('{"a": "\\ud800"}', '{"a": "\\ud801"}', [("a", "value")]),
        ('{"a": {"b": [1, 2]}}', '{"a": {"b": [1,2]}}', []),
        # Of a key that occurs twice the last value counts.
        ('{"a": 1, "a": 2}', '{"a": 2}', []),
        ('{"a": 1, "a": 2}', '{"a": 1}', [("a", "value")]),
        # Positions are left out.
        ('{"l": [{"n": 1}, {"n": 2}]}', '{"l": [{"n": 3}, {"n": 4}]}', [("l[].n", "value")]),
        ('{"l": [1, [2]]}', '{"l": [1, [3]]}', [("l[][]", "value")]),
        ('{"l": [1, 2, 3]}', '{"l": [1]}', [("l[]", "removed")]),
        ('{"l": []}', '{"l": [{"a": 1}, 2]}', [("l[]", "added")]),
        ('[{"a": 1}, {"a": 2}]', '[{"a": 1}, {"b": 2}]', [("[].a", "removed"), ("[].b", "added")]),
        # So are keys that can be data.
        (
            '{"by": {"anna@example.com": {"n": 1}, "7": {"n": 1}}}',
            '{"by": {"anna@example.com": {"n": 2}, "7": {"n": 2}}}',
            [("by.{}.n", "value")],
        ),
        ('{"": 1}', '{"": 2}', [("{}", "value")]),
        ('{"\\ud800": 1}', "{}", [("{}", "removed")]),
        # What is no JSON equals only itself.
        ("text", "text", []),
        ("text", "other", [("", "value")]),
        ("", "{}", [("", "value")]),
        ("{}", "[]", [("", "value")]),
        ('{"a": 1', '{"a": 1}', [("", "value")]),
        (b"\xff", b"\xfe", [("", "value")]),
        (b' {"a": "\xff"}', b'{"a": "\xff"} ', []),
    ],
)
def test_fields_are_told_by_path_and_kind(
    before: str | bytes, after: str | bytes, fields: Told
) -> None:
    assert told(before, after) == fields


def test_messages_are_compared_in_turn_and_what_one_side_lacks_is_told_of_the_whole() -> None:
    assert difference((), ()) == ((), False)
    (removed,) = difference((b"{}",), ()).fields
    assert (removed.field, removed.kind.value) == ("", "removed")
    fields = difference((b'{"a":1}',), (b'{"a":2}', b"{}", b"{}")).fields
    assert [(each.field, each.kind.value) for each in fields] == [("a", "value"), ("", "added")]


def test_values_are_told_only_if_they_are_asked_for() -> None:
    before, after = b'{"a": {"b": 1}, "c": [ 1 ]}', b'{"a": {"b": 2}, "d": [ 1 ]}'
    assert str(difference((before,), (after,))).count("None") == 6
    found = difference((before,), (after,), values=True).fields
    assert [(each.field, each.before, each.after) for each in found] == [
        ("a.b", b"1", b"2"),
        ("c", b"[ 1 ]", None),
        ("d", None, b"[ 1 ]"),
    ]


def test_only_so_many_fields_are_told() -> None:
    def message(value: int, fields: int) -> bytes:
        return json.dumps({f"f{number}": value for number in range(fields)}).encode()

    found = difference((message(1, MAX_FIELDS),), (message(2, MAX_FIELDS),))
    assert (len(found.fields), found.cut) == (MAX_FIELDS, False)
    found = difference((message(1, 5_000),), (message(2, 5_000),))
    assert (len(found.fields), found.cut) == (MAX_FIELDS, True)


def test_only_so_many_pairs_are_looked_at() -> None:
    def message(value: int, size: int) -> bytes:
        return json.dumps({"l": [value] * (size - 1)}).encode()

    found = difference((message(1, MAX_STEPS),), (message(2, MAX_STEPS),))
    assert ([each.field for each in found.fields], found.cut) == (["l[]"], False)
    found = difference((message(1, MAX_STEPS + 1),), (message(2, MAX_STEPS + 1),))
    assert ([each.field for each in found.fields], found.cut) == (["l[]"], True)


def test_only_so_many_levels_are_gone_down() -> None:
    def message(value: int, levels: int) -> bytes:
        return b'{"a":' * levels + b"%d" % value + b"}" * levels

    found = difference((message(1, MAX_LEVELS),), (message(2, MAX_LEVELS),))
    assert ([each.field for each in found.fields], found.cut) == (
        [".".join("a" * MAX_LEVELS)],
        False,
    )
    found = difference((message(1, MAX_LEVELS + 1),), (message(2, MAX_LEVELS + 1),))
    assert ([each.field for each in found.fields], found.cut) == (
        [".".join("a" * MAX_LEVELS)],
        True,
    )


def test_what_is_nested_deep_is_not_looked_into() -> None:
    deep = b'{"a":' + b"[" * MAX_NESTED + b"]" * MAX_NESTED + b',"b":%d}'
    for one, other in ((deep % 1, deep % 2), (b"{}", deep % 1), (deep % 1, b"{}")):
        found = difference((one,), (other,))
        assert ([each.field for each in found.fields], found.cut) == ([""], True)
    assert difference((deep % 1,), (deep % 1,)) == ((), False)


def test_only_so_many_bytes_are_read() -> None:
    long = "x" * (MAX_READ // 2)
    found = difference((b'{"a":"%b1"}' % long.encode(),), (b'{"a":"%b2"}' % long.encode(),))
    assert ([(each.field, each.kind.value) for each in found.fields], found.cut) == (
        [("", "value")],
        True,
    )


@given(values, values)
def test_a_text_differs_from_another_in_the_same_fields_either_way(first: str, second: str) -> None:
    one, other = first.encode(), second.encode()
    turned = {"added": "removed", "removed": "added"}
    there = difference((one,), (other,))
    back = difference((other,), (one,))
    if not (there.cut or back.cut):
        assert {(each.field, each.kind.value) for each in there.fields} == {
            (each.field, turned.get(each.kind.value, each.kind.value)) for each in back.fields
        }
    assert difference((one,), (one,)) == ((), False)


@given(st.binary(), st.binary())
def test_whatever_comes_is_compared(one: bytes, other: bytes) -> None:
    found = difference((one,), (other,))
    assert len(found.fields) <= MAX_FIELDS
