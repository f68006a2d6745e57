"""What of the stored table is in force in one process, and what its open sockets do for it.

The store has one table for all replicas; each may serve other files. Nothing here reads or keeps
anything: a table and what serves go in, and what is to be done comes out.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import replace
from typing import NamedTuple

from proxy.switching.changes import touched
from proxy.switching.table import OpenSockets, SwitchName, Table


class Serving(NamedTuple):
    """What a process serves, as far as switches are concerned.

    Attributes:
        switches: those that its files have.
        digest: of its files, where they are the authority; None where operators are.
        open_sockets: what its configuration says of open sockets where no change does.
    """

    switches: Container[SwitchName]
    digest: str | None
    open_sockets: OpenSockets


class Effective(NamedTuple):
    """What is in force.

    Attributes:
        table: that one.
        unapplied: switches that the stored table turns and that are not turned here, because the
            files here lack them, or `stands_on` is not empty; the table is the one before then.
        stands_on: the digest of the file that the stored table is about, where another one serves
            here and is the authority; empty otherwise.
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


def for_file(table: Table, digest: str | None) -> Table:
    """A table without what was said of another file; that everything is off stays.

    Args:
        table: the one.
        digest: of the file that is the authority; None where none is.
    """
    if digest is None or table.digest == digest:
        return table
    return Table(table.number, all_off=table.all_off, digest=digest)


def effective(stored: Table, current: Table, serving: Serving, *, is_first: bool) -> Effective:
    """Say what is in force under a table of the store.

    Args:
        stored: that one.
        current: what is in force so far.
        serving: what the process serves.
        is_first: whether it is the first that the process reads; what it names and the files lack
            was removed then, and is not to come.
    """
    turned = touched(current, stored)
    # What is to be stopped everywhere is stopped here, too.
    kept = replace(current, all_off=stored.all_off)
    if serving.digest is not None and stored.digest not in ("", serving.digest):
        return Effective(kept, turned, stored.digest)
    unknown = tuple(name for name in turned if name not in serving.switches)
    return Effective(kept, unknown) if unknown and not is_first else Effective(stored)


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
