"""What of the stored table is in force in one process, and what its open sockets do for it.

The store has one table for all replicas; each may serve other files. Nothing here reads or keeps
anything: a table and what serves go in, and what is to be done comes out.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from itertools import groupby
from typing import Final, NamedTuple

from proxy.switching.changes import (
    touched,
)
from proxy.switching.history import Revision
from proxy.switching.table import OpenSockets, SwitchName, Table, for_file

_BY_NAME: Final = ("set", "drop", "restore-switch", "guard", "ramp", "ramp-step")
"""The kinds of revisions for which a process has to have the switch in its files."""


class Serving(NamedTuple):
    """What a process serves, as far as switches are concerned.

    Attributes:
        switches: those that its files have.
        removed: others that nobody need bring here: files that served before had them, or they were
            set already when the store was read first.
        digest: of its files, where they are the authority; None where operators are.
        open_sockets: what its configuration says of open sockets where no change does.
    """

    switches: Collection[SwitchName]
    removed: Collection[SwitchName]
    digest: str | None
    open_sockets: OpenSockets


class Effective(NamedTuple):
    """What is in force.

    Attributes:
        table: that one.
        unapplied: switches that the stored table sets and that do nothing here, because the files
            here lack them, or `stands_on` is not empty: those that are set otherwise here then.
        stands_on: the digest of the file that the newest revision is about, where another one
            serves here and is the authority; empty otherwise. The table is that of the one here.
    """

    table: Table
    unapplied: tuple[SwitchName, ...] = ()
    stands_on: str = ""


class Rollout(NamedTuple):
    """What open sockets do.

    Attributes:
        scope: the switches that changed; None for all.
        policy: for these.
    """

    scope: frozenset[SwitchName] | None
    policy: OpenSockets


def effective(stored: Table, serving: Serving) -> Effective:
    """Say what is in force under a table of the store.

    Each switch follows it by itself: one that the files lack does nothing, and keeps no other from
    being turned.

    Args:
        stored: that table.
        serving: what the process serves.
    """
    if serving.digest is not None and stored.digest not in ("", serving.digest):
        # What is to be stopped everywhere is stopped here, too.
        own = for_file(stored, serving.digest)
        return Effective(own, touched(own, stored), stored.digest)
    lacking = [name for name in orphans(stored, serving.switches) if name not in serving.removed]
    return Effective(stored, tuple(lacking))


def orphans(table: Table, switches: Collection[SwitchName]) -> tuple[SwitchName, ...]:
    """The switches that a table sets and files lack, in the order of their names."""
    return tuple(
        name
        for name, state in sorted(table.states.items())
        if name not in switches and state.setting is not None
    )


def runs(revisions: Iterable[Revision]) -> list[tuple[int, OpenSockets]]:
    """Where to stop on the way over revisions that were missed, so that each acts as it asks.

    Those in a row that ask the same of open sockets are gone over at once: whoever saw each of them
    has the same in the end. What turns everything off, or ends that, is no one's neighbour.

    Args:
        revisions: in their order.

    Returns:
        The number of the last one of each run, and what the run asks.
    """
    found = groupby(revisions, key=lambda each: (each.all_off, each.open_sockets))
    return [(list(run)[-1].number, policy) for (_, policy), run in found]


def turned_by_name(revisions: Iterable[Revision]) -> set[str]:
    """The names of switches that somebody turned who has them; an undo is of any switch."""
    return {name for each in revisions if each.kind in _BY_NAME for name in each.scope}


def rollout(before: Table, after: Table, asked: OpenSockets, serving: Serving) -> Rollout | None:
    """Say what open sockets do that were on one table and are to be on another; None: nothing.

    Args:
        before, after: the tables.
        asked: what the change asks of them.
        serving: what the process serves.
    """
    another_file = serving.digest is not None and before.digest != after.digest
    if before.all_off is not after.all_off:
        # What ends it by a revision says what open sockets do; another file does not.
        is_told = not after.all_off and not another_file
        return Rollout(None, asked if is_told else OpenSockets.NEXT_MESSAGE)
    if another_file:
        # Another file, which says itself what the switches are: it may be any of them.
        return Rollout(None, serving.open_sockets)
    if before == after:
        return None
    return Rollout(frozenset(touched(before, after)), asked)
