"""What is decided for a client: which mappings apply, and why."""

from __future__ import annotations

from typing import Final, NamedTuple

from proxy.mapping.programs import NO_PROGRAMS, Programs
from proxy.observability.histogram import Histogram
from proxy.switching.canary import Sketch
from proxy.switching.setting import Mode
from proxy.switching.table import SwitchName


class Shadow(NamedTuple):
    """A switch that is in shadow.

    Attributes:
        switch: its name.
        programs: what would apply if it were on.
    """

    switch: SwitchName
    programs: Programs


class Applied(NamedTuple):
    """What was decided about one switch.

    Attributes:
        switch: its name.
        exception: the name of the exception that the version falls under; empty for none.
        mode: `on`, `off` or `shadow`; of a canary, `on` or `off`.
    """

    switch: SwitchName
    exception: str
    mode: Mode


class RequestCounts:
    """What became of the requests of those for whom the same was decided.

    Attributes:
        requests: that have ended, handshakes among them.
        errors: of these, those that ended with an error.
        added: how long Segue itself took for them.
    """

    __slots__ = ("added", "errors", "requests")

    def __init__(self) -> None:
        self.requests = 0
        self.errors = 0
        self.added = Histogram()


class Decision:
    """What applies to some clients. Equal to itself alone.

    Attributes:
        programs: what is done to their messages and bodies.
        shadows: the switches whose effect is only looked at.
        applied: what was decided about each switch of their cohort.
        taken: how many sockets and requests it was taken for.
        requests: what became of these; kept by who counts them, None before the first.
    """

    __slots__ = ("applied", "programs", "requests", "shadows", "taken")

    def __init__(
        self,
        programs: Programs,
        shadows: tuple[Shadow, ...] = (),
        applied: tuple[Applied, ...] = (),
    ) -> None:
        self.programs = programs
        self.shadows = shadows
        self.applied = applied
        self.taken = 0
        self.requests: RequestCounts | None = None


class SwitchUsers(NamedTuple):
    """About how many users a canary has seen since the table is in force.

    Attributes:
        inside, outside: those for whom the mapping applies, and the others.
    """

    inside: Sketch
    outside: Sketch


NOTHING: Final = Decision(NO_PROGRAMS)
"""For clients in no cohort, and cohorts that name no mapping."""
