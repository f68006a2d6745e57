"""Placeholders: the shape of a message stays, and nothing of what people wrote."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.recording.placeholders import MAX_KEPT, MAX_TEXT, redacted

KIND = frozenset({"kind"})
TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI0MiJ9.c2lnbmF0dXJl"


def shown(message: object, keep: frozenset[str] = KIND) -> Any:
    text = redacted(json.dumps(message).encode(), keep)
    assert text is not None
    return json.loads(text)


def test_words_are_shown_under_their_key_alone_and_never_as_part_of_more() -> None:
    words: dict[str, frozenset[str | float]] = {
        "state": frozenset({"open", TOKEN, 3.0}),
        "an odd key": frozenset({"x"}),
    }
    message = (
        b'{"state": "open", "other": "open", "in": {"state": ["open", "opened", 3, 30, {"a": 3}]},'
        b' "an odd key": "y", "an odder key": 1, "state": 3e0}'
    )
    assert redacted(message, frozenset(), words) == (
        '{"state": "open", "other": "xxxx", "in": {"state": ["open", "xxxxxx", 3, 10, {"a": 1}]},'
        ' "an odd key": "x", "xx xxxxx xxx": 1, "state": 3e0}'
    )
    assert TOKEN not in str(redacted(b'{"state": "%b"}' % TOKEN.encode(), frozenset(), words))


@pytest.mark.parametrize(
    ("value", "placeholder"),
    [
        ("Anna, 31", "Xxxx, 00"),
        ("naïve Ωμέγα", "xxxxx Xxxxx"),
        ("", ""),
        ("0b9c1f62-5c0a-4d0e-9a53-6f3a7d1c2b10", "00000000-0000-4000-8000-000000000000"),
        ("2025-03-04T09:15:02.118423+00:00", "2000-01-01T00:00:00.000000+00:00"),
        ("2025-03-04T09:15:02Z", "2000-01-01T00:00:00Z"),
        ("2025-03-04 09:15", "2000-01-01 00:00"),
        ("2025-03-04T09:15:02-05:00", "2000-01-01T00:00:00+00:00"),
        ("2025-03-04", "2000-01-01"),
        (3, 1),
        (0, 0),
        (-417, -100),
        (0.25, 0.0),
        (1741079702118, 1000000000000),
        (True, True),
        (None, None),
        ([1, "a", {"b": ["c"]}], [1, "x", {"b": ["x"]}]),
    ],
)
def test_value_becomes_a_placeholder_of_its_shape(value: object, placeholder: object) -> None:
    assert shown({"content": value}) == {"content": placeholder}


def test_named_keys_keep_their_values_at_any_depth_and_in_lists() -> None:
    message = {"kind": "chat", "inner": [{"kind": 417}], "tags": ["a", ["b"], {"c": "d"}]}
    assert shown(message, frozenset({"kind", "tags"})) == {
        "kind": "chat",
        "inner": [{"kind": 417}],
        "tags": ["a", ["b"], {"c": "x"}],
    }


def test_invariant_7_a_token_is_not_shown_even_under_a_key_that_is_kept() -> None:
    message = {"kind": TOKEN, "token": TOKEN, "bearer": f"Bearer {TOKEN}", TOKEN: 1}
    text = redacted(json.dumps(message).encode(), KIND)
    assert text is not None
    for part in TOKEN.split("."):
        assert part not in text
    assert "x" * (MAX_KEPT + 1) in json.dumps(shown({"kind": "y" * (MAX_KEPT + 1)}))


def test_key_that_no_programmer_would_choose_is_data() -> None:
    assert shown({"votes": {"anna@example.com": 1}}) == {"votes": {"xxxx@xxxxxxx.xxx": 1}}


def test_length_of_long_text_is_bounded() -> None:
    assert shown({"prdMarkdown": "a" * 100_000}) == {"prdMarkdown": "x" * MAX_TEXT}


def test_white_space_order_and_odd_numbers_stay() -> None:
    text = b'{ "b" : NaN,\n "a":1E2, "a": -0, "\\u006bind": "x\\ud800" }'
    assert redacted(text, KIND) == '{ "b" : NaN,\n "a":1E1, "a": -0, "\\u006bind": "x\\ud800" }'


@pytest.mark.parametrize("message", [b"", b"hello", b"[1]", b'"a"', b'{"a": }', b"\xff", b"{}x"])
def test_what_is_no_object_gives_nothing(message: bytes) -> None:
    assert redacted(message, KIND) is None


def test_deep_nesting_is_no_difficulty() -> None:
    deep = b'{"a":' * 2000 + b'"secret"' + b"}" * 2000
    assert redacted(deep, KIND) == '{"a":' * 2000 + '"xxxxxx"' + "}" * 2000


@pytest.mark.parametrize("piece", ['\\"', "2", "\\\\", "e", "-"])
def test_a_hostile_text_is_redacted(piece: str) -> None:
    message = ('{"a": "' + piece * 200_000 + '"}').encode()
    assert redacted(message, KIND) is not None  # In quadratic time this would take minutes.


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def letters(value: object) -> set[str]:
    """The letters and digits of all texts and numbers."""
    match value:
        case bool() | None:
            return set()
        case str():
            return {character for character in value if character.isalnum()}
        case int() | float():
            return {character for character in str(value) if character.isdigit()}
        case list():
            return set().union(*map(letters, value))
        case dict():
            return set().union(*map(letters, value.values()))
    raise TypeError(value)


@given(st.dictionaries(st.text(), values, max_size=5))
def test_every_object_becomes_json_of_the_same_shape_without_its_letters(
    message: dict[str, Any],
) -> None:
    text = redacted(json.dumps(message).encode(), frozenset())
    assert text is not None
    result = json.loads(text)
    # Keys that were data may have become one.
    assert len(result) <= len(message)
    # 248 and T, Z are those of placeholders: of a UUID, a time.
    assert letters(result) <= set("xX01248TZ")
