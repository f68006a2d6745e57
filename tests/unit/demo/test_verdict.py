"""What the demonstration notices, in frames written by hand."""

from __future__ import annotations

import pytest

from demo.verdict import (
    Dialect,
    count_faults,
    expected_counts,
    fault,
    faults,
    json_text,
    missing_kinds,
    read,
)

SENT = read(b'{"kind": "jobStatus", "jobId": "j", "n": 1.10, "m": {"a": [1, {}]}, "message": null}')


def test_a_new_client_may_get_other_white_space_and_escapes() -> None:
    got = read(b'{"kind":"status","jobId":"\\u006a","n":1.10,"m":{"a":[1,{}]},"message":null}')
    assert fault(Dialect.NEW, SENT, got) is None


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(b'{"kind":"jobStatus","jobId":"j","n":1.10,"m":{"a":[1,{}]},"message":null}'),
        pytest.param(b'{"kind":"status","jobId":"j","n":1.1,"m":{"a":[1,{}]},"message":null}'),
        pytest.param(b'{"kind":"status","jobId":"j","n":1.10,"m":{"a":[true,{}]},"message":null}'),
        pytest.param(b'{"kind":"status","jobId":"j","n":1.10,"m":{"a":[1,[]]},"message":null}'),
        pytest.param(b'{"kind":"status","n":1.10,"jobId":"j","m":{"a":[1,{}]},"message":null}'),
        pytest.param(b'{"kind":"status","jobId":"j","n":1.10,"m":{"a":[1,{}]}}'),
        pytest.param(b'{"kind":"status","jobId":"j","n":"1.10","m":{"a":[1,{}]},"message":null}'),
        pytest.param(b"[]"),
        pytest.param(b"\xff"),
        pytest.param(b"[" * 100_000),
    ],
)
def test_any_other_difference_is_a_fault_for_a_new_client(payload: bytes) -> None:
    assert fault(Dialect.NEW, SENT, read(payload)) is not None


def test_an_old_client_must_get_the_very_bytes() -> None:
    assert fault(Dialect.OLD, SENT, read(SENT.payload)) is None
    assert fault(Dialect.OLD, SENT, read(SENT.payload.replace(b": ", b":"))) is not None


def test_missing_and_surplus_frames_are_faults_and_at_most_five_are_told() -> None:
    assert faults(Dialect.OLD, [SENT], [SENT]) == []
    assert faults(Dialect.OLD, [SENT, SENT], [SENT]) == ["frame 2, jobStatus: missing"]
    assert faults(Dialect.OLD, [SENT], [SENT, SENT]) == [
        "frame 2, jobStatus: the server sent no such frame"
    ]
    assert faults(Dialect.OLD, [SENT] * 9, [])[-1] == "and 4 more"


def test_a_kind_that_the_server_never_sent_is_missed() -> None:
    assert missing_kinds([SENT]) == ["agentDialogue", "prdReady", "stageUpdate"]


def test_counts_of_messages_agree_only_if_every_outcome_does() -> None:
    expected = expected_counts([SENT, read(b'{"kind": "error"}')], old=1, new=2, from_clients=3)
    counts = {
        ("old-to-new", "to_client", "mapped"): 2,
        ("old-to-new", "to_client", "passed"): 2,
        ("old-to-new", "to_client", "failed"): 0,
        ("new-to-old", "to_client", "passed"): 2,
        ("none", "to_server", "passed"): 3,
    }
    assert count_faults(counts, expected) == []
    counts["old-to-new", "to_client", "failed"] = 1
    counts["old-to-new", "to_client", "mapped"] = 1
    assert count_faults(counts, expected) == [
        "old-to-new to_client failed: 1, expected 0",
        "old-to-new to_client mapped: 1, expected 2",
    ]


def test_numbers_are_shown_as_they_were_spelled() -> None:
    content = read(b'{"a": [1.10, 1E2, -0, 340282366920938463463374607431768211457]}').content
    assert json_text(content) == '{"a": [1.10, 1E2, -0, 340282366920938463463374607431768211457]}'
