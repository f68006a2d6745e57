"""The file format: what is read, and what a wrong file is told."""

from __future__ import annotations

import pydantic
import pytest

from proxy.documents import parse, problems_from
from proxy.mapping.model import MappingFile, Rename, Set, read_path
from proxy.values import Channel, Direction, OnError

RULE = """
  - name: r
    match: {field: kind, equals: a}
    do: [{set: {kind: b}}]
    examples: [{in: {kind: a}, out: {kind: b}}]
"""
HEAD = "name: m\ndescription: d\nchannel: websocket\ndirection: to_client\n"


def problems(text: str) -> list[str]:
    document = parse(text, "m.yaml")
    with pytest.raises(pydantic.ValidationError) as caught:
        MappingFile.model_validate(document.data)
    return [str(problem) for problem in problems_from(document, caught.value, MappingFile)]


def test_a_mapping_file_is_read() -> None:
    mapping = MappingFile.model_validate(parse(f"{HEAD}rules:{RULE}", "m.yaml").data)
    assert (mapping.name, mapping.channel, mapping.direction, mapping.on_error) == (
        "m",
        Channel.WEBSOCKET,
        Direction.TO_CLIENT,
        OnError.PASS,
    )
    (rule,) = mapping.rules
    assert isinstance(rule.do[0], Set)
    assert rule.do[0].set == {("kind",): "b"}
    assert (rule.examples[0].before, rule.examples[0].after) == ({"kind": "a"}, {"kind": "b"})


@pytest.mark.parametrize(
    ("written", "path"),
    [
        ("a", ("a",)),
        ("a.b", ("a", "b")),
        (r"a\.b.c", ("a.b", "c")),
        (["a.b", "c"], ("a.b", "c")),
        ([""], ("",)),
    ],
)
def test_a_field_is_its_keys(written: object, path: tuple[str, ...]) -> None:
    assert read_path(written) == path


def test_a_field_that_looks_like_a_number_is_its_text() -> None:
    document = parse("{a: 1.10, b: [1.10, 2]}", "f").data
    assert isinstance(document, dict)
    assert read_path(document["a"]) == ("1", "10")
    assert read_path(document["b"]) == ("1.10", "2")


@pytest.mark.parametrize("written", ["", ".", "a.", ".a", "a..b", [], [[]], None, True, {}])
def test_what_names_no_field_is_refused(written: object) -> None:
    with pytest.raises(ValueError, match="expected a field"):
        read_path(written)


def test_a_field_is_renamed_where_it_stands() -> None:
    assert Rename.model_validate({"rename": {"a.b": "c"}}).rename == {("a", "b"): "c"}
    with pytest.raises(pydantic.ValidationError, match="a key alone"):
        Rename.model_validate({"rename": {"a.b": "a.c"}})


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("name: m", "name: M x"), "1:7: name: expected a name of small letters"),
        (("name: m", f"name: {'m' * 65}"), "1:7: name: expected a name of small letters"),
        (("name: m", "name: none"), "1:7: name: `none` stands for no mapping in the metrics"),
        (("websocket", "http"), "3:10: channel: expected"),
        (("to_client", "up"), "4:12: direction: expected 'to_client' or 'to_server'"),
        (("channel", "chanel"), "3:1: chanel: unknown key; did you mean `channel`?"),
        (("{set: {kind: b}}", "{}"), "8:10: rules[0].do[0]: expected one of: set, rename, remove"),
        (("{set: {kind: b}}", "set"), "8:10: rules[0].do[0]: expected one of: set, rename, remove"),
        (("{set: {kind: b}}", "{set: {}}"), "8:16: rules[0].do[0].set: expected at least 1"),
        (
            ("{set: {kind: b}}", "{set: {a: 1}, rename: {b: c}}"),
            "8:24: rules[0].do[0].rename: unknown key; known here: set",
        ),
        (
            ("{set: {kind: b}}", "{set: {a: [{b: .inf}]}}"),
            "8:20: rules[0].do[0].set.a: JSON has no infinities and no NaN",
        ),
        (
            ("{set: {kind: b}}", "{drop: true}, {set: {a: 1}}"),
            "8:9: rules[0].do: `drop` ends a rule: nothing after it is carried out",
        ),
        (("equals: a", "eqals: a"), "7:12: rules[0].match: expected one of: equals, one_of"),
        (("equals: a", "equals: [a]"), "7:34: rules[0].match.equals: expected text, a number"),
        (("equals: a", "exists: 1"), "7:34: rules[0].match.exists: expected true or false"),
        (
            ("{field: kind, equals: a}", "{all: [{not: {feld: a, exists: true}}]}"),
            "7:26: rules[0].match.all[0].not.feld: unknown key; did you mean `field`?",
        ),
        (
            ("examples: [{in: {kind: a}, out: {kind: b}}]", "examples: []"),
            "9:15: rules[0].examples: expected at least 1, found fewer",
        ),
        ((", out: {kind: b}", ""), "9:16: rules[0].examples[0].out: this key is required"),
    ],
)
def test_a_wrong_file_is_told_what_and_where(change: tuple[str, str], told: str) -> None:
    found = problems(f"{HEAD}rules:{RULE}".replace(*change, 1))
    assert any(problem.startswith(f"m.yaml:{told}") for problem in found), found
