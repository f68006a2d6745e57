"""What every operation has to say of itself: how it is written, what it does, what undoes it."""

from __future__ import annotations

import abc
from collections.abc import Iterable, Sequence
from typing import ClassVar, Literal

from proxy.mapping.engine.compiled import Transform
from proxy.mapping.language.fields import FieldPath, MappingSection
from proxy.mapping.language.matches import Match, fields_of
from proxy.mapping.language.predicates import compile_match
from proxy.mapping.language.symbolic import SymbolicState


class Operation(MappingSection):
    """Any operation. With `when`, only for messages that match it at that moment.

    A new one is a class with the operation's key as its first field, in a module of `operations`,
    and a line in `table`. A field that is not there is left alone unless the class says otherwise,
    and so is `null` where a list, an object or text is expected.

    Attributes:
        makes: how many messages it puts in the place of one.
    """

    makes: ClassVar[Literal["none", "one", "many"]] = "one"

    when: Match | None = None

    @classmethod
    def key(cls) -> str:
        """Tell the key by which a file asks for it, such as `set`."""
        name, field = next(
            (name, field) for name, field in cls.model_fields.items() if name != "when"
        )
        return field.alias or name

    def touches(self) -> Iterable[FieldPath]:
        """Name the fields that may change, themselves or in what they hold; `()` for all."""
        return [()]

    @abc.abstractmethod
    def transform(self) -> Transform:
        """Make the closure that carries it out, whatever `when` asks.

        The closure raises `Unable`, in a text that names fields and no values.
        """

    @abc.abstractmethod
    def walk(self, state: SymbolicState) -> None:
        """Note what undoes it, what it loses, and what is known of the message behind it."""

    def compile(self) -> Transform:
        """Make the closure that carries it out where `when` holds."""
        carry_out = self.transform()
        if self.when is None:
            return carry_out
        holds = compile_match(self.when)
        return lambda message: carry_out(message) if holds(message) else None

    def ends(self) -> bool:
        """Tell whether no message is left behind it, whatever came."""
        return self.makes == "none" and self.when is None


def check_order(do: tuple[Operation, ...]) -> tuple[Operation, ...]:
    """Let operations through that can all be reached.

    Raises:
        ValueError: some stand behind one that leaves no message.
    """
    for operation in do[:-1]:
        if operation.ends():
            raise ValueError(
                f"`{operation.key()}` has to be the last operation: nothing after it is carried out"
            )
    return do


def walk(do: Sequence[Operation], state: SymbolicState) -> None:
    """Walk operations, one after the other, each on its condition."""
    changed = touched(do)
    for operation in do:
        before = len(state.back)
        operation.walk(state)
        if operation.when is None:
            continue
        if meet(fields_of(operation.when), changed):
            state.obstacle = "the condition of an operation asks for a field that the rule changes"
        for undo in state.back[before:]:
            undo["when"] = operation.when
        for path in operation.touches():
            state.forget(path)


def touched(do: Iterable[Operation]) -> set[FieldPath]:
    """Name the fields that any of the operations may change."""
    return {path for operation in do for path in operation.touches()}


def meet(some: Iterable[FieldPath], others: Iterable[FieldPath]) -> bool:
    """Tell whether any of the fields are the same, or one is inside another."""
    return any(
        one[: len(other)] == other or other[: len(one)] == one for one in some for other in others
    )
