"""What must have come of the fourth act, written by hand, and what differs from that.

Pure, and without the proxy's own code, as the verdict of the first act is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from demo.verdict import Counts, Frame

MAPPING: Final = "numbered-errors"
SWITCH: Final = f"next/{MAPPING}"
BEFORE: Final = "canary 10%"
AFTER: Final = "canary 1%"


def revision_faults(revision: Mapping[str, Any] | None) -> list[str]:
    """What is wrong with the first revision of the switch, which a guard must have made."""
    if revision is None:
        return ["nobody has taken the switch back"]
    wrong = []
    if (revision["author"], revision["kind"]) != ("guard", "guard"):
        wrong.append(f"the first revision is by {revision['author']}, expected guard")
    setting = revision["after"].get(SWITCH, {}).get("setting")
    if setting != AFTER:
        wrong.append(f"the switch was set to {setting}, expected {AFTER}")
    finding = revision["finding"] or {}
    if finding.get("figure") != "failed":
        wrong.append(f"the figure is {finding.get('figure')}, expected failed")
    elif not finding["lower"] > finding["bound"]:
        wrong.append("the figure was not worse than its bound")
    return wrong


def exposure_faults(counts: Counts, said: int) -> list[str]:
    """What is wrong with how many messages the mapping was applied to.

    Args:
        counts: the proxy's, by mapping, direction and outcome.
        said: what those in the canary said, each of which was answered once.
    """
    failed = counts.get((MAPPING, "to_client", "failed"), 0)
    applied = sum(count for (mapping, *_), count in counts.items() if mapping == MAPPING)
    if not failed:
        return ["the mapping failed on nothing: nothing was shown"]
    if applied > said:
        return [f"it was applied to {applied} messages, and only {said} were of the canary"]
    return []


def answer_faults(said: int, frames: Sequence[Frame]) -> list[str]:
    """What is wrong with what a client got for what it said: each error, as the server sent it."""
    kinds = [frame.kind for frame in frames]
    if kinds != ["error"] * said:
        return [f"{len(kinds)} frames came, expected {said} errors"]
    if len({frame.payload for frame in frames}) > 1:
        return ["not all errors are as the server sent them"]
    return []
