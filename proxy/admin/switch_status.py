"""What `GET /status` says of switches: what an operator would look at first."""

from __future__ import annotations

from typing import Literal

import pydantic

from proxy.admin.switch_views import SwitchView, TermView, switches_view
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


class SwitchesStatus(pydantic.BaseModel):
    """The switches of the process that answers.

    Attributes:
        switches: how many there are.
        all_off: whether everything is off.
        authority: `live` or `file`.
        revision: the newest that is in force here.
        stored: the newest in the store, as far as it was read.
        differing: those that differ from the configuration.
        overdue: what is set for a time that is over.
        behind: the cohorts that have WebSockets on an older revision.
        kept: whether the store outlives the process.
        store: `up`, or why it is away.
        away_since: in seconds since 1970; null while it answers.
        unapplied: what is set in the store and does nothing here: the configuration lacks it, or
            `stands_on` is not empty.
        stands_on: the digest of the configuration that the newest revision is about, where the file
            is the authority and another one serves here; empty otherwise.
        orphans: switches that are set, of mappings that no cohort names any more.
    """

    switches: int
    all_off: bool
    authority: Literal["live", "file"]
    revision: int
    stored: int
    differing: list[DifferingSwitch]
    overdue: list[OverdueSetting]
    behind: list[CohortBehind]
    kept: bool
    store: str
    away_since: float | None
    unapplied: list[str]
    stands_on: str
    orphans: list[str]


def switches_status(current: CurrentSwitches, rollover: Rollover) -> SwitchesStatus:
    """Read it, at one moment."""
    view = switches_view(current, rollover)
    behind: dict[str, int] = {}
    for sockets in view.sockets:
        if sockets.revision != view.revision:
            behind[sockets.cohort] = behind.get(sockets.cohort, 0) + sockets.websockets
    return SwitchesStatus(
        switches=len(view.switches),
        all_off=view.all_off,
        authority=view.authority,
        revision=view.revision,
        stored=view.stored,
        differing=[_differing(each) for each in view.switches if each.differs],
        overdue=[found for each in view.switches for found in _overdue(each)],
        behind=[
            CohortBehind(cohort=cohort, websockets=count)
            for cohort, count in sorted(behind.items())
        ],
        kept=view.kept,
        store=view.store,
        away_since=view.away_since,
        unapplied=view.unapplied,
        stands_on=view.stands_on,
        orphans=view.orphans,
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
