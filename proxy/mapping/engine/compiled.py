"""Compiled rules and mappings, and how they run on one message.

This is the hot path: it knows closures and members, and nothing of the language. An operation takes
a message's members, may change them in place, and gives the messages that stand in its place: none
(dropped), one, or several; None where it had nothing to do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from proxy.errors import MappingFailure
from proxy.mapping.engine.vocabulary import Vocabulary
from proxy.mapping.json.objects import Object, weight
from proxy.types import Channel, Direction, OnError

MAX_MESSAGES: Final = 1_000
"""How many messages can come of one."""

MAX_VALUES: Final = 500_000
"""How many values a message may have, at any depth. Each element of a list takes 212 bytes while it
is worked on, measured: a body of 8 MiB that is `[1,1,1` and so on takes 850 MiB without this."""

MAX_BYTES: Final = 64 * 1024 * 1024
"""How many bytes can come of one message, all messages that it becomes together."""

Predicate = Callable[[Object], bool]
Transform = Callable[[Object], tuple[Object, ...] | None]
"""What an operation is once it is compiled."""

Rewrite = Callable[[bytes], tuple[bytes, ...] | None]
"""What `Program.rewrite` is: see there."""

Shortcut = Callable[[Rewrite, int], Rewrite]
"""Gives a shorter way to the same. The general one is handed what it cannot do, and what is nested
deeper than so many levels."""

Reason = Callable[[Object], str | None]
"""Says why a message does not match; None where it does."""


class Unable(Exception):
    """An operation cannot be carried out. Its text names fields of the rule, never values.

    Attributes:
        operation: its key in the file, such as `set`; empty where it is none of them.
        path: the field of the rule at which it failed, as far in as is known; may be empty.
    """

    def __init__(self, why: str, operation: str = "", path: tuple[str, ...] = ()) -> None:
        super().__init__(why)
        self.operation = operation
        self.path = path


class OutputBudget:
    """What may still come of one message."""

    __slots__ = ("bytes", "messages")

    def __init__(self, messages: int = MAX_MESSAGES) -> None:
        self.messages = messages
        self.bytes = MAX_BYTES

    def take(self, messages: Sequence[Object]) -> None:
        """Let these messages come of it.

        Raises:
            Unable: they are too many, or too large.
        """
        self.messages -= len(messages)
        if self.messages < 0:
            raise Unable(f"more than {MAX_MESSAGES} messages would be made of one")
        self.bytes -= sum(map(weight, messages))
        if self.bytes < 0:
            raise Unable(f"more than {MAX_BYTES} bytes would be made of one message")


@dataclass(frozen=True, slots=True)
class Step:
    """What is known of an operation beside its closure; for explanations.

    Attributes:
        label: its key in the file, such as `set`.
        condition: says why its `when` keeps it from being carried out; None without one.
    """

    label: str
    condition: Reason | None = None


@dataclass(frozen=True, slots=True)
class CompiledRule:
    """What a rule does, once it has matched.

    Attributes:
        name: as in the file.
        operations: what it does, in order.
        steps: of each operation, what is known of it.
        why_not: says why a message does not match.
    """

    name: str
    operations: tuple[Transform, ...]
    steps: tuple[Step, ...] = ()
    why_not: Reason = field(default=lambda _: None, repr=False)

    def run(self, message: Object, budget: OutputBudget | None = None) -> tuple[Object, ...] | None:
        """Give what the message becomes; None where no operation had anything to do.

        Raises:
            Unable: an operation cannot be carried out.
        """
        result: tuple[Object, ...] | None = None
        for operation in self.operations:
            result = operation(message) if result is None else each(operation, result)
        if result is not None and (budget is not None or len(result) > 1):
            (budget or OutputBudget()).take(result)
        return result


def each(operation: Transform, messages: tuple[Object, ...]) -> tuple[Object, ...]:
    """Apply an operation to every message.

    Raises:
        Unable: it cannot be carried out on one of them, or more come of it than may.
    """
    if len(messages) == 1:
        result = operation(messages[0])
        return messages if result is None else result
    budget = OutputBudget()
    made: list[Object] = []
    for message in messages:
        result = operation(message)
        if result is None:
            made.append(message)
        else:
            budget.take(result)
            made += result
    return tuple(made)


Candidate = tuple[CompiledRule, Predicate | None]
"""A rule, and what remains to be asked of a message before it applies."""


@dataclass(frozen=True, slots=True)
class CompiledMapping:
    """One compiled mapping.

    Attributes:
        mapping: its name.
        on_error: what it says is to be sent when one of its rules fails.
        rules: all of its rules, in order.
        choose: gives the rules that can match a message, in order.
        channel: what it rewrites.
        kind_of: names the kind of a message that it left alone; None where its file lists none.
        shortcut: a shorter way for most messages; see `splice`.
        vocabulary: the words of the dialect that its file names.
        received_kind_of: names the kind of any message, as it came; None where its file lists none.
    """

    mapping: str
    direction: Direction
    on_error: OnError
    rules: tuple[CompiledRule, ...]
    choose: Callable[[Object], Sequence[Candidate]]
    channel: Channel = Channel.WEBSOCKET
    kind_of: Callable[[bytes], str] | None = None
    shortcut: Shortcut | None = None
    vocabulary: Vocabulary = field(default_factory=Vocabulary)
    received_kind_of: Callable[[bytes], str] | None = None

    def select(self, message: Object) -> CompiledRule | None:
        """Find the first rule that matches."""
        for rule, predicate in self.choose(message):
            if predicate is None or predicate(message):
                return rule
        return None

    def run(self, message: Object, budget: OutputBudget | None = None) -> tuple[Object, ...] | None:
        """Give what the message becomes; None where no rule matched or nothing was to be done.

        Args:
            message: its members; they may be changed in place.
            budget: what may come of it, if it shares that with others.

        Raises:
            MappingFailure: the rule that matched could not be carried out.
        """
        rule = self.select(message)
        if rule is None:
            return None
        try:
            return rule.run(message, budget)
        except Unable as unable:
            raise MappingFailure(
                self.mapping,
                rule.name,
                str(unable),
                self.on_error,
                unable.operation,
                ".".join(unable.path),
            ) from None
