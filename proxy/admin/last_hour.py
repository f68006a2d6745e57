"""The part of the admin API that shows figures over the last hour.

`GET /last-hour` has what the process has kept itself: rates and levels, a point about every half
minute. Before its start, and where it was not asked to look, there is none.
"""

from __future__ import annotations

from typing import Final

import pydantic
from aiohttp import web

from proxy.admin.endpoints import Endpoint, Served
from proxy.observability.last_hour import LastHour, Series
from proxy.types import Role

_DIGITS: Final = 3


class SeriesView(pydantic.BaseModel):
    """One figure over the last hour.

    Attributes:
        figure: `messages`, `failed`, `unmapped` (of a kind that is in no list), `errors` (answers
            that Segue made itself) and `refreshes` in a second; or `sockets` and `sessions`, open
            at that moment.
        cohort: of `messages` and `sockets`; empty for those of all.
        revision: of `sockets`: of the switches, by which their programs were decided; null for
            everything else.
        values: one for each of the times; null where there was none.
    """

    figure: str
    cohort: str
    revision: int | None
    values: list[float | None]


class LastHourView(pydantic.BaseModel):
    """Figures of the process that answers, over the last hour.

    Attributes:
        times: of the points, in seconds since 1970, the oldest first; 120 at most.
        series: the figures, in the order of their names.
        left_out: how many a point had at most beyond the 64 that are kept, the lowest.
    """

    times: list[float]
    series: list[SeriesView]
    left_out: int


SHOW: Final = Endpoint("GET", "/last-hour", Role.VIEWER, None, LastHourView)


class LastHourPage:
    """Answers the request."""

    def __init__(self, kept: LastHour) -> None:
        self._kept = kept

    def endpoints(self) -> tuple[Served, ...]:
        """What viewers may ask, and what answers."""
        return ((SHOW, self.show),)

    async def show(self, _: web.Request) -> LastHourView:
        """Show figures over the last hour, of the process that answers."""
        points = self._kept.points
        values = [point.values for point in points]
        names = sorted({series for each in values for series in each})
        return LastHourView(
            times=[round(point.at, 1) for point in points],
            series=[_view(each, [one.get(each) for one in values]) for each in names],
            left_out=max((point.left_out for point in points), default=0),
        )


def _view(series: Series, values: list[float | None]) -> SeriesView:
    name, cohort, revision = (*series, "", "")[:3]
    return SeriesView(
        figure=name,
        cohort=cohort,
        revision=int(revision) if revision else None,
        values=[None if each is None else round(each, _DIGITS) for each in values],
    )
