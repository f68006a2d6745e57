"""Which fields of two JSON texts differ."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.control.explain import MAX_SHOWN, texts
from proxy.mapping.checks.comparison import differences


@pytest.mark.parametrize(
    ("expected", "got", "found"),
    [
        ("{}", "{}", []),
        (' {"a": 1, "b": 2}\n', '{"b":2.0,"a":1}', []),
        ('{"a": "\\u00e9"}', '{"a": "é"}', []),
        ('{"a": 1}', '{"a": "1"}', [("a", "1", '"1"')]),
        ('{"a": true}', '{"a": 1}', [("a", "true", "1")]),
        ('{"a": null}', "{}", [("a", "null", None)]),
        ("{}", '{"a": null}', [("a", None, "null")]),
        ('{"a": {"b": [1, 2]}}', '{"a": {"b": [1, 3]}}', [("a.b[1]", "2", "3")]),
        ('{"a": [1]}', '{"a": [1, 2]}', [("a", "[1]", "[1, 2]")]),
        ('{"a": {}}', '{"a": []}', [("a", "{}", "[]")]),
        ('{"a": 1, "b": 2}', '{"a": 3, "b": 4}', [("a", "1", "3"), ("b", "2", "4")]),
        ("1", "2", [("", "1", "2")]),
        ("[1, NaN]", "[1, NaN]", []),
        ('{"a": 10000000000000001}', '{"a": 10000000000000002}', [("a", "1" + "0" * 15 + "1",
                                                                   "1" + "0" * 15 + "2")]),
    ],
)  # fmt: skip
def test_fields_that_differ_are_found_with_their_place(
    expected: str, got: str, found: list[tuple[str, str | None, str | None]]
) -> None:
    assert list(map(texts, differences(expected.encode(), got.encode()))) == found


def test_long_and_hostile_values_are_shown_short_and_harmless() -> None:
    long = json.dumps({"\x1b[2J": "a" * 1000}, ensure_ascii=False)
    (found,) = differences(b"{}", long.replace("\\u001b", "\u202e").encode())
    path, _, got = texts(found)
    assert got is not None
    assert len(got) < MAX_SHOWN + 30
    assert path.isprintable()


def test_deep_nesting_is_no_difficulty() -> None:
    deep = b'{"a":' * 500, b"}" * 500
    (found,) = differences(deep[0] + b"1" + deep[1], deep[0] + b"2" + deep[1])
    assert found.path == ("a",) * 500


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)


@given(values, values)
def test_nothing_differs_exactly_where_the_values_are_equal(one: object, other: object) -> None:
    same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    found = list(differences(json.dumps(one).encode(), json.dumps(other).encode()))
    assert (found == []) is same
