"""The part of the admin API that shows when mappings can go.

`GET /sunset` tells for each mapping of each cohort what the whole fleet has seen of messages that
needed it, and what follows of that.
"""

from __future__ import annotations

import datetime as dt
import time
from collections import Counter
from collections.abc import Iterable
from typing import Final

import pydantic

from proxy.admin.endpoints import Endpoint, Served
from proxy.configuration.sunset import Announcement
from proxy.control.sunset import SHOWN, SunsetRecords
from proxy.mapping.catalog import CohortBinding
from proxy.snapshot import Live
from proxy.switching.canary import Sketch
from proxy.switching.sunset_days import SLOTS, MappingDay, day_of, shown, watched
from proxy.switching.sunset_verdict import ENOUGH, Judgement, Verdict
from proxy.switching.table import SwitchName
from proxy.types import Role


class VersionNeeds(pydantic.BaseModel):
    """A version of clients whose messages needed a mapping.

    Attributes:
        version: by its numbers; `none` where clients tell none, `other` for all that were not seen
            most.
        messages: how many there were.
    """

    version: str
    messages: int


class DayNeeds(pydantic.BaseModel):
    """What needed a mapping on one day.

    Attributes:
        day: in UTC, as `2026-11-30`.
        users: about how many users.
        messages: that needed it.
        ignored: the same of clients that `switching.sunset.ignore` names.
        watched: how much of the whole day was watched, from 0 to 1.
    """

    day: str
    users: int
    messages: int
    ignored: int
    watched: float


class AnnouncementView(pydantic.BaseModel):
    """What clients are told in HTTP answers, by dates that people set.

    Attributes:
        deprecation: since when they are to do without, in seconds since 1970.
        sunset: when the URIs will stop answering; null where they will not.
        link: where people read about it; null for nowhere.
    """

    deprecation: int
    sunset: int | None
    link: str | None


class MappingSunset(pydantic.BaseModel):
    """When a mapping of a cohort can go.

    Attributes:
        switch: the name of its switch.
        verdict: `needed`, `idle`, `safe` or `unknown`.
        last_needed: when a message last needed it, in seconds since 1970; null where that was not
            seen.
        idle_days: whole days since then; null where it was not seen.
        watched: how much of the time was watched that the verdict stands on, from 0 to 1.
        watched_since: when that time began, in seconds since 1970.
        blind: why the process that answers does not watch it at the moment; null where it does.
        open: WebSockets in the whole fleet that it applies to.
        users: about how many users needed it in the last 31 days.
        messages: that needed it in the last 31 days.
        ignored: the same of clients that `switching.sunset.ignore` names.
        versions: from which versions they came: those seen most.
        days: the last 31, the newest first.
        websocket, http: where the cohort names it.
        announced: what clients are told of its end; null for nothing.
    """

    switch: str
    verdict: Verdict
    last_needed: float | None
    idle_days: int | None
    watched: float
    watched_since: float
    blind: str | None
    open: int
    users: int
    messages: int
    ignored: int
    versions: list[VersionNeeds]
    days: list[DayNeeds]
    websocket: bool
    http: bool
    announced: AnnouncementView | None


class SunsetView(pydantic.BaseModel):
    """When mappings can go: what the whole fleet has seen.

    Attributes:
        now: when this was answered, in seconds since 1970.
        read_at: when the days of the fleet were last read from the store; null before the first
            time.
        idle: seconds for which nothing has to have needed a mapping.
        enough: the part of that time which has to be watched.
        error: the standard error of `users`, as a part of it.
        silent: processes of the fleet that tell nothing, or whose clock is wrong.
        mappings: those of all cohorts, in their order.
    """

    now: float
    read_at: float | None
    idle: float
    enough: float
    error: float
    silent: list[str]
    mappings: list[MappingSunset]


SUNSET: Final = Endpoint("GET", "/sunset", Role.VIEWER, None, SunsetView)


class SunsetPage:
    """Answers the request."""

    def __init__(self, records: SunsetRecords, live: Live) -> None:
        self._records = records
        self._live = live

    def endpoints(self) -> tuple[Served, ...]:
        """What viewers may ask, and what answers."""
        return ((SUNSET, self.show),)

    async def show(self, _: object) -> SunsetView:
        """Tell for each mapping of each cohort what needed it, and whether it can go."""
        records, snapshot, now = self._records, self._live.current, time.time()
        announced = snapshot.config.switching.sunset.announced
        return SunsetView(
            now=now,
            read_at=records.read_at,
            idle=records.idle,
            enough=ENOUGH,
            error=Sketch.ERROR,
            silent=list(records.silent),
            mappings=[
                self._mapping(
                    name,
                    judgement,
                    snapshot.catalog.bindings[name.cohort],
                    announced.get(str(name)),
                    now,
                )
                for name, judgement in records.judgements().items()
            ],
        )

    def _mapping(
        self,
        name: SwitchName,
        judgement: Judgement,
        binding: CohortBinding,
        announced: Announcement | None,
        now: float,
    ) -> MappingSunset:
        records, today = self._records, day_of(now)
        parts = {
            number: part
            for number in range(today, today - SHOWN, -1)
            if (day := records.days.get(number)) is not None
            and (part := day.mappings.get(name)) is not None
        }
        versions = Counter[str]()
        for part in parts.values():
            versions.update(part.versions)
        return MappingSunset(
            switch=str(name),
            verdict=judgement.verdict,
            last_needed=judgement.last,
            idle_days=judgement.idle_days,
            watched=round(judgement.watched, 4),
            watched_since=judgement.since,
            blind=records.blind.get(name),
            open=records.open(name),
            users=_users(parts.values()),
            messages=sum(part.messages for part in parts.values()),
            ignored=sum(part.ignored for part in parts.values()),
            versions=[
                VersionNeeds(version=version, messages=count) for version, count in shown(versions)
            ],
            days=[
                _day(number, parts.get(number) or MappingDay())
                for number in range(today, today - SHOWN, -1)
            ],
            websocket=name.mapping in (*binding.to_client, *binding.to_server),
            http=any(
                name.mapping in (*route.to_client, *route.to_server) for route in binding.http
            ),
            announced=None
            if announced is None
            else AnnouncementView(
                deprecation=announced.deprecation, sunset=announced.sunset, link=announced.link
            ),
        )


def _users(parts: Iterable[MappingDay]) -> int:
    users = Sketch()
    for part in parts:
        users.merge(part.users)
    return users.count()


def _day(number: int, part: MappingDay) -> DayNeeds:
    date = dt.date(1970, 1, 1) + dt.timedelta(days=number)
    return DayNeeds(
        day=date.isoformat(),
        users=part.users.count(),
        messages=part.messages,
        ignored=part.ignored,
        watched=round(watched(part).bit_count() / SLOTS, 4),
    )
