"""What becomes of a message that is offered to a mapping, and how that is counted."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from proxy.errors import MappingFailure
from proxy.rewriting import MessageCounts, MessageHandling
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
