"""The part of the admin API that shows which versions clients tell.

`GET /versions` has the 50 that were told most since the start of this process, with the cohort that
their clients were given, and `other`: the requests that told any other. What may be a token is
taken out: clients choose what they send.
"""

from __future__ import annotations

import time
from typing import Final

import pydantic
from aiohttp import web

from proxy.admin.endpoints import Endpoint, Served
from proxy.observability.seen_versions import SeenVersions
from proxy.tokens.redaction import redact
from proxy.types import Role


class VersionView(pydantic.BaseModel):
    """A version, as clients tell it.

    Attributes:
        version: as it is spelt, without what could be a secret.
        cohort: in which it is; `none` for none.
        readable: whether it could be read: one that cannot gets the default.
        requests: that told it, since the start.
        last: when the last of them came, in seconds since 1970.
    """

    version: str
    cohort: str
    readable: bool
    requests: int
    last: float


class VersionTable(pydantic.BaseModel):
    """The versions that were told most, the most frequent first.

    Attributes:
        versions: those, as clients spell them.
        other: requests that told another one.
        untold: requests that told none.
    """

    versions: list[VersionView]
    other: int
    untold: int


SHOW: Final = Endpoint("GET", "/versions", Role.VIEWER, None, VersionTable)


class Versions:
    """Answers the requests of the API."""

    def __init__(self, seen: SeenVersions) -> None:
        self._seen = seen

    def endpoints(self) -> tuple[Served, ...]:
        """What may be asked of versions, and what carries it out."""
        return ((SHOW, self.show),)

    async def show(self, _: web.Request) -> VersionTable:
        """Show which versions clients told most."""
        versions, other = self._seen.most()
        # The table has the clock of requests, which is no time of day.
        offset = time.time() - time.perf_counter()
        return VersionTable(
            versions=[
                VersionView(
                    version=redact(each.raw),
                    cohort=each.cohort,
                    readable=each.readable,
                    requests=each.requests,
                    last=round(each.last + offset, 3),
                )
                for each in versions
            ],
            other=other,
            untold=self._seen.untold,
        )
