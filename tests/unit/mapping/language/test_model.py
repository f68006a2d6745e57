"""The file format: what is read, and what a wrong file is told."""

from __future__ import annotations

import re

import pydantic
import pytest

from proxy.configuration.document import parse, problems_from
from proxy.mapping.language.fields import read_path
from proxy.mapping.language.model import MappingFile, mapping_schema
from proxy.mapping.language.operations.rename import Rename
from proxy.mapping.language.operations.values import Set
from proxy.mapping.language.table import OPERATIONS
from proxy.types import Channel, Direction, OnError

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
        (("websocket", "ftp"), "3:10: channel: expected"),
        (("to_client", "up"), "4:12: direction: expected 'to_client' or 'to_server'"),
        (("channel", "chanel"), "3:1: chanel: unknown key; did you mean `channel`?"),
        (
            ("{set: {kind: b}}", "{renmae: {a: b}}"),
            "8:10: rules[0].do[0]: `renmae`: did you mean `rename`? expected one of: set",
        ),
        (
            ("{set: {kind: b}}", "renmae"),
            "8:10: rules[0].do[0]: `renmae`: did you mean `rename`? expected one of: set",
        ),
        (
            ("{set: {kind: b}}", "rename"),
            "8:10: rules[0].do[0]: `rename` comes with a value, as in `rename: ...`",
        ),
        (("{set: {kind: b}}", "{}"), "8:10: rules[0].do[0]: expected one of: set, default, rename"),
        (
            ("{set: {kind: b}}", "set"),
            "8:10: rules[0].do[0]: `set` comes with a value, as in `set: ...`",
        ),
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
            "8:9: rules[0].do: `drop` has to be the last operation",
        ),
        *(
            (("{set: {kind: b}}", wrong), told)
            for wrong, told in [
                (
                    "{move: {a: a.b}}",
                    "8:17: rules[0].do[0].move: a field cannot be moved to itself",
                ),
                ("{move: {a.b: a}}", "8:17: rules[0].do[0].move: a field cannot take the place"),
                ("{copy: {a: a}}", "8:17: rules[0].do[0].copy: a field cannot be copied to itself"),
                (
                    "{convert: {a: {from: string, to: iso_8601}}}",
                    "8:24: rules[0].do[0].convert.a: there is no conversion from string to",
                ),
                (
                    "{convert: {a: {from: epoch_seconds, to: epoch_seconds}}}",
                    "8:24: rules[0].do[0].convert.a: `from` and `to` are the same",
                ),
                (
                    "{convert: {a: {from: string, to: number, digits: 3}}}",
                    "8:24: rules[0].do[0].convert.a: `digits`, `cut` and `offset` are for times",
                ),
                (
                    "{convert: {a: {from: epoch_seconds, to: iso_8601, cut: true}}}",
                    "8:24: rules[0].do[0].convert.a: `cut` needs `digits`",
                ),
                (
                    "{convert: {a: {from: epoch_seconds, to: iso_8601, offset: CET}}}",
                    "8:68: rules[0].do[0].convert.a.offset: expected an offset from UTC",
                ),
                (
                    "{translate: {field: a, table: [[1, a], [1.0, b]]}}",
                    "8:40: rules[0].do[0].translate.table: a value is given twice",
                ),
                (
                    "{translate: {field: a, table: {}}}",
                    "8:40: rules[0].do[0].translate.table: expected at least 1",
                ),
                (
                    "{translate: {field: a, table: {a: b}, default: c, otherwise: keep}}",
                    "8:22: rules[0].do[0].translate: give `default` or `otherwise`",
                ),
                (
                    "{for_each: {field: a, do: [{split: {field: b}}]}}",
                    "8:36: rules[0].do[0].for_each.do: `split` makes several messages",
                ),
                (
                    "{for_each: {field: a, do: [{drop: true}, {set: {a: 1}}]}}",
                    "8:36: rules[0].do[0].for_each.do: `drop` has to be the last operation",
                ),
                (
                    "{drop: true, when: {field: a}}",
                    "8:29: rules[0].do[0].when: expected one of: eq",
                ),
            ]
        ),
        (
            ("equals: a}", "matches: '('}"),
            "7:35: rules[0].match.matches: not a regular expression: unclosed group",
        ),
        (
            ("equals: a", "eqals: a"),
            "7:12: rules[0].match: `eqals`: did you mean `equals`? expected",
        ),
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


def test_a_body_is_never_dropped_or_split() -> None:
    http = f"{HEAD}rules:{RULE}".replace("websocket", "http")
    assert MappingFile.model_validate(parse(http, "m.yaml").data).channel is Channel.HTTP
    for do in (
        "{drop: true}",
        "{split: {field: a}}",
        "{drop: true, when: {field: a, exists: true}}",
    ):
        (problem,) = problems(http.replace("{set: {kind: b}}", do))
        assert "rules: the rule `r` drops or splits: a body stays one body" in problem
    (problem,) = problems(f"on_error: drop\n{http}")
    assert "a body cannot be dropped" in problem


def test_a_drop_with_a_condition_may_be_followed() -> None:
    do = "{drop: true, when: {field: a, exists: true}}, {set: {kind: b}}"
    text = f"{HEAD}rules:{RULE}".replace("{set: {kind: b}}", do)
    assert len(MappingFile.model_validate(parse(text, "m.yaml").data).rules[0].do) == 2


def test_the_schema_names_every_operation_and_explains_it() -> None:
    schema = mapping_schema()
    assert schema["$schema"].endswith("2020-12/schema")
    assert schema["additionalProperties"] is False
    definitions = schema["$defs"]
    listed = definitions["Rule"]["properties"]["do"]["items"]["oneOf"]
    operations = [each["$ref"].rpartition("/")[2] for each in listed]
    assert operations == [operation.__name__ for operation in OPERATIONS]
    for name in operations:
        definition = definitions[name]
        assert definition["description"]
        key = re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
        assert set(definition["properties"]) == {key, "when"}
        assert definition["required"] == [key]
    assert definitions["Conversion"]["properties"]["from"]
