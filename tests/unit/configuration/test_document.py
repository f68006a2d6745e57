"""Documents: places for paths, and pydantic's findings in words, at their line and column."""

from __future__ import annotations

from typing import Annotated, Literal

import pydantic
import pytest
from typing_extensions import TypeAliasType

from proxy.configuration.document import WrittenText, as_written, parse, problems_from
from proxy.errors import ConfigError
from proxy.types import Direction


class Strict(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid")


class Cat(Strict):
    meow: bool


class Dog(Strict):
    bark: int


def kind(value: object) -> str | None:
    if isinstance(value, dict):
        return "a cat" if "meow" in value else "a dog"
    return None


Pet = Annotated[
    Annotated[Cat, pydantic.Tag("a cat")] | Annotated[Dog, pydantic.Tag("a dog")],
    pydantic.Discriminator(kind),
]


class Cohort(Strict):
    name: str
    versions: WrittenText = ">=0"
    next: Cohort | None = None


Sizes = TypeAliasType("Sizes", list[Dog])


class Root(Strict):
    port: Annotated[int, pydantic.Field(le=65535)] = 1
    ratio: float = 1.0
    on: bool = True
    mode: Literal["fast", "slow"] = "fast"
    direction: Direction = Direction.TO_CLIENT
    cohorts: Annotated[list[Cohort], pydantic.Field(min_length=1)] | None = None
    limits: dict[str, Cohort] = pydantic.Field(default_factory=dict)
    pets: tuple[Pet, ...] = ()
    sizes: Sizes = pydantic.Field(default_factory=list)
    tags: Annotated[tuple[int, ...], pydantic.Field(min_length=1)] = (1,)
    either: int | list[int] = 0
    aliased: int = pydantic.Field(default=0, alias="header-size")

    @pydantic.field_validator("ratio")
    @classmethod
    def check(cls, value: float) -> float:
        if value < 0:
            raise ValueError("expected no negative ratio")
        return value


def problems(text: str, *, model: bool = True) -> list[str]:
    document = parse(text, "f.yaml")
    with pytest.raises(pydantic.ValidationError) as caught:
        Root.model_validate(document.data)
    found = problems_from(document, caught.value, Root if model else None)
    return [str(problem) for problem in found]


def test_a_path_is_located_or_its_nearest_parent() -> None:
    document = parse("a:\n  - b: 1\n", "f.yaml")
    assert document.locate(("a", 0, "b")) == (2, 8)
    assert document.locate(("a", 0, "zzz")) == (2, 5)
    assert document.locate(("a", 7, "b", "c")) == (2, 3)
    assert document.locate(("zzz",)) == (1, 1)
    assert parse("", "f").locate(("x",)) == (1, 1)


def test_a_problem_can_point_to_a_value_or_to_its_key() -> None:
    document = parse("a:\n  - b: 1\n", "f.yaml")
    assert str(document.problem(("a", 0, "b"), "no")) == "f.yaml:2:8: a[0].b: no"
    assert str(document.problem_at_key(("a", 0, "b"), "no")) == "f.yaml:2:5: a[0].b: no"
    assert str(document.problem_at_key(("a", 0), "no")) == "f.yaml:2:5: a[0]: no"


def test_a_version_without_quotes_stays_what_was_written() -> None:
    data = parse("{name: x, versions: 1.10}", "f").data
    assert Cohort.model_validate(data).versions == "1.10"
    assert as_written("text") == "text"


def test_what_cannot_be_parsed_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match=r"f\.yaml:1:4"):
        parse("a: &x 1", "f.yaml")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("port: x", "1:7: port: expected a whole number, found text"),
        ("port: 1.5", "1:7: port: expected a whole number, found a number"),
        ("ratio: []", "1:8: ratio: expected a number, found a list"),
        ("on: maybe", "1:5: on: expected true or false, found text"),
        ("cohorts: []", "1:10: cohorts: expected at least 1, found fewer"),
        ("cohorts: {}", "1:10: cohorts: expected a list, found a mapping"),
        ("cohorts:\n  - x", "2:5: cohorts[0]: expected a mapping (key: value), found text"),
        ("limits: 3", "1:9: limits: expected a mapping (key: value), found a number"),
        ("cohorts:\n  - {name: 3}", "2:12: cohorts[0].name: expected text, found a number"),
        ("cohorts:\n  - {name: on, next: true}", "2:22: cohorts[0].next: expected a mapping"),
        ("cohorts:\n  - name:", "2:10: cohorts[0].name: expected text, found nothing"),
        ("cohorts:\n  - versions: '1'", "2:5: cohorts[0].name: this key is required"),
        ("mode: fats", "1:7: mode: expected 'fast' or 'slow'"),
        ("direction: up", "1:12: direction: expected 'to_client' or 'to_server'"),
        ("ratio: -1", "1:8: ratio: expected no negative ratio"),
        ("port: 70000", "1:7: port: input should be less than or equal to 65535"),
    ],
)
def test_findings_are_told_in_words_at_their_place(text: str, told: str) -> None:
    (problem,) = problems(text)
    assert problem.startswith(f"f.yaml:{told}")


def test_a_number_where_text_is_wanted_says_how_to_quote_it() -> None:
    (problem,) = problems("cohorts:\n  - {name: 3}")
    assert problem.endswith("expected text, found a number (put it in quotes)")
    (problem,) = problems("port: true-ish")
    assert "quotes" not in problem


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "port: 1\nratoi: 2",
            (
                "2:1: ratoi: unknown key; did you mean `ratio`? known here: cohorts, "
                "direction, either, header-size, limits, mode, on, pets, port, ratio, sizes, tags"
            ),
        ),
        (
            "cohorts:\n  - {name: a, zzz: b}",
            "2:15: cohorts[0].zzz: unknown key; known here: name, next, versions",
        ),
        (
            "cohorts:\n  - {name: a, next: {name: b, nxt: c}}",
            (
                "2:31: cohorts[0].next.nxt: unknown key; did you mean `next`? "
                "known here: name, next, versions"
            ),
        ),
        (
            "limits:\n  x.y: {name: a, z: b}",
            '2:18: limits["x.y"].z: unknown key; known here: name, next, versions',
        ),
        (
            "sizes:\n  - {bark: 1, brk: 1}",
            "2:15: sizes[0].brk: unknown key; did you mean `bark`? known here: bark",
        ),
        (
            "pets:\n  - {meow: true}\n  - {bark: 1, meo: 1}",
            "3:15: pets[1].meo: unknown key; known here: bark",
        ),
    ],
)
def test_an_unknown_key_is_answered_with_the_known_ones(text: str, told: str) -> None:
    assert problems(text) == [f"f.yaml:{told}"]


def test_without_the_model_an_unknown_key_is_just_unknown() -> None:
    assert problems("zzz: 1", model=False) == ["f.yaml:1:1: zzz: unknown key"]


def test_values_are_never_repeated() -> None:
    told = problems("mode: hunter2\nport: hunter2\non: hunter2\ncohorts: hunter2")
    assert len(told) == 4
    assert "hunter2" not in "".join(told)


def test_all_findings_come_at_once() -> None:
    assert len(problems("port: x\nzzz: 1\ncohorts:\n  - {}\n  - {name: 1}")) == 4


def test_a_field_of_several_types_is_told_of_all_at_its_own_path() -> None:
    assert problems("either: x") == [
        "f.yaml:1:9: either: expected a whole number, found text",
        "f.yaml:1:9: either: expected a list, found text",
    ]


def test_a_list_is_not_called_short_because_of_what_is_wrong_inside() -> None:
    assert problems("tags: [x]") == [
        "f.yaml:1:8: tags[0]: expected a whole number, found text",
    ]
    assert problems("tags: []") == ["f.yaml:1:7: tags: expected at least 1, found fewer"]
