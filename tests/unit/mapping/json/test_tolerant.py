r"""The tolerant reading: what strict parsers take, Python's odd values, any depth; no more."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.mapping.json.tolerant import split, split_list
from tests.support import jsontexts


@pytest.mark.parametrize(
    ("text", "members"),
    [
        ("{}", []),
        (" { } ", []),
        ('{"a":NaN}', [('"a"', "NaN")]),
        ('{"a" : -Infinity , "b":Infinity}', [('"a"', "-Infinity"), ('"b"', "Infinity")]),
        (r'{"a":"\ud800"}', [('"a"', r'"\ud800"')]),
        (r'{"\ud800":1}', [(r'"\ud800"', "1")]),
        (r'{"\u0061":1E2,"a":-0}', [(r'"\u0061"', "1E2"), ('"a"', "-0")]),
        ('{"a":[ 1 , {"b":2} ],"c":{}}', [('"a"', '[ 1 , {"b":2} ]'), ('"c"', "{}")]),
        ('{"a":[[],[{}]]}', [('"a"', "[[],[{}]]")]),
        ('{"a":true,"b":false,"c":null}', [('"a"', "true"), ('"b"', "false"), ('"c"', "null")]),
        ('{"a":"x","a":"y"}', [('"a"', '"x"'), ('"a"', '"y"')]),
    ],
)
def test_members_are_given_as_written(text: str, members: list[tuple[str, str]]) -> None:
    assert split(text) == members


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "1", '"a"', "[]", "[{}]", "null", "NaN", "{", "}", '{"a"', '{"a":', '{"a":1'),
        *('{"a":1,}', '{,"a":1}', '{"a",1}', '{"a"::1}', '{"a":1 "b":2}', "{1:2}", '{"a":1}}'),
        *('{"a":1}{}', '{"a":1}x', '{"a":[1,]}', '{"a":[,1]}', '{"a":[1 2]}', '{"a":[1}', "{]"),
        *('{"a":[1]]}', '{"a":{]}', '{"a":01}', '{"a":+1}', '{"a":1.}', '{"a":.5}', '{"a":1e}'),
        *('{"a":-}', '{"a":-NaN}', '{"a":nan}', '{"a":tru}', '{"a":truee}', "{'a':1}", "{a:1}"),
        *('{"a":"\n"}', '{"a":"\x00\\n"}', r'{"a":"\x"}', r'{"a":"\u12"}', '{"a":"', '{"a":"\\'),
        *('{"a":1}\x00', '\ufeff{"a":1}', '{"a":1}\u00a0', '{"a":\u0661}', '{"a":1,,"b":2}'),
    ],
)
def test_everything_else_is_refused(text: str) -> None:
    assert split(text) is None


@given(jsontexts.values)
def test_it_takes_every_object_that_python_takes(text: str) -> None:
    members = split(text)
    value = json.loads(text)
    if isinstance(value, dict):
        assert members is not None
        read = {json.loads(key): json.loads(written) for key, written in members}
        assert repr(read) == repr(value)
    else:
        assert members is None


@given(st.text('{}[]",:\\u0d81aN-.e \n', max_size=30))
def test_it_takes_nothing_that_python_refuses(text: str) -> None:
    if split(text) is not None:
        json.loads(text)


@pytest.mark.parametrize("depth", [2_000, 200_000])
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"":', "}")])
def test_depth_has_no_limit(depth: int, opening: str, closing: str) -> None:
    deep = opening * depth + "1" + closing * depth
    assert split('{"a":' + deep + ',"b":2}') == [('"a"', deep), ('"b"', "2")]
    assert split('{"a":' + deep[:-1]) is None


@pytest.mark.parametrize(
    "hostile",
    [
        '{"a":' + "[" * 100_000,
        '{"a":' * 20_000,
        '{"a":"' + "a" * 100_000,
        '{"a":"' + "\\n" * 50_000,
        '{"a":' + '"\\' * 50_000,
        '{"a":NaN' + " " * 100_000,
        " " * 100_000,
        '{"a":' + "1" * 100_000 + "x",
        '{"a":[' + '"",' * 30_000,
        '{"a":1' + ',"":1' * 20_000,
        '{"a":1e' + "1" * 100_000 + ".",
    ],
    ids=lambda text: f"{text[:8]}...{text[-4:]}",
)
def test_hostile_texts_take_linear_time(hostile: str) -> None:
    before = time.process_time()
    split(hostile)
    # A quadratic step over 100,000 characters takes minutes; a linear one far below a second.
    assert time.process_time() - before < 5


@given(jsontexts.values)
def test_it_takes_every_list_that_python_takes(text: str) -> None:
    elements, value = split_list(text), json.loads(text)
    if isinstance(value, list):
        assert elements is not None
        assert repr([json.loads(element) for element in elements]) == repr(value)
        assert all(element in text for element in elements)
    else:
        assert elements is None


@pytest.mark.parametrize("text", ["", "[", "]", "[1", "[1,]", "[,1]", "[1 2]", "[1]]", "[1}", "{}"])
def test_what_is_no_list_is_refused(text: str) -> None:
    assert split_list(text) is None
