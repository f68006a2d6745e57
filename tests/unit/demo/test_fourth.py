"""What the fourth act notices, in revisions, counts and frames written by hand."""

from __future__ import annotations

from typing import Any, Final

from demo.fourth.judgement import (
    AFTER,
    MAPPING,
    SWITCH,
    answer_faults,
    exposure_faults,
    revision_faults,
)
from demo.verdict import read

REVISION: Final[dict[str, Any]] = {
    "author": "guard",
    "kind": "guard",
    "after": {SWITCH: {"setting": AFTER}},
    "finding": {"figure": "failed", "lower": 0.8, "bound": 0.01},
}
ERROR: Final = read(b'{"kind": "error", "message": "no"}')
OTHER: Final = read(b'{"kind": "error", "message": "7"}')


def test_a_guard_must_have_made_the_first_revision() -> None:
    assert revision_faults(REVISION) == []
    assert revision_faults(None) == ["nobody has taken the switch back"]
    by_somebody = {**REVISION, "author": "uid 0 (socket)", "kind": "set", "finding": None}
    assert revision_faults(by_somebody) == [
        "the first revision is by uid 0 (socket), expected guard",
        "the figure is None, expected failed",
    ]
    assert revision_faults({**REVISION, "after": {}}) == [
        "the switch was set to None, expected canary 1%"
    ]
    weak = {**REVISION, "finding": {"figure": "failed", "lower": 0.01, "bound": 0.01}}
    assert revision_faults(weak) == ["the figure was not worse than its bound"]


def test_the_mapping_must_have_failed_for_the_canary_alone() -> None:
    failed = (MAPPING, "to_client", "failed")
    assert exposure_faults({failed: 40, ("none", "to_client", "passed"): 900}, 50) == []
    assert exposure_faults({}, 50) == ["the mapping failed on nothing: nothing was shown"]
    assert exposure_faults({failed: 51}, 50) == [
        "it was applied to 51 messages, and only 50 were of the canary"
    ]


def test_each_answer_must_have_come_as_it_was_sent() -> None:
    assert answer_faults(2, [ERROR, ERROR]) == []
    assert answer_faults(3, [ERROR, ERROR]) == ["2 frames came, expected 3 errors"]
    assert answer_faults(2, [ERROR, OTHER]) == ["not all errors are as the server sent them"]
