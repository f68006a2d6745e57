r"""Read in disguise, a text is what it is when each of its tokens is looked at."""

from __future__ import annotations

import json
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from proxy.mapping.json import objects, tolerant
from proxy.mapping.json.objects import close_object, open_list, open_object, open_tolerantly
from tests.support import jsontexts

Opened = tuple[list[tuple[str, bytes]], dict[str, bytes]] | None


def looked_at(text: bytes) -> Opened:
    """Members and spellings, token by token: as the tolerant reading defines them."""
    if not text.lstrip(b" \t\n\r").startswith(b"{"):
        return None
    try:
        pairs = tolerant.split(text.decode())
    except UnicodeDecodeError:
        return None
    if pairs is None:
        return None
    members: dict[str, bytes] = {}
    spellings = {}
    for spelling, value in pairs:
        key = json.loads(spelling)
        if "\\" in spelling:
            spellings[key] = spelling.encode()
        members[key] = value.encode()
    return list(members.items()), spellings


def opened(text: bytes) -> Opened:
    members = open_tolerantly(text)
    if members is None:
        return None
    assert isinstance(members, objects.SpelledObject)
    return [(key, bytes(value)) for key, value in members.items()], members.spellings


def lists(text: bytes) -> tuple[list[bytes] | None, list[bytes] | None]:
    """The elements as they are read, and as they are token by token."""
    elements = open_list(text)
    try:
        expected = tolerant.split_list(text.decode())
    except UnicodeDecodeError:
        expected = None
    return (
        None if elements is None else [bytes(element) for element in elements],
        None if expected is None else [element.encode() for element in expected],
    )


ODD = (
    *("NaN", "Infinity", "-Infinity", "1NaN", "NaN1", "-NaN", "--Infinity", "NaNNaN", "1-Infinity"),
    *("NaNInfinity", "1e", "1", "-", ".5", "null", "nul", "[", "]", "{", "}", ",", ":", " ", "\n"),
    *(
        '"',
        '"NaN"',
        '" NaN -Infinity"',
        '"a"',
        '"\\u0061"',
        '"\\ud800"',
        '"\\""',
        '"\\\\"',
        '"\\n"',
    ),
    *('"[ ]"', "[ ]", '"\\u0800"', '"\\uD8aF"', "\\ud", "{,}"),
    *("\\", '\\"', "\\\\", "\\u", "\\ud83d\\ude00", "\\x", "z", "\x00", "\x7f", "é", "[]", "{}"),
)
soups = st.lists(st.sampled_from(ODD), max_size=12).map("".join)
keys = st.sampled_from(
    [
        '"a"',
        '"\\u0061"',
        '"\\u0061b"',
        '"b"',
        '"\\ud800"',
        '"NaN"',
        '"[ ]"',
        '"\\u0800"',
        '""',
        '"\\\\"',
    ]
)
plain = st.recursive(
    st.sampled_from(['"x"', "1", "NaN", "-Infinity", "Infinity", '"\\ud800 NaN"', "true", '"\\""']),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4).map(lambda each: f"[{' , '.join(each)}]"),
        st.lists(st.tuples(keys, inner), max_size=4).map(
            lambda each: "{" + ",".join(f"{key} :{value}" for key, value in each) + "}"
        ),
    ),
    max_leaves=12,
)
members = st.lists(st.tuples(keys, plain), max_size=6).map(
    lambda each: "{" + ", ".join(f"{key}: {value}" for key, value in each) + "}"
)


@given(st.one_of(members, soups, soups.map(lambda soup: '{"a":' + soup + "}"), jsontexts.values))
def test_objects_are_read_as_token_by_token(text: str) -> None:
    assert opened(text.encode()) == looked_at(text.encode())


@given(st.one_of(plain, soups, soups.map(lambda soup: "[" + soup + "]"), jsontexts.values))
def test_lists_are_read_as_token_by_token(text: str) -> None:
    read, expected = lists(text.encode())
    assert read == expected


@given(members, st.integers(0, 200), st.sampled_from([*'{}[]",:\\u0NaI-. \n', ""]))
def test_damaged_texts_are_read_as_token_by_token(text: str, at: int, put: str) -> None:
    at %= len(text)
    damaged = (text[:at] + put + text[at + 1 :]).encode()
    assert opened(damaged) == looked_at(damaged)
    assert lists(damaged)[0] == lists(damaged)[1]


@given(st.binary(max_size=12))
def test_bytes_that_are_no_text_are_read_as_token_by_token(some: bytes) -> None:
    for text in (some, b'{"a":"' + some + b'"}', b'{"' + some + b'":NaN}'):
        assert opened(text) == looked_at(text)


@pytest.mark.parametrize(
    ("text", "key", "value", "spelling"),
    [
        (r'{"a":1,"\u0061":2,"a":3}', "a", b"3", rb'"\u0061"'),
        (r'{"\u0061":1,"a":2,"\u0061":3}', "a", b"3", rb'"\u0061"'),
        (r'{"\u0041":1,"A":2,"\x41":3}'.replace("x41", "u0041"), "A", b"3", rb'"\u0041"'),
        (r'{"\u00e9":[1],"\u00E9":[2,{"a":NaN}],"b":1}', "é", b'[2,{"a":NaN}]', rb'"\u00E9"'),
    ],
)
def test_the_last_spelling_of_a_key_counts(
    text: str, key: str, value: bytes, spelling: bytes
) -> None:
    found = opened(text.encode())
    assert found is not None
    assert dict(found[0])[key] == value
    assert found[1][key] == spelling
    assert found == looked_at(text.encode())


@pytest.mark.parametrize(
    "key", ["NaN", "[ ]", r"\ud800", r"\u0800", "ࠀ", "-Infinity", "{:}", "[,]"]
)
def test_what_is_put_in_is_never_confused_with_what_was_there(key: str) -> None:
    beside = r'"NaN":1,"[ ]":NaN,"[       ]":-Infinity,"\ud800":[ ],"\u0800":{"a":[{}]},"[,]":"{:}"'
    text = f'{{{beside},"{key}":[NaN,"{key}"],{beside},"a":"\\ud800"}}'.encode()
    assert opened(text) == looked_at(text)
    assert opened(text) is not None
    elements = f'[{{{beside}}},NaN,Infinity,[ ],"{key}","\\uD800",[      ]]'.encode()
    read, expected = lists(elements)
    assert read == expected
    assert read is not None


@pytest.mark.parametrize(
    "text", [b"NaN", b" NaN", b"Infinity", b"-Infinity ", b'{"a",NaN}', b"[NaN}"]
)
def test_what_looks_like_a_list_or_an_object_in_disguise_alone_is_none(text: bytes) -> None:
    assert opened(text) is None
    assert lists(text) == (None, None)


@given(st.one_of(members, soups.map(lambda soup: '{"a":' + soup + "}")))
def test_long_texts_are_read_as_token_by_token(text: str) -> None:
    # Of so many bytes, those with escapes are read this way first.
    long = b" " * (1 << 16) + text.encode()
    expected, read = looked_at(long), open_object(long)
    assert (read is None) == (expected is None)
    if read is not None and expected is not None:
        assert [(key, bytes(value)) for key, value in read.items()] == expected[0]
        assert getattr(read, "spellings", {}) == expected[1]


@pytest.mark.parametrize("depth", [10, 500, 3_000, 50_000])
@pytest.mark.parametrize("inner", ["NaN", '"\\ud800"', "x"])
def test_depth_has_no_limit(depth: int, inner: str) -> None:
    assert sys.getrecursionlimit() < 50_000
    for opening, closing in (("[", "]"), ('{"\\u0061":', "}")):
        text = f'{{"a":{opening * depth}{inner}{closing * depth}}}'.encode()
        assert opened(text) == looked_at(text)
        text = f"[{opening * depth}{inner}{closing * depth}]".encode()
        assert lists(text)[0] == lists(text)[1]


def test_a_number_of_any_length_may_stand_beside_keys_that_collide() -> None:
    text = b'{"a":%b,"\\u0061":%b.5e%b,"b":NaN}' % (b"1" * 9999, b"2" * 9999, b"3" * 9999)
    assert opened(text) == looked_at(text)


def test_what_is_read_in_disguise_is_written_as_it_came() -> None:
    text = rb'{"\ud800":"NaN \ud800","x":NaN,"y":[-Infinity,Infinity],"\\\"":"\\\""}'
    read = open_object(text)
    assert read is not None
    assert read["x"] == Raw(b"NaN")
    assert close_object(read) == text
