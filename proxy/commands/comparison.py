"""Which fields of two messages differ."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from msgspec import Raw

from proxy.commands.terminal import Paint, printable, shortened
from proxy.documents import Path, render_path
from proxy.mapping.literals import scalar
from proxy.mapping.objects import open_list, open_object

MAX_SHOWN: Final = 120
"""How many characters of a value are shown."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A field that differs.

    Attributes:
        path: the keys and positions that lead to it; empty for the message itself.
        expected, got: its JSON text; None where it is not there.
    """

    path: str
    expected: str | None
    got: str | None


def differences(expected: bytes, got: bytes) -> Iterator[Difference]:
    """Yield what differs between two JSON texts, in the order of the fields.

    Equal is what means the same: 1.0 and 1.00, text however escaped; the order of keys counts for
    nothing.
    """
    pending: list[tuple[Path, bytes | None, bytes | None]] = [((), expected.strip(), got.strip())]
    while pending:
        path, one, other = pending.pop()
        if one is None or other is None:
            yield _difference(path, one, other)
        elif one != other:
            inner = _pairs(one, other)
            if inner is not None:
                pending += [((*path, key), *pair) for key, pair in reversed(inner)]
            elif _is_composed(one) or _is_composed(other) or scalar(one) != scalar(other):
                yield _difference(path, one, other)


def shown(found: Difference, paint: Paint) -> Iterator[str]:
    """Write a difference as lines, as `diff` does."""
    path = f"{found.path}: " if found.path else ""
    if found.expected is not None:
        yield paint.red(f"- {path}{found.expected}")
    if found.got is not None:
        yield paint.green(f"+ {path}{found.got}")


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


def _difference(path: Path, expected: bytes | None, got: bytes | None) -> Difference:
    return Difference(printable(render_path(path)), _text(expected), _text(got))


def _text(value: bytes | None) -> str | None:
    return None if value is None else shortened(value.decode(errors="replace"), MAX_SHOWN)
