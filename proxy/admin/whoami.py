"""The part of the admin API that tells whoever asks who they are taken for.

`GET /whoami` answers with name, role and limits: what a page needs to show what somebody may do.
"""

from __future__ import annotations

from typing import Final

import pydantic
from aiohttp import web

from proxy.admin.access import author
from proxy.admin.endpoints import Endpoint, Served
from proxy.admin.roles import Credential
from proxy.types import Role


class WhoAmI(pydantic.BaseModel):
    """Who asks.

    Attributes:
        name: as log, audit and revisions say it.
        role: what they may do.
        by: how they have shown it: `socket`, `token`, `certificate` or `proxy`.
        cohorts: the only ones whose switches they may change; null for all.
        only_lowers: whether they may only have less rewritten.
    """

    name: str
    role: Role
    by: Credential
    cohorts: list[str] | None
    only_lowers: bool


SHOW: Final = Endpoint("GET", "/whoami", Role.VIEWER, None, WhoAmI)


async def show(request: web.Request) -> WhoAmI:
    """Show who asks is taken for, and what they may do."""
    principal = author(request)
    limits = principal.limits
    return WhoAmI(
        name=principal.name,
        role=principal.role,
        by=principal.by,
        cohorts=None if limits.cohorts is None else list(limits.cohorts),
        only_lowers=limits.only_lowers,
    )


def endpoints() -> tuple[Served, ...]:
    """What viewers may ask, and what answers."""
    return ((SHOW, show),)
