"""What `GET /status` says of switches: what an operator would look at first."""

from __future__ import annotations

import pydantic

from proxy.admin.switch_views import SwitchingState, SwitchView, TermView
from proxy.admin.switches_shown import switches_view
from proxy.control.current_switches import CurrentSwitches
from proxy.gateway.rollover import Rollover


class DifferingSwitch(pydantic.BaseModel):
    """A switch that is not set to what the configuration says.

    Attributes:
        switch: its name.
        set_to: what it is set to, as it is written.
        configured: what the configuration says.
        exceptions: the names of those that it has now.
    """

    switch: str
    set_to: str
    configured: str
    exceptions: list[str]


class OverdueSetting(pydantic.BaseModel):
    """Something temporary whose time is over.

    Attributes:
        switch: its name.
        exception: the name of the exception; empty for the switch itself.
        owner: who answers for it.
        until: when its time was over, in seconds since 1970.
    """

    switch: str
    exception: str
    owner: str
    until: float


class CohortBehind(pydantic.BaseModel):
    """Open WebSockets of a cohort that are on an older revision than the one in force.

    Attributes:
        cohort: its name.
        websockets: how many there are.
    """

    cohort: str
    websockets: int


class SwitchesStatus(SwitchingState):
    """The switches of the process that answers.

    Attributes:
        switches: how many there are.
        differing: those that differ from the configuration.
        overdue: what is set for a time that is over.
        behind: the cohorts that have WebSockets on an older revision.
    """

    switches: int
    differing: list[DifferingSwitch]
    overdue: list[OverdueSetting]
    behind: list[CohortBehind]


def switches_status(current: CurrentSwitches, rollover: Rollover) -> SwitchesStatus:
    """Read it, at one moment."""
    view = switches_view(current, rollover)
    behind: dict[str, int] = {}
    for sockets in view.sockets:
        if sockets.revision != view.revision:
            behind[sockets.cohort] = behind.get(sockets.cohort, 0) + sockets.websockets
    return SwitchesStatus(
        **view.model_dump(include=set(SwitchingState.model_fields)),
        switches=len(view.switches),
        differing=[_differing(each) for each in view.switches if each.differs],
        overdue=[found for each in view.switches for found in _overdue(each)],
        behind=[
            CohortBehind(cohort=cohort, websockets=count)
            for cohort, count in sorted(behind.items())
        ],
    )


def _differing(view: SwitchView) -> DifferingSwitch:
    return DifferingSwitch(
        switch=view.switch,
        set_to=view.set_to,
        configured=view.configured,
        exceptions=[each.name for each in view.exceptions],
    )


def _overdue(view: SwitchView) -> list[OverdueSetting]:
    terms: list[tuple[str, TermView]] = [("", view.term)]
    terms += [(each.name, each.term) for each in view.exceptions]
    return [
        OverdueSetting(switch=view.switch, exception=name, owner=term.owner, until=term.until)
        for name, term in terms
        if term.overdue and term.until is not None
    ]
