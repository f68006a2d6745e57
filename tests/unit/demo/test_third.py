"""What the third act notices, in frames and bodies written by hand."""

from __future__ import annotations

import pytest

from demo.third.judgement import (
    changed_fields,
    job_faults,
    refusal_faults,
    renewal_faults,
    saying_faults,
)
from demo.verdict import read

ERROR = read(b'{"kind": "error", "message": "no"}')
HEARD = read(b'{"kind": "stageUpdate", "role": "user", "content": "words"}')
JOB = read(
    b'{"id": 1, "requirements_summary": "s", "error_message": null, "n": 1.10,'
    b' "steps": [{"agent_name": "a", "order": 1}]}'
)
NEXT_JOB = b'{"id":1,"summary":"s","error":null,"n":1.10,"steps":[{"agent":"a","order":1}]}'


def test_the_server_must_refuse_the_new_words_and_hear_them_through_the_proxy() -> None:
    assert refusal_faults([ERROR]) == []
    assert refusal_faults([]) == ["the server did not refuse them, but sent nothing"]
    assert refusal_faults([HEARD]) == ["the server did not refuse them, but sent stageUpdate"]
    assert saying_faults("words", [HEARD]) == []
    assert saying_faults("words", []) == ["the server sent nothing, expected stageUpdate"]
    assert saying_faults("words", [HEARD, ERROR]) == [
        "the server sent stageUpdate, error, expected stageUpdate"
    ]
    assert saying_faults("other words", [HEARD]) == ["content is not what the client said"]


def test_a_job_with_the_new_fields_and_the_same_values_is_right() -> None:
    assert job_faults(JOB, read(NEXT_JOB)) == []


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        (b'"summary"', b'"sum"', "the fields are not id, summary, error, n, steps, in this order"),
        (b'"id":1,', b"", "the fields are not id, summary, error, n, steps, in this order"),
        (b"1.10", b"1.1", "n: another value than the server's"),
        (b'"agent"', b'"agent_name"', "steps: another value than the server's"),
        (b'"order":1', b'"order":true', "steps: another value than the server's"),
        (b'{"agent":"a","order":1}', b"1", "steps: another value than the server's"),
        (b"{", b"[", "the body is not a JSON object"),
    ],
)
def test_any_other_job_is_a_fault(old: bytes, new: bytes, fault: str) -> None:
    assert job_faults(JOB, read(NEXT_JOB.replace(old, new, 1))) == [fault]


@pytest.mark.parametrize("body", [b"", b'{"detail": "no"}', b'{"steps": []}', b'{"steps": 1}'])
def test_a_server_that_answers_no_job_is_a_fault_also_where_both_are_alike(body: bytes) -> None:
    assert len(job_faults(read(body), read(body))) == 1


def test_what_changed_is_told_field_by_field() -> None:
    pairs = changed_fields(JOB, read(NEXT_JOB))
    assert [(before[0], after[0]) for before, after in pairs] == [
        ("requirements_summary", "summary"),
        ("error_message", "error"),
        ("steps[0].agent_name", "steps[0].agent"),
    ]
    assert changed_fields(JOB, read(b'{"steps": [1]}')) == []
    assert changed_fields(read(b"[]"), JOB) == []


def test_a_renewal_takes_both_answers_and_the_count() -> None:
    assert renewal_faults(401, 200, 1) == []
    assert len(renewal_faults(200, 200, 1)) == 1
    assert len(renewal_faults(401, 401, 0)) == 2
