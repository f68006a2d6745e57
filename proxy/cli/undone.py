"""What an undo takes back, told of the revisions that are kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from proxy.admin.switch_views import RevisionView
from proxy.cli import changes
from proxy.cli.styled import plain
from proxy.cli.terminal import shortened

_WIDEST: Final = 200


def undoes(undone: Sequence[RevisionView], known: changes.Known) -> Iterator[str]:
    """Say what is undone.

    Args:
        undone: those revisions, the newest first; not empty.
        known: what the configuration says of switches that nobody had set.
    """
    newest, oldest = undone[0], undone[-1]
    if newest is not oldest:
        yield f"undoes revisions {oldest.number} to {newest.number}"
    else:
        what = "; ".join(plain(line) for line in changes.done(newest, known))
        told = shortened(what, _WIDEST)
        yield f"undoes revision {newest.number}: {told}, by {shortened(newest.author, _WIDEST)}"
        if newest.kind == "undo":
            yield "that was an undo itself: to go further back, say to which revision: --to N"
    if oldest.was_all_off and not newest.all_off:
        yield "this puts everything off"


def would_be(undone: Sequence[RevisionView]) -> RevisionView:
    """What the undo would be as a revision; see `undoes` for what it takes."""
    newest, oldest = undone[0], undone[-1]
    before = {name: state for each in undone[::-1] for name, state in each.after.items()}
    after = {name: state for each in undone for name, state in each.before.items()}
    return newest.model_copy(
        update={
            "number": newest.number + 1,
            "kind": "restore" if newest.all_off and not oldest.was_all_off else "undo",
            "scope": sorted(name for name in before if before[name] != after[name]),
            "before": before,
            "after": after,
            "was_all_off": newest.all_off,
            "all_off": oldest.was_all_off,
            "outlived": [],
            "cut": any(each.cut for each in undone),
        }
    )
