"""Comparing messages by what they mean, and telling what differs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from proxy.mapping.fields import FieldPath
from proxy.mapping.literals import number

MAX_DIFFERENCES = 5
"""How many differing fields are told of one example."""

MAX_SHOWN = 80
"""How many characters of a value are told."""


def compare_texts(expected: Sequence[bytes], found: Sequence[bytes]) -> str | None:
    """Compare messages by what they mean; tell what differs, if anything.

    Numbers are compared by their exact value. A message that is not JSON equals only itself.
    """
    if len(expected) == len(found) == 1 and expected[0] == found[0]:
        return None
    try:
        return compare([read_json(each) for each in expected], [read_json(each) for each in found])
    except (ValueError, RecursionError):
        return "the texts differ"


def read_json(text: bytes) -> object:
    """Read JSON so that numbers compare by their exact value, apart from text and booleans."""
    return json.loads(text, parse_int=number, parse_float=number)


def compare(expected: Sequence[object], found: Sequence[object]) -> str | None:
    """Compare what `read_json` gave; tell what differs, if anything."""
    if len(expected) != len(found):
        return f"expected {_messages(len(expected))}, found {_messages(len(found))}"
    several = len(expected) > 1
    differences = [
        difference
        for index, (one, other) in enumerate(zip(expected, found, strict=True))
        for difference in _differences(one, other, (str(index),) if several else ())
    ]
    told = differences[:MAX_DIFFERENCES]
    if len(differences) > MAX_DIFFERENCES:
        told.append(f"and {len(differences) - MAX_DIFFERENCES} more")
    return "; ".join(told) or None


def _messages(count: int) -> str:
    return {0: "no message", 1: "one message"}.get(count, f"{count} messages")


def _differences(expected: object, found: object, path: FieldPath) -> Iterator[str]:
    if isinstance(expected, dict) and isinstance(found, dict):
        for key in {**expected, **found}:
            inner = (*path, key)
            if key not in found:
                yield f"`{'.'.join(inner)}` is missing, expected {_shown(expected[key])}"
            elif key not in expected:
                yield f"`{'.'.join(inner)}` is {_shown(found[key])}, expected none"
            else:
                yield from _differences(expected[key], found[key], inner)
    elif isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        for index, (one, other) in enumerate(zip(expected, found, strict=True)):
            yield from _differences(one, other, (*path, str(index)))
    elif (type(expected), expected) != (type(found), found):
        yield f"`{'.'.join(path)}` is {_shown(found)}, expected {_shown(expected)}"


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + "..."
