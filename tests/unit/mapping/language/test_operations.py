"""Each operation: what it changes, what it leaves, and when it cannot be carried out."""

from __future__ import annotations

import pkgutil
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.errors import MappingFailure
from proxy.mapping.engine.compiled import Transform
from proxy.mapping.language import operations
from proxy.mapping.language.operation import Operation
from proxy.mapping.language.table import OPERATIONS
from tests.support import jsontexts
from tests.support.rules import program, rewrite


@pytest.mark.parametrize(
    ("do", "message", "expected"),
    [
        # set
        ("[{set: {a: 1.10}}]", b'{"x":0,"a":2,"y":0}', b'{"x":0,"a":1.10,"y":0}'),
        ("[{set: {a: new}}]", b'{"x": 0}', b'{"x":0,"a":"new"}'),
        ("[{set: {a.b: 1}}]", b'{"a":{"c":1E2}}', b'{"a":{"c":1E2,"b":1}}'),
        ("[{set: {a.b.c: 1}}]", b"{}", b'{"a":{"b":{"c":1}}}'),
        (r"[{set: {a\.b: 1}}]", b"{}", b'{"a.b":1}'),
        ("[{set: {a: {b: [1, null]}}}]", b"{}", b'{"a":{"b":[1,null]}}'),
        ("[{set: {a: 1, b: 2}}]", b'{"b":0}', b'{"b":2,"a":1}'),
        ("[{set: {a: 1}}]", b'{ "a" : 1 }', None),
        ("[{set: {a.b: 1}}]", b'{"a": {"b": 1}}', None),
        # default
        ("[{default: {a: 1}}]", b'{"b":2}', b'{"b":2,"a":1}'),
        ("[{default: {a: 1}}]", b'{"a":null}', None),
        ("[{default: {a.b: 1}}]", b'{"a":{}}', b'{"a":{"b":1}}'),
        # rename
        ("[{rename: {a: z}}]", b'{"x":1,"a":-0,"y":2}', b'{"x":1,"z":-0,"y":2}'),
        ("[{rename: {a: z}}]", b'{"x":1}', None),
        ("[{rename: {a: a}}]", b'{"a":1}', None),
        ("[{rename: {m.a: z}}]", b'{"m":{"a":1,"b":2},"x":1}', b'{"m":{"z":1,"b":2},"x":1}'),
        ("[{rename: {m.a: z}}]", b'{"m":[1]}', None),
        ("[{rename: {m.a: z}}]", b"{}", None),
        (r"[{rename: {a: 'p\.q'}}]", b'{"a":1}', b'{"p.q":1}'),
        # remove
        ("[{remove: [a, m.b]}]", b'{"a":1,"m":{"b":1,"c":2}}', b'{"m":{"c":2}}'),
        ("[{remove: [[m, b.c]]}]", b'{"m":{"b.c":1}}', b'{"m":{}}'),
        ("[{remove: [a, m.b]}]", b'{"m":null}', None),
        # keep_only
        ("[{keep_only: [b, a]}]", b'{"a":1,"x":2,"b":3}', b'{"a":1,"b":3}'),
        ("[{keep_only: [a]}]", b'{"a": 1}', None),
        ("[{keep_only: [m.b]}]", b'{"m":{"b":1,"c":2},"x":1}', b'{"m":{"b":1}}'),
        ("[{keep_only: [m.b.c]}]", b'{"m":{"b":{"c":1,"d":1},"e":1}}', b'{"m":{"b":{"c":1}}}'),
        ("[{keep_only: [m.b, m]}]", b'{"m":{"b":1,"c":2},"x":1}', b'{"m":{"b":1,"c":2}}'),
        ("[{keep_only: [m.b]}]", b'{"m":[1],"x":1}', b'{"m":[1]}'),
        # move
        ("[{move: {a: b}}]", b'{"a":1.10,"x":2}', b'{"x":2,"b":1.10}'),
        ("[{move: {a: m.n.b}}]", b'{"a":1,"m":{"c":2}}', b'{"m":{"c":2,"n":{"b":1}}}'),
        ("[{move: {m.a: a}}]", b'{"m":{"a":null,"b":2}}', b'{"m":{"b":2},"a":null}'),
        ("[{move: {m.n.a: a}}]", b'{"m":{"n":{"a":1}},"x":1}', b'{"x":1,"a":1}'),
        ("[{move: {m.a: m.b}}]", b'{"m":{"a":1}}', b'{"m":{"b":1}}'),
        ("[{move: {a: b, c: a}}]", b'{"a":1,"c":2}', b'{"b":1,"a":2}'),
        ("[{move: {a: b}}]", b'{"x":1}', None),
        ("[{move: {m.a: b}}]", b'{"m":[1]}', None),
        # copy
        ("[{copy: {a: b}}]", b'{"a":-0,"x":2}', b'{"a":-0,"x":2,"b":-0}'),
        ("[{copy: {m.a: n.b}}]", b'{"m":{"a":1}}', b'{"m":{"a":1},"n":{"b":1}}'),
        ("[{copy: {a: b}}]", b'{"x":1}', None),
        # wrap
        (
            "[{wrap: {into: m, fields: [b, a]}}]",
            b'{"a":1,"x":0,"b":2}',
            b'{"x":0,"m":{"b":2,"a":1}}',
        ),
        ("[{wrap: {into: m, fields: [a]}}]", b'{"a":1,"m":{"c":2}}', b'{"m":{"c":2,"a":1}}'),
        ("[{wrap: {into: a, fields: [a]}}]", b'{"a":1}', b'{"a":{"a":1}}'),
        (
            "[{wrap: {into: o.m, fields: [a]}}]",
            b'{"o":{"a":1},"a":2}',
            b'{"o":{"m":{"a":1}},"a":2}',
        ),
        ("[{wrap: {into: m, fields: [a]}}]", b'{"x":1}', None),
        # unwrap
        ("[{unwrap: {field: m}}]", b'{"m":{"a":1,"b":2},"x":0}', b'{"x":0,"a":1,"b":2}'),
        ("[{unwrap: {field: m}}]", b'{"m":{},"x":0}', b'{"x":0}'),
        ("[{unwrap: {field: m, fields: [a]}}]", b'{"m":{"a":1,"b":2}}', b'{"m":{"b":2},"a":1}'),
        ("[{unwrap: {field: m, fields: [a]}}]", b'{"m":{"b":2}}', None),
        ("[{unwrap: {field: m}}]", b'{"m":{"m":1}}', b'{"m":1}'),
        ("[{unwrap: {field: o.m}}]", b'{"o":{"m":{"a":1}}}', b'{"o":{"a":1}}'),
        ("[{unwrap: {field: m}}]", b'{"m":null}', None),
        ("[{unwrap: {field: m}}]", b'{"x":1}', None),
        (r"[{unwrap: {field: m}}]", rb'{"m":{"\ud800":1},"\u0061":0}', rb'{"\u0061":0,"\ud800":1}'),
        (r"[{unwrap: {field: m}}]", rb'{"m":{"\ud800":1}}', rb'{"\ud800":1}'),
        # translate
        ("[{translate: {field: s, table: {a: x}}}]", b'{"s":"a"}', b'{"s":"x"}'),
        ("[{translate: {field: s, table: {a: x}}}]", rb'{"s":"\u0061"}', b'{"s":"x"}'),
        ("[{translate: {field: s, table: {a: x}}}]", b'{"s":"x"}', None),
        ("[{translate: {field: s, table: {a: x}}}]", b'{"t":"a"}', None),
        ("[{translate: {field: s, table: {a: a}}}]", b'{"s":"a"}', None),
        ("[{translate: {field: s, table: {a: b, b: a}}}]", b'{"s":"b"}', b'{"s":"a"}'),
        ("[{translate: {field: m.s, table: {a: null}}}]", b'{"m":{"s":"a"}}', b'{"m":{"s":null}}'),
        ("[{translate: {field: s, table: [[1, one]]}}]", b'{"s":10e-1}', b'{"s":"one"}'),
        ("[{translate: {field: s, table: {a: x}, default: null}}]", b'{"s":[1]}', b'{"s":null}'),
        ("[{translate: {field: s, table: {a: x}, otherwise: keep}}]", b'{"s":"z"}', None),
        # for_each
        (
            "[{for_each: {field: l, do: [{set: {a: 1}}]}}]",
            b'{"l":[{}, 2 ,[]]}',
            b'{"l":[{"a":1},2,[]]}',
        ),
        ("[{for_each: {field: l, do: [{set: {a: 1}}]}}]", b'{"l": [ {"a":1} ]}', None),
        ("[{for_each: {field: l, do: [{drop: true}]}}]", b'{"l":[{"a":1},2]}', b'{"l":[2]}'),
        (
            "[{for_each: {field: m.l, do: [{rename: {a: b}}, {set: {c: 1}}]}}]",
            b'{"m":{"l":[{"a":NaN}]}}',
            b'{"m":{"l":[{"b":NaN,"c":1}]}}',
        ),
        (
            "[{for_each: {field: l, do: [{drop: true, when: {field: a, equals: 1}}]}}]",
            b'{"l":[{"a":1},{"a":1.10}]}',
            b'{"l":[{"a":1.10}]}',
        ),
        (
            "[{for_each: {field: l, do: [{for_each: {field: l, do: [{remove: [a]}]}}]}}]",
            b'{"l":[{"l":[{"a":1}]},{}]}',
            b'{"l":[{"l":[{}]},{}]}',
        ),
        ("[{for_each: {field: l, do: [{remove: [a]}]}}]", b'{"l":null}', None),
        ("[{for_each: {field: l, do: [{remove: [a]}]}}]", b'{"x":1}', None),
        # when
        ("[{set: {a: 1}, when: {field: b, equals: 2}}]", b'{"b":2}', b'{"b":2,"a":1}'),
        ("[{set: {a: 1}, when: {field: b, equals: 2}}]", b'{"b":3}', None),
        ("[{set: {b: 2}}, {set: {a: 1}, when: {field: b, equals: 2}}]", b"{}", b'{"b":2,"a":1}'),
        # one after the other
        ("[{rename: {a: b}}, {set: {a: 2}}]", b'{"a":1}', b'{"b":1,"a":2}'),
        ("[{remove: [z]}, {set: {a: 2}}]", b'{"a":1}', b'{"a":2}'),
        ("[{set: {a: 2}}, {remove: [z]}]", b'{"a":1}', b'{"a":2}'),
        # inside what a strict parser refuses
        ("[{set: {a.b: 1}}]", b'{"a":{"c":NaN}}', b'{"a":{"c":NaN,"b":1}}'),
        (r"[{rename: {a: b}}]", b'{"\\ud800":1,"a":2}', b'{"\\ud800":1,"b":2}'),
    ],
)
def test_operation(do: str, message: bytes, expected: bytes | None) -> None:
    assert rewrite(do, message) == expected


RULE = """
- name: only
  match: {field: kind, exists: true}
  do: """


def test_drop_leaves_no_message() -> None:
    assert program(f"{RULE}[{{drop: true}}]").apply(b'{"kind":1}') == ()
    assert program(f"{RULE}[{{set: {{a: 1}}}}, {{drop: true}}]").apply(b'{"kind":1}') == ()


@pytest.mark.parametrize(
    ("conversion", "before", "after"),
    [
        ("{from: string, to: integer}", b'"12345678901234567890123"', b"12345678901234567890123"),
        ("{from: string, to: integer}", rb'"\u0031"', b"1"),
        ("{from: string, to: integer}", b"7", None),
        ("{from: integer, to: string}", b"-0", b'"-0"'),
        ("{from: integer, to: string}", b'"7"', None),
        ("{from: string, to: number}", b'"1.10E2"', b"1.10E2"),
        ("{from: number, to: string}", b"1.10E2", b'"1.10E2"'),
        ("{from: number, to: string}", b'"1.5"', None),
        ("{from: string, to: boolean}", b'"true"', b"true"),
        ("{from: string, to: boolean}", b"false", None),
        ("{from: boolean, to: string}", b"false", b'"false"'),
        ("{from: integer, to: boolean}", b"1", b"true"),
        ("{from: boolean, to: integer}", b"false", b"0"),
        ("{from: boolean, to: integer}", b"1", None),
        ("{from: integer, to: number}", b"1", None),
        ("{from: number, to: integer}", b"1.00", b"1"),
        ("{from: number, to: integer}", b"12.5E1", b"125"),
        ("{from: number, to: integer}", b"-1500e-2", b"-15"),
        ("{from: number, to: integer}", b"0e999999", b"0"),
        ("{from: number, to: integer}", b"0.0e-99999", b"0"),
        ("{from: number, to: integer}", b"-0.0", b"-0"),
        ("{from: iso_8601, to: epoch_seconds}", b'"1970-01-01T00:00:01.50Z"', b"1.50"),
        ("{from: iso_8601, to: epoch_milliseconds}", b'"1970-01-01T00:00:01.5Z"', b"1500"),
        ("{from: iso_8601, to: epoch_milliseconds}", b"1500", None),
        ("{from: epoch_milliseconds, to: iso_8601}", b"1500", b'"1970-01-01T00:00:01.500Z"'),
        (
            "{from: epoch_seconds, to: iso_8601, offset: '-01:00'}",
            b"0",
            b'"1969-12-31T23:00:00-01:00"',
        ),
        ("{from: epoch_seconds, to: iso_8601}", b'"1970-01-01T00:00:01Z"', None),
        ("{from: epoch_seconds, to: epoch_milliseconds}", b"1.5", b"1500"),
        (
            "{from: iso_8601, to: iso_8601, offset: Z}",
            b'"1970-01-01 01:00"',
            b'"1970-01-01T01:00:00Z"',
        ),
        ("{from: string, to: integer}", b"null", None),
    ],
)
def test_a_value_is_converted_digit_by_digit(
    conversion: str, before: bytes, after: bytes | None
) -> None:
    found = rewrite(f"[{{convert: {{v: {conversion}}}}}]", b'{"v":' + before + b"}")
    assert found == (None if after is None else b'{"v":' + after + b"}")


@pytest.mark.parametrize(
    ("conversion", "before"),
    [
        ("{from: string, to: integer}", b'"1.0"'),
        ("{from: string, to: integer}", b'"01"'),
        ("{from: string, to: integer}", b'" 1"'),
        ("{from: string, to: integer}", '"١"'.encode()),
        ("{from: string, to: integer}", b'"' + b"1" * 1_001 + b'"'),
        ("{from: string, to: integer}", b"1.5"),
        ("{from: string, to: integer}", b"true"),
        ("{from: string, to: number}", b'"NaN"'),
        ("{from: string, to: number}", b"{}"),
        ("{from: number, to: string}", b"Infinity"),
        ("{from: number, to: string}", b'"secret"'),
        ("{from: integer, to: string}", b'"secret"'),
        ("{from: string, to: boolean}", b'"True"'),
        ("{from: integer, to: boolean}", b"2"),
        ("{from: number, to: integer}", b"1.5"),
        ("{from: number, to: integer}", b"1e-1"),
        ("{from: number, to: integer}", b"1e1001"),
        ("{from: number, to: integer}", b"1e9999999999"),
        ("{from: number, to: integer}", b'"1"'),
        ("{from: iso_8601, to: epoch_seconds}", b'"secret"'),
        ("{from: iso_8601, to: epoch_seconds}", b"[]"),
        ("{from: epoch_seconds, to: epoch_milliseconds}", b'"1970-01-01T00:00:01Z"'),
    ],
)
def test_what_is_neither_fails_and_is_not_repeated(conversion: str, before: bytes) -> None:
    converting = program(f"{RULE}[{{convert: {{v: {conversion}}}}}]")
    with pytest.raises(MappingFailure) as caught:
        converting.apply(b'{"kind":1,"v":' + before + b"}")
    assert caught.value.detail.startswith("convert: `v`")
    assert "secret" not in caught.value.detail


def test_split_gives_a_message_for_each_element() -> None:
    splitting = program(f"{RULE}[{{split: {{field: l, into: e}}}}]")
    assert splitting.apply(b'{"l":[1.10,{"a":2}],"kind":1}') == (
        b'{"kind":1,"e":1.10}',
        b'{"kind":1,"e":{"a":2}}',
    )
    assert splitting.apply(b'{"kind":1,"l":[]}') == ()
    assert splitting.apply(b'{"kind":1,"l":null}') is None
    assert splitting.apply(b'{"kind":1}') is None
    inside = program(f"{RULE}[{{split: {{field: m.l}}}}, {{set: {{n: 1}}}}]")
    assert inside.apply(rb'{"kind":1,"\u0061":0,"m":{"l":[7,8],"x":1}}') == (
        rb'{"kind":1,"\u0061":0,"m":{"x":1,"l":7},"n":1}',
        rb'{"kind":1,"\u0061":0,"m":{"x":1,"l":8},"n":1}',
    )


@pytest.mark.parametrize(
    ("do", "message", "detail"),
    [
        ("[{move: {a: b}}]", b'{"a":1,"b":2}', "move: `b` is taken"),
        ("[{move: {a: m.b}}]", b'{"a":1,"m":null}', "`m` is not an object"),
        ("[{copy: {a: m.b}}]", b'{"a":1,"m":{"b":1}}', "copy: `m.b` is taken"),
        ("[{wrap: {into: m, fields: [a]}}]", b'{"a":1,"m":"secret"}', "wrap: `m` is not an object"),
        ("[{wrap: {into: m, fields: [a]}}]", b'{"a":1,"m":{"a":2}}', "wrap: `a` is taken in `m`"),
        ("[{unwrap: {field: m}}]", b'{"m":"secret"}', "unwrap: `m` is not an object"),
        (
            "[{unwrap: {field: m, fields: [a]}}]",
            b'{"m":{"a":1},"a":2}',
            "unwrap: `a` is taken beside `m`",
        ),
        (
            "[{unwrap: {field: m}}]",
            b'{"m":{"secret":1},"secret":2}',
            "unwrap: one of its fields is taken beside `m`",
        ),
        (
            "[{translate: {field: s, table: {a: x}}}]",
            b'{"s":"secret"}',
            "translate: the value of `s`",
        ),
        (
            "[{for_each: {field: l, do: [{drop: true}]}}]",
            b'{"l":"secret"}',
            "for_each: `l` is not a",
        ),
        (
            "[{for_each: {field: l, do: [{set: {a.b: 1}}]}}]",
            b'{"l":[{"a":1}]}',
            "`a` is not an object",
        ),
        ("[{split: {field: l}}]", b'{"l":"secret"}', "split: `l` is not a list"),
        ("[{split: {field: l, into: e}}]", b'{"l":[1],"e":2}', "split: `e` is taken"),
        (
            "[{split: {field: l}}]",
            b'{"l":[' + b"1," * 1_000 + b"1]}",
            "split: `l` has more than 1000",
        ),
        (
            "[{convert: {v: {from: string, to: number}}}]",
            b'{"v":"secret"}',
            "convert: `v`: this string is no number (from string to number)",
        ),
        (
            "[{convert: {v: {from: integer, to: string}}}]",
            b'{"v":[1]}',
            "convert: `v`: this list is no integer (from integer to string)",
        ),
        (
            "[{convert: {v: {from: number, to: integer}}}]",
            b'{"v":1.5}',
            "convert: `v`: this number is no integer (from number to integer)",
        ),
        (
            "[{convert: {v: {from: boolean, to: integer}}}]",
            b'{"v":7}',
            "convert: `v`: this number is no boolean (from boolean to integer)",
        ),
        (
            "[{convert: {v: {from: integer, to: number}}}]",
            b'{"v":true}',
            "convert: `v`: this boolean is no integer (from integer to number)",
        ),
        (
            "[{convert: {v: {from: number, to: string}}}]",
            b'{"v":{"secret":1}}',
            "convert: `v`: this object is no number (from number to string)",
        ),
        (
            "[{convert: {v: {from: integer, to: string}}}]",
            b'{"v":' + b"1" * 1_001 + b"}",
            "convert: `v`: this number is longer than 1,000 digits (from integer to string)",
        ),
        ("[{rename: {a: b}}]", b'{"a":1,"b":2}', "rename: `a` cannot become `b`, which is taken"),
        ("[{rename: {m.a: b}}]", b'{"m":{"a":1,"b":2}}', "rename: `m.a` cannot become `b`"),
        ("[{set: {m.a: 1}}]", b'{"m":"secret"}', "`m` is not an object"),
        ("[{set: {m.a.b: 1}}]", b'{"m":{"a":null}}', "`m.a` is not an object"),
        ("[{default: {m.a: 1}}]", b'{"m":[]}', "`m` is not an object"),
    ],
)
def test_what_cannot_be_carried_out_fails(do: str, message: bytes, detail: str) -> None:
    rewriting = program(RULE + do)
    with pytest.raises(MappingFailure) as caught:
        rewriting.apply(b'{"kind":1,' + message[1:])
    assert caught.value.detail.startswith(detail)
    assert "secret" not in caught.value.detail
    assert (caught.value.mapping, caught.value.rule) == ("tested", "only")


@pytest.mark.parametrize(
    ("do", "message", "where"),
    [
        ("[{set: {n: 1}}, {rename: {m.a: b}}]", b'{"m":{"a":1,"b":2}}', ("rename", "m.a")),
        ("[{set: {m.a.b: 1}}]", b'{"m":{"a":null}}', ("set", "m.a")),
        ("[{default: {m.a: 1}}]", b'{"m":[]}', ("default", "m")),
        ("[{move: {a: m.b}}]", b'{"a":1,"m":null}', ("move", "m")),
        ("[{move: {a: m.b}}]", b'{"a":1,"m":{"b":1}}', ("move", "m.b")),
        ("[{copy: {a: b}}]", b'{"a":1,"b":2}', ("copy", "b")),
        ("[{wrap: {into: m, fields: [a]}}]", b'{"a":1,"m":{"a":2}}', ("wrap", "m.a")),
        ("[{unwrap: {field: m}}]", b'{"m":1}', ("unwrap", "m")),
        ("[{split: {field: l}}]", b'{"l":1}', ("split", "l")),
        ("[{translate: {field: m.s, table: {a: x}}}]", b'{"m":{"s":1}}', ("translate", "m.s")),
        ("[{convert: {v: {from: integer, to: string}}}]", b'{"v":1.5}', ("convert", "v")),
        ("[{convert: {v: {from: iso_8601, to: epoch_seconds}}}]", b'{"v":"x"}', ("convert", "v")),
        ("[{for_each: {field: m.l, do: [{drop: true}]}}]", b'{"m":{"l":1}}', ("for_each", "m.l")),
        (
            "[{for_each: {field: m.l, do: [{for_each: {field: k, do: [{rename: {a.b: c}}]}}]}}]",
            b'{"m":{"l":[{"k":[{},{"a":{"b":1,"c":2}}]}]}}',
            ("rename", "m.l[].k[].a.b"),
        ),
    ],
)
def test_a_failure_names_its_operation_and_the_path_of_the_field(
    do: str, message: bytes, where: tuple[str, str]
) -> None:
    rewriting = program(RULE + do)
    with pytest.raises(MappingFailure) as caught:
        rewriting.apply(b'{"kind":1,' + message[1:])
    assert (caught.value.operation, caught.value.field) == where


MEBIBYTE = b'"' + b"x" * (1024 * 1024) + b'"'
MANY = b"[" + b",".join([b"1"] * 100) + b"]"


@pytest.mark.parametrize(
    ("do", "message", "detail"),
    [
        (
            "[{split: {field: l}}]",
            b'{"l":' + MANY + b',"x":' + MEBIBYTE + b"}",
            "more than 67108864",
        ),
        (
            "[{split: {field: l}}, {split: {field: m}}]",
            b'{"l":[1,2],"m":' + b"[" + b",".join([b"1"] * 600) + b"]}",
            "more than 1000 messages",
        ),
        (
            "[{split: {field: l}}, {copy: {x: y}}]",
            b'{"l":' + b"[" + b",".join([b"1"] * 40) + b"]" + b',"x":' + MEBIBYTE + b"}",
            "more than 67108864 bytes would be made of one message",
        ),
        (
            "[{for_each: {field: l, do: [{set: {x: " + "y" * 100_000 + "}}]}}]",
            b'{"l":[' + b",".join([b"{}"] * 1_000) + b"]}",
            "for_each: `l` would have more than 67108864 bytes",
        ),
    ],
    ids=["rest", "messages", "bytes", "for_each"],
)
def test_what_can_come_of_one_message_is_bounded(do: str, message: bytes, detail: str) -> None:
    growing = program(RULE + do)
    with pytest.raises(MappingFailure) as caught:
        growing.apply(b'{"kind":1,' + message[1:])
    assert detail in caught.value.detail


def test_copies_of_copies_are_bounded() -> None:
    # Each puts a copy of `m` into the next, and that doubles what `m` holds.
    doubling = ", ".join(
        "{copy: {m: t.a}}, {copy: {m: t.b}}, {remove: [m]}, {rename: {t: m}}" for _ in range(10)
    )
    with pytest.raises(MappingFailure, match="has more than 67108864 bytes"):
        program(f"{RULE}[{doubling}]").apply(b'{"kind":1,"m":' + MEBIBYTE + b"}")


class Half(Operation):
    """Says what it is called and what it does, and not what undoes it."""

    half: int

    def transform(self) -> Transform:
        raise NotImplementedError


def test_an_operation_says_what_it_does_and_what_undoes_it() -> None:
    assert Half.key() == "half"
    with pytest.raises(TypeError, match=r"abstract class Half.*walk"):
        Half.model_validate({"half": 1})


def test_each_operation_is_in_the_table_once() -> None:
    modules = {module.name for module in pkgutil.iter_modules(operations.__path__)}
    assert {operation.__module__.rpartition(".")[2] for operation in OPERATIONS} == modules
    keys = [operation.key() for operation in OPERATIONS]
    assert len(set(keys)) == len(keys)


EVERYTHING = """
  - set: {a.x: 1}
    when: {any: [{field: a.x, exists: false}, {field: b, matches: "^[a-z]*$"}]}
  - default: {c: 1}
  - convert:
      b: {from: string, to: number}
      d: {from: iso_8601, to: epoch_milliseconds, offset: Z}
    when: {field: c, exists: true}
  - convert: {e: {from: number, to: integer}, f: {from: epoch_seconds, to: iso_8601}}
  - translate: {field: g, table: [[1, one], [null, x]], otherwise: keep}
  - for_each: {field: h, do: [{wrap: {into: m, fields: [a, b]}}, {unwrap: {field: n}}]}
  - wrap: {into: w, fields: [b, d]}
  - move: {c: w.c}
  - copy: {e: v}
  - unwrap: {field: a}
  - split: {field: s}
"""


@settings(max_examples=60)
@given(
    st.dictionaries(
        st.sampled_from("abcdefghnsvwx"),
        jsontexts.values | st.sampled_from(['"1.5"', '"1970-01-01T00:00Z"', "1e99", "[{}]", "{}"]),
    )
)
def test_whatever_a_message_holds_operations_change_it_or_fail(message: dict[str, str]) -> None:
    text = ", ".join(f'"{key}": {value}' for key, value in message.items())
    for do in EVERYTHING.split("\n  - ")[1:]:
        rule = f"\n- name: only\n  match: {{not: {{field: zz, exists: true}}}}\n  do:\n  - {do}"
        with suppress(MappingFailure):
            program(rule).apply(f"{{{text}}}".encode())
