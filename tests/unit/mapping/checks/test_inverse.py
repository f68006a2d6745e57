"""The way back: every operation comes back from it, or says what it loses."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.configuration.document import parse
from proxy.mapping.checks import inverse
from proxy.mapping.compiler.compiler import compile_mapping
from proxy.mapping.engine.program import Program
from proxy.mapping.language.model import Derivation, MappingFile
from proxy.mapping.language.table import OPERATIONS

HEAD = "name: there\ndescription: d\nchannel: websocket\ndirection: to_client\nrules:\n"


def mapping(do: str, *, match: str = "{field: kind, equals: a}", loses: str = "[]") -> MappingFile:
    rule = f"  - name: r\n    match: {match}\n    do: {do}\n    loses: {loses}\n"
    text = f"{HEAD}{rule}    examples: [{{in: {{}}, out: {{}}}}]\n"
    return MappingFile.model_validate(parse(text, "m.yaml").data)


def there_and_back(do: str, match: str = "{field: kind, equals: a}") -> tuple[Program, Program]:
    file = mapping(do, match=match)
    assert inverse.losses(file.rules[0]) == []
    back = inverse.invert(file, Derivation(derive="back"))
    return Program([compile_mapping(file)]), Program([compile_mapping(back)])


integers = st.integers(-(10**25), 10**25)
texts = st.text(max_size=5)
anything: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | integers | texts,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(texts, inner, max_size=2),
    max_leaves=4,
)
# Not `{}`: what holds nothing goes with the last of what it held.
members = st.dictionaries(texts.filter(bool), anything, min_size=1, max_size=2)
without_b = members.filter(lambda each: "b" not in each)
decimals = st.decimals(-(10**10), 10**10, allow_nan=False, places=3).map(
    lambda number: json.loads(f"{number:f}")
)
microseconds = st.datetimes().map(lambda time: f"{time.isoformat(timespec='microseconds')}+02:00")
milliseconds = st.datetimes().map(lambda time: f"{time.isoformat(timespec='milliseconds')}Z")


def message(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """A message with these fields, each of which may be missing, and others that nobody names."""
    return st.builds(
        lambda named, others: {"kind": "a", **others, **named},
        st.fixed_dictionaries({}, optional=fields),
        st.dictionaries(st.sampled_from(["other", "é", 'q"', "back\\slash"]), anything, max_size=2),
    )


def always(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """A message with these fields, none of them missing."""
    return st.builds(
        lambda named, others: {"kind": "a", **others, **named},
        st.fixed_dictionaries(fields),
        st.dictionaries(st.just("other"), anything, max_size=1),
    )


ISO_MS = "[{convert: {t: {from: iso_8601, to: epoch_milliseconds, digits: 6, offset: '+02:00'}}}]"
ISO_S = "[{convert: {t: {from: iso_8601, to: epoch_seconds, digits: 3, offset: Z}}}]"
EPOCH = "[{convert: {t: {from: epoch_seconds, to: iso_8601, digits: 3}}}]"
SEVERAL = """
      - set: {kind: b}
      - rename: {a: x}
      - wrap: {into: m, fields: [x, c]}
      - convert: {m.c: {from: integer, to: string}}
      - move: {m.x: y}"""
LOSSLESS: list[tuple[str, str, st.SearchStrategy[dict[str, Any]]]] = [
    ("set", "[{set: {kind: b}}]", message()),
    ("default", "[{default: {x: 1, y.z: 2}}]", message()),
    ("rename", "[{rename: {a: b, m.c: d}}]", message(a=anything, m=members)),
    ("move", "[{move: {a: m.b, c.d: e}}]", message(a=anything, m=without_b, c=members)),
    ("move", "[{move: {a: m.n.b}}]", message(a=anything)),
    ("copy", "[{copy: {a: b}}]", message(a=anything)),
    ("remove", "[{remove: [kind]}, {set: {type: a}}]", message()),
    ("convert", "[{convert: {n: {from: integer, to: string}}}]", message(n=integers)),
    ("convert", "[{convert: {n: {from: number, to: string}}}]", message(n=decimals)),
    ("convert", "[{convert: {n: {from: integer, to: number}}}]", message(n=integers)),
    ("convert", "[{convert: {n: {from: boolean, to: string}}}]", message(n=st.booleans())),
    ("convert", "[{convert: {n: {from: boolean, to: integer}}}]", message(n=st.booleans())),
    ("convert", ISO_MS, message(t=microseconds)),
    ("convert", ISO_S, message(t=milliseconds)),
    ("convert", EPOCH, message(t=decimals)),
    (
        "convert",
        "[{convert: {t: {from: epoch_seconds, to: epoch_milliseconds}}}]",
        message(t=decimals),
    ),
    (
        "translate",
        "[{translate: {field: s, table: {on: 1, off: null, other: on}}}]",
        message(s=st.sampled_from(["on", "off", "other"])),
    ),
    (
        "translate",
        "[{translate: {field: s, table: [[1, a], [true, b]], otherwise: keep}}]",
        message(s=st.sampled_from([1, True, "c", None, 2])),
    ),
    ("wrap", "[{wrap: {into: m, fields: [a, b]}}]", message(a=anything, b=anything)),
    ("unwrap", "[{unwrap: {field: m, fields: [a]}}]", message(m=members)),
    (
        "for_each",
        "[{for_each: {field: l, do: [{rename: {a: b}}, {wrap: {into: w, fields: [c]}}]}}]",
        message(l=st.lists(message(a=anything, c=anything) | integers, max_size=3)),
    ),
    (
        "several",
        SEVERAL,
        message(a=anything, c=integers),
    ),
    (
        "when",
        "[{rename: {a: b}, when: {field: other, exists: true}}]",
        message(a=anything),
    ),
]
ABSENT = {"default": ["x", "y"], "remove": ["type"]}


@pytest.mark.parametrize(("name", "do", "messages"), LOSSLESS)
@settings(max_examples=30)
@given(data=st.data())
def test_every_lossless_operation_comes_back(
    name: str, do: str, messages: st.SearchStrategy[dict[str, Any]], data: st.DataObject
) -> None:
    asked = ["{field: kind, equals: a}"]
    asked += [f"{{field: {field}, exists: false}}" for field in ABSENT.get(name, [])]
    there, back = there_and_back(do, f"{{all: [{', '.join(asked)}]}}")
    sent = json.dumps(data.draw(messages)).encode()
    result = there.apply(sent)
    (made,) = (sent,) if result is None else result
    result = back.apply(made)
    (returned,) = (made,) if result is None else result
    assert json.loads(returned) == json.loads(sent)


LOSSY = [
    ("set", "[{set: {x: 1}}]", ["x"]),
    ("set", "[{set: {m.x: 1}}]", ["m.x"]),
    ("default", "[{default: {x: 1}}]", ["x"]),
    ("copy", "[{copy: {a: m.b}}]", ["m"]),
    ("remove", "[{remove: [x, y.z]}]", ["x", "y.z"]),
    ("remove", "[{rename: {x: y}}, {remove: [y.z]}]", ["x.z"]),
    ("remove", "[{rename: {x: y}}, {remove: [a]}]", ["a"]),
    ("keep_only", "[{keep_only: [kind]}]", [""]),
    ("convert", "[{convert: {t: {from: iso_8601, to: epoch_seconds}}}]", ["t"]),
    ("convert", "[{convert: {t: {from: iso_8601, to: epoch_seconds, digits: 3}}}]", ["t"]),
    (
        "convert",
        "[{convert: {t: {from: epoch_seconds, to: iso_8601, digits: 0, cut: true}}}]",
        ["t"],
    ),
    ("translate", "[{translate: {field: s, table: {a: x, b: x}}}]", ["s"]),
    ("translate", "[{translate: {field: s, table: {a: x}, default: null}}]", ["s"]),
    ("for_each", "[{for_each: {field: l, do: [{remove: [x]}]}}]", ["l.x"]),
    ("for_each", "[{for_each: {field: l, do: [{drop: true}]}}]", ["l"]),
    ("split", "[{split: {field: l, into: e}}]", ["l", "e"]),
]


@pytest.mark.parametrize(("name", "do", "lost"), LOSSY)
def test_what_an_operation_loses_has_to_be_declared(name: str, do: str, lost: list[str]) -> None:
    found = inverse.losses(mapping(do).rules[0])
    assert [".".join(loss.path) for loss in found] == lost
    inner = {"for_each": ["remove", "drop"]}.get(name, [name])
    assert all(str(loss).split("`")[1] in inner for loss in found)
    declared = mapping(do, loses=json.dumps([path.split(".") for path in lost]))
    assert inverse.losses(declared.rules[0]) == []


def test_no_operation_is_forgotten() -> None:
    known = {operation.key() for operation in OPERATIONS}
    # A dropped message has no way back: `drop` declares its loss by its name.
    assert known - {"drop"} <= {name for name, *_ in LOSSLESS} | {name for name, *_ in LOSSY}


IRREVERSIBLE = [
    ("[{unwrap: {field: m}}]", "`unwrap` has to list its `fields`"),
    ("[{for_each: {field: l, do: [{drop: true, when: {field: a, exists: true}}]}}]", "dropped"),
    ("[{rename: {a: b}, when: {field: a, equals: 1}}]", "asks for a field that the rule changes"),
]


@pytest.mark.parametrize(("do", "reason"), IRREVERSIBLE)
def test_a_rule_that_cannot_be_undone_says_why(do: str, reason: str) -> None:
    with pytest.raises(inverse.Irreversible, match=reason):
        inverse.invert(mapping(do), Derivation(derive="back"))


def test_a_match_that_names_several_values_of_a_changed_field_has_no_way_back() -> None:
    one_of = "{field: kind, one_of: [a, b]}"
    file = mapping("[{set: {kind: c}}]", match=one_of)
    assert [str(loss) for loss in inverse.losses(file.rules[0])] == ["`set` loses `kind`"]
    with pytest.raises(inverse.Irreversible, match="its match tests a field"):
        inverse.invert(file, Derivation(derive="back"))


@pytest.mark.parametrize("do", ["[{drop: true}]", "[{split: {field: l}}]", "[{remove: [x]}]"])
def test_a_mapping_that_only_loses_has_no_inverse(do: str) -> None:
    with pytest.raises(inverse.Irreversible, match="no rule has a way back"):
        inverse.invert(mapping(do, loses="[x, l]"), Derivation(derive="back"))


def test_the_inverse_takes_only_what_the_mapping_makes() -> None:
    _, back = there_and_back("[{set: {kind: b}}, {rename: {x: y}}]")
    assert back.apply(b'{"kind":"b","y":1.10}') == (b'{"kind":"a","x":1.10}',)
    assert back.apply(b'{"kind":"c","y":1}') is None


def test_conditions_that_the_rule_does_not_change_stay_in_the_inverse() -> None:
    asked = "{all: [{field: kind, equals: a}, {field: role, one_of: [x, y]}]}"
    _, back = there_and_back("[{set: {kind: b}}]", asked)
    assert back.apply(b'{"kind":"b","role":"x"}') == (b'{"kind":"a","role":"x"}',)
    assert back.apply(b'{"kind":"b","role":"z"}') is None


def test_what_a_match_says_of_fields_is_asked_of_what_comes_of_them() -> None:
    parts = ["{field: t, exists: true}", "{field: m.x, exists: true}"]
    asked = f"{{all: [{', '.join(parts)}, {{not: {{field: n, exists: true}}}}]}}"
    convert = "[{convert: {t: {from: integer, to: string}}}, {rename: {m: o}}]"
    _, back = there_and_back(convert, asked)
    assert back.apply(b'{"t":"1","o":{"x":0}}') == (b'{"t":1,"m":{"x":0}}',)
    assert back.apply(b'{"t":"1","o":{}}') is None
    assert back.apply(b'{"o":{"x":0}}') is None
    assert back.apply(b'{"t":"1","o":{"x":0},"n":1}') is None


def test_what_is_known_to_be_there_needs_no_default_and_what_is_not_no_removal() -> None:
    asked = (
        "{all: [{field: kind, equals: a}, {field: kind, exists: true}, {field: x, exists: false}]}"
    )
    do = "[{default: {kind: z}}, {remove: [x.y]}, {set: {kind: b}}]"
    _, back = there_and_back(do, asked)
    assert back.apply(b'{"kind":"b"}') == (b'{"kind":"a"}',)


def test_what_is_kept_is_still_known_and_what_is_not_is_forgotten() -> None:
    asked = "{all: [{field: kind, equals: a}, {field: x, equals: 1}]}"
    file = mapping("[{keep_only: [kind]}, {set: {kind: b}}]", match=asked, loses="[x]")
    back = Program([compile_mapping(inverse.invert(file, Derivation(derive="back")))])
    assert back.apply(b'{"kind":"b"}') == (b'{"kind":"a"}',)


def test_messages_that_nothing_tells_from_others_have_no_way_back() -> None:
    do = "[{unwrap: {field: m, fields: [a]}}]"
    with pytest.raises(inverse.Irreversible, match="nothing tells the messages of the rule `r`"):
        inverse.invert(mapping(do, match="{field: m, exists: true}"), Derivation(derive="back"))


def test_a_rule_whose_examples_are_all_dropped_has_none_for_its_inverse() -> None:
    do = "[{drop: true, when: {field: x, exists: true}}, {set: {kind: b}}]"
    text = f"{HEAD}  - name: r\n    match: {{field: kind, equals: a}}\n    do: {do}\n"
    text += "    examples: [{in: {kind: a, x: 1}, out: null}]\n"
    file = MappingFile.model_validate(parse(text, "m.yaml").data)
    with pytest.raises(inverse.Irreversible, match="no example with one message"):
        inverse.invert(file, Derivation(derive="back"))
