"""Running a mapping's examples, and the way back through its inverse.

Examples stand under their rule, or as recorded messages in a file beside the mapping. Such a file
has one JSON object on each line, `{"in": ..., "out": ...}`, and `"note"` with it if one likes. `in`
is the message, byte for byte between the colon and the comma. `out` is what it becomes: the same
for one that passes, `null` for one that is dropped, and a list of messages where it becomes
several. On the channel `http`, where a body may be a list itself, `out` is the body. A message that
failed when it was recorded has `failed` in place of `out`, and is no example until somebody has
written what it is to become.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from proxy.errors import Diagnostic, MappingFailure
from proxy.mapping.checks.comparison import compare
from proxy.mapping.engine.compiled import CompiledMapping
from proxy.mapping.engine.program import Program
from proxy.mapping.json.literals import encode
from proxy.mapping.json.objects import Object, open_list, open_object
from proxy.mapping.language import model
from proxy.types import Channel

MAX_CHARACTERS: Final = 16 * 1024 * 1024
"""Of the longest file that is run."""

MAX_EXAMPLES: Final = 10_000
"""In one file."""

MAX_PROBLEMS: Final = 20
"""How many failing examples of a file are told."""

_KEYS: Final = frozenset(("in", "out"))
_FAILED: Final = frozenset(("in", "failed"))


def check_example(
    compiled: CompiledMapping, rule: model.Rule, example: model.Example
) -> str | None:
    """Run one example through its mapping; tell what is wrong, if anything.

    The rule it stands under must be the one that takes it, and make of it what it says.
    """
    text = encode(example.before)
    message = open_object(text)
    taker = None if message is None else compiled.select(message)
    if taker is None:
        return "no rule matches `in`"
    if taker.name != rule.name:
        return f"the rule `{taker.name}`, which comes first, takes `in`"
    try:
        made = _apply(compiled, text)
    except MappingFailure as failure:
        return f"the rule cannot be carried out: {failure.detail}"
    match example.after:
        case None:
            expected: Sequence[object] = ()
        case dict():
            expected = (example.after,)
        case _:
            expected = example.after
    return compare([encode(each) for each in expected], made)


def check_round_trip(
    compiled: CompiledMapping, inverse: CompiledMapping, rule: model.Rule, example: model.Example
) -> str | None:
    """Send what an example becomes through the inverse; tell what does not come back, if anything.

    What the rule declares as lost is left out of the comparison. Where several messages came of it,
    each of them has to come back so. A dropped message has no way back and none is asked for:
    `drop` is a declaration of its own.
    """
    text = encode(example.before)
    try:
        made = _apply(compiled, text)
    except MappingFailure:
        return None  # `check_example` has said so
    for message in made:
        try:
            back = _apply(inverse, message)
        except MappingFailure as failure:
            return (
                f"its rule `{failure.rule}` cannot be carried out on what this becomes:"
                f" {failure.detail}"
            )
        wrong = compare([text], back, lost=rule.loses)
        if wrong is not None:
            return wrong
    return None


def _apply(compiled: CompiledMapping, text: bytes) -> tuple[bytes, ...]:
    result = Program((compiled,)).apply(text)
    return (text,) if result is None else result


def check_example_file(program: Program, text: str, file: str) -> list[Diagnostic]:
    """Run the examples of a file through a program.

    Args:
        program: as it serves traffic.
        text: the whole file.
        file: the name that problems start with.

    Returns:
        What is wrong, each with its line; at most `MAX_PROBLEMS`, and how many more there are.
    """
    if len(text) > MAX_CHARACTERS:
        return [Diagnostic(file, 0, 0, "", f"longer than {MAX_CHARACTERS} characters")]
    # JSON texts may hold line separators of Unicode, where `splitlines` would cut them.
    lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    if len(lines) > MAX_EXAMPLES:
        return [Diagnostic(file, 0, 0, "", f"more than {MAX_EXAMPLES} examples")]
    problems: list[Diagnostic] = []
    more = 0
    for number, line in lines:
        wrong = _check(program, line)
        if wrong is None:
            continue
        if len(problems) < MAX_PROBLEMS:
            problems.append(Diagnostic(file, number, 1, "", wrong))
        else:
            more += 1
    if more:
        last = problems[-1].line
        problems.append(Diagnostic(file, last + 1, 1, "", f"and {more} more examples fail"))
    return problems


def _check(program: Program, line: str) -> str | None:
    try:
        members = open_object(line.encode())
    except UnicodeEncodeError:
        members = None
    if members is not None and _FAILED <= members.keys() <= _FAILED | {"note"}:
        return "it failed when it was recorded: write what it is to become as `out`, for `failed`"
    if members is None or not _KEYS <= members.keys() <= _KEYS | {"note"}:
        return 'expected a JSON object on one line: {"in": ..., "out": ...}'
    message = bytes(members["in"])
    try:
        made = program.apply(message)
    except MappingFailure as failure:
        return f"the rule `{failure.rule}` cannot be carried out: {failure.detail}"
    found = (message,) if made is None else made
    wrong = compare(_expected(program, members), found)
    return None if wrong is None else f"the example fails: {wrong}"


def _expected(program: Program, members: Object) -> tuple[bytes, ...]:
    text = bytes(members["out"])
    if program.channel is Channel.HTTP:
        return (text,)
    if text == b"null":
        return ()
    several = open_list(text)
    return (text,) if several is None else tuple(map(bytes, several))
