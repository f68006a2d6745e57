"""Where the configuration file is the authority: what another file ends of what was set."""

from __future__ import annotations

from typing import Final, NamedTuple

from proxy.control.current_switches import CurrentSwitches
from proxy.control.switch_store.base import MAX_PAGE
from proxy.errors import StoreAway
from proxy.snapshot import Snapshot
from proxy.switching.changes import (
    touched,
)
from proxy.switching.table import UNTOUCHED, Table, for_file


class EndedByFile(NamedTuple):
    """What ends when another file serves.

    Attributes:
        all_off: whether it ends that everything is off.
        switches: the names of those that were stepped down.
    """

    all_off: bool = False
    switches: tuple[str, ...] = ()


NOTHING_ENDED: Final = EndedByFile()


async def is_new_file(current: CurrentSwitches, digest: str) -> bool:
    """Whether no revision that is kept was made under this file.

    A replica that starts again, or goes back to a file, does not end that all is off.

    Raises:
        StoreAway: that cannot be told.
    """
    known = await current.history.page(None, MAX_PAGE)
    return all(each.digest != digest for each in known)


async def ended_by(current: CurrentSwitches, snapshot: Snapshot) -> EndedByFile:
    """Say what will end when a snapshot serves that was read from files.

    Args:
        current: what is in force.
        snapshot: that one.
    """
    digest = snapshot.digest
    serves_so = current.is_file and current.digest == digest
    if snapshot.config.switching.authority != "file" or serves_so:
        return NOTHING_ENDED
    base = current.base
    try:
        ends_all_off = base.all_off and await is_new_file(current, digest)
    except StoreAway:
        ends_all_off = False  # It takes a revision, which cannot be made.
    return EndedByFile(ends_all_off, ended_steps(base, for_file(current.stored, digest)))


def ended_steps(before: Table, after: Table) -> tuple[str, ...]:
    """The names of switches that were set under one file, and are not set so under another."""
    return tuple(
        str(name)
        for name in touched(before, after)
        if before.states.get(name, UNTOUCHED).setting is not None
    )
