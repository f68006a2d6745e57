"""Forms and queries: what their parameters say, and that they keep their bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.http.forms import parameter, parameters, parameters_of_either, variable_name


@pytest.mark.parametrize(
    ("written", "name", "raw", "value"),
    [
        (b"a=b", b"a", b"b", b"b"),
        (b"%61=%62+c", b"a", b"%62+c", b"b c"),
        (b"a+b=c=d", b"a b", b"c=d", b"c=d"),
        (b"a", b"a", b"", b""),
        (b"", b"", b"", b""),
        (b"=%zz%", b"", b"%zz%", b"%zz%"),
    ],
)
def test_a_parameter_is_read(written: bytes, name: bytes, raw: bytes, value: bytes) -> None:
    found = parameter(written)
    assert (found.written, found.name, found.raw, found.value) == (written, name, raw, value)


def test_another_value_leaves_the_name_as_it_was() -> None:
    assert parameter(b"%61=b").with_value(b"c") == b"%61=c"
    assert parameter(b"a").with_value(b"c") == b"a=c"


def test_a_semicolon_separates_to_some() -> None:
    assert [each.name for each in parameters(b"a=1;b=2&c")] == [b"a", b"c"]
    assert [each.name for each in parameters_of_either(b"a=1;b=2&c")] == [b"a", b"b", b"c"]


def test_a_name_is_a_variable_of_php() -> None:
    for name in (
        "access_token",
        "access.token",
        " access token\xa0",
        "access[token",
        "\ufeffaccess_token\0x",
    ):
        assert variable_name(name) == "access_token"


@given(st.binary(max_size=40))
def test_whatever_is_read_keeps_its_bytes(text: bytes) -> None:
    assert b"&".join(each.written for each in parameters(text)) == text
