"""How events are written: whatever is in them, they are what they are."""

from __future__ import annotations

import json

import pytest

from proxy.admin.event_stream import written
from proxy.admin.tail import document
from proxy.errors import MappingFailure
from proxy.recording.tap import Observed, TapPoint
from proxy.types import Direction, OnError

POINT = TapPoint(Direction.TO_CLIENT, "modern", "id-1")

HOSTILE = [
    '{"kind": "a",\n "b": 1}',
    '{"kind": "a",\r\r\n\n"b": 1}',
    '{"kind": "\\n\\ndata: x\\nevent: end", "b": "\\r\\n"}',
    '{"kind": "\x9b31m\x7f\u2028\u202e", "b\u2028": "😀"}',
    '{"kind": "\\u001b[2J", "\\u001b]0;x\\u0007": "\\u001b[31m"}',
]


def read(stream: bytes) -> list[tuple[str, str]]:
    """What a reader makes of a stream: the lines end with CR, LF or both (HTML section 9.2.6)."""
    found = []
    text = stream.decode().replace("\r\n", "\n").replace("\r", "\n")
    for block in text.split("\n\n")[:-1]:
        fields = dict(line.split(": ", 1) for line in block.split("\n"))
        found.append((fields["event"], fields["data"]))
    assert text.endswith("\n\n")
    return found


@pytest.mark.parametrize("message", HOSTILE)
@pytest.mark.parametrize("raw", [True, False])
def test_no_message_ends_its_event_or_acts_on_a_terminal(message: str, raw: bool) -> None:
    data = document(Observed(POINT, None, message.encode(), None, None, 1.0), None, raw=raw)
    assert data is not None
    stream = written("message", data)
    assert all(byte == 10 or 32 <= byte < 127 for byte in stream)
    [(event, found)] = read(stream)
    assert event == "message"
    if raw:
        assert json.loads(found)["before"] == json.loads(message)


@pytest.mark.parametrize("raw", [True, False])
@pytest.mark.parametrize("message", [b"no JSON\n\ndata: x", b"\xff\xfe", b"[1]", b'"text"', b""])
def test_of_what_is_no_object_nothing_is_shown(message: bytes, raw: bool) -> None:
    data = document(Observed(POINT, None, message, None, None, 1.0), None, raw=raw)
    assert data is not None
    found = json.loads(data)
    assert (found["skipped"], found["size"]) == ("not a JSON object", len(message))
    assert not {"before", "after"} & set(found)
    assert found["kind"] is None


def test_bodies_of_routes_can_be_lists() -> None:
    point = POINT._replace(route="GET /api/")
    data = document(Observed(point, None, b'[{"a": "Anna"}]', None, None, 1.0), None, raw=False)
    assert data is not None
    found = json.loads(data)
    assert (found["route"], found["before"], found["after"]) == ("GET /api/", [{"a": "Xxxx"}], None)


def test_failed_message_says_which_rule_and_why_and_no_value() -> None:
    failure = MappingFailure("m", "r", "not a number", OnError.PASS, "convert", "a.b")
    data = document(Observed(POINT, None, b'{"a": "Anna"}', None, failure, 1.0), None, raw=False)
    assert data is not None
    assert "Anna" not in data
    found = json.loads(data)
    assert found["failure"] == {
        "mapping": "m",
        "rule": "r",
        "operation": "convert",
        "field": "a.b",
        "reason": "not a number",
        "on_error": "pass",
    }
    assert "after" not in found
    assert found["outcome"] == "failed"


def test_message_of_another_kind_is_not_shown() -> None:
    def shown(message: bytes, kind: str) -> str | None:
        return document(Observed(POINT, None, message, None, None, 1.0), kind, raw=False)

    assert shown(b'{"kind": "\\u0061"}', "a") is not None
    assert shown(b'{"kind": "ab", "x": "a"}', "a") is None
    assert shown(b'{"kind": 1}', "1") is None
    assert shown(b"no JSON", "a") is None


def test_message_that_was_too_large_has_its_size() -> None:
    cut = Observed(POINT, None, b"x" * 10, (b"y" * 5,), None, 1.0).without_content()
    data = document(cut, None, raw=True)
    assert data is not None
    found = json.loads(data)
    assert (found["skipped"], found["size"], found["outcome"]) == ("too large", 15, "mapped")


@pytest.mark.parametrize("raw", [True, False])
@pytest.mark.parametrize("begin", [b'{"kind": ', b'{"kind": "a", "x": '])
def test_of_what_is_nested_deep_nothing_is_shown(begin: bytes, raw: bool) -> None:
    message = begin + b"[" * 30_000 + b"]" * 30_000 + b"}"
    data = document(Observed(POINT, None, message, None, None, 1.0), None, raw=raw)
    assert data is not None
    found = json.loads(data)
    assert found["skipped"] == "nested deeper than 200 levels"
    message = begin + b"[" * 150 + b"]" * 150 + b"}"
    data = document(Observed(POINT, None, message, None, None, 1.0), None, raw=raw)
    assert data is not None
    assert json.loads(data)["before"] == json.loads(message)


def test_event_has_its_id() -> None:
    assert written("reloaded", "{}", "0123-4") == b"id: 0123-4\nevent: reloaded\ndata: {}\n\n"
