"""The section `switching.sunset`: when a mapping can go, and what clients are told of that."""

from __future__ import annotations

import re
from calendar import monthrange, timegm
from functools import cached_property
from typing import Annotated, Final

from pydantic import AfterValidator, Field, PlainValidator, model_validator

from proxy.configuration.document import WrittenText, as_written
from proxy.configuration.fields import ListedNetwork, Seconds, Section, VersionRange
from proxy.switching.table import read_name

_DAY: Final = 86_400
_DATE: Final = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})(?:[Tt ]([0-9]{2}):([0-9]{2})(?::([0-9]{2}))?Z)?"
)

_FIRST_YEAR: Final = 1970

# The characters of a URI reference (RFC 3986), so that it stands between < and > in a Link.
_LINK: Final = re.compile(r"(?:https?://[A-Za-z0-9._~:\[\]-]+)?/[A-Za-z0-9._~:/?#@!$&'()*+,;=%-]*")


def _moment(value: object) -> int:
    """Read a day or a moment, in UTC: seconds since 1970."""
    written = as_written(value)
    found = _DATE.fullmatch(written) if isinstance(written, str) else None
    if found is not None:
        year, month, day, hour, minute, second = (int(each or 0) for each in found.groups())
        if (
            year >= _FIRST_YEAR
            and 1 <= month <= 12
            and 1 <= day <= monthrange(year, month)[1]
            and hour < 24
            and minute < 60
            and second < 60
        ):
            return timegm((year, month, day, hour, minute, second))
    raise ValueError('expected a day such as "2026-12-01", or a time such as "2026-12-01T08:00Z"')


def _switch(value: str) -> str:
    return str(read_name(value))


def _link(value: str) -> str:
    if _LINK.fullmatch(value) is None:
        raise ValueError('expected a URL such as "https://example.com/old-api", or a path')
    return value


Moment = Annotated[int, PlainValidator(_moment, json_schema_input_type=str)]


class IgnoredClients(Section):
    """Clients that keep no mapping alive: probes, scanners, monitors.

    All that is said has to be so of a client.

    Attributes:
        user_agent: a part of its `User-Agent`; large and small letters are the same.
        addresses: networks, one of which its address is in.
        versions: which of them it tells, as `==0.0.1`.
    """

    user_agent: Annotated[WrittenText, Field(min_length=1, max_length=200)] | None = None
    addresses: Annotated[tuple[ListedNetwork, ...], Field(max_length=100)] = ()
    versions: VersionRange | None = None

    @model_validator(mode="after")
    def _says_something(self) -> IgnoredClients:
        if self.user_agent is None and not self.addresses and self.versions is None:
            raise ValueError("expected `user_agent`, `addresses` or `versions`")
        return self


class Announcement(Section):
    """What clients whose answers a mapping may change are told of its end.

    Attributes:
        switch: of which cohort and mapping.
        deprecation: since when, or from when on, clients are to do without; a day is its beginning
            in UTC. Sent as `Deprecation` (RFC 9745).
        sunset: when the URIs themselves will stop answering such clients, and not before
            `deprecation`; only where they will. Sent as `Sunset` (RFC 8594).
        link: where people read about it. Sent as `Link` with `rel="deprecation"`.
    """

    switch: Annotated[WrittenText, AfterValidator(_switch)]
    deprecation: Moment
    sunset: Moment | None = None
    link: Annotated[WrittenText, Field(max_length=500), AfterValidator(_link)] | None = None

    @model_validator(mode="after")
    def _in_order(self) -> Announcement:
        if self.sunset is not None and self.sunset < self.deprecation:
            raise ValueError("`sunset` is earlier than `deprecation`")
        return self


class Sunset(Section):
    """When a mapping can go, and what clients are told of that.

    Attributes:
        idle: for how long no message has to have needed a mapping, until it is said that it can go.
        ignore: clients that keep no mapping alive; what they need is counted apart.
        announce: what clients are told of the end of mappings, by dates that people set.
    """

    idle: Annotated[Seconds, Field(ge=_DAY, le=365 * _DAY)] = 14.0 * _DAY
    ignore: Annotated[tuple[IgnoredClients, ...], Field(max_length=100)] = ()
    announce: Annotated[tuple[Announcement, ...], Field(max_length=2000)] = ()

    @cached_property
    def announced(self) -> dict[str, Announcement]:
        """What clients are told, by the names of switches."""
        return {each.switch: each for each in self.announce}
