"""YAML text to values: what each scalar means, and what is refused, with its place."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.configuration import yaml
from proxy.configuration.yaml import WrittenFloat, WrittenInt, read, render_path
from proxy.errors import ConfigError, Diagnostic


def refusals(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read(text, "f.yaml")
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("true", True),
        ("False", False),
        ("~", None),
        ("", None),
        ("null", None),
        ("on", "on"),
        ("off", "off"),
        ("yes", "yes"),
        ("No", "No"),
        ("2024-05-01", "2024-05-01"),
        ("1:30", "1:30"),
        ("1_000", "1_000"),
        ("0b1", "0b1"),
        ("12", 12),
        ("-7", -7),
        ("010", 10),
        ("0x1F", 31),
        ("0o17", 15),
        ("1.5", 1.5),
        (".5", 0.5),
        ("1e3", 1000.0),
        ("-.inf", -math.inf),
        ("'12'", "12"),
        ('"true"', "true"),
        ("1.2.3", "1.2.3"),
        ("<<", "<<"),
    ],
)
def test_plain_scalars_follow_the_core_schema_of_yaml_1_2(written: str, value: object) -> None:
    data = read(f"x: {written}", "f.yaml").data
    assert data == {"x": value}
    assert isinstance(data, dict)
    assert isinstance(data["x"], type(value))


def test_not_a_number_is_read() -> None:
    data = read(".nan", "f.yaml").data
    assert isinstance(data, float)
    assert math.isnan(data)


@pytest.mark.parametrize("written", ["1.10", "1.0", "1e2", "-0.0"])
def test_a_fraction_keeps_its_spelling(written: str) -> None:
    data = read(written, "f.yaml").data
    assert isinstance(data, WrittenFloat)
    assert (data, data.text) == (float(written), written)


def test_an_integer_keeps_its_spelling() -> None:
    data = read("007", "f.yaml").data
    assert isinstance(data, WrittenInt)
    assert (data, data.text) == (7, "007")


def test_keys_are_text_as_written() -> None:
    assert read("{1.10: a, on: b, true: c, null: d}", "f").data == {
        "1.10": "a",
        "on": "b",
        "true": "c",
        "null": "d",
    }


def test_every_value_and_key_has_its_place() -> None:
    reading = read("a: 1\nb:\n  - x\n  - c: y\n", "f.yaml")
    assert reading.positions == {
        (): (1, 1),
        ("a",): (1, 4),
        ("b",): (3, 3),
        ("b", 0): (3, 5),
        ("b", 1): (4, 5),
        ("b", 1, "c"): (4, 8),
    }
    assert reading.keys == {("a",): (1, 1), ("b",): (2, 1), ("b", 1, "c"): (4, 5)}


def test_an_empty_file_holds_nothing() -> None:
    assert read("# only a comment\n", "f").data is None


def test_all_refusals_up_to_the_first_unreadable_place_are_told_at_once() -> None:
    assert refusals("a: 1\nb: &x 1\nc: *x\nd: !!str 3\na: 2\ne: [1\nf: 2") == [
        "f.yaml:2:4: b: anchors (&name) are not supported: write the value out where it is used",
        "f.yaml:3:4: c: aliases (*name) are not supported: write the value out",
        "f.yaml:4:4: d: tags (!name) are not supported",
        "f.yaml:5:1: a: this key is already given in line 1",
        "f.yaml:7:2: not readable as YAML: expected ',' or ']', but got ':'",
    ]


@pytest.mark.parametrize(
    ("text", "refusal"),
    [
        ("*x : 1", "1:1: aliases (*name) are not supported: write the value out"),
        ("*x", "1:1: aliases (*name) are not supported: write the value out"),
        ("&x [1]", "1:1: anchors (&name) are not supported: write the value out where it is used"),
        ("!x {a: 1}", "1:1: tags (!name) are not supported"),
        ("? [a]\n: 1", "1:3: a key must be text, not a list or a mapping"),
        ("{{a: 1}: 2}", "1:2: a key must be text, not a list or a mapping"),
        ("? \n: 4", "1:2: a key is missing before the colon"),
        ("a\n---\nb", "2:1: a second document starts here; one file holds one"),
        ("a: 1\nb: \x00", "2:4: this character is not allowed in YAML"),
        ("\ta: 1", "1:1: not readable as YAML: found character '\\t' that cannot start any token"),
        ('"\\ud800"', "1:1: the text holds half of a surrogate pair"),
        ("x: 1e999", "1:4: x: this number is too large; put it in quotes if it is text"),
        ("9" * 1001, "1:1: a number of 1001 characters; put it in quotes if it is text"),
        ('a: "\\UFFFFFFFF"', "1:1: an escape or a number after this place is out of range"),
    ],
)
def test_a_refusal_points_to_its_place(text: str, refusal: str) -> None:
    assert refusals(text)[0].replace(": : ", ": ") == f"f.yaml:{refusal}"


def test_json_escapes_of_one_character_in_two_halves_are_joined() -> None:
    assert read('"\\ud83d\\ude00"', "f").data == "\U0001f600"


def test_nesting_is_bounded() -> None:
    deepest = "[" * yaml.MAX_DEPTH + "]" * yaml.MAX_DEPTH
    read(deepest, "f")
    (refusal,) = refusals(f"[{deepest}]")
    assert refusal.endswith("nested deeper than 64 levels")
    assert refusals("[" * 500_000)[0].endswith("nested deeper than 64 levels")


def test_size_is_bounded() -> None:
    (refusal,) = refusals("#" * (yaml.MAX_CHARACTERS + 1))
    assert refusal == "f.yaml:1:1: the file has 1048577 characters; at most 1048576 are read"


def test_a_page_of_aliases_does_not_unfold() -> None:
    levels = "\n".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30))
    assert len(refusals(levels)) == 29 * 10


def test_paths_are_written_as_people_do() -> None:
    assert render_path(("rules", 0, "match", "field")) == "rules[0].match.field"
    assert render_path(("headers", 'x."y"')) == 'headers["x.\\"y\\""]'
    assert render_path(()) == ""


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["C"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text("ab .:#", max_size=5), inner),
    max_leaves=10,
)


@given(json_values)
def test_json_is_yaml(value: object) -> None:
    assert read(json.dumps(value), "f").data == value


@given(st.text(alphabet="ab01-:?[]{},#&*!|>'\"%@`\\ \t\n\x00\ud800.ex", max_size=60))
def test_whatever_text_is_read_or_refused_with_a_place(text: str) -> None:
    problems: tuple[Diagnostic, ...] = ()
    try:
        read(text, "f")
    except ConfigError as error:
        problems = error.problems or (Diagnostic("f", 0, 0, "", "refused without a reason"),)
    assert all(problem.line >= 1 and problem.column >= 1 for problem in problems)
