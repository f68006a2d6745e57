"""Comparing messages by what they mean, and telling what differs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from msgspec import Raw

from proxy.configuration.document import Path, render_path
from proxy.mapping.json.literals import scalar
from proxy.mapping.json.objects import open_list, open_object
from proxy.mapping.language.fields import FieldPath

MAX_DIFFERENCES = 5
"""How many differing fields are told of one example."""

MAX_TOLD = 80
"""How many characters of a value are told."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A field that differs.

    Attributes:
        path: the keys and positions that lead to it; empty for the message itself.
        expected, found: its JSON text; None where it is not there.
    """

    path: Path
    expected: bytes | None
    found: bytes | None

    def within(self, fields: Sequence[FieldPath]) -> bool:
        """Whether it lies in one of these fields; through a list, in those of its elements."""
        keys = tuple(part for part in self.path if isinstance(part, str))
        return any(keys[: len(field)] == field for field in fields)

    def __str__(self) -> str:
        place = f"`{render_path(self.path)}`" if self.path else "it"
        if self.found is None:
            return f"{place} is missing, expected {_told(self.expected)}"
        expected = "none" if self.expected is None else _told(self.expected)
        return f"{place} is {_told(self.found)}, expected {expected}"


def differences(expected: bytes, found: bytes) -> Iterator[Difference]:
    """Yield what differs between two JSON texts, in the order of the fields.

    Equal is what means the same: 1.0 and 1.00, text however escaped; the order of keys counts for
    nothing. Numbers are compared by their exact value. What is not JSON equals only itself.
    """
    pending: list[tuple[Path, bytes | None, bytes | None]] = [((), expected.strip(), found.strip())]
    while pending:
        path, one, other = pending.pop()
        if one is None or other is None:
            yield Difference(path, one, other)
        elif one != other:
            inner = _pairs(one, other)
            if inner is not None:
                pending += [((*path, key), *pair) for key, pair in reversed(inner)]
            elif _is_composed(one) or _is_composed(other) or scalar(one) != scalar(other):
                yield Difference(path, one, other)


def compare(
    expected: Sequence[bytes], found: Sequence[bytes], lost: Sequence[FieldPath] = ()
) -> str | None:
    """Compare messages; tell what differs, if anything, but for the fields that may be lost."""
    if len(expected) != len(found):
        return f"expected {_messages(len(expected))}, found {_messages(len(found))}"
    told: list[str] = []
    more = 0
    for index, (one, other) in enumerate(zip(expected, found, strict=True)):
        for difference in differences(one, other):
            if difference.within(lost):
                continue
            if len(told) == MAX_DIFFERENCES:
                more += 1
                continue
            message = f"message {index + 1}: " if len(expected) > 1 else ""
            told.append(f"{message}{difference}")
    if more:
        told.append(f"and {more} more")
    return "; ".join(told) or None


def _messages(count: int) -> str:
    return {0: "no message", 1: "one message"}.get(count, f"{count} messages")


_Pair = tuple[bytes | None, bytes | None]


def _pairs(one: bytes, other: bytes) -> list[tuple[str | int, _Pair]] | None:
    """Match the parts of two objects or two lists; None where they are not two of a kind."""
    first, second = open_object(one), open_object(other)
    if first is not None and second is not None:
        return [
            (key, (_bytes(first.get(key)), _bytes(second.get(key))))
            for key in dict.fromkeys([*first, *second])
        ]
    elements, others = open_list(one), open_list(other)
    if elements is not None and others is not None and len(elements) == len(others):
        return [
            (index, (bytes(element), bytes(others[index])))
            for index, element in enumerate(elements)
        ]
    return None


def _is_composed(text: bytes) -> bool:
    return text[:1] in (b"{", b"[")


def _bytes(value: Raw | None) -> bytes | None:
    return None if value is None else bytes(value)


def _told(value: bytes | None) -> str:
    text = (value or b"").decode(errors="replace")
    return text if len(text) <= MAX_TOLD else text[:MAX_TOLD] + "..."
