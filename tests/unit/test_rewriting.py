"""What becomes of a message that is offered to a mapping, and how that is counted."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

import pytest

from proxy.errors import MappingFailure
from proxy.rewriting import (
    MAX_RECEIVED_KINDS,
    OTHER_KIND,
    SAMPLED,
    MessageCounts,
    MessageHandling,
)
from proxy.types import OnError


@dataclass
class Mapping:
    """One that gives the same answer to every message."""

    answer: tuple[bytes, ...] | MappingFailure | None

    def apply(self, _: bytes, /) -> tuple[bytes, ...] | None:
        if isinstance(self.answer, MappingFailure):
            raise self.answer
        return self.answer


def failure(on_error: OnError) -> MappingFailure:
    return MappingFailure("a mapping", "a rule", "for a reason", on_error)


def account(counts: MessageCounts) -> dict[str, int]:
    """Those of the plain counts that are not zero."""
    names = ("mapped", "passed", "dropped", "failed", "added", "undelivered")
    return {name: getattr(counts, name) for name in names if getattr(counts, name)}


@pytest.mark.parametrize(
    ("answer", "counted"),
    [
        (None, {"passed": 1}),
        ((), {"dropped": 1}),
        ((b"new",), {"mapped": 1}),
        ((b"one", b"two", b"three"), {"mapped": 1, "added": 2}),
    ],
)
def test_each_answer_is_one_outcome(
    answer: tuple[bytes, ...] | None, counted: dict[str, int]
) -> None:
    counts = MessageCounts()
    assert MessageHandling(Mapping(answer), counts).rewrite(b"old") == answer
    assert account(counts) == counted


@pytest.mark.parametrize(("on_error", "sent"), [(OnError.PASS, None), (OnError.DROP, ())])
def test_a_failure_is_sent_by_its_on_error(
    on_error: OnError, sent: tuple[bytes, ...] | None
) -> None:
    counts = MessageCounts()
    assert MessageHandling(Mapping(failure(on_error)), counts).rewrite(b"old") == sent
    assert account(counts) == {"failed": 1}
    assert counts.failures == {"a rule": 1}


def test_a_failure_that_closes_is_raised_and_counted() -> None:
    counts = MessageCounts()
    with pytest.raises(MappingFailure):
        MessageHandling(Mapping(failure(OnError.CLOSE)), counts).rewrite(b"old")
    assert account(counts) == {"failed": 1}


def test_kinds_are_named_only_of_what_was_left_alone() -> None:
    counts = MessageCounts()
    named: list[bytes] = []

    def kind_of(message: bytes) -> str:
        named.append(message)
        return "other"

    for answer in (None, (b"new",), ()):
        MessageHandling(Mapping(answer), counts, kind_of).rewrite(b"old")
    assert named == [b"old"]
    assert counts.unmapped == {"other": 1}


def test_of_each_outcome_one_in_so_many_is_asked_for_its_kind_and_stands_for_all() -> None:
    whole = MessageCounts()
    kinds: dict[str, int] = {}
    parts = [whole.part() for _ in range(SAMPLED)]
    for part in parts:
        part.received_kinds = kinds

    def all_send(answer: tuple[bytes, ...] | MappingFailure | None, times: int) -> None:
        for part in parts:
            handling = MessageHandling(Mapping(answer), part, None, bytes.decode)
            for _ in range(times):
                with suppress(MappingFailure):
                    handling.rewrite(b"old")

    # Many that have few messages each are not sampled alike.
    all_send((b"new",), 1)
    assert kinds == {"old": SAMPLED}
    all_send((b"new",), SAMPLED - 1)
    assert kinds == {"old": SAMPLED * SAMPLED}
    for answer in (None, (), failure(OnError.PASS), failure(OnError.CLOSE)):
        before = kinds["old"]
        all_send(answer, SAMPLED)
        assert kinds["old"] - before == SAMPLED * SAMPLED


def test_kinds_are_counted_where_somebody_wants_them_and_not_without_end() -> None:
    counts = MessageCounts()
    counts.count_received("nobody asks")
    assert counts.received_kinds is None
    kinds = counts.received_kinds = {str(number): 1 for number in range(MAX_RECEIVED_KINDS)}
    for kind in ("0", "one more", "and more"):
        counts.count_received(kind)
    assert (kinds["0"], kinds[OTHER_KIND]) == (1 + SAMPLED, 2 * SAMPLED)
    assert len(kinds) == MAX_RECEIVED_KINDS + 1


@pytest.mark.parametrize("on_error", list(OnError))
def test_each_failure_is_told_once_and_nothing_else_is(on_error: OnError) -> None:
    told: list[MappingFailure] = []
    counts = MessageCounts().part(told.append)
    for answer in (None, (b"new",), ()):
        MessageHandling(Mapping(answer), counts).rewrite(b"old")
    assert not told
    failed = failure(on_error)
    with suppress(MappingFailure):
        MessageHandling(Mapping(failed), counts).rewrite(b"old")
    assert told == [failed]


def test_what_is_refused_before_it_is_offered_counts_and_is_told() -> None:
    told: list[MappingFailure] = []
    refused = failure(OnError.PASS)
    for counts in (MessageCounts(), MessageCounts().part(told.append)):
        MessageHandling(Mapping(None), counts).refuse(refused)
        assert account(counts) == {"failed": 1}
    assert told == [refused]


def test_a_part_of_an_account_is_added_to_the_whole_once() -> None:
    whole = MessageCounts()
    parts = [whole.part(), whole.part()]
    answers = [(b"new", b"newer"), (), None, failure(OnError.PASS)]
    for part in parts:
        for answer in answers:
            MessageHandling(Mapping(answer), part, lambda _: "kind").rewrite(b"old")
    parts[0].undelivered += 1
    assert account(whole) == {}
    assert whole.unmapped == {"kind": 2}
    assert whole.failures == {"a rule": 2}
    for part in (*parts, *parts, whole):
        part.settle()
    once = {"mapped": 2, "dropped": 2, "passed": 2, "failed": 2, "undelivered": 1, "added": 2}
    assert account(whole) == once
    parts[1].passed += 1
    parts[1].settle()
    assert account(whole) == {**once, "passed": 3}
    assert parts[1].outcomes() == {
        "mapped": 1,
        "passed": 2,
        "dropped": 1,
        "failed": 1,
        "undelivered": 0,
    }
    assert parts[1].received == 5
    assert parts[1].needed == 3
