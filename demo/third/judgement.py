"""What must have come of the third act, written by hand, and what differs from that.

Pure, and without the proxy's own code, as the verdict of the first act is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from demo.verdict import Counts, Frame

EXPECTED_COUNTS: Final[Counts] = {
    ("say-to-chat", "to_server", "mapped"): 1,
    ("none", "to_client", "passed"): 1,
    ("job-bodies", "to_client", "mapped"): 1,
}
"""What the third act's proxy must have counted: what the client said, what came back, the job."""

_FIELDS: Final = {"requirements_summary": "summary", "error_message": "error"}
_FIELDS_OF_STEPS: Final = {"agent_name": "agent"}


def refusal_faults(frames: Sequence[Frame]) -> list[str]:
    """What is wrong with the server's answer to the new words, said to it without the proxy."""
    if [frame.kind for frame in frames] == ["error"]:
        return []
    return [f"the server did not refuse them, but sent {_kinds(frames)}"]


def saying_faults(text: str, frames: Sequence[Frame]) -> list[str]:
    """What is wrong with what the server sent when the new words came through the proxy."""
    if [frame.kind for frame in frames] != ["stageUpdate"]:
        return [f"the server sent {_kinds(frames)}, expected stageUpdate"]
    content = dict(frames[0].content or ())
    return [
        f"{field} is not what the client said"
        for field, wanted in (("role", "user"), ("content", text))
        if content.get(field) != wanted
    ]


def job_faults(sent: Frame, got: Frame) -> list[str]:
    """What is wrong with the job that a client got for the one that the server answered."""
    if sent.content is None or not _steps(sent.content):
        return ["the server answered no job with steps: nothing was shown"]
    if got.content is None:
        return ["the body is not a JSON object"]
    expected = tuple(
        (
            _FIELDS.get(key, key),
            [_renamed(step) for step in value] if key == "steps" else value,
        )
        for key, value in sent.content
    )
    if got.content == expected:
        return []
    names = [key for key, _ in expected]
    if [key for key, _ in got.content] != names:
        return [f"the fields are not {', '.join(names)}, in this order"]
    pairs = zip(expected, got.content, strict=True)
    return [
        f"{wanted[0]}: another value than the server's" for wanted, is_ in pairs if wanted != is_
    ]


def renewal_faults(server: int, proxy: int, renewed: int) -> list[str]:
    """What is wrong with the answers to a token that has ended, and with the count of renewals."""
    wrong = []
    if server != 401:
        wrong.append(f"the server answered {server}, expected 401: the token had not ended in time")
    if proxy != 200:
        wrong.append(f"the proxy answered {proxy}, expected 200")
    if not renewed:
        wrong.append("the proxy's metrics count no token that was renewed")
    return wrong


def changed_fields(sent: Frame, got: Frame) -> list[tuple[tuple[str, Any], tuple[str, Any]]]:
    """The fields of a job that are not the same on both sides, steps one by one, in their order."""
    pairs = zip(_flat(sent.content or ()), _flat(got.content or ()), strict=False)
    return [(before, after) for before, after in pairs if before != after]


def _renamed(step: Any) -> Any:
    # A number is a tuple of its own kind.
    if type(step) is not tuple:
        return step
    return tuple((_FIELDS_OF_STEPS.get(key, key), value) for key, value in step)


def _steps(content: tuple[tuple[str, Any], ...]) -> list[Any]:
    steps = dict(content).get("steps")
    return steps if isinstance(steps, list) else []


def _flat(content: tuple[tuple[str, Any], ...]) -> list[tuple[str, Any]]:
    fields: list[tuple[str, Any]] = []
    for key, value in content:
        if key == "steps" and isinstance(value, list):
            for number, step in enumerate(value):
                pairs = step if type(step) is tuple else ()
                fields += [(f"steps[{number}].{name}", member) for name, member in pairs]
        else:
            fields.append((key, value))
    return fields


def _kinds(frames: Sequence[Frame]) -> str:
    return ", ".join(frame.kind or "?" for frame in frames) or "nothing"
