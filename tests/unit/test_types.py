"""The accounts of messages, and the words that appear in configuration files and metrics."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import MappingFailure
from proxy.rewriting import MessageCounts
from proxy.types import NONE, Channel, Direction, OnError
from proxy.versions.sources import VersionSource

OUTCOMES = ("mapped", "passed", "dropped", "failed", "undelivered")


@given(numbers=st.lists(st.integers(0, 10**12), min_size=6, max_size=6))
def test_the_five_outcomes_add_up_to_the_messages_received(numbers: list[int]) -> None:
    counts = MessageCounts()
    for name, number in zip((*OUTCOMES, "added"), numbers, strict=True):
        setattr(counts, name, number)
    assert counts.received == sum(numbers[:5])


def test_a_new_account_is_empty() -> None:
    counts = MessageCounts()
    assert [getattr(counts, name) for name in (*OUTCOMES, "added")] == [0] * 6
    assert counts.failures == {}
    assert counts.received == 0


def test_failures_are_counted_by_rule_and_apart_from_the_outcomes() -> None:
    counts = MessageCounts()
    for rule in ("status", "step", "status"):
        counts.count_failure(MappingFailure("m", rule, "cannot", OnError.PASS))
    assert counts.failures == {"status": 2, "step": 1}
    assert counts.received == 0
    assert MessageCounts().failures == {}


def test_the_words_of_files_and_labels_stay_what_users_have_written() -> None:
    assert [*Direction] == ["to_client", "to_server"]
    assert [*Channel] == ["websocket", "http"]
    assert [*OnError] == ["pass", "drop", "close"]
    assert [*VersionSource] == [
        *("header", "subprotocol", "query", "cookie", "session"),
        *("default", "unreadable", "none"),
    ]
    assert NONE == "none"
    assert f"{Direction.TO_CLIENT}" == "to_client"
