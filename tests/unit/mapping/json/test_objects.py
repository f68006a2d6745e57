"""Opening and closing objects: every value keeps its bytes, by either road."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.mapping.json.objects import (
    close_list,
    close_object,
    copy_object,
    open_list,
    open_object,
    open_tolerantly,
)
from tests.support import jsontexts


def reopened(text: bytes) -> bytes | None:
    members = open_object(text)
    return None if members is None else close_object(members)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b' { "a" : 1.10 ,\n"b": [ 1E2,-0 ] } ', b'{"a":1.10,"b":[ 1E2,-0 ]}'),
        (b'{"n":123456789012345678901234567890}', b'{"n":123456789012345678901234567890}'),
        (rb'{"a":"\u00e9\/"}', rb'{"a":"\u00e9\/"}'),
        ('{"é":"é"}'.encode(), '{"é":"é"}'.encode()),
        (rb'{"\u00e9":1,"b":"\n"}', rb'{"\u00e9":1,"b":"\n"}'),
        (rb'{"\u0022":1, "\"" : 2}', rb'{"\"":2}'),
        (rb'{"a":NaN, "\ud800":[Infinity]}', rb'{"a":NaN,"\ud800":[Infinity]}'),
        (b'{"a":1,"b":2,"a":3}', b'{"a":3,"b":2}'),
        (b'{"a":NaN,"b":2,"a":3}', b'{"a":3,"b":2}'),
        (b"{}", b"{}"),
    ],
)
def test_values_keys_and_order_are_kept(text: bytes, expected: bytes) -> None:
    assert reopened(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"   ",
        b"[]",
        b" [1]",
        b'"{}"',
        b"null",
        b"{",
        b'{"a":1',
        b'{"a":1}{',
        b'{"a":"\xff"}',
        b'{"\xff":1}',
        b'{"a":NaN,"b":"\xff"}',
        b'{"a":"\xed\xa0\x80"}',
        b"\xef\xbb\xbf{}",
        bytes(range(256)),
        '{"a":1}'.encode("utf-16"),
    ],
)
def test_what_is_no_json_object_is_not_opened(text: bytes) -> None:
    assert open_object(text) is None


@pytest.mark.parametrize("depth", [2_000, 200_000])
def test_deep_nesting_is_kept(depth: int) -> None:
    text = b'{"a":' + b"[" * depth + b"]" * depth + b',"b":1}'
    assert reopened(text) == text


@given(st.tuples(jsontexts.spaces, jsontexts.strict_values, jsontexts.spaces).map("".join))
def test_both_roads_agree(text: str) -> None:
    fast, slow = open_object(text.encode()), open_tolerantly(text.encode())
    assert (fast is None) == (slow is None)
    if fast is not None and slow is not None:
        assert close_object(fast) == close_object(slow)
        assert list(fast.items()) == list(slow.items())


@given(st.binary(max_size=40) | st.text('{}[]",:\\u0d81aN-.e \n', max_size=30).map(str.encode))
def test_whatever_bytes_are_opened_only_if_python_reads_an_object(text: bytes) -> None:
    fast, slow = open_object(text), open_tolerantly(text)
    assert (fast is None) == (slow is None)
    if fast is not None:
        assert isinstance(json.loads(text), dict)


@given(jsontexts.values)
def test_every_object_that_python_reads_is_opened(text: str) -> None:
    members = open_object(text.encode())
    value = json.loads(text)
    assert (members is not None) == isinstance(value, dict)
    if members is not None:
        assert repr(json.loads(close_object(members))) == repr(value)


@given(st.lists(jsontexts.values, max_size=4), jsontexts.spaces)
def test_the_elements_of_a_list_keep_their_bytes(elements: list[str], space: str) -> None:
    text = ("[" + f"{space},{space}".join(elements) + "]").encode()
    opened = open_list(text)
    assert opened is not None
    assert [bytes(each) for each in opened] == [element.encode() for element in elements]
    assert close_list(opened) == ("[" + ",".join(elements) + "]").encode()


@pytest.mark.parametrize("text", [b"", b"{}", b"[", b"[1,]", b"[\xff]", b'["\xed\xa0\x80"]', b"1"])
def test_what_is_no_list_is_not_opened(text: bytes) -> None:
    assert open_list(text) is None


def test_a_copy_is_spelled_like_its_original_and_changes_alone() -> None:
    original = open_object(rb'{"\u0061":1,"b":2}')
    assert original is not None
    copy = copy_object(original)
    del copy["b"]
    assert close_object(copy) == rb'{"\u0061":1}'
    assert close_object(original) == rb'{"\u0061":1,"b":2}'
