"""How deep texts are nested, those included that are no JSON."""

from __future__ import annotations

import json
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import MappingFailure
from proxy.mapping.engine.compiled import MAX_VALUES
from proxy.mapping.engine.program import Program
from proxy.mapping.json.depth import nests_deeper
from proxy.types import MAX_DEPTH, OnError
from tests.support.rules import compiled

RULE = """
- name: status
  match: {field: kind, equals: jobStatus}
  do: [{set: {kind: status}}]
"""


def nested(depth: int, inside: bytes = b"1") -> bytes:
    """An object of a kind that is mapped, `depth` levels deep."""
    return b'{"kind":"jobStatus","n":' + b"[" * (depth - 1) + inside + b"]" * (depth - 1) + b"}"


@pytest.mark.parametrize(
    ("text", "depth"),
    [
        (b"", 0),
        (b"1", 0),
        (b"[]", 1),
        (b"[[],[],[[]]]", 3),
        (b'{"a":[{"b":[]}],"c":{}}', 4),
        (b'{"[[[[":"]]{{{{"}', 1),
        (rb'["\"[[[[", "\\",["\\\"{{{{"]]', 2),
        (rb'["\u005b[[[[', 1),
        (b'["a\\', 1),
        (b"]]]][[", 0),
        (b'{"a":"\xff[[["}', 1),
    ],
)
def test_brackets_count_outside_of_strings(text: bytes, depth: int) -> None:
    padded = text + b" " * 20
    assert not nests_deeper(padded, max(depth, 1))
    assert nests_deeper(padded, depth - 1) or depth <= 1


values = st.recursive(
    st.none() | st.text('a["]{}\\', max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('["{', max_size=2), inner),
)


def depth_of(value: object) -> int:
    if isinstance(value, dict):
        return 1 + max(map(depth_of, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(depth_of, value), default=0)
    return 0


@given(values, st.integers(1, 6))
def test_it_is_the_depth_that_a_parser_finds(value: object, than: int) -> None:
    assert nests_deeper(json.dumps(value).encode(), than) is (depth_of(value) > than)


@given(st.text("[]", max_size=30), st.integers(1, 6))
def test_it_is_the_highest_number_of_brackets_that_are_open(text: str, than: int) -> None:
    open_at = accumulate(1 if bracket == "[" else -1 for bracket in text)
    assert nests_deeper(text.encode(), than) is (max(open_at, default=0) > than)


@pytest.mark.parametrize("deepest", [2, 30, MAX_DEPTH])
@pytest.mark.parametrize("channel", ["websocket", "http"])
def test_as_deep_as_allowed_is_mapped_and_deeper_fails(deepest: int, channel: str) -> None:
    tested = Program([compiled(RULE, on_error="close", channel=channel)], deepest)
    for inside in (b"1", b"NaN"):
        (made,) = tested.apply(nested(deepest, inside)) or ()
        assert made == nested(deepest, inside).replace(b"jobStatus", b"status")
        # Where the deciding field stands first, and where not: by the short way, and the general.
        deeper = nested(deepest + 1, inside)
        for text in (deeper, b"{ " + deeper[1:], b'{"first":1,' + deeper[1:]):
            with pytest.raises(MappingFailure, match=f"deeper than {deepest} levels") as caught:
                tested.apply(text)
            assert (caught.value.mapping, caught.value.rule) == ("tested", "none")
            assert caught.value.on_error is OnError.CLOSE


def test_a_list_of_objects_counts_as_a_level() -> None:
    tested = Program([compiled(RULE, channel="http")], 3)
    assert tested.apply(b"[" + nested(2) + b"]")
    with pytest.raises(MappingFailure):
        tested.apply(b"[" + nested(3) + b"]")


def test_a_trace_says_that_no_rule_was_asked() -> None:
    told = Program([compiled(RULE)], 5).trace(nested(6))
    assert (told.passes, told.messages) == ((), (nested(6),))
    assert told.note == "no rule was tried: it is nested deeper than 5 levels"


def test_a_message_with_more_values_than_may_be_is_left_to_on_error() -> None:
    tested = Program([compiled(RULE, channel="http")])
    assert tested.apply(b"[" + b"1," * MAX_VALUES + b"1]") is None
    more = b"1," * (MAX_VALUES + 1) + b"1]"
    for text in (b"[" + more, b'{"a":[' + more + b"}"):
        with pytest.raises(MappingFailure, match=f"more than {MAX_VALUES} values") as caught:
            tested.apply(text)
        assert caught.value.rule == "none"
