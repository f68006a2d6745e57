"""Which resources a message names."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.freshness.naming import MOST_VALUES, names_in

FIELDS = {("jobId",), ("meta", "id")}


def named(message: Any) -> set[str] | None:
    found = names_in(json.dumps(message).encode(), FIELDS)
    return None if found is None else {each.value for each in found}


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ({"kind": "jobStatus", "jobId": "A-1"}, {"a1"}),
        ({"jobId": 7}, {"7"}),
        ({"jobId": None}, set()),
        ({"kind": "error"}, set()),
        ([], set()),
        ("text", set()),
        (7, set()),
        ([{"jobId": "1"}, {"jobId": "2"}, 3], {"1", "2"}),
        ({"kind": "batch", "items": [{"jobId": "1"}, [{"jobId": 2}]], "jobId": "3"}, {*"123"}),
        ({"jobId": ["1", 2, None, ["3"]]}, {*"123"}),
        ({"meta": {"id": "1", "jobId": "2"}, "id": "3"}, {*"12"}),
        ({"meta": [{"id": "1"}, {"id": "2"}], "deep": {"meta": {"id": 4}}}, {*"124"}),
        ({"meta": "text"}, set()),
        ({"job\u0049d": "1"}, {"1"}),
        ({"jobId": 10**40}, {str(10**40)}),
    ],
)
def test_every_object_of_a_message_names_what_its_field_says(
    message: Any, expected: set[str]
) -> None:
    assert named(message) == expected


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"ping",
        b'{"jobId": "1"',
        b'{"jobId": NaN}',
        b'{"jobId": "\xff"}',
        b'{"jobId": 1.0}',
        b'{"jobId": true}',
        b'{"jobId": {"id": "1"}}',
        b'[{"jobId": "1"}, {"jobId": [false]}]',
        b"[" * 100_000,
        b'{"jobId":' * 500 + b"1" + b"}" * 500,
        b'{"jobId": ' + b"9" * 5000 + b"}",
        b"[" + b"0," * MOST_VALUES + b"0]",
    ],
)
def test_what_cannot_be_read_for_certain_names_nothing_that_could_be_relied_on(
    message: bytes,
) -> None:
    assert names_in(message, FIELDS) is None


def test_a_deep_list_does_no_harm() -> None:
    deep = b'{"jobId":' + b"[" * 900 + b"]" * 900 + b"}"
    assert names_in(deep, FIELDS) in (None, set())


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["jobId", "meta", "id", "x"]), inner, max_size=4)
    ),
    max_leaves=30,
)


@given(json_values, st.sampled_from(["1", 2]))
def test_what_is_named_anywhere_is_found_or_the_message_is_not_read(
    around: Any, value: str | int
) -> None:
    for message in ({"x": around, "y": {"jobId": value}}, [around, [{"jobId": [value]}]]):
        found = named(message)
        assert found is None or str(value) in found


@given(st.binary(max_size=200))
def test_no_bytes_do_harm(message: bytes) -> None:
    assert names_in(message, FIELDS) is None or isinstance(names_in(message, FIELDS), set)
