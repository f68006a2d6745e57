"""Whether switches may rise now, by the clocks of the places that the configuration names."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

from proxy.configuration.switching import Switching
from proxy.switching.windows import Moment, closed


def closed_at(settings: Switching, now: float) -> str:
    """Say why nothing may rise at a time; empty where it may.

    Args:
        settings: the section of the configuration.
        now: in seconds since 1970.
    """
    windows = [each.window for each in settings.windows]
    return closed(windows, [_moment(each.timezone, now) for each in windows])


def _moment(timezone: str, now: float) -> Moment:
    local = dt.datetime.fromtimestamp(now, ZoneInfo(timezone))
    return Moment(local.weekday(), local.hour * 60 + local.minute)
