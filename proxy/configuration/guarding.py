"""The guards of `switching`: what takes a switch back, and when switches may rise."""

from __future__ import annotations

import re
from functools import cached_property
from typing import Annotated, Final, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field, PlainValidator

from proxy.configuration import units
from proxy.configuration.document import WrittenText
from proxy.configuration.fields import Count, Duration, Seconds, Section
from proxy.switching.guards import GuardMode, GuardRules
from proxy.switching.windows import RiseWindow, parse_clock, parse_days

_HOURS: Final = re.compile(r"([0-9:]{4,5}) ?- ?([0-9:]{4,5})")


def _days(value: str) -> str:
    parse_days(value)
    return value


def _hours(value: str) -> str:
    _read_hours(value)
    return value


def _read_hours(value: str) -> tuple[int, int]:
    found = _HOURS.fullmatch(value.strip())
    if found is None:
        raise ValueError('expected hours such as "09:00-16:30"')
    return parse_clock(found[1]), parse_clock(found[2])


def _timezone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        text = 'expected the name of a time zone that this machine knows, such as "Europe/Berlin"'
        raise ValueError(text) from None
    return value


def _confidence(value: units.Share) -> units.Share:
    if not 0.9 <= value <= 0.999999:
        raise ValueError("expected a confidence from 90% to 99.9999%")
    return value


Share = Annotated[units.Share, PlainValidator(units.share, json_schema_input_type=str)]


class Guard(Section):
    """What is measured of a switch that somebody has set, and within which bounds.

    A switch whose figures are worse with the stated confidence is taken one state back at once.
    Each bound can be null: then that is not watched.

    Attributes:
        mode: `enforce`: take a switch back that fails. `observe`: log, show and count that it would
            have been. `off`: judge nothing; ramps go on by time alone.
        window: the time after which samples begin anew; they also do with each revision of the
            switch.
        confidence: how sure a guard is before it takes back: the probability that a switch within
            all its bounds is never taken back while one revision of it is in force.
        min_messages: messages without which nothing is said.
        min_users: users of a canary without which nothing is said; what is in `shadow` or `on` is
            not asked for users.
        failed: the largest share of messages that the mapping fails on.
        unmapped: the largest share of messages of kinds that the mapping's file does not list.
        protocol_closes: the largest share of WebSockets that the client or the server closes for a
            protocol error (1002, 1003 or 1007).
        added_latency: the largest 99th percentile of the time that Segue itself takes for a request
            or a handshake; it counts from the next bound of `segue_proxy_duration_seconds` on.
        http_errors: by how much the share of requests that end with an error (400, 422, or 500 and
            above) may be higher than that of the users of the cohort who are not in the canary.
    """

    mode: Literal["enforce", "observe", "off"] = "enforce"
    window: Annotated[Duration, Field(ge=10, le=7 * 86400)] = 3600.0
    confidence: Annotated[Share, AfterValidator(_confidence)] = units.Share(0.999)
    min_messages: Annotated[Count, Field(ge=1, le=1_000_000)] = 200
    min_users: Annotated[Count, Field(ge=0, le=1_000_000)] = 10
    failed: Share | None = units.Share(0.01)
    unmapped: Share | None = units.Share(0.05)
    protocol_closes: Share | None = units.Share(0.05)
    added_latency: Annotated[Seconds, Field(gt=0, le=60)] | None = 0.25
    http_errors: Share | None = None

    def rules(self, override: Guard | None = None) -> GuardRules:
        """What counts for a switch.

        Args:
            override: what is said of this one; what it leaves out is as here.
        """
        said = {} if override is None else override.model_dump(exclude_unset=True)
        facts = {**self.model_dump(), **said}
        error, mode = 1 - facts.pop("confidence"), GuardMode(facts.pop("mode"))
        return GuardRules(error=error, mode=mode, **facts)


class RiseHours(Section):
    """Hours in which switches may rise.

    Attributes:
        days: of the week, as `mon-fri` or `mon, wed`.
        hours: from when to when, as `09:00-16:30`; `22:00-02:00` ends on the next day.
        timezone: whose clocks count, as `Europe/Berlin`.
    """

    days: Annotated[WrittenText, AfterValidator(_days)] = "mon-fri"
    hours: Annotated[WrittenText, AfterValidator(_hours)]
    timezone: Annotated[WrittenText, AfterValidator(_timezone)] = "UTC"

    @cached_property
    def window(self) -> RiseWindow:
        """Those hours."""
        begin, end = _read_hours(self.hours)
        return RiseWindow(parse_days(self.days), begin, end, self.timezone)
