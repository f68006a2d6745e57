"""Running compiled rules on messages.

This is the hot path: it knows closures and members, and nothing of the language. An operation takes
a message's members, may change them in place, and gives the messages that stand in its place: none
(dropped), one, or several; None where it had nothing to do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from proxy.errors import MappingFailure
from proxy.mapping.objects import Object, close_object, open_object
from proxy.values import Direction, OnError

Predicate = Callable[[Object], bool]
Operation = Callable[[Object], tuple[Object, ...] | None]


class Unable(Exception):
    """An operation cannot be carried out. Its text names fields of the rule, never values."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What a rule does, once it has matched."""

    name: str
    operations: tuple[Operation, ...]

    def run(self, message: Object) -> tuple[Object, ...] | None:
        """Give what the message becomes; None where no operation had anything to do.

        Raises:
            Unable: an operation cannot be carried out.
        """
        result: tuple[Object, ...] | None = None
        for operation in self.operations:
            result = operation(message) if result is None else _each(operation, result)
        return result


def _each(operation: Operation, messages: tuple[Object, ...]) -> tuple[Object, ...]:
    """Apply an operation to every message."""
    made: list[Object] = []
    for message in messages:
        result = operation(message)
        made += (message,) if result is None else result
    return tuple(made)


Candidate = tuple[Rule, Predicate | None]
"""A rule, and what remains to be asked of a message before it applies."""


@dataclass(frozen=True, slots=True)
class Link:
    """One compiled mapping.

    Attributes:
        mapping: its name.
        on_error: what it says is to be sent when one of its rules fails.
        rules: all of its rules, in order.
        choose: gives the rules that can match a message, in order.
    """

    mapping: str
    direction: Direction
    on_error: OnError
    rules: tuple[Rule, ...]
    choose: Callable[[Object], Sequence[Candidate]]

    def select(self, message: Object) -> Rule | None:
        """Find the first rule that matches."""
        for rule, predicate in self.choose(message):
            if predicate is None or predicate(message):
                return rule
        return None

    def run(self, message: Object) -> tuple[Object, ...] | None:
        """Give what the message becomes; None where no rule matched or nothing was to be done.

        Raises:
            MappingFailure: the rule that matched could not be carried out.
        """
        rule = self.select(message)
        if rule is None:
            return None
        try:
            return rule.run(message)
        except Unable as unable:
            raise MappingFailure(self.mapping, rule.name, str(unable), self.on_error) from None


class Program:
    """A mapping, or a chain of them where the output of one is the input of the next.

    Attributes:
        name: the mappings' names joined with "+"; a metric's label.
        direction: which way the messages go.
        rules: (mapping, rule) names, in order; a mapping that occurs twice counts once.
    """

    __slots__ = ("_links", "_run", "direction", "name", "rules")

    def __init__(self, links: Sequence[Link]) -> None:
        """Compose links, at least one, all of one direction."""
        self._links = tuple(links)
        self.name = "+".join(link.mapping for link in links)
        self.direction = links[0].direction
        self.rules = tuple(
            dict.fromkeys((link.mapping, rule.name) for link in links for rule in link.rules)
        )
        self._run = links[0].run if len(links) == 1 else self._run_chain

    def apply(self, message: bytes) -> tuple[bytes, ...] | None:
        """Rewrite one message.

        Args:
            message: the payload of a whole data message, whatever it holds.

        Returns:
            None where the message is to be sent as it came: no rule matched, nothing changed, or it
            is no JSON object. Otherwise what is to be sent in its place; nothing, if it is empty.

        Raises:
            MappingFailure: a rule matched and could not be carried out.
        """
        members = open_object(message)
        if members is None:
            return None
        result = self._run(members)
        if result is None:
            return None
        if len(result) == 1:
            return (close_object(result[0]),)
        return tuple([close_object(each) for each in result])

    def _run_chain(self, message: Object) -> tuple[Object, ...] | None:
        before = list(message.items())
        messages: tuple[Object, ...] = (message,)
        for link in self._links:
            messages = _each(link.run, messages)
        # One link may undo what another did: then the message goes out as it came.
        if len(messages) == 1 and list(messages[0].items()) == before:
            return None
        return messages
