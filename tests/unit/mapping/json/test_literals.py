"""The values of rules: their JSON, and which spellings are equal."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from hypothesis import given

from proxy.configuration.document import parse
from proxy.mapping.json.literals import encode, is_plain, number, scalar, spellings
from tests.support import jsontexts


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("1.10", b"1.10"),
        ("1E2", b"1E2"),
        ("-0", b"-0"),
        ("123456789012345678901234567890", b"123456789012345678901234567890"),
        ("007", b"7"),
        ("+7", b"7"),
        ("0x1F", b"31"),
        (".5", b"0.5"),
        ("1.", b"1.0"),
        ("true", b"true"),
        ("null", b"null"),
        ("'1.10'", b'"1.10"'),
        ("é", '"é"'.encode()),
        ("[1, {a: 2.0, b: []}]", b'[1,{"a":2.0,"b":[]}]'),
    ],
)
def test_a_value_is_written_as_json_and_numbers_as_they_were(written: str, expected: bytes) -> None:
    assert encode(parse(written, "f").data) == expected


def test_plain_python_values_are_written_too() -> None:
    assert encode((1, 2.5, True)) == b"[1,2.5,true]"


def test_what_json_has_no_place_for_is_refused() -> None:
    with pytest.raises(TypeError, match="set is not allowed in JSON"):
        encode({1})


@pytest.mark.parametrize(
    ("one", "other"),
    [("1", "1.0"), ("10e-1", "1"), ("-0", "0.0"), ("1E400", "10e399"), (f"1{'0' * 99}", "1e99")],
)
def test_numbers_are_equal_by_value(one: str, other: str) -> None:
    assert scalar(one.encode()) == scalar(other.encode())
    assert hash(scalar(one.encode())) == hash(scalar(other.encode()))


def test_an_exponent_beyond_counting_equals_its_own_spelling() -> None:
    monster = "1e99999999999999999999"
    assert number(monster) == number(monster)
    assert number(monster) != number("1")
    assert number("0.1") == Decimal("0.1")


@pytest.mark.parametrize("container", [b"{}", b"[1]"])
def test_containers_equal_no_scalar(container: bytes) -> None:
    assert scalar(container) is None


def test_python_s_odd_constants_equal_themselves() -> None:
    constants = {scalar(b"NaN"), scalar(b"Infinity"), scalar(b"-Infinity"), scalar(b"null")}
    assert len(constants) == 4
    assert scalar(b"NaN") in constants


@given(jsontexts.scalars)
def test_every_plain_spelling_is_listed(text: str) -> None:
    written = text.encode()
    if is_plain(written):
        assert written in spellings(scalar(written))


@given(jsontexts.scalars, jsontexts.scalars)
def test_equality_is_that_of_json(one: str, other: str) -> None:
    def read(text: str) -> tuple[str, object]:
        value = json.loads(text, parse_int=Decimal, parse_float=Decimal)
        return type(value).__name__, value

    assert (scalar(one.encode()) == scalar(other.encode())) == (read(one) == read(other))


def test_numbers_have_no_list_of_spellings() -> None:
    assert spellings(scalar(b"1")) == frozenset()
    assert spellings(None) == frozenset()
    assert not is_plain(b"1")


def test_text_is_listed_as_it_is_and_as_json_dumps_escapes_it() -> None:
    assert spellings(scalar(rb'"\u00E9"')) == {'"é"'.encode(), rb'"\u00e9"'}
