"""The short way: it agrees with the general one, and is taken where it can be."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from proxy.errors import MappingFailure
from proxy.mapping.engine.compiled import Rewrite
from proxy.mapping.engine.program import Program
from tests.support import jsontexts
from tests.support.rules import compiled, program

RULES = """
- name: status
  match: {field: kind, equals: jobStatus}
  do: [{set: {kind: status}}]
- name: several
  match: {field: kind, one_of: [agentDialogue, "gr\u00fc\u00df", 'q"']}
  do: [{set: {kind: 7}}]
- name: same
  match: {field: kind, equals: same}
  do: [{set: {kind: same}}]
- name: number
  match: {field: kind, equals: 7}
  do: [{set: {kind: seven}}]
- name: renamed
  match: {field: kind, equals: renamed}
  do: [{rename: {kind: type}}]
- name: two
  match: {field: kind, equals: two}
  do: [{set: {kind: x, also: y}}]
- name: on-condition
  match: {field: kind, equals: sometimes}
  do: [{set: {kind: x}, when: {field: n, equals: 1}}]
- name: asked-for-more
  match: {all: [{field: kind, equals: more}, {field: n, equals: 1}]}
  do: [{set: {kind: x}}]
"""

ELSE = """
- name: anything-urgent
  match: {field: urgent, equals: true}
  do: [{set: {kind: urgent}}]
"""

PROGRAM = program(RULES)
UNDECIDED = program(RULES + ELSE)

KINDS = [
    "jobStatus",
    "agentDialogue",
    "gr\u00fc\u00df",
    'q"',
    "same",
    "renamed",
    "two",
    "sometimes",
    "more",
    "other",
    "",
]

kinds = st.one_of(
    st.sampled_from(KINDS).map(json.dumps),
    st.sampled_from(KINDS).map(lambda kind: json.dumps(kind, ensure_ascii=False)),
    st.sampled_from([r'"\u006aobStatus"', "7", "7.0", "null", "NaN", "[1]", '{"kind": "two"}']),
)
keys = jsontexts.strings | jsontexts.odd_strings
members = st.tuples(
    keys | st.sampled_from(['"kind"', r'"\u006bind"', '"urgent"', '"n"']),
    st.sampled_from([":", ": "]),
    jsontexts.values | kinds | st.sampled_from(["true", "1"]),
).map("".join)


def outcome(rewrite: Rewrite, message: bytes) -> object:
    try:
        return understood(rewrite(message))
    except MappingFailure as failure:
        return failure.rule


def understood(messages: tuple[bytes, ...] | None) -> list[list[tuple[str, str]]] | None:
    """What a parser reads: the last value of a key counts. Compared as text, for NaN is not NaN."""
    if messages is None:
        return None
    return [
        [(key, json.dumps(value)) for key, value in json.loads(message).items()]
        for message in messages
    ]


@pytest.mark.parametrize("tested", [PROGRAM, UNDECIDED])
@given(
    st.sampled_from(['{"kind": ', '{"kind":', '{ "kind": ', '{"a": 1, "kind":']),
    kinds,
    st.lists(members, max_size=4),
    st.sampled_from([", ", ",", " , "]),
    st.sampled_from(["}", "} ", " }", "", "}}", "} x", ",}"]),
)
@example('{"kind": ', '"jobStatus"', ['"kind": "jobStatus"'], ", ", "}")
@example('{"kind": ', '"other"', [r'"\u006bind": "jobStatus"'], ", ", "}")
@example('{"kind": ', '"jobStatus"', ['"a": NaN'], ", ", "}")
def test_both_ways_agree_on_any_message(
    tested: Program, opening: str, kind: str, members: list[str], comma: str, closing: str
) -> None:
    message = (opening + comma.join([kind, *members]) + closing).encode()
    assert understood(tested.apply(message)) == understood(tested.rewrite(message))


@given(st.binary(max_size=12), st.integers(0, 60), st.integers(0, 8))
def test_both_ways_agree_on_broken_messages(piece: bytes, position: int, gone: int) -> None:
    whole = '{"kind": "jobStatus", "text": "gr\u00fc\u00df \\u00fc", "n": [1, {}]}'.encode()
    message = whole[:position] + piece + whole[position + gone :]
    assert outcome(PROGRAM.apply, message) == outcome(PROGRAM.rewrite, message)


@pytest.mark.parametrize(
    ("message", "sent"),
    [
        (b'{"kind": "jobStatus",  "n" : 1.10 }', b'{"kind": "status",  "n" : 1.10 }'),
        (b'{"kind":"jobStatus","n":-0}\n', b'{"kind":"status","n":-0}\n'),
        (b'{"kind": "jobStatus"}', b'{"kind": "status"}'),
        (b'{"kind": "agentDialogue", "a": 1}', b'{"kind": 7, "a": 1}'),
        ('{"kind":"gr\u00fc\u00df","a":"\u00e9"}'.encode(), '{"kind":7,"a":"\u00e9"}'.encode()),
        (rb'{"kind": "jobStatus", "a": "\u00e9\n"}', rb'{"kind": "status", "a": "\u00e9\n"}'),
        (b'{"kind": "jobStatus", "a": {"kind": "x"}}', b'{"kind": "status", "a": {"kind": "x"}}'),
    ],
)
def test_the_bytes_around_the_value_stay_white_space_included(message: bytes, sent: bytes) -> None:
    assert PROGRAM.apply(message) == (sent,)


@pytest.mark.parametrize(
    ("message", "sent"),
    [
        # The last value counts, and takes the first one's place.
        (b'{"kind": "jobStatus", "n": 1, "kind": "jobStatus"}', b'{"kind":"status","n":1}'),
        (rb'{"kind": "other", "\u006bind": "jobStatus"}', rb'{"\u006bind":"status"}'),
        (rb'{"kind": "\u006aobStatus", "n": 1}', b'{"kind":"status","n":1}'),
        (b'{"kind": "jobStatus", "n": NaN}', b'{"kind":"status","n":NaN}'),
        (rb'{"kind": "jobStatus", "n": "\ud800"}', rb'{"kind":"status","n":"\ud800"}'),
        (b'{"n": 1, "kind": "jobStatus"}', b'{"n":1,"kind":"status"}'),
        (b'{"kind": "two", "n": 1}', b'{"kind":"x","n":1,"also":"y"}'),
        (b'{"kind": "renamed", "n": 1}', b'{"type":"renamed","n":1}'),
        (b'{"kind": "sometimes", "n": 1}', b'{"kind":"x","n":1}'),
        (b'{"kind": "more", "n": 1}', b'{"kind":"x","n":1}'),
    ],
)
def test_what_needs_the_members_goes_the_general_way(message: bytes, sent: bytes) -> None:
    assert PROGRAM.apply(message) == (sent,)


@pytest.mark.parametrize(
    "message",
    [
        b'{"kind": "same", "n": 1}',
        b'{"kind": "other", "n": 1}',
        b'{"kind": "jobStatus", "n": 1',
        b'{"kind": "jobStatus"',
        b'{"kind": "jobStatus',
        b'{"kind": "jobStatus" "n": 1}',
        b'{"kind": "sometimes", "n": 2}',
    ],
)
def test_what_is_not_to_change_passes(message: bytes) -> None:
    assert PROGRAM.apply(message) is None


@pytest.mark.parametrize("kind", [b"jobStatus", b"other", b"job\xd2Status"])
def test_what_is_not_utf8_fails_wherever_that_shows(kind: bytes) -> None:
    with pytest.raises(MappingFailure, match="not UTF-8"):
        PROGRAM.apply(b'{"kind": "' + kind + b'", "n": "\xff"}')
    with pytest.raises(MappingFailure, match="not UTF-8"):
        PROGRAM.apply(b'{"kind": "' + kind + b'\xff"}')


def test_a_message_nested_too_deep_for_the_parser_is_mapped_the_general_way() -> None:
    deep = b"[" * 100_000 + b"]" * 100_000
    message = b'{"kind": "jobStatus", "n": ' + deep + b"}"
    tested = Program([compiled(RULES)], 1_000_000)
    assert tested.apply(message) == (b'{"kind":"status","n":' + deep + b"}",)


def test_the_elements_of_a_list_are_mapped_where_a_body_is_one() -> None:
    bodies = Program([compiled(RULES, channel="http")])
    assert bodies.apply(b'[{"kind": "jobStatus"}]') == (b'[{"kind":"status"}]',)


def test_links_of_a_chain_are_run_in_turn() -> None:
    back = RULES.replace("jobStatus", "x").replace("kind: status", "kind: jobStatus")
    chain = Program(
        [compiled(RULES, name="one"), compiled(back.replace("equals: x", "equals: status"))]
    )
    assert chain.apply(b'{"kind": "jobStatus", "n": 1}') is None


@pytest.mark.parametrize("field", ['a"b', "a\\b", "f\u00fcr", "a b"])
def test_fields_of_any_name_are_mapped(field: str) -> None:
    written = json.dumps(field)
    rules = f"""
- name: only
  match: {{field: {written}, equals: old}}
  do: [{{set: {{{written}: new}}}}]
"""
    key = json.dumps(field, ensure_ascii=False).encode()
    (sent,) = program(rules).apply(b"{" + key + b': "old"}') or ()
    assert json.loads(sent) == {field: "new"}
