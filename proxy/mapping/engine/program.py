"""Programs: a mapping, or a chain of them, applied to messages and bodies as they arrive."""

from __future__ import annotations

from collections.abc import Sequence
from sys import maxsize
from typing import Final

from proxy.errors import MappingFailure
from proxy.mapping.engine.compiled import MAX_VALUES, CompiledMapping, OutputBudget, Rewrite
from proxy.mapping.engine.explanation import Explanation, rules_for, trace
from proxy.mapping.engine.vocabulary import together
from proxy.mapping.json.depth import nests_deeper
from proxy.mapping.json.objects import Object, close_list, close_object, open_list, open_object
from proxy.rewriting import Rewriter
from proxy.types import MAX_DEPTH, NONE, Channel

_BETWEEN: Final = "+"
"""Stands between the names of a chain; in no name of a mapping."""


def links_of(name: str) -> tuple[str, ...]:
    """The mappings of a program, by its name alone, as metrics have it."""
    return tuple(name.split(_BETWEEN))


class Program:
    """A mapping, or a chain of them where the output of one is the input of the next.

    Attributes:
        apply: does what `rewrite` does, by the shortest way that there is for the mapping.
        mappings: the names of the mappings, in order.
        name: those joined with "+"; a metric's label, of which `links_of` makes them again.
        channel: what it rewrites. The body of an HTTP route can be a list of objects too; each of
            them is rewritten for itself.
        direction: which way the messages go.
        rules: (mapping, rule) names, in order; a mapping that occurs twice counts once.
        kind_of: names the kind of a message that was left alone, as the first mapping's file lists
            them; None where it lists none.
        received_kind_of: the same of any message, as it came: before the first mapping.
        vocabulary: the words of the dialect that the mappings' files name.
    """

    __slots__ = (
        "_chain",
        "_deepest",
        "_run",
        "apply",
        "channel",
        "direction",
        "kind_of",
        "mappings",
        "name",
        "received_kind_of",
        "rules",
        "vocabulary",
    )

    apply: Rewrite

    def __init__(self, chain: Sequence[CompiledMapping], deepest: int = MAX_DEPTH) -> None:
        """Compose links, at least one, all of one direction and channel.

        Args:
            chain: in the order in which they are applied.
            deepest: how many objects and arrays of a message may stand inside each other.
        """
        self._chain = tuple(chain)
        self._deepest = deepest
        self.mappings = tuple(compiled.mapping for compiled in chain)
        self.name = _BETWEEN.join(self.mappings)
        self.channel = chain[0].channel
        self.direction = chain[0].direction
        self.kind_of = chain[0].kind_of
        self.received_kind_of = chain[0].received_kind_of
        self.vocabulary = together(compiled.vocabulary for compiled in chain)
        self.rules = tuple(
            dict.fromkeys(
                (compiled.mapping, rule.name) for compiled in chain for rule in compiled.rules
            )
        )
        self._run = chain[0].run if len(chain) == 1 else self._run_chain
        shortcut = chain[0].shortcut if len(chain) == 1 else None
        self.apply = self.rewrite if shortcut is None else shortcut(self.rewrite, deepest)

    def rewrite(self, message: bytes) -> tuple[bytes, ...] | None:
        """Rewrite one message, or one body.

        Args:
            message: the payload of a whole data message, or a whole body, whatever it holds.

        Returns:
            None where the message is to be sent as it came: no rule matched, nothing changed, or it
            is text without a JSON object. Otherwise what is to be sent in its place; nothing, if
            it is empty. A body is never dropped or split.

        Raises:
            MappingFailure: a rule matched and could not be carried out; or the message is not
                UTF-8, or nested too deep, or has too many values, which the first mapping's
                `on_error` decides about, under the rule `none`.
        """
        if len(message) > MAX_VALUES and message.count(b",") > MAX_VALUES:
            raise self._refusal(f"more than {MAX_VALUES} values")
        if nests_deeper(message, self._deepest):
            raise self._refusal(f"nested deeper than {self._deepest} levels")
        members = open_object(message)
        if members is None:
            return self._apply_to_another(message)
        result = self._run(members)
        if result is None:
            return None
        if len(result) == 1:
            return (close_object(result[0]),)
        return tuple([close_object(each) for each in result])

    def trace(self, message: bytes) -> Explanation:
        """Rewrite one message as `apply` does, and tell how it came about; never raises."""
        return trace(self.name, self._chain, message, self.apply)

    def rules_for(self, message: bytes) -> tuple[tuple[str, str], ...]:
        """Name the rules that apply to a message: (mapping, rule), each once; never raises."""
        return rules_for(self._chain, message)

    def _apply_to_another(self, message: bytes) -> tuple[bytes, ...] | None:
        """Work on what is no object."""
        try:
            message.decode()
        except UnicodeDecodeError:
            raise self._refusal("not UTF-8") from None
        return self._apply_to_list(message) if self.channel is Channel.HTTP else None

    def _refusal(self, why: str) -> MappingFailure:
        first = self._chain[0]
        return MappingFailure(first.mapping, NONE, why, first.on_error)

    def _apply_to_list(self, body: bytes) -> tuple[bytes, ...] | None:
        elements = open_list(body)
        if elements is None:
            return None
        budget = OutputBudget(maxsize)
        written: list[bytes] = []
        changed = False
        for element in map(bytes, elements):
            members = open_object(element)
            result = None if members is None else self._run(members, budget)
            if result is None:
                written.append(element)
            else:
                written += map(close_object, result)
                changed = True
        return (close_list(written),) if changed else None

    def _run_chain(
        self, message: Object, budget: OutputBudget | None = None
    ) -> tuple[Object, ...] | None:
        before = list(message.items())
        messages: tuple[Object, ...] = (message,)
        for compiled in self._chain:
            if len(messages) == 1:
                result = compiled.run(messages[0], budget)
                messages = messages if result is None else result
            else:
                messages = _run_on_several(compiled, messages)
        # One link may undo what another did: then the message goes out as it came.
        if len(messages) == 1 and list(messages[0].items()) == before:
            return None
        return messages


def program_of(rewriter: Rewriter | None) -> Program | None:
    """The program that a rewriter is, or that does the work inside of it.

    What only looks at messages on their way names that as its `program`. None where nothing is
    applied.
    """
    inside = getattr(rewriter, "program", rewriter)
    return inside if isinstance(inside, Program) else None


def _run_on_several(compiled: CompiledMapping, messages: tuple[Object, ...]) -> tuple[Object, ...]:
    budget = OutputBudget()
    made: list[Object] = []
    for message in messages:
        result = compiled.run(message, budget)
        made += (message,) if result is None else result
    return tuple(made)
