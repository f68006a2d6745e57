"""What became of one message, rule by rule and operation by operation.

A trace runs the compiled rules that serve traffic, one at a time, and writes down what it sees. It
holds the message's own values: it is for whoever asked about that message, and for no log.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from typing import Final

from proxy.errors import MappingFailure
from proxy.mapping.engine.compiled import CompiledMapping, OutputBudget, Unable, each
from proxy.mapping.json.objects import Object, close_object, open_list, open_object
from proxy.types import NONE, Channel, OnError

MAX_PASSES: Final = 100
"""How many passes are told of one message."""


class MessageOutcome(StrEnum):
    """How a message ended."""

    MAPPED = "mapped"
    PASSED = "passed"
    DROPPED = "dropped"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Considered:
    """A rule that was asked.

    Attributes:
        rule: its name.
        why_not: what kept it from matching; None for the rule that applied.
    """

    rule: str
    why_not: str | None

    @property
    def matched(self) -> bool:
        """Whether the rule applied."""
        return self.why_not is None


@dataclass(frozen=True, slots=True)
class Carried:
    """An operation that was reached.

    Attributes:
        index: its position in the rule's `do`.
        operation: its key, such as `set`.
        before: the messages it was given, more than one behind a split.
        after: the messages it gave; the same, if it had nothing to do.
        skipped: why its `when` did not hold for the first of them; None if it held, or there is
            none.
        failure: what kept it from being carried out; None if nothing did.
    """

    index: int
    operation: str
    before: tuple[bytes, ...]
    after: tuple[bytes, ...]
    skipped: str | None = None
    failure: str | None = None

    @property
    def changed(self) -> bool:
        """Whether it did anything."""
        return self.before != self.after


@dataclass(frozen=True, slots=True)
class Pass:
    """One mapping's work on one message.

    Attributes:
        mapping: its name.
        element: the position in the body, where that is a list; otherwise None.
        before: the message as this mapping got it.
        considered: the rules, in order, up to the one that applied.
        applied: that rule's name; None where none did.
        carried: its operations, in order, up to one that failed.
        after: what came of it.
        failed: whether the rule could not be carried out.
    """

    mapping: str
    element: int | None
    before: bytes
    considered: tuple[Considered, ...]
    applied: str | None
    carried: tuple[Carried, ...]
    after: tuple[bytes, ...]
    failed: bool


@dataclass(frozen=True, slots=True)
class Explanation:
    """Everything that became of one message.

    Attributes:
        program: the name of the program, its mappings joined with "+".
        message: as it came.
        passes: for each mapping of the chain, and each element or message on the way.
        cut: whether there would have been more than `MAX_PASSES`.
        outcome: how it ended.
        messages: what is sent; the original if it passed, or failed and is sent all the same.
        failure: the mapping, rule and reason, and what is to be sent; None unless it failed.
        note: why no rule was tried, where the message is nothing that can be mapped.
    """

    program: str
    message: bytes
    passes: tuple[Pass, ...]
    cut: bool
    outcome: MessageOutcome
    messages: tuple[bytes, ...]
    failure: MappingFailure | None = None
    note: str = ""


def trace(
    program: str,
    chain: Sequence[CompiledMapping],
    message: bytes,
    apply: Callable[[bytes], tuple[bytes, ...] | None],
) -> Explanation:
    """Tell how links work on a message, and what comes of it.

    Args:
        program: its name.
        chain: that it is made of.
        message: as it came.
        apply: what the program does with it in earnest; it decides about the outcome.
    """
    outcome, failure = MessageOutcome.PASSED, None
    messages: tuple[bytes, ...] = (message,)
    try:
        result = apply(message)
    except MappingFailure as raised:
        outcome, failure = MessageOutcome.FAILED, raised
        messages = (message,) if raised.on_error is OnError.PASS else ()
    else:
        if result is not None:
            outcome, messages = MessageOutcome.MAPPED if result else MessageOutcome.DROPPED, result
    # What fails under no rule is refused before any is asked.
    asked = failure is None or failure.rule != NONE
    passes = tuple(islice(_passes(chain, message), MAX_PASSES + 1)) if asked else ()
    return Explanation(
        program,
        message,
        passes[:MAX_PASSES],
        len(passes) > MAX_PASSES,
        outcome,
        messages,
        failure,
        ""
        if passes
        else f"no rule was tried: it is {failure.detail if failure else 'not a JSON object'}",
    )


def rules_for(chain: Sequence[CompiledMapping], message: bytes) -> tuple[tuple[str, str], ...]:
    """Name the rules that apply to a message, up to one that cannot be carried out.

    Less than a trace, for who asks often: it costs about what the rewriting itself does.

    Returns:
        (mapping, rule) names in the order in which they are met, each once.
    """
    found: dict[tuple[str, str], None] = {}
    for _, members in _objects(chain, message):
        messages: tuple[Object, ...] = (members,)
        for number, compiled in enumerate(chain, 1):
            budget = OutputBudget()
            made: list[Object] = []
            for one in messages:
                rule = compiled.select(one)
                result = None
                if rule is not None:
                    found[compiled.mapping, rule.name] = None
                    try:
                        # What the last one makes of it is asked by nobody.
                        if number < len(chain):
                            result = rule.run(one, budget)
                    except Unable:
                        return tuple(found)
                made += (one,) if result is None else result
            messages = tuple(made)
    return tuple(found)


def _objects(
    chain: Sequence[CompiledMapping], message: bytes
) -> Iterator[tuple[int | None, Object]]:
    """Give what rules are tried on: the message, or the elements of a body with their positions."""
    members = open_object(message)
    if members is not None:
        yield None, members
    elif chain[0].channel is Channel.HTTP:
        for index, element in enumerate(open_list(message) or ()):
            opened = open_object(bytes(element))
            if opened is not None:
                yield index, opened


def _passes(chain: Sequence[CompiledMapping], message: bytes) -> Iterator[Pass]:
    for index, members in _objects(chain, message):
        yield from _passes_of(chain, members, index)


def _passes_of(
    chain: Sequence[CompiledMapping], members: Object, element: int | None
) -> Iterator[Pass]:
    messages: tuple[Object, ...] = (members,)
    for compiled in chain:
        made: list[Object] = []
        for message in messages:
            told, result = _pass(compiled, message, element)
            yield told
            if told.failed:
                return
            made += result
        messages = tuple(made)


def _pass(
    compiled: CompiledMapping, message: Object, element: int | None
) -> tuple[Pass, tuple[Object, ...]]:
    before = close_object(message)
    rule = compiled.select(message)
    considered: list[Considered] = []
    for other in compiled.rules:
        considered.append(Considered(other.name, other.why_not(message)))
        if other is rule:
            break
    carried: list[Carried] = []
    messages: tuple[Object, ...] = (message,)
    failed = False
    if rule is not None:
        for index, (operation, step) in enumerate(zip(rule.operations, rule.steps, strict=True)):
            given = tuple(map(close_object, messages))
            skipped = step.condition(messages[0]) if step.condition and messages else None
            failure = None
            try:
                messages = each(operation, messages)
            except Unable as unable:
                failure = str(unable)
            after = () if failure else tuple(map(close_object, messages))
            carried.append(Carried(index, step.label, given, after, skipped, failure))
            if failure:
                failed = True
                break
    told = Pass(
        mapping=compiled.mapping,
        element=element,
        before=before,
        considered=tuple(considered),
        applied=None if rule is None else rule.name,
        carried=tuple(carried),
        after=() if failed else tuple(map(close_object, messages)),
        failed=failed,
    )
    return told, messages
