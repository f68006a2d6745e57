"""What all switches are set to at one moment: an immutable table, and what it says of a switch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final, NamedTuple

from proxy.switching.ramps import Ramp
from proxy.switching.setting import OFF, ON, Setting
from proxy.versions.version import Range, Version

MAX_EXCEPTIONS: Final = 20
"""Of one switch."""

MAX_SWITCHES: Final = 2_000
"""That can be set at the same time; a configuration with more than that has other problems."""


MAX_FILES: Final = 4
"""Configurations for which it is kept what is set under them."""


class OpenSockets(StrEnum):
    """What WebSockets that are open do when what applies to them changes."""

    KEEP = "keep"
    """They keep what they have to their end."""
    NEXT_MESSAGE = "next_message"
    """They change from the next message on, in each direction."""
    RECONNECT = "reconnect"
    """They are told to come back (close code 1012), spread over a time."""


class SwitchName(NamedTuple):
    """The name of a switch: `modern/old-to-new`."""

    cohort: str
    mapping: str

    def __str__(self) -> str:
        return f"{self.cohort}/{self.mapping}"


def read_name(text: str) -> SwitchName:
    """Read the name of a switch.

    Raises:
        ValueError: it is none.
    """
    cohort, slash, mapping = text.partition("/")
    if not (cohort and slash and mapping) or len(text) > 256 or not text.isprintable():
        raise ValueError('expected a cohort and a mapping, as in "modern/old-to-new"')
    return SwitchName(cohort, mapping)


@dataclass(frozen=True, slots=True)
class Term:
    """Who answers for something temporary, and until when.

    Attributes:
        owner: who wants it; empty where nobody said.
        until: when it is overdue, in seconds since 1970; None: no time was said.
        restore: whether it ends by itself then.
        open_sockets: what WebSockets do that are open when it does; None: as the configuration
            says.
    """

    owner: str = ""
    until: float | None = None
    restore: bool = False
    open_sockets: OpenSockets | None = None


NO_TERM: Final = Term()


class Earlier(NamedTuple):
    """What is again once what was set for a time has ended.

    Attributes:
        setting: that one.
        term: of it; its time may be over by then.
    """

    setting: Setting
    term: Term = NO_TERM


@dataclass(frozen=True, slots=True)
class VersionException:
    """Another setting for some versions of a cohort.

    Attributes:
        name: what lists and metrics call it.
        versions: for which.
        setting: what it is for them.
        term: whose it is, and until when.
        before: what `setting` goes back to when its term ends by itself; None: the exception ends.
    """

    name: str
    versions: Range
    setting: Setting
    term: Term = NO_TERM
    before: Earlier | None = None


@dataclass(frozen=True, slots=True)
class SwitchState:
    """What one switch is set to.

    Attributes:
        setting: for all versions but those of `exceptions`; None: all of it is as the configuration
            says.
        exceptions: in their order; the first that has the version counts.
        term: of the setting.
        before: what `setting` goes back to when its term ends by itself; None: all of it is as the
            configuration says then.
        revision: that set it last; 0 for none.
        copied: what the configuration said when somebody changed a switch that nobody had turned,
            as long as nothing of that is changed for good; None otherwise. Once no more than this
            is left, the configuration counts again.
        ramp: the states that it goes through by itself; None where nobody has said so.
    """

    setting: Setting | None = None
    exceptions: tuple[VersionException, ...] = ()
    term: Term = NO_TERM
    before: Earlier | None = None
    revision: int = 0
    copied: SwitchState | None = None
    ramp: Ramp | None = None

    def for_version(self, version: Version | None) -> tuple[str, Setting]:
        """What it is for a version, and the name of the exception that says so; empty for none."""
        if version is not None:
            for each in self.exceptions:
                if version in each.versions:
                    return each.name, each.setting
        return "", self.setting or ON

    def named(self, exception: str) -> VersionException | None:
        """The exception of that name."""
        return next((each for each in self.exceptions if each.name == exception), None)


UNTOUCHED: Final = SwitchState()
ALL_ON: Final = SwitchState(ON)
_ALL_OFF: Final = SwitchState(OFF)

First = Mapping[SwitchName, SwitchState]
"""The switches that there are, and the state that the configuration gives each."""


@dataclass(frozen=True, slots=True)
class Table:
    """What all switches are set to.

    Attributes:
        number: of the revision that made it; 0 before the first.
        states: of the switches that somebody has set, by their names.
        all_off: whether everything is off, whatever the states say.
        digest: of the configuration on which it stands, where the file is the authority: what is
            said here counts for that one alone. Empty where it counts for any.
        others: the states of other configurations, by their digests, the newest first: replicas
            that serve them go by these. At most `MAX_FILES` - 1.
    """

    number: int = 0
    states: Mapping[SwitchName, SwitchState] = field(default_factory=dict)
    all_off: bool = False
    digest: str = ""
    others: Mapping[str, Mapping[SwitchName, SwitchState]] = field(default_factory=dict)

    def revision(self, switch: SwitchName) -> int:
        """The revision that set a switch last; 0 for none."""
        return self.states.get(switch, UNTOUCHED).revision

    def wanted(self, switch: SwitchName, first: First) -> SwitchState:
        """What a switch is set to, be everything off or not. One that is unknown is off."""
        state = self.states.get(switch, UNTOUCHED)
        if state.setting is not None:
            return state
        return replace(first.get(switch, _ALL_OFF), revision=state.revision)

    def in_force(self, switch: SwitchName, first: First) -> SwitchState:
        """What a switch does."""
        return _ALL_OFF if self.all_off else self.wanted(switch, first)


EMPTY: Final = Table()


def files(table: Table) -> dict[str, Mapping[SwitchName, SwitchState]]:
    """What is set under each configuration under which something is, the newest first."""
    is_set = any(state.setting is not None for state in table.states.values())
    own = {table.digest: table.states} if table.digest and is_set else {}
    return {**own, **table.others}


def for_file(table: Table, digest: str | None) -> Table:
    """A table for whoever serves a configuration: what was said of others stands beside it.

    Args:
        table: the one.
        digest: of the file that is the authority; None where none is.
    """
    if digest is None or table.digest == digest:
        return table
    others = files(table)
    states = others.pop(digest, {})
    kept = dict(list(others.items())[: MAX_FILES - 1])
    return replace(table, states=states, digest=digest, others=kept)
