"""The part of the admin API that has everything read again, and says what came of it.

`POST /reload` waits until configuration, mappings and TLS files have been read and either serve or
were refused. The answer is 200 in both cases: the order was carried out.
"""

from __future__ import annotations

from typing import Final

import pydantic
from aiohttp import web

from proxy.admin.access import signature
from proxy.admin.endpoints import Endpoint, Served
from proxy.admin.orders import AdminRequest, refusal
from proxy.control.reload import ReloadOutcome, Reloads, Stopping
from proxy.errors import Diagnostic
from proxy.switching.sunset_verdict import Verdict
from proxy.types import Role


class ReloadRequest(AdminRequest):
    """There is nothing to say: what is read is what the process was started with."""


class Problem(pydantic.BaseModel):
    """One thing that is wrong.

    Attributes:
        file: in which it is, or the environment variable or flag.
        line, column: where in the file, from 1; 0 where there is no place.
        path: of the value, such as `upstream.url`; empty for the whole file.
        reason: what is wrong.
        text: all of it in one line.
    """

    file: str
    line: int
    column: int
    path: str
    reason: str
    text: str


class RemovedView(pydantic.BaseModel):
    """A mapping that is taken from a cohort, and was not said to be safe to delete.

    Attributes:
        switch: the name of its switch.
        verdict: what was said of it: `needed`, `idle` or `unknown`.
        last_needed: when a message last needed it, in seconds since 1970; null where that was not
            seen.
        users: about how many users needed it today or yesterday, in UTC, whichever is more.
    """

    switch: str
    verdict: Verdict
    last_needed: float | None
    users: int


class Reloaded(pydantic.BaseModel):
    """What came of it.

    Attributes:
        succeeded: whether what was read serves. If not, what served before goes on.
        reason: `asked`, or `files` where they had changed.
        ended: when, in seconds since 1970.
        serving: the digest of what serves.
        needs_restart: the keys whose new values only a restart brings.
        problems: what was wrong.
        ends_all_off: whether it ends that everything is off, because another file is the authority.
        ends_switches: those whose steps down it ends, for the same reason.
        removed: mappings that it takes from cohorts and that may be needed.
    """

    succeeded: bool
    reason: str
    ended: float
    serving: str
    needs_restart: list[str]
    problems: list[Problem]
    ends_all_off: bool = False
    ends_switches: list[str] = []
    removed: list[RemovedView] = []


class ReloadList(pydantic.BaseModel):
    """Attempts to read everything again, since the start of the process that answers.

    Attributes:
        reloads: the newest first, at most 20, each with 20 problems at most.
    """

    reloads: list[Reloaded]


LIST: Final = Endpoint("GET", "/reloads", Role.VIEWER, None, ReloadList)
RELOAD: Final = Endpoint(
    "POST",
    "/reload",
    Role.OPERATOR,
    ReloadRequest,
    Reloaded,
    refusals={503: "The process is stopping."},
)


class ReloadOrders:
    """Answers the request."""

    def __init__(self, reloads: Reloads) -> None:
        self._reloads = reloads

    def endpoints(self) -> tuple[Served, ...]:
        """What operators may ask, and what carries it out."""
        return ((LIST, self.show), (RELOAD, self.reload))

    async def show(self, _: web.Request) -> ReloadList:
        """Show what came of the newest reloads."""
        return ReloadList(reloads=[described(each) for each in self._reloads.recent])

    async def reload(self, request: web.Request, _: ReloadRequest) -> web.Response | Reloaded:
        """Read everything again, and wait for what comes of it."""
        try:
            return described(await self._reloads.carried_out(**signature(request)))
        except Stopping:
            return refusal(503, "this process is stopping")


def described(outcome: ReloadOutcome) -> Reloaded:
    """An outcome as it is told."""
    return Reloaded(
        succeeded=outcome.succeeded,
        reason=outcome.reason,
        ended=outcome.ended,
        serving=outcome.serving,
        needs_restart=list(outcome.needs_restart),
        problems=[_problem(each) for each in outcome.problems],
        ends_all_off=outcome.ends.all_off,
        ends_switches=list(outcome.ends.switches),
        removed=[
            RemovedView(
                switch=each.switch,
                verdict=each.judgement.verdict,
                last_needed=each.judgement.last,
                users=each.users,
            )
            for each in outcome.removed
        ],
    )


def _problem(found: Diagnostic) -> Problem:
    return Problem(
        file=found.file,
        line=found.line,
        column=found.column,
        path=found.path,
        reason=found.message,
        text=str(found),
    )
