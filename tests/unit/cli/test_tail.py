"""What `segue tail` prints of a message, whatever is in it."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from proxy.cli.admin import Refused
from proxy.cli.screen import Screen
from proxy.cli.styled import Span, Style, plain
from proxy.cli.tail import MAX_DIFFERENCES, _Stream, told

MESSAGE: dict[str, Any] = {
    "time": 1_700_000_000.25,
    "cohort": "modern",
    "mapping": "old-to-new",
    "switches": ["modern/old-to-new"],
    "direction": "to_client",
    "kind": "jobStatus",
    "outcome": "mapped",
    "request_id": "id-1",
    "size": 7,
}


def printed(also: dict[str, Any]) -> list[str]:
    return [plain(line) for line in told(json.dumps({**MESSAGE, **also}).encode())]


def test_what_changed_is_marked() -> None:
    head, *lines = printed({"before": {"kind": "a", "b": 1}, "after": [{"kind": "c", "b": 1}]})
    assert head.endswith(
        ".250  to client  modern  old-to-new  jobStatus  mapped  id-1",
    )
    assert lines == [
        '  before  {"kind": "a", "b": 1}',
        '  after   {"kind": "c", "b": 1}',
        '    - kind: "a"',
        '    + kind: "c"',
    ]


def test_a_message_is_cut_where_it_is_told_to_be() -> None:
    data = json.dumps({**MESSAGE, "before": "a" * 50, "after": ["b" * 50]}).encode()
    _, before, after, *_ = [plain(line) for line in told(data, 10)]
    assert before == f'  before  "{"a" * 9}... (52 characters)'
    assert after == f'  after   "{"b" * 9}... (52 characters)'


def test_what_is_waited_for_is_told_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    for wanted, text in (("", "watching; "), ("kind nope", "watching for messages of kind nope; ")):
        stream = _Stream(Screen(io.StringIO(), {}), as_json=False, wanted=wanted)
        stream.take(b"event: start\n")
        stream.take(b"data: {}\n")
        assert capsys.readouterr().err == f"{text}Ctrl-C ends it\n"


def test_on_a_terminal_it_is_marked_with_colours() -> None:
    lines = list(told(json.dumps({**MESSAGE, "before": {"a": 1}, "after": [{"a": 2}]}).encode()))
    assert lines[0][2] == Span("mapped", Style.GOOD)
    assert lines[-2:] == [
        ("    ", Span("- a: 1", Style.BAD)),
        ("    ", Span("+ a: 2", Style.GOOD)),
    ]


@pytest.mark.parametrize(
    ("also", "expected"),
    [
        (
            {"before": {"a": 1}, "after": None, "outcome": "passed", "mapping": None, "kind": None},
            ['  before  {"a": 1}', "  after   as it came"],
        ),
        (
            {"before": {"a": 1}, "after": [], "outcome": "dropped"},
            ['  before  {"a": 1}', "  after   nothing: a rule drops it"],
        ),
        (
            {"before": {"a": 1}, "after": [{"b": 1}, {"c": 1}]},
            ['  before  {"a": 1}', '  after   {"b": 1}', '  after   {"c": 1}'],
        ),
        (
            {"skipped": "not a JSON object", "outcome": "passed"},
            ["  not shown: not a JSON object (7 bytes)"],
        ),
        (
            {"before": {"a": 1}, "unshown": "with the placeholders it would be passed"},
            [
                '  before  {"a": 1}',
                "  what became of it is not shown: with the placeholders it would be passed",
            ],
        ),
        (
            {
                "before": {"a": 1},
                "outcome": "failed",
                "failure": {"mapping": "m", "rule": "r", "reason": "no", "on_error": "pass"},
            },
            ['  before  {"a": 1}', "  failed  mapping m, rule r: no (on_error: pass)"],
        ),
    ],
)
def test_whatever_became_of_it(also: dict[str, object], expected: list[str]) -> None:
    assert printed(also)[1:] == expected


def test_no_message_acts_on_the_terminal() -> None:
    evil = "\x1b[2J\x9b31m\u202e\r\n"
    names = ("cohort", "mapping", "kind", "outcome", "request_id", "route", "unshown", "skipped")
    lines = printed(
        dict.fromkeys(names, evil)
        | {
            "before": {evil: evil},
            "after": [{evil: "b"}],
            "failure": {"mapping": evil, "reason": evil, "on_error": evil},
        }
    )
    assert all(line.isprintable() for line in lines)


def test_long_messages_and_many_changes_are_cut() -> None:
    before = {f"k{number}": "x" * 500 for number in range(100)}
    lines = printed({"before": before, "after": [dict.fromkeys(before, "y")], "kind": "k" * 1000})
    assert lines[-1] == "    and more"
    assert len(lines) == 4 + 2 * MAX_DIFFERENCES
    assert max(map(len, lines)) < 2100


@pytest.mark.parametrize(
    "line",
    [b"data: {}", b'data: {"time": "x"}', b'data: {"time": 1e999, "outcome": "mapped"}'],
)
def test_what_another_version_says_is_refused(line: bytes) -> None:
    screen = _Stream(Screen(io.StringIO(), {}), as_json=False)
    screen.take(b"event: message\n")
    with pytest.raises(Refused):
        screen.take(line)


def test_comments_and_events_of_later_versions_say_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    screen = _Stream(Screen(io.StringIO(), {}), as_json=False)
    for line in (b": still here\n", b"\n", b"event: later\n", b'data: {"a": 1}\n', b"id: 1\n"):
        screen.take(line)
    assert capsys.readouterr() == ("", "")
    assert (screen.messages, screen.left_out, screen.end) == (0, 0, None)
