"""Programs: what is sent for a message, whatever it holds."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import MappingFailure
from proxy.mapping.engine.compiled import CompiledMapping, CompiledRule
from proxy.mapping.engine.program import Program, links_of
from proxy.mapping.json.objects import Object
from proxy.types import Direction, OnError
from tests.support import jsontexts
from tests.support.rules import compiled, program

RULES = """
- name: status
  match: {field: kind, equals: jobStatus}
  do: [{set: {kind: status}}]
- name: broken
  match: {field: kind, equals: broken}
  do: [{set: {kind.deep: 1}}]
- name: dropped
  match: {field: kind, equals: dropped}
  do: [{drop: true}]
- name: nested
  match: {field: kind, equals: nested}
  do: [{set: {meta.seen: true}}]
- name: idle
  match: {field: kind, equals: idle}
  do: [{default: {kind: x}}]
"""

PROGRAM = program(RULES)


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b" ",
        b"hello",
        b"[1, 2]",
        b'"jobStatus"',
        b'{"kind": "jobStatus"',
        b"\x00\x01\x02",
        b'{"kind": "other"}',
        b'{"kind": "idle"}',
        b"{}",
    ],
)
def test_what_is_not_to_change_is_left_alone(message: bytes) -> None:
    assert PROGRAM.apply(message) is None


def test_a_rule_rewrites_drops_or_fails() -> None:
    assert PROGRAM.apply(b'{"kind": "jobStatus", "n": 1}') == (b'{"kind": "status", "n": 1}',)
    assert PROGRAM.apply(b'{"kind": "dropped"}') == ()
    with pytest.raises(MappingFailure) as caught:
        PROGRAM.apply(b'{"kind": "broken", "token": "secret"}')
    failure = caught.value
    assert (failure.mapping, failure.rule, failure.on_error) == ("tested", "broken", OnError.PASS)
    assert "secret" not in str(failure)


@pytest.mark.parametrize("channel", ["websocket", "http"])
@pytest.mark.parametrize(
    "text", [b"\xff", b'{"kind": "jobStatus", "x": "\xff"}', b"[\xc3]", b"a\xed\xa0\x80"]
)
def test_what_is_not_utf8_fails_by_the_first_mappings_on_error(channel: str, text: bytes) -> None:
    tested = Program(
        [
            compiled(FORTH, name="one", on_error="close", channel=channel),
            compiled(BACK, name="two", channel=channel),
        ]
    )
    with pytest.raises(MappingFailure) as caught:
        tested.apply(text)
    failure = caught.value
    assert (failure.mapping, failure.rule, failure.on_error) == ("one", "none", OnError.CLOSE)
    assert tested.trace(text).failure is not None


def test_invariant_3_only_what_a_rule_names_changes() -> None:
    rest = (
        rb'"big":123456789012345678901234567890,"p":1.10,"e":1E2,"z":-0,"s":"\u00e9\/\ud83d\ude00",'
        rb'"a":[ 1 , { "b" : NaN } ],"i":-Infinity,"l":"\ud800","\u006b":"\udc00"'
    )
    result = PROGRAM.apply(b'{"first":1,"kind":"jobStatus",' + rest + b"}")
    assert result == (b'{"first":1,"kind":"status",' + rest + b"}",)


@pytest.mark.parametrize(
    ("opening", "closing", "depth"),
    [(b"[", b"]", 2_000), (b'{"kind":', b"}", 2_000), (b"[", b"]", 200_000)],
)
def test_nesting_as_deep_as_allowed_is_mapped_or_passes(
    opening: bytes, closing: bytes, depth: int
) -> None:
    deep = opening * depth + b"1" + closing * depth
    message = b'{"x":' + deep + b',"kind":"%s","meta":{"y":' + deep + b"}}"
    tested = Program([compiled(RULES)], 1_000_000)
    mapped = tested.apply(message.replace(b"%s", b"nested"))
    assert mapped == (message.replace(b"%s", b"nested")[:-2] + b',"seen":true}}',)
    assert tested.apply(message.replace(b"%s", b"other")) is None
    assert tested.apply(deep[:-1]) is None


kinds = st.sampled_from(
    ['"jobStatus"', r'"\u006aobStatus"', '"nested"', '"dropped"', '"other"', "null", "NaN", "[1]"]
)


@given(
    st.lists(st.tuples(jsontexts.strings | jsontexts.odd_strings, jsontexts.values), max_size=4),
    kinds,
    jsontexts.spaces,
)
def test_invariant_3_for_arbitrary_json(
    members: list[tuple[str, str]], kind: str, space: str
) -> None:
    others = [(k, v) for k, v in members if json.loads(k) not in ("kind", "meta")]
    keys = [json.loads(key) for key, _ in others]
    others = [pair for i, pair in enumerate(others) if keys[i] not in keys[:i]]
    at = len(others) // 2

    def text(kind: str, space: str, *last: tuple[str, str]) -> bytes:
        pairs = [*others[:at], ('"kind"', kind), *others[at:], *last]
        written = [f"{key}{space}:{space}{value}" for key, value in pairs]
        return ("{" + f"{space},{space}".join(written) + "}").encode()

    result = PROGRAM.apply(text(kind, space))
    match json.loads(kind):
        case "jobStatus":
            assert result == (text('"status"', ""),)
        case "nested":
            assert result == (text(kind, "", ('"meta"', '{"seen":true}')),)
        case "dropped":
            assert result == ()
        case _:
            assert result is None


@given(
    st.binary(max_size=60)
    | st.lists(
        st.sampled_from([b"{", b"}", b'"kind"', b":", b'"jobStatus"', b",", b"\\", b"["])
    ).map(b"".join)
)
def test_whatever_bytes_arrive_nothing_but_a_mapping_failure_is_raised(message: bytes) -> None:
    try:
        result = PROGRAM.apply(message)
    except MappingFailure:
        result = None
    assert result is None or len(result) <= 1


FORTH = "\n- name: forth\n  match: {field: kind, equals: a}\n  do: [{set: {kind: b}}]"
BACK = "\n- name: back\n  match: {field: kind, equals: b}\n  do: [{set: {kind: a}}]"
ON = "\n- name: on\n  match: {field: kind, equals: b}\n  do: [{rename: {kind: type}}]"
DROP = "\n- name: drop\n  match: {field: kind, equals: b}\n  do: [{drop: true}]"


def test_in_a_chain_the_output_of_one_is_the_input_of_the_next() -> None:
    chain = Program([compiled(FORTH, name="one"), compiled(ON, name="two")])
    assert chain.name == "one+two"
    assert links_of(chain.name) == chain.mappings
    assert chain.direction is Direction.TO_CLIENT
    assert chain.rules == (("one", "forth"), ("two", "on"))
    assert chain.apply(b'{"kind": "a", "x": 1}') == (b'{"type":"b","x":1}',)
    assert chain.apply(b'{"kind": "b"}') == (b'{"type":"b"}',)
    assert chain.apply(b'{"kind": "c"}') is None
    assert chain.apply(b"[]") is None


def test_a_chain_that_undoes_itself_leaves_the_bytes_alone() -> None:
    chain = Program([compiled(FORTH), compiled(BACK)])
    assert chain.apply(b'{ "kind" : "a" }') is None
    # The second alone changes what the first does not touch.
    assert chain.apply(b'{ "kind" : "b" }') == (b'{"kind":"a"}',)


def test_a_chain_ends_where_a_message_is_dropped() -> None:
    assert Program([compiled(FORTH), compiled(DROP), compiled(FORTH)]).apply(b'{"kind":"a"}') == ()


def test_a_failure_in_a_chain_is_that_of_the_failing_mapping() -> None:
    failing = "\n- name: f\n  match: {field: kind, equals: b}\n  do: [{set: {kind.x: 1}}]"
    chain = Program(
        [
            compiled(FORTH, name="one", on_error="close"),
            compiled(failing, name="two", on_error="drop"),
        ]
    )
    with pytest.raises(MappingFailure) as caught:
        chain.apply(b'{"kind":"a"}')
    assert (caught.value.mapping, caught.value.on_error) == ("two", OnError.DROP)


def test_an_operation_may_give_several_messages_and_the_next_works_on_each() -> None:
    def twice(message: Object) -> tuple[Object, ...]:
        return (message, dict(message))

    def idle(_: Object) -> None:
        return None

    rule = CompiledRule("twice", (twice, idle, twice))
    splitting = CompiledMapping(
        "s", Direction.TO_CLIENT, OnError.PASS, (rule,), lambda _: [(rule, None)]
    )
    assert Program([splitting]).apply(b'{"a": 1}') == (b'{"a":1}',) * 4
    chain = Program(
        [
            splitting,
            compiled("\n- name: a\n  match: {field: a, exists: true}\n  do: [{set: {a: 2}}]"),
        ]
    )
    assert chain.apply(b'{"a": 1}') == (b'{"a":2}',) * 4


BODY_RULES = """
- name: job
  match: {field: id, exists: true}
  do: [{rename: {old: new}}]
- name: broken
  match: {field: broken, exists: true}
  do: [{set: {broken.x: 1}}]
"""
BODY = Program([compiled(BODY_RULES, channel="http")])


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"id":1, "old":1.10}', b'{"id":1,"new":1.10}'),
        (
            b'[{"id":1,"old":2}, {"old": 3}, 4, [{"id":1,"old":2}]]',
            b'[{"id":1,"new":2},{"old": 3},4,[{"id":1,"old":2}]]',
        ),
        (b' [ {"id":1,"old":NaN} ] ', b'[{"id":1,"new":NaN}]'),
        (b'[{"id":1}]', None),
        (b"[]", None),
        (b"[", None),
        (b'"id"', None),
        (b"", None),
    ],
)
def test_a_body_that_is_a_list_is_mapped_element_by_element(
    body: bytes, expected: bytes | None
) -> None:
    assert BODY.apply(body) == (None if expected is None else (expected,))


def test_one_element_that_fails_fails_the_whole_body() -> None:
    with pytest.raises(MappingFailure) as caught:
        BODY.apply(b'[{"id":1,"old":2},{"broken":1}]')
    assert caught.value.rule == "broken"


def test_a_body_has_room_for_many_elements_and_not_for_endless_bytes() -> None:
    many = b"[" + b",".join([b'{"id":1,"old":2}'] * 2_000) + b"]"
    (mapped,) = BODY.apply(many) or ()
    assert mapped == many.replace(b"old", b"new")
    growing = (
        f"\n- name: g\n  match: {{field: a, exists: true}}\n  do: [{{set: {{x: {'y' * 99_999}}}}}]"
    )
    with pytest.raises(MappingFailure, match="more than 67108864 bytes"):
        Program([compiled(growing, channel="http")]).apply(b"[" + b'{"a":1},' * 700 + b'{"a":1}]')


SPLIT = "\n- name: s\n  match: {field: l, exists: true}\n  do: [{split: {field: l, into: e}}]"
AGAIN = "\n- name: s\n  match: {field: m, exists: true}\n  do: [{split: {field: m, into: f}}]"


def test_a_chain_of_splits_is_bounded_as_a_whole() -> None:
    chain = Program([compiled(SPLIT, name="one"), compiled(AGAIN, name="two")])
    assert len(chain.apply(b'{"l":[1,2],"m":[3,4]}') or ()) == 4
    with pytest.raises(MappingFailure, match="more than 1000 messages") as caught:
        chain.apply(json.dumps({"l": [1] * 40, "m": [2] * 40}).encode())
    assert (caught.value.mapping, caught.value.rule) == ("two", "s")
