"""What each client must have got, written by hand, and what differs from that.

Pure: received bytes and counts in, findings out. Nothing here uses the proxy's own code, so that
the demonstration does not ask the proxy whether the proxy is right.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from enum import Enum
from itertools import zip_longest
from typing import Any, Final, NamedTuple

NEW_KINDS: Final = {
    "jobStatus": "status",
    "agentDialogue": "step",
    "stageUpdate": "chat",
    "prdReady": "app",
    # No rule names it: it goes through as it is.
    "error": "error",
}
"""The kinds that the server sends, and those that a client of the new dialect expects."""

MAPPED: Final = frozenset({"jobStatus", "agentDialogue", "stageUpdate", "prdReady"})

_MOST_SHOWN: Final = 5


class Dialect(Enum):
    """What a client expects."""

    OLD = "old"
    NEW = "new"


class Frame(NamedTuple):
    """A frame as received.

    Attributes:
        payload: its bytes.
        content: the JSON object as pairs in their order, numbers as `Number`; None where it is
            none.
    """

    payload: bytes
    content: tuple[tuple[str, Any], ...] | None

    @property
    def kind(self) -> str:
        """Its kind; empty where it has none."""
        kind = dict(self.content or ()).get("kind")
        return kind if isinstance(kind, str) else ""


class Number(NamedTuple):
    """A number as it is spelled: `1.10` and `1.1`, or `1` and `true`, are not the same."""

    spelling: str


def json_text(value: Any) -> str:
    """A value of a frame's content as JSON, numbers as they were spelled, beyond ASCII readable."""
    match value:
        case Number(spelling):
            return spelling
        case tuple():
            pairs = (f"{json_text(key)}: {json_text(member)}" for key, member in value)
            return f"{{{', '.join(pairs)}}}"
        case list():
            return f"[{', '.join(map(json_text, value))}]"
        case _:
            return json.dumps(value, ensure_ascii=False)


def read(payload: bytes) -> Frame:
    """A received frame; whatever it holds, it can be shown and compared."""
    try:
        content = json.loads(
            payload,
            parse_int=Number,
            parse_float=Number,
            parse_constant=Number,
            object_pairs_hook=tuple,
        )
    except (ValueError, RecursionError):
        content = None
    return Frame(payload, content if type(content) is tuple else None)


def fault(dialect: Dialect, sent: Frame | None, got: Frame | None) -> str | None:
    """What is wrong with the frame that a client got for the one that the server sent; None: well.

    A client of the old dialect must have the server's bytes; one of the new dialect, the new
    kind, and all other fields with the same values in the same order.
    """
    if sent is None:
        return "the server sent no such frame"
    if got is None:
        return "missing"
    if dialect is Dialect.OLD:
        return None if got.payload == sent.payload else "the bytes differ from the server's"
    if sent.content is None or got.content is None:
        return None if got.payload == sent.payload else "not a JSON object"
    expected = NEW_KINDS.get(sent.kind, sent.kind)
    if got.kind != expected:
        return f'the kind is "{got.kind}", expected "{expected}"'
    wanted = tuple((key, expected if key == "kind" else value) for key, value in sent.content)
    return None if got.content == wanted else "the fields differ from the server's"


def faults(dialect: Dialect, sent: Sequence[Frame], got: Sequence[Frame]) -> list[str]:
    """Everything that is wrong with what a client got, one line for each frame, the first five."""
    found = [
        f"frame {number}, {pair[0].kind if pair[0] else pair[1].kind}: {wrong}"
        for number, pair in enumerate(zip_longest(sent, got), 1)
        if (wrong := fault(dialect, *pair)) is not None
    ]
    more = len(found) - _MOST_SHOWN
    return [*found[:_MOST_SHOWN], *([f"and {more} more"] if more > 0 else [])]


def missing_kinds(sent: Sequence[Frame]) -> list[str]:
    """The kinds of the old dialect that the server never sent: nothing was shown of those."""
    return sorted(MAPPED - {frame.kind for frame in sent})


Counts = Mapping[tuple[str, str, str], int]
"""Messages by (mapping, direction, outcome)."""


def expected_counts(sent: Sequence[Frame], old: int, new: int, from_clients: int) -> Counts:
    """What the proxy must have counted, with the shipped mappings.

    Args:
        sent: what the server sent to each of its clients.
        old: how many clients of the old dialect were connected through the proxy.
        new: likewise of the new one.
        from_clients: how many messages the clients sent through the proxy.
    """
    mapped = sum(frame.kind in MAPPED for frame in sent)
    return _counted(
        {
            ("old-to-new", "to_client", "mapped"): mapped * new,
            ("old-to-new", "to_client", "passed"): (len(sent) - mapped) * new,
            # Bound to old clients for the day when a server speaks the new dialect.
            ("new-to-old", "to_client", "passed"): len(sent) * old,
            ("none", "to_server", "passed"): from_clients,
        }
    )


def count_faults(counts: Counts, expected: Counts) -> list[str]:
    """Where two counts of the same messages disagree, one line each."""
    counts, expected = _counted(counts), _counted(expected)
    return [
        f"{' '.join(key)}: {counts.get(key, 0)}, expected {expected.get(key, 0)}"
        for key in sorted(counts.keys() | expected.keys())
        if counts.get(key, 0) != expected.get(key, 0)
    ]


def _counted(counts: Counts) -> dict[tuple[str, str, str], int]:
    return {key: count for key, count in counts.items() if count}
