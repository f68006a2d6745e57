"""Each operation: what it changes, what it leaves, and when it cannot be carried out."""

from __future__ import annotations

import pytest

from proxy.errors import MappingFailure
from proxy.mapping.operations import compile_operation
from tests.mapping.rules import program, rewrite


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
    ("do", "message", "detail"),
    [
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


def test_what_is_no_operation_is_refused() -> None:
    with pytest.raises(TypeError, match="str is not an operation"):
        compile_operation("set")
