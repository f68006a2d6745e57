"""What a switch in shadow would have done: counts, rules, and a few examples of what would differ.

Everything is told in relation to what was sent. Where another mapping of the chain rewrites a
message and this one would leave it alone, it would pass: the client would get the same bytes.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from proxy.errors import MappingFailure
from proxy.mapping.engine.difference import DifferenceKind, Differences
from proxy.mapping.engine.explanation import MessageOutcome
from proxy.mapping.engine.program import Program
from proxy.recording.placeholders import redacted
from proxy.types import Channel, Direction

MAX_EXAMPLES: Final = 20
"""How many examples are kept of one switch: the newest that differ in rules or fields."""

MAX_EXAMPLE: Final = 8 * 1024
"""Bytes of the messages of one example; of larger ones only rules and fields are kept."""

MAX_EXAMPLE_MESSAGES: Final = 10
"""How many messages of an example are kept, of those sent and of those that would have been."""

_KIND: Final = frozenset({"kind"})
"""The key whose values are shown where no mapping says by which field messages are told apart."""

DifferingField = tuple[str, DifferenceKind]
"""A path, as `difference` tells it, and how it differs."""


class ShadowPoint(NamedTuple):
    """Where messages come by: their direction, and the cohort of the client."""

    direction: Direction
    cohort: str


class ExampleMessages(NamedTuple):
    """The messages of an example, JSON; None in place of one that is no JSON object, or list.

    Attributes:
        before: those that were sent.
        after: those that would have been.
        raw: whether they are as they were, and not with placeholders.
    """

    before: tuple[str | None, ...]
    after: tuple[str | None, ...]
    raw: bool


class FailurePlace(NamedTuple):
    """Where a rule could not be carried out; the names are those of the mapping's file."""

    rule: str
    operation: str
    field: str


@dataclass(slots=True)
class ShadowExample:
    """Messages that would have come out otherwise, all by the same rules, in the same fields.

    Attributes:
        outcome: what would have become of them.
        rules: of the switch's mapping; the one that failed, if one did.
        fields: which differ.
        cut: whether there may be more of them.
        point: where the last one came by.
        first, last: when, in seconds since 1970.
        count: how many there were.
    """

    outcome: MessageOutcome
    rules: tuple[str, ...]
    fields: tuple[DifferingField, ...]
    cut: bool
    point: ShadowPoint
    first: float
    last: float
    count: int = 1
    _shown: ExampleMessages | None = field(default=None, repr=False)
    _raw: ExampleMessages | None = field(default=None, repr=False)

    def messages(self, *, raw: bool) -> ExampleMessages | None:
        """The first of them, as it is shown; None where it was too large.

        Args:
            raw: whether to show it as it was, if it was kept so.
        """
        return (self._raw if raw else None) or self._shown

    def keep(
        self, before: Sequence[bytes], after: Sequence[bytes], program: Program, *, raw: bool
    ) -> None:
        """Keep the messages, within bounds.

        Args:
            before, after: what was sent, and what would have been.
            program: whose vocabulary says which words are no secret.
            raw: whether they may be kept as they are, too. Otherwise nothing that people wrote
                stays in memory.
        """
        before, after = before[:MAX_EXAMPLE_MESSAGES], after[:MAX_EXAMPLE_MESSAGES]
        if sum(map(len, before)) + sum(map(len, after)) > MAX_EXAMPLE:
            return
        shown = _redacted(before, program), _redacted(after, program)
        self._shown = ExampleMessages(*shown, raw=False)
        if raw:
            self._raw = ExampleMessages(_text(before), _text(after), raw=True)


class ShadowAccount:
    """What became of the messages of one switch since its shadow began.

    Each that was offered is compared or skipped, in the end: see `waiting`.

    Attributes:
        since: when it began, in seconds since 1970.
        offered: the messages that came by, and would have been the switch's.
        compared: those of them that were rewritten, too.
        skipped: those that were not: there was no time, no room, or they were too large.
        too_large: those of the skipped that were, or could not be read.
        would_map, would_pass, would_drop, would_fail: what would have become of those compared.
        seconds: of CPU that it took.
        rules: how many messages would have been mapped or dropped by each rule of the switch's
            mapping; several rules may work on one body.
        failures: how many would have failed, by where.
        examples: by what they have in common; the one that was met last stands last.
    """

    def __init__(self, since: float) -> None:
        self.since = since
        self.offered = 0
        self.compared = 0
        self.skipped = 0
        self.too_large = 0
        self.would_map = 0
        self.would_pass = 0
        self.would_drop = 0
        self.would_fail = 0
        self.seconds = 0.0
        self.rules: dict[str, int] = {}
        self.failures: dict[FailurePlace, int] = {}
        self.examples: OrderedDict[tuple[object, ...], ShadowExample] = OrderedDict()

    @property
    def waiting(self) -> int:
        """Messages that are neither compared nor skipped yet."""
        return self.offered - self.compared - self.skipped

    def outcomes(self) -> dict[str, int]:
        """How many messages, by what would have become of them; and those nobody knows it of."""
        return {
            "mapped": self.would_map,
            "passed": self.would_pass,
            "dropped": self.would_drop,
            "failed": self.would_fail,
            "skipped": self.skipped,
        }

    def skip(self, *, too_large: bool = False) -> None:
        """Count a message that is not compared."""
        self.skipped += 1
        self.too_large += too_large

    def count(self, outcome: MessageOutcome, rules: Sequence[str] = ()) -> None:
        """Count a message that was compared, and did not fail."""
        self.compared += 1
        if outcome is MessageOutcome.PASSED:
            self.would_pass += 1
        elif outcome is MessageOutcome.MAPPED:
            self.would_map += 1
        else:
            self.would_drop += 1
        for rule in rules:
            self.rules[rule] = self.rules.get(rule, 0) + 1

    def count_failure(self, failure: MappingFailure) -> None:
        """Count a message that was compared, and failed."""
        self.compared += 1
        self.would_fail += 1
        place = FailurePlace(failure.rule, failure.operation, failure.field)
        self.failures[place] = self.failures.get(place, 0) + 1

    def note(
        self,
        outcome: MessageOutcome,
        rules: tuple[str, ...],
        found: Differences,
        point: ShadowPoint,
        now: float,
    ) -> ShadowExample | None:
        """Take note of a message that would have come out otherwise.

        Args:
            outcome, rules: see `ShadowExample`.
            found: the difference.
            point: where it came by.
            now: seconds since 1970.

        Returns:
            A new example, which may keep its messages; None where there is one of its like.
        """
        fields = tuple([(each.field, each.kind) for each in found.fields])
        key = (outcome, rules, fields, point.direction)
        known = self.examples.get(key)
        if known is not None:
            known.count += 1
            known.last = now
            known.point = point
            self.examples.move_to_end(key)
            return None
        if len(self.examples) >= MAX_EXAMPLES:
            self.examples.popitem(last=False)
        example = ShadowExample(outcome, rules, fields, found.cut, point, now, now)
        self.examples[key] = example
        return example


def _redacted(messages: Sequence[bytes], program: Program) -> tuple[str | None, ...]:
    vocabulary = program.vocabulary
    keys, lists = vocabulary.keys or _KIND, program.channel is Channel.HTTP
    return tuple(redacted(each, keys, vocabulary.words, lists=lists) for each in messages)


def _text(messages: Sequence[bytes]) -> tuple[str, ...]:
    return tuple(each.decode(errors="replace") for each in messages)
