"""What is known of the messages that a rule matches, while its operations are walked."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from proxy.mapping.language import matches
from proxy.mapping.language.fields import FieldPath, render


class FieldState(Enum):
    """What can be known of a field whose value is not."""

    PRESENT = "present"
    ABSENT = "absent"


@dataclass(frozen=True, slots=True)
class KnownValue:
    """A field is known to have this value."""

    value: object


@dataclass(frozen=True, slots=True)
class Loss:
    """Something that the way back does not restore.

    Attributes:
        operation: the key of the operation that loses it.
        path: the field, as it is called before the rule; empty for all fields that are not named.
    """

    operation: str
    path: FieldPath

    def __str__(self) -> str:
        lost = f"`{render(self.path)}`" if self.path else "all other fields"
        return f"`{self.operation}` loses {lost}"


@dataclass(slots=True)
class SymbolicState:
    """What is known while operations are walked.

    Attributes:
        constraints: what is known of fields, as they are called now.
        back: what undoes the operations so far, the first one first.
        losses: what they lose.
        names: what a field is called now and was called before, the latest change last.
        obstacle: why the operations cannot be undone; empty if they can.
    """

    constraints: dict[FieldPath, FieldState | KnownValue]
    back: list[dict[str, Any]] = field(default_factory=list)
    losses: list[Loss] = field(default_factory=list)
    names: list[tuple[FieldPath, FieldPath]] = field(default_factory=list)
    obstacle: str = ""

    def original(self, path: FieldPath) -> FieldPath:
        """Tell what a field was called before the rule."""
        for now, before in reversed(self.names):
            if path[: len(now)] == now:
                path = (*before, *path[len(now) :])
        return path

    def lose(self, operation: str, path: FieldPath) -> None:
        self.losses.append(Loss(operation, self.original(path)))

    def forget(self, path: FieldPath) -> None:
        """Drop what is known of a field and of what is in it."""
        for known in [known for known in self.constraints if known[: len(path)] == path]:
            del self.constraints[known]

    def weaken(self, path: FieldPath) -> None:
        """Note that a field that was there has some other value now."""
        is_there = self.constraints.get(path, FieldState.ABSENT) is not FieldState.ABSENT
        self.forget(path)
        if is_there:
            self.constraints[path] = FieldState.PRESENT

    def moved(self, source: FieldPath, target: FieldPath) -> None:
        """Note that a field has another name or place."""
        found = {
            (*target, *path[len(source) :]): constraint
            for path, constraint in self.constraints.items()
            if path[: len(source)] == source and constraint is not FieldState.ABSENT
        }
        self.forget(source)
        self.forget(target)
        self.constraints.update(found)
        self.names.append((target, source))

    def learn(self, path: FieldPath, value: object) -> None:
        """Note that a field has been given a value."""
        self.forget(path)
        for length in range(1, len(path)):
            self.constraints[path[:length]] = FieldState.PRESENT
        self.constraints[path] = (
            FieldState.PRESENT if isinstance(value, list | dict) else KnownValue(value)
        )

    def vacant(self, path: FieldPath) -> FieldPath | None:
        """Give what is to be removed to make a field absent again that was; None if unknown."""
        for length in range(1, len(path) + 1):
            constraint = self.constraints.get(path[:length])
            if constraint is FieldState.ABSENT:
                return path[:length]
            if constraint is None:
                return None
        return None


def constraints_of(match: object) -> dict[FieldPath, FieldState | KnownValue]:
    """Collect what is certain of a message that matches."""
    constraints: dict[FieldPath, FieldState | KnownValue] = {}
    for part in _parts(match):
        constraint = _fact(part)
        if constraint is None:
            continue
        path, known = constraint
        if known is not FieldState.ABSENT:
            for length in range(1, len(path)):
                constraints.setdefault(path[:length], FieldState.PRESENT)
        if path not in constraints or isinstance(known, KnownValue):
            constraints[path] = known
    return constraints


def residue_of(match: object) -> list[object]:
    """List what a match asks for and facts cannot say."""
    return [part for part in _parts(match) if _fact(part) is None]


def _parts(match: object) -> list[object]:
    if isinstance(match, matches.All):
        return [part for each in match.all for part in _parts(each)]
    return [match]


def _fact(part: object) -> tuple[FieldPath, FieldState | KnownValue] | None:
    match part:
        case matches.Equals(field=path, equals=value) | matches.OneOf(field=path, one_of=(value,)):
            return path, KnownValue(value)
        case matches.Exists(field=path, exists=exists):
            return path, FieldState.PRESENT if exists else FieldState.ABSENT
        case matches.Not(inner=matches.Exists(field=path, exists=exists)):
            return path, FieldState.ABSENT if exists else FieldState.PRESENT
    return None
