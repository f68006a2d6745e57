"""Reads that are alike are told once in a while, with how many there were."""

from __future__ import annotations

from proxy.admin.repeats import MOST, SECONDS, RepeatedReads


def test_what_was_told_a_short_while_ago_is_counted_and_told_later() -> None:
    reads = RepeatedReads()
    assert reads.again("ops", "/flow", 5.0) == 0
    assert reads.again("ops", "/flow", 6.0) is None
    assert reads.again("ops", "/flow", 4.0 + SECONDS) is None
    assert reads.again("ops", "/flow", 5.0 + SECONDS) == 2
    assert reads.again("ops", "/flow", 5.0 + 2 * SECONDS) == 0


def test_each_who_asks_and_each_thing_is_told_for_itself() -> None:
    reads = RepeatedReads()
    for author, path in (("ops", "/flow"), ("ops", "/status"), ("anna", "/flow")):
        assert reads.again(author, path, 1.0) == 0
        assert reads.again(author, path, 2.0) is None


def test_no_more_are_remembered_than_there_may_be_and_what_is_forgotten_is_told() -> None:
    reads = RepeatedReads()
    for number in range(MOST + 1):
        assert reads.again("ops", f"/sessions/{number}", 1.0) == 0
    assert len(reads) == MOST
    assert reads.again("ops", f"/sessions/{MOST}", 2.0) is None
    assert reads.again("ops", "/sessions/0", 2.0) == 0
