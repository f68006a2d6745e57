"""Running a mapping's examples, and the way back through its inverse."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence

from proxy.errors import MappingFailure
from proxy.mapping import model
from proxy.mapping.engine import Link, Program
from proxy.mapping.literals import encode, number
from proxy.mapping.model import FieldPath
from proxy.mapping.objects import open_object

MAX_DIFFERENCES = 5
"""How many differing fields are told of one example."""

MAX_SHOWN = 80
"""How many characters of a value are told."""


def check_example(link: Link, rule: model.Rule, example: model.Example) -> str | None:
    """Run one example through its mapping; tell what is wrong, if anything.

    The rule it stands under must be the one that takes it, and make of it what it says.
    """
    text = encode(example.before)
    message = open_object(text)
    taker = None if message is None else link.select(message)
    if taker is None:
        return "no rule matches `in`"
    if taker.name != rule.name:
        return f"the rule `{taker.name}`, which comes first, takes `in`"
    try:
        made = _apply(link, text)
    except MappingFailure as failure:
        return f"the rule cannot be carried out: {failure.detail}"
    match example.after:
        case None:
            expected: Sequence[object] = ()
        case dict():
            expected = (example.after,)
        case _:
            expected = example.after
    return _compare([_read(encode(each)) for each in expected], [_read(each) for each in made])


def check_round_trip(
    link: Link, inverse: Link, rule: model.Rule, example: model.Example
) -> str | None:
    """Send what an example becomes through the inverse; tell what does not come back, if anything.

    What the rule declares as lost is left out of the comparison. A dropped message has no way back
    and none is asked for: `drop` is a declaration of its own.
    """
    text = encode(example.before)
    try:
        made = _apply(link, text)
    except MappingFailure:
        return None  # `check_example` has said so
    if not made:
        return None
    try:
        back = [each for message in made for each in _apply(inverse, message)]
    except MappingFailure as failure:
        return (
            f"its rule `{failure.rule}` cannot be carried out on what this becomes:"
            f" {failure.detail}"
        )
    return _compare(
        [_without(_read(text), rule.loses)], [_without(_read(each), rule.loses) for each in back]
    )


def _apply(link: Link, text: bytes) -> tuple[bytes, ...]:
    result = Program((link,)).apply(text)
    return (text,) if result is None else result


def _read(text: bytes) -> object:
    """Read JSON so that numbers compare by their exact value, apart from text and booleans."""
    return json.loads(text, parse_int=number, parse_float=number)


def _without(value: object, paths: Iterable[FieldPath]) -> object:
    for *outer, last in paths:
        parent = value
        for key in outer:
            parent = parent.get(key) if isinstance(parent, dict) else None
        if isinstance(parent, dict):
            parent.pop(last, None)
    return value


def _compare(expected: Sequence[object], found: Sequence[object]) -> str | None:
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
